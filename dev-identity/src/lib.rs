//! A SPIFFE Workload API for development: an in-memory CA behind a real Unix socket.
//!
//! A newcomer has no SPIRE. This gives the same client path (`SPIFFE_ENDPOINT_SOCKET`, the same RPCs, certificates of
//! the same shape that really rotate, callers that the kernel identifies), so that going to SPIRE changes one address.
//! It is apart so that no service can link it: only `crumb dev`, `crumb demo` and tests may.
//!
//! # Invariants
//!
//! - Keys are never written: the CA lives and dies with the process, and leaf keys are forgotten once sent.
//! - Nobody is asked who they are. The kernel says which process connected ([`crumb_attestors::unix_process`]); entries
//!   say which identity that is; the process is looked at again before each message that carries material.
//! - An entry that goes takes the identity with it: the stream ends with `PermissionDenied`.
//! - Everything is bounded: connections and streams for each uid, messages, entries, authorities, attestation time.
//!
//! # What it does not do
//!
//! - The JWT profile, federation, revocation lists, gRPC reflection, a node or a server behind it: see SPIRE.
//! - Protect against the machine's own administrator, or against another process of the same uid.

mod authorities;
mod authority;
mod banner;
mod ca;
mod caller;
mod dev_workload_api;
mod entries;
mod entries_file;
mod material;
mod quota;
mod selector;
mod service;
mod settings;
mod socket_file;
mod subscription;
pub mod wire;

pub use ca::CannotIssue;
pub use dev_workload_api::{DevWorkloadApi, StartError};
pub use entries::{Entries, Entry, InvalidEntry};
pub use entries_file::UnusableEntries;
pub use selector::{InvalidSelector, Selector};
pub use settings::{InvalidSettings, Settings, SocketMode};
pub use socket_file::UnusableSocket;

/// The trust domain of a development CA. `.invalid` can never be a real name (RFC 2606), so it cannot be mistaken.
pub const DEV_TRUST_DOMAIN: &str = "dev.crumb.invalid";
