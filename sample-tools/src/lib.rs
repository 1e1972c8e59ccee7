//! A sample tool server: three tools over a small file tree in memory, protected by Crumb's layer.
//!
//! It is the tool server of first runs and of tests, and the example to copy: a mapping that says what each call asks for,
//! the layer around the tools, one mTLS listener for HTTP and gRPC.
//!
//! | tool | HTTP | gRPC `crumb.sample.v1.Files` | operation | resource |
//! |---|---|---|---|---|
//! | `search_docs` | `POST /tools/search_docs {"query"}` | `Search` | `read` | `docs:index` |
//! | `read_file` | `POST /tools/read_file {"path"}` | `Read` | `read` | `file:///<path>` |
//! | `delete_file` | `POST /tools/delete_file {"path"}` | `Delete` | `delete` | `file:///<path>` |
//!
//! # Invariants
//!
//! - A tool takes what it works on from the [`crumb_token::Ask`] that was decided on. No tool parses a request.
//! - Nothing is served that is not behind the layer, but `GET /health`.

mod calls;
mod config;
mod files;
mod grpc;
mod http;
mod run;

/// The generated messages, client and server of `crumb.sample.v1`.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "generated; its documentation is the .proto file"
)]
pub mod wire {
    include!("wire/crumb.sample.v1.rs");
}

pub use config::{BrokerConfig, Config, InvalidConfig};
pub use files::Files;
pub use run::{Parts, Ready, RunError, protected, run};
