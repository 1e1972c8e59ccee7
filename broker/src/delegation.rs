//! The decision on a delegation: a session for another agent inside one's own.
//!
//! The new session belongs to the other agent's workload alone, and can be used with its own SVID only; whoever delegated
//! gets no token of it. What goes along cannot be dropped: origin, subject, the sessions above and who acted in them are in
//! every token of it, and each of them can be revoked to end it.
//!
//! # Invariants
//!
//! - Never wider: every right is inside the delegator's session, and inside the other agent's own manifest.
//! - Never longer than the delegator's session; never deeper than it may delegate.

use crate::{
    caller::Caller,
    clamp,
    drift::Review,
    process::LocalProcess,
    registry::{Agent, Registry},
    rights,
    session::{self, Envelope, Lineage, Session},
};
use crumb_token::{AgentName, Denial, Intent, Origin, Reason, SessionId, SpiffeId, Timestamp};
use std::time::Duration;

/// A request to delegate, well-formed.
#[derive(Debug, Clone)]
pub struct Delegation {
    /// The delegator's own session.
    pub session: SessionId,
    /// The agent that will act.
    pub agent: AgentName,
    /// The workload that will act for it.
    pub peer: SpiffeId,
    /// What it will do.
    pub intent: Intent,
    /// What it may need, at most.
    pub envelope: Envelope,
    /// How long it will take; zero for the default.
    pub lifetime: Duration,
    /// How many further levels may be delegated below.
    pub depth: usize,
    /// The delegator's local process, when a sidecar speaks for it.
    pub process: Option<LocalProcess>,
}

/// Decides whether `caller` may delegate, and what the new session is.
///
/// # Errors
///
/// The [`Denial`], complete.
pub fn decide(
    id: SessionId,
    delegation: Delegation,
    caller: &Caller,
    registry: &Registry,
    own: Option<&Session>,
    now: Timestamp,
) -> Result<Session, Denial> {
    let own = own_session(&delegation, caller, own, now)?;
    // Whoever delegates must itself still be allowed to act.
    let delegator = session::speaking_for(&own.agent, delegation.process.as_ref(), caller, registry, now)?;
    for (audience, wanted) in &delegation.envelope {
        rights::inside_envelope(wanted, own, audience)?;
        rights::inside_manifest(wanted, delegator, audience)?;
        rights::inside_those_above(wanted, own, audience, registry, now)?;
    }
    let agent = delegate(&delegation, registry, now)?;
    session::check_depth(own)?;
    let lineage = lineage(&delegation, own)?;
    session::check_envelope(&delegation.envelope, agent, Some(own), registry)?;
    let expires_at =
        clamp::session_end(now, agent.session_life(delegation.lifetime), Some(own.expires_at), agent.valid_until);
    Ok(Session {
        id,
        agent: agent.name.clone(),
        version: agent.version.clone(),
        owner: agent.owner.clone(),
        peer: delegation.peer,
        process: None,
        intent: delegation.intent,
        origin: Origin::Agent { session: own.id },
        lineage,
        envelope: delegation.envelope,
        opened_at: now,
        expires_at,
        closed_at: None,
        tokens: 0,
        review: Review::default(),
    })
}

fn own_session<'s>(
    delegation: &Delegation,
    caller: &Caller,
    own: Option<&'s Session>,
    now: Timestamp,
) -> Result<&'s Session, Denial> {
    let id = delegation.session;
    // One answer for no such session and for somebody else's: ids must tell nothing.
    let own = own.filter(|s| s.id == id && s.belongs_to(caller, delegation.process.as_ref()));
    let own = own.ok_or_else(|| Denial::new(Reason::SessionUnknown).asked(id).by("session", "the broker"))?;
    if own.is_open(now) {
        return Ok(own);
    }
    Err(Denial::new(Reason::SessionClosed).asked(id).by("session", &own.agent))
}

/// Returns the agent that will act, when the workload named may speak for it.
fn delegate<'r>(delegation: &Delegation, registry: &'r Registry, now: Timestamp) -> Result<&'r Agent, Denial> {
    let peer = Caller { id: delegation.peer.clone(), svid_expires_at: now };
    // Which process it is will be asked when it acts.
    session::registered(&delegation.agent, &peer, registry, now)
}

fn lineage(delegation: &Delegation, own: &Session) -> Result<Lineage, Denial> {
    let below = Lineage::below(own);
    if delegation.depth > below.depth_left {
        return Err(Denial::new(Reason::DelegationRefused)
            .asked(format!("{} more levels", delegation.depth))
            .by(format!("{} more levels below {}", below.depth_left, own.id), &own.agent)
            .next(format!("this would pass: {} more levels", below.depth_left)));
    }
    Ok(Lineage { depth_left: delegation.depth, ..below })
}

#[cfg(test)]
mod tests;
