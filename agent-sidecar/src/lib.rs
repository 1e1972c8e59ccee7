//! The sidecar beside an agent: keeps its task tokens in memory, and breaks off a smaller one for every call.
//!
//! It is apart because it is the one place where task tokens are, and because everything it does begins with the kernel's
//! word on who is calling. The broker decides what a caller may have; the sidecar keeps callers apart.
//!
//! # Invariants
//!
//! - Nothing is found without an attested caller: sessions, handles and tokens are kept by [`LocalIdentity`], which is
//!   asked for anew at every request.
//! - Tokens are in memory only: not in a file, an argument, the environment, a log or an error. Errors name token ids.
//! - A task token never leaves the process; what leaves is narrowed to one call and seconds.
//! - While the broker is down, what is held is good until its end, and nothing else is.
//! - Every queue, table and wait is bounded by a named constant.
//!
//! # What it does not do
//!
//! It holds no policy beyond the list of users it serves, and it cannot tell two programs apart that run as one user, with
//! one executable, in one cgroup: a user, unit or container for each agent is the boundary that counts.
//!
//! [`LocalIdentity`]: crumb_attestors::unix_process::LocalIdentity

mod broker;
mod cache;
mod call_tokens;
mod caller;
pub mod config;
mod delegator;
#[cfg(test)]
mod fixtures;
mod handed;
pub mod hygiene;
mod in_flight;
mod listener;
mod narrow;
mod own;
mod request;
mod run;
mod service;
mod sessions;
mod sidecar;
mod sparse;
mod tasks;
mod tool_servers;
mod tools;

pub use config::Config;
pub use listener::UnusableSocket;
pub use run::{Ready, RunError, run};
