//! A session: the unit of governance. One agent, one intent, one envelope, and an end.
//!
//! Decisions on opening and using one are made here, in plain code; the store keeps sessions, and the flows carry them.

use crate::{
    caller::Caller,
    clamp,
    drift::{self, Review},
    process::LocalProcess,
    registry::{Agent, Registry},
    rights,
};
use crumb_token::{
    AgentName, Audience, Claims, Denial, Grants, Intent, Origin, Owner, Reason, SessionId, SpiffeId, Timestamp,
    Version,
    claims::{Ancestor, Subject},
};
use std::time::Duration;

/// How deep sessions may nest by [`Origin::Agent`]: as deep as a token's chain of actors.
pub const DEPTH_MAX: usize = Claims::ANCESTORS_MAX;

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
    /// What it is inside of.
    pub lineage: Lineage,
    /// The most that can be asked in it.
    pub envelope: Envelope,
    /// Since when.
    pub opened_at: Timestamp,
    /// Until when, exclusive.
    pub expires_at: Timestamp,
    /// When it was closed, if it was.
    pub closed_at: Option<Timestamp>,
    /// How many tokens were issued in it, or, inside another one, in the outermost session and all inside that.
    pub tokens: u64,
    /// What is held against it, or against a session above, until somebody has looked at it.
    pub review: Review,
}

/// Where a session comes from: what goes into every token of it and cannot be dropped on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// What set off the outermost session; never an agent.
    pub root: Origin,
    /// The sessions above, the outermost first.
    pub ancestors: Vec<Ancestor>,
    /// Who acted in them, nearest first, each workload once in a row.
    pub actors: Vec<SpiffeId>,
    /// How many levels of sessions may be opened below.
    pub depth_left: usize,
    /// Who vouched for the person at the root, by the name of the broker's configuration.
    pub issuer: Option<Box<str>>,
}

impl Lineage {
    /// Begins one: of a session inside no other.
    pub fn root(origin: Origin) -> Self {
        Self { root: origin, ancestors: Vec::new(), actors: Vec::new(), depth_left: DEPTH_MAX, issuer: None }
    }

    /// Returns the lineage of a session inside `parent`.
    pub fn below(parent: &Session) -> Self {
        let Self { root, mut ancestors, mut actors, depth_left, issuer } = parent.lineage.clone();
        ancestors.push(Ancestor {
            session: parent.id,
            agent: parent.agent.clone(),
            version: parent.version.clone(),
            intent_digest: parent.intent.digest(),
        });
        if actors.first() != Some(&parent.peer) {
            actors.insert(0, parent.peer.clone());
        }
        Self { root, ancestors, actors, depth_left: depth_left.saturating_sub(1), issuer }
    }

    /// Returns on whose behalf everything below is done.
    pub fn subject(&self) -> Option<Subject> {
        match &self.root {
            Origin::User { name, assurance } => Some(Subject { name: name.clone(), assurance: *assurance }),
            Origin::Schedule { .. } | Origin::Agent { .. } => None,
        }
    }
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
    /// What proves the user of the origin, when something does.
    pub proof: Option<Proof>,
}

/// A subject token that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Who vouches, by the name of the broker's configuration.
    pub issuer: Box<str>,
    /// The end of the token; a session on its strength is over by then.
    pub expires_at: Timestamp,
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
    check_envelope(&opening.envelope, agent, parent, registry)?;
    let lineage = match (parent, &opening.proof) {
        (Some(parent), _) => Lineage::below(parent),
        (None, proof) => {
            let issuer = proof.as_ref().map(|proof| proof.issuer.clone());
            Lineage { issuer, ..Lineage::root(opening.origin.clone()) }
        }
    };
    let proof_end = opening.proof.as_ref().map(|proof| proof.expires_at);
    let expires_at = clamp::session_end(
        now,
        agent.session_life(opening.lifetime),
        parent.map(|session| session.expires_at),
        agent.valid_until,
    );
    let expires_at = proof_end.map_or(expires_at, |end| expires_at.min(end));
    Ok(Session {
        id,
        agent: agent.name.clone(),
        version: agent.version.clone(),
        owner: agent.owner.clone(),
        peer: caller.id.clone(),
        process: opening.process.as_ref().map(BoundProcess::from),
        intent: opening.intent,
        origin: opening.origin,
        lineage,
        envelope: opening.envelope,
        opened_at: now,
        expires_at,
        closed_at: None,
        tokens: 0,
        review: Review::default(),
    })
}

/// Holds an envelope against the tool servers, the agent's manifest, and the session above when there is one.
pub(crate) fn check_envelope(
    envelope: &Envelope,
    agent: &Agent,
    parent: Option<&Session>,
    registry: &Registry,
) -> Result<(), Denial> {
    parent.map_or(Ok(()), |parent| parent.review.check_halt())?;
    for (audience, wanted) in envelope {
        let server = registry.tool_server(audience).ok_or_else(|| {
            Denial::new(Reason::ToolServerUnknown).asked(audience).by("registry", "the registry's owner")
        })?;
        rights::known_to(wanted, server)?;
        if let Some(parent) = parent {
            rights::inside_envelope(wanted, parent, audience)?;
            drift::inside_contraction(wanted, server, parent.review.contraction.as_ref())?;
        }
        rights::inside_manifest(wanted, agent, audience)?;
    }
    Ok(())
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
    let agent = registered(name, caller, registry, now)?;
    // A sidecar with an identity of its own has to say for whom it speaks; the agent's own SVID says so by itself.
    let described = match (&agent.process, process) {
        (Some(rule), Some(process)) => rule.accepts(process),
        (Some(_), None) => agent.identity.is(&caller.id),
        (None, _) => true,
    };
    if described {
        return Ok(agent);
    }
    let refused = Denial::new(Reason::AgentProcessMismatch).asked(format!("agent {name}"));
    Err(refused.by(agent.manifest(), &agent.owner))
}

/// Returns the agent, when it is registered and `caller` may speak for it, whatever process it speaks for.
///
/// # Errors
///
/// `agent_unknown`, `agent_not_spoken_for`, or why the agent gets no tokens at all, such as `agent_retired`.
pub fn registered<'r>(
    name: &AgentName,
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
    registry.standing(agent, now).map_err(refuse)?;
    Ok(agent)
}

fn parent_of<'s>(
    opening: &Opening,
    caller: &Caller,
    parent: Option<&'s Session>,
    now: Timestamp,
) -> Result<Option<&'s Session>, Denial> {
    let Origin::Agent { session: id } = &opening.origin else { return Ok(None) };
    // One answer for no such session and for somebody else's: ids must tell nothing.
    let known = parent.filter(|s| s.id == *id && s.belongs_to(caller, opening.process.as_ref()));
    let parent = known.ok_or_else(|| Denial::new(Reason::SessionUnknown).asked(format!("parent {id}")))?;
    if !parent.is_open(now) {
        return Err(Denial::new(Reason::SessionClosed).asked(format!("parent {id}")));
    }
    check_depth(parent)?;
    Ok(Some(parent))
}

/// Refuses a session below one that may have none.
pub(crate) fn check_depth(parent: &Session) -> Result<(), Denial> {
    if parent.lineage.depth_left > 0 {
        return Ok(());
    }
    let rule = format!("no more levels below {}", parent.id);
    Err(Denial::new(Reason::DelegationRefused).asked(format!("a session inside {}", parent.id)).by(rule, &parent.agent))
}
