//! What a verifier has done so far, for metrics.

use crumb_token::Reason;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// A reading of a verifier's counters and gauges.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Calls that were allowed.
    pub allowed: u64,
    /// Calls that were denied, by reason; those that never happened are left out.
    pub denied: Vec<(Reason, u64)>,
    /// Feed messages that were taken.
    pub feed_taken: u64,
    /// Feed messages that were refused.
    pub feed_refused: u64,
    /// Signing keys known now.
    pub keys: usize,
    /// Revocations kept now.
    pub revocations: usize,
    /// Nonces kept now.
    pub nonces: usize,
    /// Verified tokens remembered now.
    pub tokens: usize,
    /// Verified beginnings of tokens remembered now.
    pub parents: usize,
}

/// Threads that count in each other's way would cost more than what they count.
const LANES: usize = 16;

/// A count on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane(AtomicU64);

thread_local! {
    static LANE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed)
    };
}

/// The counting side.
#[derive(Debug)]
pub(crate) struct Tally {
    allowed: [Lane; LANES],
    denied: Vec<AtomicU64>,
    feed_taken: AtomicU64,
    feed_refused: AtomicU64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            allowed: Default::default(),
            denied: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            feed_taken: AtomicU64::new(0),
            feed_refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn allowed(&self) {
        let lane = LANE.with(|lane| *lane) % LANES;
        if let Some(Lane(count)) = self.allowed.get(lane) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn denied(&self, reason: Reason) {
        let slot = Reason::ALL.iter().position(|r| *r == reason).and_then(|i| self.denied.get(i));
        if let Some(count) = slot {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn feed_message(&self, taken: bool) {
        let count = if taken { &self.feed_taken } else { &self.feed_refused };
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(
        &self,
        keys: usize,
        revocations: usize,
        nonces: usize,
        (tokens, parents): (usize, usize),
    ) -> Counters {
        let denied = Reason::ALL.iter().zip(&self.denied).map(|(reason, n)| (*reason, n.load(Relaxed)));
        Counters {
            allowed: self.allowed.iter().map(|lane| lane.0.load(Relaxed)).sum(),
            denied: denied.filter(|(_, n)| *n > 0).collect(),
            feed_taken: self.feed_taken.load(Relaxed),
            feed_refused: self.feed_refused.load(Relaxed),
            keys,
            revocations,
            nonces,
            tokens,
            parents,
        }
    }
}
