//! The number of the facts in force, and the number at which a token was last held against them.
//!
//! This is what makes a cached token safe with one comparison for each call. The order is everything:
//!
//! - whoever changes the facts stores them first and counts up after;
//! - whoever decides reads the number first and the facts after, and stamps the token with the number it read.
//!
//! So a stamp never claims more than was looked at: a token that was checked before a revocation carries a number from
//! before it, and is looked at again. A model checker walks through all interleavings of this very file
//! (`tests/tests/generation_model.rs`), which is why it is apart and takes its atomics from `crate::atomic`.

use crate::atomic::{AtomicU64, Ordering};

/// Counts the changes of the facts.
#[derive(Debug)]
pub(crate) struct Generation(AtomicU64);

/// The facts as of one count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(u64);

impl Generation {
    /// Begins to count.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(1))
    }

    /// Returns the number of the facts in force. Read the facts after this, never before.
    pub(crate) fn current(&self) -> Number {
        // Acquire: what was stored before this number was counted is seen by whatever is read from now on.
        Number(self.0.load(Ordering::Acquire))
    }

    /// Counts a change. The new facts have to be in place already.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// When one token was last held against the facts, and passed.
#[derive(Debug)]
pub(crate) struct Stamp(AtomicU64);

impl Stamp {
    /// Makes the stamp of a token that was not held against the facts yet.
    pub(crate) fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Says whether the token passed the facts of `number`. Nothing is read through a stamp, so no order is needed.
    pub(crate) fn is_of(&self, number: Number) -> bool {
        self.0.load(Ordering::Relaxed) == number.0
    }

    /// Stamps the token, after it passed the facts read after `number`.
    pub(crate) fn renew(&self, number: Number) {
        self.0.store(number.0, Ordering::Relaxed);
    }
}
