//! A registered agent.

use super::ProcessRule;
use crumb_token::{
    AgentName, Audience, Environment, Grants, Owner, SpiffeId, Timestamp, Version, bounded_text, text::is_printable,
};
use std::{collections::BTreeMap, time::Duration};

bounded_text! {
    /// What an agent is for, in prose.
    Purpose, 500, is_printable
}

/// A piece of software that may act, as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The registered name.
    pub name: AgentName,
    /// The identity that its own workload has.
    pub spiffe_id: SpiffeId,
    /// The person who answers for it.
    pub owner: Owner,
    /// What it is for.
    pub purpose: Purpose,
    /// The version that was registered.
    pub version: Version,
    /// Where it may run.
    pub environment: Environment,
    /// The most it may ever do, per tool server.
    pub scopes: BTreeMap<Audience, Grants>,
    /// Sidecars with an identity of their own that may speak for it.
    pub sidecars: Vec<SpiffeId>,
    /// Which process it is; always there when `sidecars` is not empty.
    pub process: Option<ProcessRule>,
    /// The end of its registration, exclusive.
    pub valid_until: Option<Timestamp>,
    /// The longest life of its tokens, when its owner wants less than the broker gives.
    pub ttl_max: Option<Duration>,
}

impl Agent {
    /// The most sidecars that may speak for one agent.
    pub const SIDECARS_MAX: usize = 64;

    /// Says whether `caller` is the agent itself, or a sidecar that may speak for it.
    pub fn is_spoken_for_by(&self, caller: &SpiffeId) -> bool {
        self.spiffe_id == *caller || self.sidecars.contains(caller)
    }

    /// Returns how messages name its manifest.
    pub fn manifest(&self) -> String {
        format!("manifest {}", self.name)
    }
}
