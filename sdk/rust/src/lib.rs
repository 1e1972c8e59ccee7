//! What speaks to Crumb: clients of the broker, of the sidecar and of tool servers, and the layer that protects a tool
//! server.
//!
//! It is apart so that a tool server or an agent needs one crate and no service of ours. Each module is one job:
//!
//! - [`broker`]: sessions, the token exchange, the registry, over mTLS.
//! - [`feed`]: follows the broker's feed into a [`crumb_verifier::Verifier`].
//! - [`decisions`]: ships decision records to the broker's trail, and never drops one silently.
//! - [`protect`]: the tower layer that decides every call before the tool sees it.
//! - [`tool_server`]: serves a protected service over mTLS.
//! - [`sidecar`]: an agent's calls to the sidecar beside it.
//! - [`call`]: a call to a tool server, for whoever presents a token itself.
//!
//! # Invariants
//!
//! - Every wait has a time limit, every queue and body a size limit, every retry a count; each is a named constant.
//! - Wire types stop at the edge: inputs and outputs are the vocabulary of `crumb-token`.
//! - A token is shown to nobody but the server it is presented to: not to logs, not to errors, not to the inner service.

mod backoff;
pub mod broker;
pub mod call;
pub mod decisions;
mod failure;
pub mod feed;
pub mod protect;
pub mod sidecar;
pub mod tool_server;

pub use failure::{CallFailed, Party};
