//! A registered agent.

use super::{AgentIdentity, Lifecycle, ManifestName, ProcessRule};
use crumb_token::{
    AgentName, Audience, Environment, Grants, Owner, SpiffeId, Timestamp, Version, bounded_text, text::is_printable,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

bounded_text! {
    /// What something is for, in prose.
    Purpose, 500, is_printable
}

bounded_text! {
    /// The model that an agent thinks with, such as `acme/large-2:2026-05`.
    Model, 128, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '@' | '+')
}

/// A piece of software that may act, as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The registered name.
    pub name: AgentName,
    /// The identity that its own workloads have.
    pub identity: AgentIdentity,
    /// The person who answers for it.
    pub owner: Owner,
    /// What it is for.
    pub purpose: Purpose,
    /// The version that was registered.
    pub version: Version,
    /// The model that it thinks with.
    pub model: Option<Model>,
    /// Where it may run.
    pub environment: Environment,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// What sort of agent it is.
    pub persona: Option<ManifestName>,
    /// The bundles that its own manifest names.
    pub bundles: Vec<ManifestName>,
    /// The most it may ever do, per tool server: its own scopes, its bundles' and its persona's.
    pub scopes: BTreeMap<Audience, Grants>,
    /// Sidecars with an identity of their own that may speak for it.
    pub sidecars: Vec<SpiffeId>,
    /// The agents that its tokens may be handed to offline.
    pub hands_to: BTreeSet<AgentName>,
    /// Which process it is; always there when `sidecars` is not empty.
    pub process: Option<ProcessRule>,
    /// The end of its registration, exclusive.
    pub valid_until: Option<Timestamp>,
    /// From when on its review is overdue.
    pub review_by: Option<Timestamp>,
    /// The longest life of its tokens, when its owner or its persona wants less than the broker gives.
    pub ttl_max: Option<Duration>,
    /// The life of its tokens when a request does not say.
    pub ttl_default: Option<Duration>,
    /// How long its sessions last when a request does not say.
    pub session_default: Option<Duration>,
    /// How long its deployment counts as there after it was last heard of.
    pub lease: Option<Duration>,
}

impl Agent {
    /// The most sidecars that may speak for one agent.
    pub const SIDECARS_MAX: usize = 64;

    /// Says whether `caller` is the agent itself, any instance of it, or a sidecar that may speak for it.
    pub fn is_spoken_for_by(&self, caller: &SpiffeId) -> bool {
        self.identity.is(caller) || self.sidecars.contains(caller)
    }

    /// Says whether a token for which `caller` asks may be bound to `holder`: to the caller itself, or by a sidecar to the
    /// agent that it speaks for. One instance cannot have a token made out to another.
    pub fn may_bind(&self, caller: &SpiffeId, holder: &SpiffeId) -> bool {
        let speaks_for_all = !self.identity.is_per_instance() || self.sidecars.contains(caller);
        holder == caller || (speaks_for_all && self.identity.is(holder))
    }

    /// Returns how long a token is to live: as asked, or zero for the broker's default when neither the request nor its
    /// persona says.
    pub fn token_life(&self, asked: Duration) -> Duration {
        if asked.is_zero() { self.ttl_default.unwrap_or_default() } else { asked }
    }

    /// Returns how long a session is to last, likewise.
    pub fn session_life(&self, asked: Duration) -> Duration {
        if asked.is_zero() { self.session_default.unwrap_or_default() } else { asked }
    }

    /// Says whether it is registered for where it counts.
    pub fn is_in_production(&self) -> bool {
        // `prod` and `production-eu` too: a spelling must not be a way around the rule.
        self.environment.as_str().starts_with("prod")
    }

    /// Returns how messages name its manifest.
    pub fn manifest(&self) -> String {
        format!("manifest {}", self.name)
    }
}
