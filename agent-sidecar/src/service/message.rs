//! The messages of the sidecar's service: read into vocabulary, all that is wrong named at once, and written out of it.

use crate::sidecar::{Beginning, Begun, Delegating, HandingOver, Opening};
use crumb_proto::{
    Violations,
    convert::{envelope, origin, scope, to_grants, to_origin, to_scope},
    status::invalid,
    wire,
};
use crumb_sdk::{
    broker::{SessionDescription, SubjectToken},
    sidecar::WAIT_MAX,
};
use crumb_token::{
    AgentName, Ask, Caveat, Origin, SpiffeId, ToolName,
    handover::{DelegationKey, MayAct},
    origin::Assurance,
    profile::SET_LEN_MAX,
};
use std::time::Duration;
use tonic::Status;
use zeroize::Zeroizing;

/// Reads a message, or answers with everything that is wrong with it.
pub(super) fn read<T>(fields: impl FnOnce(&mut Violations) -> Option<T>) -> Result<T, Status> {
    let mut violations = Violations::default();
    match fields(&mut violations) {
        Some(read) if violations.is_empty() => Ok(read),
        _ => Err(invalid(&violations)),
    }
}

/// Takes the secret out of the message, so that it is wiped.
pub(super) fn read_opening(v: &mut Violations, message: &mut wire::OpenRequest) -> Option<Opening> {
    let agent = v.parse("agent", &message.agent);
    let intent = v.parse("intent", &message.intent);
    let origin = origin(v, "origin", message.origin.as_ref());
    let envelope = envelope(v, "envelope", &message.envelope);
    let token = Zeroizing::new(std::mem::take(&mut message.subject_token));
    let subject_token = match token.is_empty() {
        true => Some(None),
        false => v.keep("subject_token", SubjectToken::from_presented(&token)).map(Some),
    };
    Some(Opening {
        agent: agent?,
        intent: intent?,
        origin: origin?,
        envelope: envelope?,
        lifetime_s: message.lifetime_s,
        subject_token: subject_token?,
    })
}

pub(super) fn read_delegating(v: &mut Violations, message: &wire::DelegateWithinRequest) -> Option<Delegating> {
    let session = v.parse("session_id", &message.session_id);
    let agent = v.parse("agent", &message.agent);
    let peer = v.parse("peer", &message.peer);
    let intent = v.parse("intent", &message.intent);
    let envelope = envelope(v, "envelope", &message.envelope);
    Some(Delegating {
        session: session?,
        agent: agent?,
        peer: peer?,
        intent: intent?,
        envelope: envelope?,
        lifetime_s: message.lifetime_s,
        depth: message.depth,
    })
}

/// Reads how long to wait for an approval; zero for not at all.
pub(super) fn read_wait(v: &mut Violations, wait_s: u32) -> Option<Duration> {
    let wait = Duration::from_secs(wait_s.into());
    if wait > WAIT_MAX {
        v.add("wait_s", format!("is at most {}", WAIT_MAX.as_secs()));
        return None;
    }
    Some(wait)
}

/// Writes what a session is.
pub(super) fn to_description(session: &SessionDescription) -> wire::DescribeSessionResponse {
    let above = session.above.iter().map(|above| wire::SessionAbove {
        session_id: above.session.to_string(),
        agent: above.agent.to_string(),
        version: above.version.to_string(),
        intent_digest: above.intent_digest.to_vec(),
    });
    wire::DescribeSessionResponse {
        agent: session.agent.to_string(),
        intent: session.intent.to_string(),
        origin: Some(to_origin(&session.origin)),
        origin_verified: matches!(session.origin, Origin::User { assurance: Assurance::Verified, .. }),
        above: above.collect(),
        actors: session.actors.iter().map(ToString::to_string).collect(),
        envelope: session.envelope.iter().map(|(audience, grants)| to_scope(audience, grants)).collect(),
        expires_at: session.expires_at.as_unix_s(),
        depth: session.depth,
    }
}

pub(super) fn read_beginning(v: &mut Violations, message: &wire::BeginTaskRequest) -> Option<Beginning> {
    let session = v.parse("session_id", &message.session_id);
    let task = if message.task.is_empty() { Some(None) } else { v.parse("task", &message.task).map(Some) };
    let scope = scope(v, "scope", message.scope.as_ref());
    let by_agent = match message.presenter() {
        wire::Presenter::Sidecar => Some(false),
        wire::Presenter::Agent => Some(true),
        wire::Presenter::Unspecified => {
            v.add("presenter", "is missing: say who will present the token");
            None
        }
    };
    let may_act = read_may_act(v, &message.may_act);
    let (audience, grants) = scope?;
    let (session, task, by_agent, may_act) = (session?, task?, by_agent?, may_act?);
    Some(Beginning { session, task, audience, grants, ttl_s: message.ttl_s, by_agent, may_act })
}

