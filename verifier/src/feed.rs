//! The feed's messages as the verifier takes them, and why one is refused.
//!
//! The wire form is protobuf and stops at the caller, which decodes [`Message`] from the very bytes that it hands over as
//! [`Signed`]. The first message over a new connection is a full one; the caller got it over mTLS from a broker whose
//! SPIFFE ID it knows, and from then on the keys in it speak for themselves.

pub use crumb_token::revocation::Target;

use crumb_token::{KeyId, Timestamp};
use std::time::Duration;

/// What is signed before the bytes of a message, so that a feed signature can never be taken for that of a token: a
/// block's bytes begin with another byte.
pub const CONTEXT: &[u8] = b"crumb.v1.feed\0";

/// The bytes of one message and the signature over [`CONTEXT`] and them.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The message, as received.
    pub bytes: &'a [u8],
    /// The key that signed.
    pub key_id: KeyId,
    /// Ed25519, 64 bytes.
    pub signature: &'a [u8],
}

/// One message of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Another number means the broker began anew, and only a full message says what holds now.
    pub epoch: u64,
    /// The number of the newest revocation. They are numbered without a gap.
    pub sequence: u64,
    /// The broker's clock, in milliseconds since the Unix epoch.
    pub time_unix_ms: u64,
    /// True when `keys` and `revocations` are all there are, false when they are what is new.
    pub full: bool,
    /// Signing keys.
    pub keys: Vec<Key>,
    /// Revocations, in the order of their numbers.
    pub revocations: Vec<Revocation>,
}

/// A signing key of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The number that tokens name it by.
    pub id: KeyId,
    /// The Ed25519 public key.
    pub public: [u8; 32],
    /// Nothing that says it was issued before this was signed by it.
    pub not_before: Timestamp,
    /// After this nothing that it signed can be alive, and the verifier forgets it.
    pub not_after: Timestamp,
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its number.
    pub sequence: u64,
    /// What it ends.
    pub target: Target,
    /// It ends what was issued at this moment or earlier; the end of time for what cannot come back.
    pub issued_until: Timestamp,
    /// After this nothing that it revokes can be alive, and the verifier forgets it.
    pub until: Timestamp,
}

impl Revocation {
    /// Makes one that ends everything of `target`, whenever it was issued.
    pub fn whole(sequence: u64, target: Target, until: Timestamp) -> Self {
        Self { sequence, target, issued_until: Timestamp::from_unix_s(u64::MAX), until }
    }
}

/// How lately the verifier has heard from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Lately enough to decide.
    Fresh {
        /// How long ago.
        since: Duration,
    },
    /// Too long ago, or something was missed: everything is refused until the feed is in step again.
    Stale {
        /// How long ago the last message that counted came.
        since: Duration,
    },
    /// Not once.
    Never,
}

/// A message that was not taken. What the verifier knew before still holds, unless the variant says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedRefused {
    /// Signed with a key that is neither known nor, in a full message, listed.
    #[error("signed with key {0}, which is not known")]
    SignerUnknown(KeyId),
    /// Signed with a key that is revoked, or at a time when the key is not in force.
    #[error("signed with key {0}, which is not in force")]
    SignerNotInForce(KeyId),
    /// The signature does not verify.
    #[error("the signature by key {0} does not verify")]
    Signature(KeyId),
    /// The broker's clock and the verifier's differ by more than [`Limits::clock_skew`](crate::Limits::clock_skew).
    #[error("the clocks of broker and verifier differ by {0:?}")]
    Skew(Duration),
    /// Not newer than the last message that counted.
    #[error("older than the last message")]
    Replayed,
    /// The same epoch with a lower sequence: a broker that lags, or an old message.
    #[error("goes back from revocation {have} to {got}")]
    WentBack {
        /// The newest revocation that the verifier has.
        have: u64,
        /// The newest that the message knows.
        got: u64,
    },
    /// Not a full message, and there is none before it in this epoch. Ask for a full one.
    #[error("a full message has to come first")]
    NotInStep,
    /// A revocation was missed. Everything is refused from now on, until a full message comes.
    #[error("revocations after {have} are missing")]
    Gap {
        /// The newest revocation that the verifier has.
        have: u64,
    },
    /// More revocations than the verifier keeps. Everything is refused until a full message fits.
    #[error("more than {max} revocations")]
    TooManyRevocations {
        /// The limit.
        max: usize,
    },
    /// More keys than the verifier keeps. Everything is refused until a full message fits.
    #[error("more than {max} keys")]
    TooManyKeys {
        /// The limit.
        max: usize,
    },
    /// A key that is none, or one number for two keys. Everything is refused until a full message comes.
    #[error("key {0} is not an Ed25519 key, or is another one than before")]
    InvalidKey(KeyId),
}

impl FeedRefused {
    /// Says whether only a full message helps, so that the caller should ask for one (with back-off).
    pub fn needs_full(self) -> bool {
        match self {
            Self::NotInStep
            | Self::Gap { .. }
            | Self::WentBack { .. }
            | Self::TooManyRevocations { .. }
            | Self::TooManyKeys { .. }
            | Self::InvalidKey(_)
            | Self::SignerUnknown(_)
            | Self::SignerNotInForce(_) => true,
            Self::Signature(_) | Self::Skew(_) | Self::Replayed => false,
        }
    }
}
