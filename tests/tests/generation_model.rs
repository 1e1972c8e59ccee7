//! The order of reads that makes a cached token safe, walked through in all interleavings.
//!
//! The file under test is the verifier's own, compiled here with the model checker's atomics in place of the real ones.

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
}

#[path = "../../verifier/src/generation.rs"]
mod generation;

use generation::{Generation, Stamp};
use loom::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// One token, and whether the facts revoke it: as much of a verifier as the order of reads is about. The feed is stale at
/// first, and the token was held against the facts before that.
struct Verifier {
    fresh: AtomicBool,
    generation: Generation,
    revoked: AtomicBool,
    stamp: Stamp,
    /// Set when `apply` has returned.
    applied: AtomicBool,
}

impl Verifier {
    fn new(fresh: bool) -> Arc<Self> {
        let (revoked, applied) = (AtomicBool::new(false), AtomicBool::new(false));
        let (generation, stamp) = (Generation::new(), Stamp::none());
        stamp.renew(generation.current());
        Arc::new(Self { fresh: AtomicBool::new(fresh), generation, revoked, stamp, applied })
    }

    fn apply(&self) {
        self.revoked.store(true, Ordering::Release);
        self.generation.count();
        self.fresh.store(true, Ordering::Release);
        self.applied.store(true, Ordering::Release);
    }

    fn decide(&self) -> bool {
        if !self.fresh.load(Ordering::Acquire) {
            return false;
        }
        let number = self.generation.current();
        if self.stamp.is_of(number) {
            return true;
        }
        if self.revoked.load(Ordering::Acquire) {
            return false;
        }
        self.stamp.renew(number);
        true
    }

    /// A mistake that the order is there to prevent: the facts are read first, the number after.
    fn decide_by_facts_before_the_number(&self) -> bool {
        let revoked = self.revoked.load(Ordering::Acquire);
        let number = self.generation.current();
        if self.stamp.is_of(number) {
            return true;
        }
        if !revoked {
            self.stamp.renew(number);
        }
        !revoked
    }

    /// The other one: the number is read first, and freshness after.
    fn decide_by_the_number_before_freshness(&self) -> bool {
        let number = self.generation.current();
        self.fresh.load(Ordering::Acquire) && self.stamp.is_of(number)
    }
}

/// Two threads decide while a revocation is applied, and one decides after; what begins after it must be no. When the feed
/// was stale before, nothing is allowed at all: stale until the revocation, revoked from then on.
fn run(fresh: bool, decide: fn(&Verifier) -> bool) {
    loom::model(move || {
        let verifier = Verifier::new(fresh);
        let deciders: Vec<_> = (0..2)
            .map(|_| {
                let verifier = Arc::clone(&verifier);
                thread::spawn(move || {
                    let applied = verifier.applied.load(Ordering::Acquire) || !fresh;
                    let allowed = decide(&verifier);
                    assert!(!(applied && allowed), "served after its revocation");
                })
            })
            .collect();
        verifier.apply();
        for decider in deciders {
            decider.join().expect("no panic");
        }
        assert!(!decide(&verifier), "served after its revocation");
    });
}

#[test]
fn no_interleaving_serves_a_token_after_its_revocation() {
    run(true, Verifier::decide);
}

#[test]
fn no_interleaving_serves_a_token_by_what_was_known_before_the_feed_was_lost() {
    run(false, Verifier::decide);
}

#[test]
#[should_panic(expected = "served after its revocation")]
fn the_model_finds_facts_that_are_read_before_the_number() {
    run(true, Verifier::decide_by_facts_before_the_number);
}

#[test]
#[should_panic(expected = "served after its revocation")]
fn the_model_finds_a_number_that_is_read_before_freshness() {
    run(false, Verifier::decide_by_the_number_before_freshness);
}
