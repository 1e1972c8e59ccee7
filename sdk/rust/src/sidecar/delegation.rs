//! A session for another agent, inside one of the caller's own.

use crate::broker::whole_seconds;
use crumb_proto::{convert::to_scope, wire};
use crumb_token::{AgentName, Audience, Grants, Intent, SessionId, SpiffeId};
use std::time::Duration;

/// What is delegated, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegateWithin {
    /// The caller's own session.
    pub session: SessionId,
    /// The registered name of the agent that will act.
    pub agent: AgentName,
    /// The workload that will act for it: the agent's own, or a sidecar that may speak for it.
    pub peer: SpiffeId,
    /// What the new session will do.
    pub intent: Intent,
    /// What it may need, at most: nothing that the caller's session has not.
    pub envelope: Vec<(Audience, Grants)>,
    /// How long it will take, in whole seconds; `None` leaves it to the broker.
    pub lifetime: Option<Duration>,
    /// How many further levels may be delegated below it.
    pub depth: u32,
}

impl DelegateWithin {
    pub(super) fn to_wire(&self) -> wire::DelegateWithinRequest {
        wire::DelegateWithinRequest {
            session_id: self.session.to_string(),
            agent: self.agent.to_string(),
            peer: self.peer.to_string(),
            intent: self.intent.to_string(),
            envelope: self.envelope.iter().map(|(audience, grants)| to_scope(audience, grants)).collect(),
            lifetime_s: whole_seconds(self.lifetime),
            depth: self.depth,
        }
    }
}
