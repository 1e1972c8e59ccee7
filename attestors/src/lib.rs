//! How a caller is known: one module per kind of evidence.
//!
//! An attestor reads evidence (a certificate chain, a process behind a socket, the token of whoever the caller acts for) and
//! hands back facts, never a verdict about what the caller may do. It is apart so that broker and sidecar judge the same
//! evidence in the same way.
//!
//! # Invariants
//!
//! - Evidence that cannot be read completely gives no facts at all.
//! - No clock: whoever asks brings the time.
//! - Only a kind whose evidence is the kernel itself ([`unix_process`]) touches the system.

pub mod jwks;
mod strict_json;
pub mod subject_token;
pub mod unix_process;
pub mod x509_svid;
