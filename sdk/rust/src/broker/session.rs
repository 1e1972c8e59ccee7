//! Opening a session.

use super::{
    LocalProcess,
    subject_token::{SubjectToken, exposed},
};
use crate::failure::{CallFailed, Party};
use crumb_proto::{
    Violations,
    convert::{to_origin, to_scope},
    wire,
};
use crumb_token::{AgentName, Audience, Grants, Intent, Origin, RequestId, SessionId, Timestamp};
use std::time::Duration;

/// What a session declares.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// This request; another attempt at it has the same id.
    pub request: RequestId,
    /// The registered name of the agent.
    pub agent: AgentName,
    /// What the session will do.
    pub intent: Intent,
    /// Who or what set it off.
    pub origin: Origin,
    /// What it may need, at most: one set of rights for each tool server.
    pub envelope: Vec<(Audience, Grants)>,
    /// How long it will take, in whole seconds; `None` leaves it to the broker.
    pub lifetime: Option<Duration>,
    /// The local process, when a sidecar speaks for the agent.
    pub process: Option<LocalProcess>,
    /// Proves the user of the origin; without it the broker records that the user was only named.
    pub subject_token: Option<SubjectToken>,
}

impl OpenSession {
    pub(super) fn to_wire(&self) -> wire::OpenSessionRequest {
        wire::OpenSessionRequest {
            request_id: self.request.to_string(),
            agent: self.agent.to_string(),
            intent: self.intent.to_string(),
            origin: Some(to_origin(&self.origin)),
            envelope: self.envelope.iter().map(|(audience, grants)| to_scope(audience, grants)).collect(),
            lifetime_s: whole_seconds(self.lifetime),
            process: self.process.as_ref().map(LocalProcess::to_wire),
            subject_token: exposed(self.subject_token.as_ref()),
        }
    }
}

/// An open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id; no authority by itself.
    pub id: SessionId,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Session {
    pub(super) fn read(answer: &wire::OpenSessionResponse) -> Result<Self, CallFailed> {
        let mut v = Violations::default();
        let id = v.parse("session_id", &answer.session_id);
        let id = id.ok_or_else(|| CallFailed::unreadable(Party::Broker, &v))?;
        Ok(Self { id, expires_at: Timestamp::from_unix_s(answer.expires_at) })
    }
}

/// Writes a span for the wire, where 0 means that the other end chooses. A span under a second becomes one second, since
/// it must not turn into "choose for me".
pub(crate) fn whole_seconds(span: Option<Duration>) -> u32 {
    span.map_or(0, |span| u32::try_from(span.as_secs()).unwrap_or(u32::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_span_never_turns_into_the_default() {
        assert_eq!(whole_seconds(None), 0);
        assert_eq!(whole_seconds(Some(Duration::from_millis(300))), 1);
        assert_eq!(whole_seconds(Some(Duration::MAX)), u32::MAX);
    }

    #[test]
    fn an_answer_without_a_session_id_is_unreadable() {
        let answer = wire::OpenSessionResponse { session_id: "ses_1".into(), expires_at: 1 };
        assert!(matches!(Session::read(&answer), Err(CallFailed::Unreadable { party: Party::Broker, .. })));
    }
}
