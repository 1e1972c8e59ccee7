//! A session: the unit of governance. One agent, one intent, one envelope, and an end.
//!
//! Decisions on opening and using one are made here, in plain code; the store keeps sessions, and the flows carry them.

use crate::{
    caller::Caller,
    clamp,
    process::LocalProcess,
    registry::{Agent, Registry},
    rights,
};
use crumb_token::{
    AgentName, Audience, Denial, Grants, Intent, Origin, Owner, Reason, SessionId, SpiffeId, Timestamp, Version,
};
use std::time::Duration;

/// How deep sessions may nest by [`Origin::Agent`]: as deep as a token's chain of actors.
pub const DEPTH_MAX: u8 = 8;

/// Rights per tool server.
pub type Envelope = Vec<(Audience, Grants)>;

/// A session as it was opened, and whether it still is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// The agent that acts in it.
    pub agent: AgentName,
    /// The version the agent was registered with when the session was opened.
    pub version: Version,
    /// Who answered for the agent then.
    pub owner: Owner,
    /// The peer that opened it; nobody else can use it.
    pub peer: SpiffeId,
    /// The local process that it was opened for, when a sidecar said so.
    pub process: Option<BoundProcess>,
    /// What it says it will do.
    pub intent: Intent,
    /// What set it off.
    pub origin: Origin,
    /// The most that can be asked in it.
    pub envelope: Envelope,
    /// How many sessions it is inside of.
    pub depth: u8,
    /// Since when.
    pub opened_at: Timestamp,
    /// Until when, exclusive.
    pub expires_at: Timestamp,
    /// When it was closed, if it was.
    pub closed_at: Option<Timestamp>,
}

/// What stays the same about a local process for as long as it is the same program of the same user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundProcess {
    /// Its user.
    pub uid: u32,
    /// The path of its program.
    pub exe: String,
}

impl From<&LocalProcess> for BoundProcess {
    fn from(process: &LocalProcess) -> Self {
        Self { uid: process.uid, exe: process.exe.clone() }
    }
}

impl Session {
    /// Says whether `caller`, for `process`, is who opened it.
    pub fn belongs_to(&self, caller: &Caller, process: Option<&LocalProcess>) -> bool {
        let same = self.process.as_ref().is_none_or(|bound| process.map(BoundProcess::from).as_ref() == Some(bound));
        same && self.peer == caller.id
    }

    /// Says whether it can be used.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.closed_at.is_none() && now < self.expires_at
    }

    /// Returns what it declared for `audience`.
    pub fn declared(&self, audience: &Audience) -> Option<&Grants> {
        self.envelope.iter().find_map(|(a, grants)| (a == audience).then_some(grants))
    }
}

/// A request to open a session, well-formed.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The agent that will act.
    pub agent: AgentName,
    /// What it will do.
    pub intent: Intent,
    /// What sets it off, as the agent asserts it.
    pub origin: Origin,
    /// What it may need, at most.
    pub envelope: Envelope,
    /// How long it will take; zero for the default.
    pub lifetime: Duration,
    /// The local process, when a sidecar speaks for the agent.
    pub process: Option<LocalProcess>,
}

/// Decides whether `caller` may open a session, and what it is.
///
/// `parent` is the session that [`Origin::Agent`] names, when there is one.
///
/// # Errors
///
/// The [`Denial`], complete.
pub fn open(
    id: SessionId,
    opening: Opening,
    caller: &Caller,
    registry: &Registry,
    parent: Option<&Session>,
    now: Timestamp,
) -> Result<Session, Denial> {
    let agent = speaking_for(&opening.agent, opening.process.as_ref(), caller, registry, now)?;
    let parent = parent_of(&opening, caller, parent, now)?;
    for (audience, wanted) in &opening.envelope {
        let server = registry.tool_server(audience).ok_or_else(|| {
            Denial::new(Reason::ToolServerUnknown).asked(audience).by("registry", "the registry's owner")
        })?;
        rights::known_to(wanted, server)?;
        rights::inside_manifest(wanted, agent, audience)?;
        if let Some(parent) = parent {
            rights::inside_envelope(wanted, parent, audience)?;
        }
    }
    let expires_at =
        clamp::session_end(now, opening.lifetime, parent.map(|session| session.expires_at), agent.valid_until);
    Ok(Session {
        id,
        agent: agent.name.clone(),
        version: agent.version.clone(),
        owner: agent.owner.clone(),
        peer: caller.id.clone(),
        process: opening.process.as_ref().map(BoundProcess::from),
        intent: opening.intent,
        origin: opening.origin,
        envelope: opening.envelope,
        depth: parent.map_or(0, |session| session.depth.saturating_add(1)),
        opened_at: now,
        expires_at,
        closed_at: None,
    })
}

/// Returns the agent, when it is registered and `caller` may speak for it.
///
/// # Errors
///
/// `agent_unknown`, `agent_expired`, `agent_not_spoken_for` or `agent_process_mismatch`.
pub fn speaking_for<'r>(
    name: &AgentName,
    process: Option<&LocalProcess>,
    caller: &Caller,
    registry: &'r Registry,
    now: Timestamp,
) -> Result<&'r Agent, Denial> {
    let unknown = || Denial::new(Reason::AgentUnknown).asked(name).by("registry", "the registry's owner");
    let agent = registry.agent(name).ok_or_else(unknown)?;
    let refuse = |reason| Denial::new(reason).asked(format!("agent {name}")).by(agent.manifest(), &agent.owner);
    if !agent.is_spoken_for_by(&caller.id) {
        return Err(refuse(Reason::AgentNotSpokenFor).asked(format!("{} for agent {name}", caller.id)));
    }
    if agent.valid_until.is_some_and(|end| now >= end) {
        return Err(refuse(Reason::AgentExpired));
    }
    // A sidecar with an identity of its own has to say for whom it speaks; the agent's own SVID says so by itself.
    let described = match (&agent.process, process) {
        (Some(rule), Some(process)) => rule.accepts(process),
        (Some(_), None) => agent.spiffe_id == caller.id,
        (None, _) => true,
    };
    if described { Ok(agent) } else { Err(refuse(Reason::AgentProcessMismatch)) }
}

fn parent_of<'s>(
    opening: &Opening,
    caller: &Caller,
    parent: Option<&'s Session>,
    now: Timestamp,
) -> Result<Option<&'s Session>, Denial> {
    let Origin::Agent { session: id } = &opening.origin else { return Ok(None) };
    // One answer for no such session and for somebody else's: ids must tell nothing.
    let known = parent.filter(|session| session.id == *id && session.peer == caller.id);
    let parent = known.ok_or_else(|| Denial::new(Reason::SessionUnknown).asked(format!("parent {id}")))?;
    if !parent.is_open(now) {
        return Err(Denial::new(Reason::SessionClosed).asked(format!("parent {id}")));
    }
    if parent.depth >= DEPTH_MAX {
        let rule = format!("sessions nest at most {DEPTH_MAX} deep");
        return Err(Denial::new(Reason::OutsideEnvelope).asked(format!("parent {id}")).by(rule, "the broker"));
    }
    Ok(Some(parent))
}