fn read_may_act(v: &mut Violations, may_act: &[wire::MayAct]) -> Option<Vec<(AgentName, SpiffeId)>> {
    if may_act.len() > MayAct::DELEGATES_MAX {
        v.add("may_act", format!("has at most {} entries", MayAct::DELEGATES_MAX));
        return None;
    }
    let read = |(i, wire): (usize, &wire::MayAct)| {
        let agent = v.parse(format!("may_act[{i}].agent"), &wire.agent);
        let peer = v.parse(format!("may_act[{i}].peer"), &wire.peer);
        Some((agent?, peer?))
    };
    let read: Vec<_> = may_act.iter().enumerate().filter_map(read).collect();
    (read.len() == may_act.len()).then_some(read)
}

pub(super) fn read_handing_over(v: &mut Violations, message: &wire::HandOverRequest) -> Option<HandingOver> {
    let task = v.parse("task_id", &message.task_id);
    let to = v.parse("to", &message.to);
    let onward = match message.onward_key.is_empty() {
        true => Some(None),
        false => v.keep("onward_key", DelegationKey::try_from(&message.onward_key[..])).map(Some),
    };
    let caveats = read_caveats(v, message);
    let ttl = Duration::from_secs(message.ttl_s.into());
    Some(HandingOver { task: task?, to: to?, onward: onward?, caveats: caveats?, ttl })
}

fn read_caveats(v: &mut Violations, message: &wire::HandOverRequest) -> Option<Vec<Caveat>> {
    let mut caveats = Vec::new();
    if message.tools.len() > SET_LEN_MAX {
        v.add("tools", format!("has at most {SET_LEN_MAX} entries"));
        return None;
    }
    if !message.tools.is_empty() {
        let tools: Vec<ToolName> = message.tools.iter().filter_map(|tool| v.parse("tools", tool)).collect();
        (tools.len() == message.tools.len()).then_some(())?;
        caveats.push(Caveat::ToolOneOf(tools.into_iter().collect()));
    }
    if !message.operation.is_empty() {
        caveats.push(Caveat::Operation(v.parse("operation", &message.operation)?));
    }
    if !message.resource.is_empty() {
        caveats.push(Caveat::Resource(v.parse("resource", &message.resource)?));
    }
    Some(caveats)
}

/// Writes a task that was begun.
pub(super) fn to_begun(begun: &Begun) -> wire::BeginTaskResponse {
    wire::BeginTaskResponse {
        task_id: begun.task.to_string(),
        grants: to_grants(&begun.grants),
        expires_at: begun.expires_at.as_unix_s(),
    }
}

pub(super) fn read_ask(v: &mut Violations, tool: &str, operation: &str, resource: &str) -> Option<Ask> {
    let tool = v.parse("tool", tool);
    let operation = v.parse("operation", operation);
    let resource = v.parse("resource", resource);
    Some(Ask::new(tool?, operation?, resource?))
}

pub(super) fn read_digest(v: &mut Violations, digest: &[u8]) -> Option<Option<[u8; 32]>> {
    if digest.is_empty() {
        return Some(None);
    }
    match <[u8; 32]>::try_from(digest) {
        Ok(digest) => Some(Some(digest)),
        Err(_) => {
            v.add("args_digest", "has 32 bytes, or none");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_token_is_taken_out_of_its_message() {
        let mut message = wire::OpenRequest { subject_token: "canary".into(), ..Default::default() };
        read(|v| read_opening(v, &mut message)).expect_err("the rest is missing");
        assert_eq!(message.subject_token, "");
        let mut message = wire::OpenRequest { subject_token: "canary and more".into(), ..Default::default() };
        let status = read(|v| read_opening(v, &mut message)).expect_err("no token");
        assert!(!format!("{status:?}").contains("canary"), "{status:?}");
    }

    #[test]
    fn refuses_to_wait_longer_than_it_says() {
        let longest = u32::try_from(WAIT_MAX.as_secs()).expect("minutes");
        assert_eq!(read(|v| read_wait(v, longest)).expect("the longest"), WAIT_MAX);
        assert!(read(|v| read_wait(v, longest + 1)).is_err());
    }

    #[test]
    fn refuses_a_delegation_without_its_parts() {
        let status = read(|v| read_delegating(v, &wire::DelegateWithinRequest::default())).expect_err("all missing");
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    }
}
