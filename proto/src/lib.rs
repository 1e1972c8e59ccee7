//! The wire: `crumb.v1` as protobuf and gRPC, and the only conversions between it and the vocabulary.
//!
//! Apart because protobuf types stop here: a service converts a message on arrival and answers with a message built at the
//! end, and nothing in between knows the wire.
//!
//! # Invariants
//!
//! - The generated code in `wire/` is checked in; a test regenerates and compares it, so no protoc is needed to build.
//! - [`status`] is the one place where refusals become gRPC statuses and HTTP codes.
//! - A message that carries a token has a `Debug` that prints its length.
//! - A conversion never repairs: a field that is not well-formed is named in the answer.

pub mod convert;
pub mod feed;
pub mod layer;
mod secret;
pub mod status;
pub mod violations;

/// The generated messages, clients and servers of `crumb.v1`.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "generated; its documentation is the .proto files"
)]
pub mod wire {
    include!("wire/crumb.v1.rs");
}

/// The file descriptor set of `crumb.v1`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("wire/crumb.v1.bin");

/// The longest message that a Crumb service takes, in bytes.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024;

pub use layer::Layer;
pub use status::{from_status, to_status};
pub use violations::Violations;
