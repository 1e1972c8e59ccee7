//! The bounds of one verifier. The default is the strict one.

use std::time::Duration;

/// How much a verifier keeps, and how late it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// After this long without a message from the feed that counts, everything is refused.
    ///
    /// Five heartbeats: one or two may get lost without a refusal, and a revocation is at most this late.
    pub stale_after: Duration,
    /// The most revocations. Beyond, the verifier refuses everything, since forgetting one would revive a token.
    ///
    /// Room for 100 revocations a second with tokens of a quarter of an hour; some 10 MiB.
    pub revocations_max: usize,
    /// The most nonces of single-use tokens. Beyond, single-use tokens are refused, and others are not.
    ///
    /// Room for 500 single-use calls a second with call tokens of 30 s; about 2 MiB.
    pub nonces_max: usize,
    /// The most signing keys: some brokers, each with a key in force, one to come and one that ends.
    pub keys_max: usize,
    /// The most verified tokens remembered, rounded up to a power of two. A token that was forgotten is verified again.
    ///
    /// Room for some thousand sessions with a few calls in flight each; 3 to 4 KiB each, 16 at
    /// most, and a quarter as many parents.
    pub tokens_max: usize,
    /// How many of them one holder gets, so that nobody is displaced by another.
    pub tokens_per_holder: usize,
    /// How far the clocks of broker and verifier may differ: a heartbeat that is further off does not count, and a token
    /// issued further in the future is refused.
    pub clock_skew: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stale_after: Duration::from_secs(5),
            revocations_max: 100_000,
            nonces_max: 16_384,
            keys_max: 64,
            tokens_max: 8192,
            tokens_per_holder: 2048,
            clock_skew: Duration::from_secs(2),
        }
    }
}
