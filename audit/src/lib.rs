//! A trail that can be checked by somebody who trusts neither the broker nor its database.
//!
//! Records become leaves of a Merkle tree ([`Entry`], [`Frontier`]); the broker signs the tree's head ([`Checkpoint`]);
//! what leaves the house is an export ([`export`]) or the proof of one entry ([`Evidence`]), and [`Checker`] says what is
//! wrong with either. The formats are the field's own (RFC 6962, C2SP), so other tools can check them too. It is apart
//! because a check is worth little when it shares code or state with what it checks: this room depends on no other.
//!
//! # Invariants
//!
//! - Pure: no clock, file, environment, socket, async runtime or randomness of its own. Bytes in, bytes and findings out.
//! - No input panics, and none makes memory grow past the named limits.
//! - Only [`Trust`] makes a [`VerifiedCheckpoint`].
//! - What a record says is never written anew: a body stays the bytes that its writer wrote, but for what is committed to.
//!
//! What it does not do: keep anything, hold a private key, or judge whether what a record says is true.

mod base64_text;
pub mod chain;
pub mod checker;
pub mod checkpoint;
pub mod commitment;
pub mod consistency;
pub mod entry;
pub mod evidence;
pub mod export;
pub mod finding;
#[cfg(test)]
mod fixture;
pub mod frontier;
pub mod inclusion;
pub mod json_place;
pub mod nodes;
pub mod note;
pub mod note_key;
pub mod tree_hash;
pub mod trust;

pub use chain::{Chains, Head};
pub use checker::{Checker, Summary};
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use commitment::{Committed, Disclosure, Salt, commit};
pub use consistency::ConsistencyProof;
pub use entry::{Entry, Writer};
pub use evidence::Evidence;
pub use export::Header;
pub use finding::{Finding, Problem};
pub use frontier::Frontier;
pub use inclusion::InclusionProof;
pub use nodes::{Leaves, Nodes};
pub use note::{NoteSignature, SignedNote};
pub use note_key::{KeyName, NoteSigner, VerifierKey};
pub use tree_hash::TreeHash;
pub use trust::{Trust, VerifiedCheckpoint};
