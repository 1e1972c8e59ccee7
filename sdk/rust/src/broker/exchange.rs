//! The token exchange.

use super::{LocalProcess, session::whole_seconds};
use crate::failure::{CallFailed, Party};
use crumb_proto::{
    Violations,
    convert::{self, to_scope},
    wire,
};
use crumb_token::{
    AgentName, Audience, Grants, Intent, RequestId, SessionId, SpiffeId, Timestamp, TokenId, TokenText,
    handover::DelegationKey,
};
use std::time::Duration;

/// What is asked of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// This request; another attempt at it has the same id.
    pub request: RequestId,
    /// The session that the task belongs to.
    pub session: SessionId,
    /// What this step of the session is.
    pub task: Option<Intent>,
    /// The tool server that the token is for.
    pub audience: Audience,
    /// The rights wanted there.
    pub grants: Grants,
    /// How long it should live, in whole seconds; `None` leaves it to the broker.
    pub ttl: Option<Duration>,
    /// Who will present it; `None` for the caller.
    pub holder: Option<SpiffeId>,
    /// The local process, when a sidecar speaks for the agent.
    pub process: Option<LocalProcess>,
    /// To whom it may be handed on, offline.
    pub handing: Option<Handing>,
}

/// To whom a token may be handed on, offline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handing {
    /// The key that the holder will sign that with.
    pub key: DelegationKey,
    /// Agents, each with the SPIFFE ID of its own workload.
    pub to: Vec<(AgentName, SpiffeId)>,
}

impl Exchange {
    pub(super) fn to_wire(&self) -> wire::ExchangeRequest {
        wire::ExchangeRequest {
            request_id: self.request.to_string(),
            session_id: self.session.to_string(),
            task: self.task.as_ref().map(ToString::to_string).unwrap_or_default(),
            scope: Some(to_scope(&self.audience, &self.grants)),
            ttl_s: whole_seconds(self.ttl),
            holder: self.holder.as_ref().map(ToString::to_string).unwrap_or_default(),
            process: self.process.as_ref().map(LocalProcess::to_wire),
            may_act: self.handing.iter().flat_map(|handing| &handing.to).map(to_may_act).collect(),
            delegation_key: self.handing.as_ref().map(|h| h.key.as_bytes().to_vec()).unwrap_or_default(),
        }
    }
}

fn to_may_act((agent, peer): &(AgentName, SpiffeId)) -> wire::MayAct {
    wire::MayAct { agent: agent.to_string(), peer: peer.to_string() }
}

/// A task token, with what the broker says about it.
#[derive(Clone, Debug)]
pub struct TaskToken {
    /// The token itself. A secret.
    pub token: TokenText,
    /// Its id.
    pub id: TokenId,
    /// What it allows.
    pub grants: Grants,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Who may present it.
    pub holder: SpiffeId,
}

impl TaskToken {
    pub(super) fn read(answer: wire::ExchangeResponse) -> Result<Self, CallFailed> {
        // Taken out first, so that nothing below can show it.
        let token = zeroize::Zeroizing::new(answer.token);
        let mut v = Violations::default();
        let token = v.keep("token", TokenText::from_presented(&token));
        let id = v.parse("token_id", &answer.token_id);
        let grants = convert::grants(&mut v, "grants", &answer.grants);
        let holder = v.parse("holder", &answer.holder);
        let expires_at = Timestamp::from_unix_s(answer.expires_at);
        match (token, id, grants, holder) {
            (Some(token), Some(id), Some(grants), Some(holder)) => Ok(Self { token, id, grants, expires_at, holder }),
            _ => Err(CallFailed::unreadable(Party::Broker, &v)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_answer_does_not_show_the_token() {
        let answer = wire::ExchangeResponse { token: "canary".into(), token_id: "tok_1".into(), ..Default::default() };
        let failed = TaskToken::read(answer).expect_err("no id, no grants, no holder");
        assert!(!format!("{failed} {failed:?}").contains("canary"));
    }
}
