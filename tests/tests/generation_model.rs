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

/// One token, and whether the facts revoke it: as much of a verifier as the order of reads is about.
struct Verifier {
    generation: Generation,
    revoked: AtomicBool,
    stamp: Stamp,
    /// Set when `apply` has returned.
    applied: AtomicBool,
}

impl Verifier {
    fn new() -> Arc<Self> {
        let (revoked, applied) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { generation: Generation::new(), revoked, stamp: Stamp::none(), applied })
    }

    fn apply(&self) {
        self.revoked.store(true, Ordering::Release);
        self.generation.count();
        self.applied.store(true, Ordering::Release);
    }

    fn decide(&self) -> bool {
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

    /// The mistake that the order is there to prevent: the facts are read first, the number after.
    fn decide_in_the_wrong_order(&self) -> bool {
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
}

/// Two threads decide while a revocation is applied, and one decides after; what begins after it must be no.
fn run(decide: fn(&Verifier) -> bool) {
    loom::model(move || {
        let verifier = Verifier::new();
        let deciders: Vec<_> = (0..2)
            .map(|_| {
                let verifier = Arc::clone(&verifier);
                thread::spawn(move || {
                    let applied = verifier.applied.load(Ordering::Acquire);
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
    run(Verifier::decide);
}

#[test]
#[should_panic(expected = "served after its revocation")]
fn the_model_finds_the_wrong_order() {
    run(Verifier::decide_in_the_wrong_order);
}
