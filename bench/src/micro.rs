//! The single operations that `benches/micro.rs` times with criterion, and that `gate` counts instructions of.

use crate::world::{self, Call};
use anyhow::ensure;
use crumb_token::parse::Unverified;
use crumb_verifier::Verifier;

/// How many tokens are alive.
const LIVE: usize = 8;

/// A verifier that has seen some tokens, and those tokens.
#[derive(Debug)]
pub struct Micro {
    verifier: Verifier,
    live: Vec<Call>,
    known: Call,
    leaf: Call,
}

impl Micro {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// When a good token is refused.
    pub fn new() -> anyhow::Result<Self> {
        let task = world::task_token(1)?;
        let micro = Self {
            verifier: world::verifier()?,
            live: world::live(LIVE)?,
            known: world::call_from(&task, 1, 0, 1)?,
            leaf: world::call_from(&task, 1, 1, 1)?,
        };
        ensure!(micro.hot() && micro.leaf.decide(&micro.verifier), "a good token was refused");
        Ok(micro)
    }

    /// Decides on every live token, each seen before.
    pub fn hot(&self) -> bool {
        self.live.iter().all(|call| call.decide(&self.verifier))
    }

    /// Decides like [`Self::hot`], in so many rounds, where a profiler can find it by its name. Returns how many calls.
    #[inline(never)]
    pub fn counted_hot_calls(&self, rounds: usize) -> usize {
        let mut calls = 0;
        // No closure: its name would hold this one, and the profiler would take it for the end.
        for _ in 0..rounds {
            calls += if self.hot() { self.live.len() } else { 0 };
        }
        calls
    }

    /// Makes a verifier that has seen nothing.
    ///
    /// # Panics
    ///
    /// When its first feed message is refused.
    pub fn unseeing(&self) -> Verifier {
        world::verifier().expect("as it was in new")
    }

    /// Makes a verifier that has seen another call token of the same task.
    ///
    /// # Panics
    ///
    /// As [`Self::unseeing`].
    pub fn knowing_the_task(&self) -> Verifier {
        let verifier = self.unseeing();
        self.known.decide(&verifier);
        verifier
    }

    /// Decides on a call token, with a verifier made just before.
    pub fn leaf(&self, verifier: &Verifier) -> bool {
        self.leaf.decide(verifier)
    }

    /// Holds a token to the profile, without looking at a signature.
    pub fn gate(&self) -> bool {
        self.leaf.token.decode().is_ok_and(|bytes| Unverified::parse(&bytes).is_ok())
    }
}
