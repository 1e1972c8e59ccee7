//! What counts for drift: calls that tool servers decided on, and exchanges that the broker refused.
//!
//! Most of this is about what does not count. A refusal counts only when the session reached for more than it may have;
//! never because a feed was stale, a token had run out, somebody else showed the token, or an approval is still awaited.
//! And a tool server is believed only about a session that may call it: ids of sessions are not to be guessed, so whoever
//! knows one has been called in it.

use crate::{
    registry::{Agent, Registry},
    session::Session,
};
use crumb_proto::wire;
use crumb_token::{AgentName, Audience, Operation, Reason, SessionId, Timestamp, ToolName};
use std::fmt;

/// Which sessions are of one kind: those of one persona, or of one agent that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kin(Box<str>);

impl Kin {
    /// Returns the kind of an agent's sessions. An agent that is registered no more is of its own.
    pub fn of(name: &AgentName, agent: Option<&Agent>) -> Self {
        match agent.and_then(|agent| agent.persona.as_ref()) {
            Some(persona) => Self(format!("persona {persona}").into()),
            None => Self(format!("agent {name}").into()),
        }
    }

    /// Takes a text that [`as_str`](Self::as_str) gave.
    pub fn from_text(text: String) -> Self {
        Self(text.into())
    }

    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that happened in a session and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// In which session.
    pub session: SessionId,
    /// Of which kind.
    pub kin: Kin,
    /// At which tool server.
    pub audience: Audience,
    /// When; never later than it was heard of.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A call was allowed, of this tool when the registry knows it.
    Called(Option<ToolName>),
    /// A call was refused for what it reached for.
    CallRefused,
    /// An exchange was refused for what it asked.
    ExchangeRefused,
}

/// What a tool server says about a call, as far as drift is concerned. Everything is still only said.
#[derive(Debug, Clone)]
pub struct Told {
    agent: String,
    tool: String,
    operation: String,
    at_unix_ms: u64,
    allowed: bool,
    reason: Option<Reason>,
    /// Whether the token had been handed on to another agent.
    handed_on: bool,
}

impl From<&wire::Decision> for Told {
    fn from(told: &wire::Decision) -> Self {
        Self {
            agent: told.agent.clone(),
            tool: told.tool.clone(),
            operation: told.operation.clone(),
            at_unix_ms: told.at_unix_ms,
            allowed: told.allowed,
            reason: told.denial.as_ref().and_then(|denial| denial.reason.parse().ok()),
            handed_on: !told.handed_to.is_empty(),
        }
    }
}

impl Event {
    /// Takes what the tool server of `audience` says about a call in `session`, when it counts.
    pub fn of_call(
        told: &Told,
        audience: &Audience,
        session: &Session,
        registry: &Registry,
        now: Timestamp,
    ) -> Option<Self> {
        // What another agent does with a token that it was handed is not this session's behaviour.
        session.declared(audience).filter(|_| told.agent == session.agent.as_str() && !told.handed_on)?;
        let what = match told.reason {
            _ if told.allowed => What::Called(tool(told, audience, registry)),
            Some(reason) if reaches_too_far_in_a_call(reason) => What::CallRefused,
            Some(_) | None => return None,
        };
        // A tool server may be late, but it is never ahead.
        let at = Timestamp::from_unix_s(told.at_unix_ms / 1000).clamp(session.opened_at.min(now), now);
        Some(Self::new(session, audience, registry, at, what))
    }

    /// Takes the refusal of an exchange in `session`, when it counts. The session has to be the caller's own.
    pub fn of_exchange(
        reason: Reason,
        audience: &Audience,
        session: &Session,
        registry: &Registry,
        now: Timestamp,
    ) -> Option<Self> {
        reaches_too_far_in_an_exchange(reason)
            .then(|| Self::new(session, audience, registry, now, What::ExchangeRefused))
    }

    fn new(session: &Session, audience: &Audience, registry: &Registry, at: Timestamp, what: What) -> Self {
        let kin = Kin::of(&session.agent, registry.agent(&session.agent));
        Self { session: session.id, kin, audience: audience.clone(), at, what }
    }
}

/// Returns the tool that was called, when the server is registered with it: nobody fills the store with invented names.
fn tool(told: &Told, audience: &Audience, registry: &Registry) -> Option<ToolName> {
    let server = registry.tool_server(audience)?;
    let (tool, operation): (ToolName, Operation) = (told.tool.parse().ok()?, told.operation.parse().ok()?);
    server.has(&tool, &operation).then_some(tool)
}

fn reaches_too_far_in_a_call(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ToolNotGranted | Reason::OperationNotGranted | Reason::ResourceNotGranted | Reason::ArgumentRefused
    )
}

fn reaches_too_far_in_an_exchange(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::OutsideEnvelope
            | Reason::OutsideManifest
            | Reason::ToolUnknown
            | Reason::ToolServerUnknown
            | Reason::NothingGranted
            | Reason::PolicyDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Envelope, Lineage};
    use crumb_token::{Grant, Grants, Origin};

    const AUDIENCE: &str = "spiffe://td/tool";

    fn session() -> Session {
        let grant = Grant {
            tool: "read".parse().expect("a tool"),
            operation: "read".parse().expect("an operation"),
            resource: "a/*".parse().expect("a pattern"),
        };
        let origin = Origin::Schedule { name: "nightly".parse().expect("a name") };
        let envelope: Envelope = vec![(AUDIENCE.parse().expect("an audience"), Grants::try_new([grant]).expect("one"))];
        Session {
            id: SessionId::from_uuid(uuid::Uuid::from_u128(1)),
            agent: "lead".parse().expect("a name"),
            version: "1".parse().expect("a version"),
            owner: "ada@a.test".parse().expect("an owner"),
            peer: "spiffe://td/agent/lead".parse().expect("an id"),
            process: None,
            intent: "read".parse().expect("a sentence"),
            lineage: Lineage::root(origin.clone()),
            origin,
            envelope,
            opened_at: Timestamp::from_unix_s(0),
            expires_at: Timestamp::from_unix_s(100),
            closed_at: None,
            tokens: 0,
            review: crate::drift::Review::default(),
        }
    }

    #[test]
    fn what_another_agent_does_with_a_handed_token_is_not_the_sessions_behaviour() {
        let told = |handed_to: &[&str]| {
            let denial = crumb_proto::convert::to_denial(&crumb_token::Denial::new(Reason::ResourceNotGranted));
            let handed_to = handed_to.iter().map(|name| (*name).to_owned()).collect();
            Told::from(&wire::Decision {
                agent: "lead".into(),
                denial: Some(denial),
                handed_to,
                ..wire::Decision::default()
            })
        };
        let directory = tempfile::tempdir().expect("a directory");
        let registry = Registry::load(directory.path()).expect("nothing is wrong with nothing");
        let event = |told| {
            let audience = AUDIENCE.parse().expect("an audience");
            Event::of_call(&told, &audience, &session(), &registry, Timestamp::from_unix_s(1))
        };
        assert!(event(told(&[])).is_some(), "its own refused call counts");
        assert_eq!(event(told(&["reader"])), None);
    }
}
