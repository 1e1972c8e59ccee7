//! The revocations in force.
//!
//! Two layers, so that a storm of revocations does not copy all earlier ones for each new one: readers see an immutable
//! set, and the writer copies only the young layer until it has grown.

use crate::feed::{Revocation, Target};
use crumb_token::{Claims, KeyId, Timestamp};
use std::{collections::HashMap, sync::Arc};

/// How many revocations the young layer takes: a copy of this many costs some tens of microseconds.
const YOUNG_MAX: usize = 1024;

type Layer = HashMap<Target, Timestamp>;

/// What has been revoked, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Revoked {
    settled: Arc<Layer>,
    young: Layer,
}

impl Revoked {
    /// Returns how many revocations are kept. One that is in both layers counts twice, which errs to the safe side.
    pub(crate) fn len(&self) -> usize {
        self.settled.len() + self.young.len()
    }

    /// Says whether `target` itself is revoked.
    pub(crate) fn has(&self, target: &Target) -> bool {
        self.young.contains_key(target) || self.settled.contains_key(target)
    }

    /// Says whether the key is revoked.
    pub(crate) fn has_key(&self, key: KeyId) -> bool {
        self.has(&Target::Key(key))
    }

    /// Returns what ends the token of `claims`: itself, its session or its agent.
    pub(crate) fn ends(&self, claims: &Claims) -> Option<&'static str> {
        if self.has(&Target::Token(claims.token)) {
            return Some("token");
        }
        if self.has(&Target::Session(claims.session)) {
            return Some("session");
        }
        self.has(&Target::Agent(claims.agent.clone())).then_some("agent")
    }

    /// Returns this set with `revocations`, and without those that nothing alive can need at `horizon`.
    pub(crate) fn with(&self, revocations: &[Revocation], horizon: Timestamp, max: usize) -> Self {
        let mut next = self.clone();
        for revocation in revocations {
            let until = next.young.entry(revocation.target.clone()).or_insert(revocation.until);
            *until = revocation.until.max(*until);
        }
        if next.young.len() > YOUNG_MAX || next.len() > max {
            next.settle(horizon);
        }
        next
    }

    fn settle(&mut self, horizon: Timestamp) {
        let mut all = (*self.settled).clone();
        for (target, until) in self.young.drain() {
            let kept = all.entry(target).or_insert(until);
            *kept = until.max(*kept);
        }
        all.retain(|_, until| *until >= horizon);
        self.settled = Arc::new(all);
    }
}
