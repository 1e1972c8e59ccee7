//! The embeddable verifier: (keys, revocations, token, call, peer, now) in, allowed or denied out.
//!
//! It is apart because every tool server runs it, in whatever program that is: it is synchronous, does no I/O of its own,
//! and everything in it has a bound. The caller brings the feed's messages ([`Verifier::apply`]), the call, the peer that
//! its mTLS layer proved, and the time ([`Verifier::decide`]).
//!
//! # Invariants
//!
//! - A [`Verified`] exists only after every signature of the token, and every rule in it, has been checked for one call.
//! - Whatever is unknown, missing, late or too much is refused: without a feed that is fresh, nothing is allowed.
//! - Decisions are never kept. Keys, revocations and time are looked at in every call.
//! - The path of a decision takes no lock, but for the nonces of single-use tokens.
//! - No clock, file, environment, socket, async runtime or randomness.

mod authentic;
mod authenticate;
mod chain;
mod conditions;
mod counters;
mod decision;
mod ed25519;
pub mod feed;
#[cfg(test)]
mod fixture;
mod generation;
mod keyring;
mod known;
mod limits;
mod nonces;
mod program;
mod pulse;
mod revoked;
mod table;
mod verifier;

/// The atomics of [`generation`], in one place so that a model checker can bring its own.
mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
}

pub use chain::is_signed;
pub use counters::Counters;
pub use decision::{Decision, Refused, Verified};
pub use feed::FeedRefused;
pub use limits::Limits;
pub use verifier::Verifier;
