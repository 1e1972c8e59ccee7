//! The vocabulary of Crumb and its token profile.
//!
//! Everything that another room speaks about is a type here: who ([`SpiffeId`]), where ([`Audience`]), what
//! ([`Grant`], [`Ask`]), inside which session ([`Claims`]), and the token that says so ([`mint`], [`attenuate`],
//! [`parse`]). It is apart because every other room depends on it and it depends on none.
//!
//! # Invariants
//!
//! - Pure: no clock, file, environment, socket, async runtime or randomness of its own.
//! - A value of a type in this crate is well-formed; the only way in is `FromStr`, `TryFrom` or a checked `new`.
//! - Nothing here trusts a token. [`parse::Unverified`] says what the bytes claim; the verifier alone says they are true.
//! - Datalog text is never made from, or parsed out of, data.

pub mod agent;
pub mod args;
pub mod ask;
pub mod attenuate;
pub mod audience;
mod authority;
mod block;
pub mod caveat;
pub mod claims;
pub mod contents;
pub mod denial;
pub mod envelope;
#[cfg(test)]
mod fixture;
pub mod grant;
pub mod handover;
mod hop;
pub mod id;
pub mod intent;
pub mod mint;
pub mod origin;
pub mod parse;
pub mod payload;
pub mod profile;
pub mod resource;
pub mod revocation;
pub mod shape;
pub mod signer;
pub mod spiffe_id;
pub mod symbols;
pub mod text;
pub mod time;
pub mod token_text;
pub mod tool;

pub use agent::{AgentName, Environment, Owner, Version};
pub use args::{Args, Scalar};
pub use ask::Ask;
pub use audience::Audience;
pub use caveat::Caveat;
pub use claims::Claims;
pub use denial::{Denial, Reason};
pub use grant::{Grant, Grants};
pub use id::{ApprovalId, KeyId, RecordId, RequestId, SessionId, TaskId, TokenId};
pub use intent::Intent;
pub use origin::Origin;
pub use resource::{Resource, ResourcePattern};
pub use spiffe_id::{SpiffeId, TrustDomain};
pub use time::{Clock, Now, Timestamp};
pub use token_text::TokenText;
pub use tool::{Operation, ToolName};
