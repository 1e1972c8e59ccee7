//! The revocations in force.
//!
//! Two layers, so that a storm of revocations does not copy all earlier ones for each new one: readers see an immutable
//! set, and the writer copies only the young layer until it has grown.

use crate::feed::{Revocation, Target};
use crumb_token::{
    Claims, KeyId, Timestamp,
    handover::Hop,
    revocation::{hop_targets, targets},
};
use std::{collections::HashMap, sync::Arc};

/// How many revocations the young layer takes: a copy of this many costs some tens of microseconds.
const YOUNG_MAX: usize = 1024;

type Layer = HashMap<Target, Ending>;

/// How far a revocation reaches.
#[derive(Clone, Copy, Debug)]
struct Ending {
    /// It ends what was issued until then.
    issued_until: Timestamp,
    /// Nothing that it ends is alive after this.
    until: Timestamp,
}

impl Ending {
    fn of(revocation: &Revocation) -> Self {
        Self { issued_until: revocation.issued_until, until: revocation.until }
    }

    /// Two revocations of the same thing reach as far as either.
    fn reach(&mut self, other: Self) {
        self.issued_until = self.issued_until.max(other.issued_until);
        self.until = self.until.max(other.until);
    }
}

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

    /// Says whether something of `target` that was issued then is revoked.
    pub(crate) fn has(&self, target: &Target, issued_at: Timestamp) -> bool {
        let ends = |layer: &Layer| layer.get(target).is_some_and(|ending| issued_at <= ending.issued_until);
        ends(&self.young) || ends(&self.settled)
    }

    /// Says whether the key is revoked.
    pub(crate) fn has_key(&self, key: KeyId) -> bool {
        let target = Target::Key(key);
        self.young.contains_key(&target) || self.settled.contains_key(&target)
    }

    /// Returns what ends the token of `claims`: itself, its session or one above, the agent of any of these or that version
    /// of it, its tool server, the person on whose behalf it is, or an agent that it was handed to.
    pub(crate) fn ends<'h>(&self, claims: &Claims, hops: impl Iterator<Item = &'h Hop>) -> Option<&'static str> {
        if self.young.is_empty() && self.settled.is_empty() {
            return None;
        }
        targets(claims)
            .chain(hops.flat_map(hop_targets))
            .find(|target| self.has(target, claims.issued_at))
            .map(|target| words(&target))
    }

    /// Returns this set with `revocations`, and without those that nothing alive can need at `horizon`.
    pub(crate) fn with(&self, revocations: &[Revocation], horizon: Timestamp, max: usize) -> Self {
        let mut next = self.clone();
        for revocation in revocations {
            let ending = Ending::of(revocation);
            next.young.entry(revocation.target.clone()).or_insert(ending).reach(ending);
        }
        if next.young.len() > YOUNG_MAX || next.len() > max {
            next.settle(horizon);
        }
        next
    }

    fn settle(&mut self, horizon: Timestamp) {
        let mut all = (*self.settled).clone();
        for (target, ending) in self.young.drain() {
            all.entry(target).or_insert(ending).reach(ending);
        }
        all.retain(|_, ending| ending.until >= horizon);
        self.settled = Arc::new(all);
    }
}

/// How a message names the kind of a target.
fn words(target: &Target) -> &'static str {
    match target {
        Target::ToolServer(_) => "tool server",
        other => other.kind(),
    }
}
