//! Delegating to another agent, and what a session says of itself.

use super::{LocalProcess, session::whole_seconds};
use crate::failure::{CallFailed, Party};
use crumb_proto::{
    Violations,
    convert::{self, to_scope},
    wire,
};
use crumb_token::{
    AgentName, Audience, Grants, Intent, Origin, RequestId, SessionId, SpiffeId, Timestamp, Version, origin::Assurance,
};
use std::time::Duration;

/// A session for another agent, inside one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegate {
    /// This request; another attempt at it has the same id.
    pub request: RequestId,
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
    /// The caller's local process, when a sidecar speaks for it.
    pub process: Option<LocalProcess>,
}

impl Delegate {
    pub(super) fn to_wire(&self) -> wire::DelegateRequest {
        wire::DelegateRequest {
            request_id: self.request.to_string(),
            session_id: self.session.to_string(),
            agent: self.agent.to_string(),
            peer: self.peer.to_string(),
            intent: self.intent.to_string(),
            envelope: self.envelope.iter().map(|(audience, grants)| to_scope(audience, grants)).collect(),
            lifetime_s: whole_seconds(self.lifetime),
            depth: self.depth,
            process: self.process.as_ref().map(LocalProcess::to_wire),
        }
    }
}

/// What a session is: on whose behalf, through whom, for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    /// The agent that acts in it.
    pub agent: AgentName,
    /// What it says it will do.
    pub intent: Intent,
    /// What set off the outermost session; a user is proven or asserted.
    pub origin: Origin,
    /// The sessions above, the outermost first; none when nobody delegated it.
    pub above: Vec<SessionAbove>,
    /// Who acted above, nearest first.
    pub actors: Vec<SpiffeId>,
    /// The most that can be asked in it.
    pub envelope: Vec<(Audience, Grants)>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How many levels may be delegated below it.
    pub depth: u32,
}

/// One of the sessions above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionAbove {
    /// Its id.
    pub session: SessionId,
    /// The agent that acts in it.
    pub agent: AgentName,
    /// Which version of the agent.
    pub version: Version,
    /// SHA-256 of what it says it will do.
    pub intent_digest: [u8; 32],
}

impl SessionDescription {
    pub(crate) fn read(party: Party, answer: &wire::DescribeSessionResponse) -> Result<Self, CallFailed> {
        let mut v = Violations::default();
        let agent = v.parse("agent", &answer.agent);
        let intent = v.parse("intent", &answer.intent);
        let origin = convert::origin(&mut v, "origin", answer.origin.as_ref());
        let above = answer.above.iter().enumerate().map(|(i, above)| SessionAbove::read(&mut v, i, above));
        let above = above.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
        let actors = answer.actors.iter().enumerate().map(|(i, actor)| v.parse(format!("actors[{i}]"), actor));
        let actors = actors.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
        let envelope = convert::envelope(&mut v, "envelope", &answer.envelope);
        let read = || {
            Some(Self {
                agent: agent?,
                intent: intent?,
                origin: proven(origin?, answer.origin_verified),
                above: above?,
                actors: actors?,
                envelope: envelope?,
                expires_at: Timestamp::from_unix_s(answer.expires_at),
                depth: answer.depth,
            })
        };
        read().ok_or_else(|| CallFailed::unreadable(party, &v))
    }
}

impl SessionAbove {
    fn read(v: &mut Violations, i: usize, above: &wire::SessionAbove) -> Option<Self> {
        let field = |name: &str| format!("above[{i}].{name}");
        let session = v.parse(field("session_id"), &above.session_id);
        let agent = v.parse(field("agent"), &above.agent);
        let version = v.parse(field("version"), &above.version);
        let digest = above.intent_digest.as_slice().try_into().map_err(|_| "has 32 bytes");
        let intent_digest = v.keep(field("intent_digest"), digest);
        Some(Self { session: session?, agent: agent?, version: version?, intent_digest: intent_digest? })
    }
}

fn proven(origin: Origin, verified: bool) -> Origin {
    match origin {
        Origin::User { name, .. } if verified => Origin::User { name, assurance: Assurance::Verified },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_proto::convert::to_origin;

    fn answer() -> wire::DescribeSessionResponse {
        let origin = Origin::User { name: "bob@acme.example".parse().expect("a name"), assurance: Assurance::Asserted };
        let grant = wire::Grant { tool: "read".into(), operation: "read".into(), resource: "docs/*".into() };
        wire::DescribeSessionResponse {
            agent: "bot".into(),
            intent: "read the notes".into(),
            origin: Some(to_origin(&origin)),
            origin_verified: true,
            above: vec![wire::SessionAbove {
                session_id: "ses_01983f00000070008000000000000001".into(),
                agent: "lead".into(),
                version: "1".into(),
                intent_digest: vec![7; 32],
            }],
            actors: vec!["spiffe://td/agent/lead".into()],
            envelope: vec![wire::Scope { audience: "spiffe://td/tool".into(), grants: vec![grant] }],
            expires_at: 9,
            depth: 2,
        }
    }

    #[test]
    fn what_the_broker_verified_is_told_as_verified() {
        let read = |answer: &wire::DescribeSessionResponse| {
            SessionDescription::read(Party::Broker, answer).expect("well-formed").origin
        };
        assert!(matches!(read(&answer()), Origin::User { assurance: Assurance::Verified, .. }));
        let asserted = wire::DescribeSessionResponse { origin_verified: false, ..answer() };
        assert!(matches!(read(&asserted), Origin::User { assurance: Assurance::Asserted, .. }));
    }

    #[test]
    fn refuses_an_answer_with_a_part_that_cannot_be_read() {
        let changes: [fn(&mut wire::DescribeSessionResponse); 4] = [
            |a| a.actors.push("not an id".into()),
            |a| a.above[0].intent_digest.truncate(31),
            |a| a.origin = None,
            |a| a.envelope[0].audience.clear(),
        ];
        for change in changes {
            let mut changed = answer();
            change(&mut changed);
            let failed = SessionDescription::read(Party::Broker, &changed).expect_err("a part is wrong");
            assert!(matches!(failed, CallFailed::Unreadable { .. }), "{failed}");
        }
    }
}
