//! One request for approval, for people and for programs.

use crate::{
    output::{dim, verdict},
    span::in_words,
};
use crumb_identity::SystemClock;
use crumb_proto::wire;
use crumb_token::{Clock as _, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

/// Everything that a person needs to decide, a line for each question.
pub(crate) fn text(r: &wire::Approval) -> String {
    text_at(r, SystemClock::new().now().wall)
}

fn text_at(r: &wire::Approval, now: Timestamp) -> String {
    let risk = verdict(r.risk != "high", &format!("{} risk", r.risk));
    let mut lines = vec![format!("{} {} {risk}, {}", r.approval_id, state(r), until(r, now))];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {} {value}", dim(&format!("{name:<9}"))));
        }
    };
    line("agent", format!("{} {}, owner {}", r.agent, r.agent_version, r.owner));
    line("asked by", r.peer.clone());
    line("for", if r.subject.is_empty() { r.origin.clone() } else { format!("{}, {}", r.subject, r.origin) });
    line("through", r.actors.join(", "));
    line("session", format!("{}: {}", r.session_id, r.intent));
    line("task", r.task.clone());
    let scope = r.scope.clone().unwrap_or_default();
    for grant in &scope.grants {
        line("asks", format!("{} at {}", grant_text(grant), scope.audience));
    }
    line("how long", if r.ttl_s == 0 { String::new() } else { in_words(Duration::from_secs(r.ttl_s.into())) });
    r.because.iter().for_each(|because| line("because", because.clone()));
    line("needs", standing(r));
    r.votes.iter().for_each(|vote| line("vote", vote_text(vote)));
    line("appeals", if r.appeal_of.is_empty() { String::new() } else { format!("{}: {}", r.appeal_of, r.appeal_why) });
    let history = r.history.unwrap_or_default();
    line(
        "lately",
        format!("{} asked, {} approved, {} refused by this agent", history.asked, history.approved, history.refused),
    );
    line("token", r.token_id.clone());
    lines.join("\n")
}

/// Says who has agreed, and who has to: `security 1 of 2`.
pub(crate) fn standing(r: &wire::Approval) -> String {
    let needed = r.needed.iter().map(|need| format!("{} {} of {}", need.group, need.approved, need.count));
    needed.collect::<Vec<_>>().join(", ")
}

fn state(r: &wire::Approval) -> String {
    match r.state.as_str() {
        "approved" | "redeemed" => verdict(true, &r.state),
        "pending" => r.state.clone(),
        _ => verdict(false, &r.state),
    }
}

fn until(r: &wire::Approval, now: Timestamp) -> String {
    let end = Timestamp::from_unix_s(r.expires_at);
    if end > now { format!("{} left", in_words(end.since(now))) } else { "over".to_owned() }
}

fn vote_text(vote: &wire::Vote) -> String {
    let said = if vote.approved { "approved" } else { "refused" };
    let mut text = format!("{} {said}", vote.approver);
    if !vote.grants.is_empty() {
        text.push_str(&format!(": {}", vote.grants.iter().map(grant_text).collect::<Vec<_>>().join(", ")));
    }
    if vote.ttl_s != 0 {
        text.push_str(&format!(", for {}", in_words(Duration::from_secs(vote.ttl_s.into()))));
    }
    if !vote.why.is_empty() {
        text.push_str(&format!(" ({})", vote.why));
    }
    text
}

fn grant_text(grant: &wire::Grant) -> String {
    format!("{} {} {}", grant.tool, grant.operation, grant.resource)
}

/// The whole request, for programs.
pub(crate) fn to_json(r: &wire::Approval) -> Value {
    let history = r.history.unwrap_or_default();
    let scope = r.scope.clone().unwrap_or_default();
    json!({
        "approval_id": r.approval_id, "state": r.state, "session_id": r.session_id, "agent": r.agent,
        "agent_version": r.agent_version, "owner": r.owner, "peer": r.peer, "intent": r.intent, "origin": r.origin,
        "subject": r.subject, "actors": r.actors, "audience": scope.audience, "grants": grants(&scope.grants),
        "ttl_s": r.ttl_s, "task": r.task, "risk": r.risk, "because": r.because,
        "needed": r.needed.iter().map(|n| json!({"group": n.group, "count": n.count, "approved": n.approved}))
            .collect::<Vec<_>>(),
        "votes": r.votes.iter().map(|vote| json!({
            "approver": vote.approver, "groups": vote.groups, "approved": vote.approved, "grants": grants(&vote.grants),
            "ttl_s": vote.ttl_s, "why": vote.why, "at": vote.at,
        })).collect::<Vec<_>>(),
        "asked_at": r.asked_at, "expires_at": r.expires_at, "appeal_of": r.appeal_of, "appeal_why": r.appeal_why,
        "history": {"asked": history.asked, "approved": history.approved, "refused": history.refused},
        "token_id": r.token_id,
    })
}

fn grants(grants: &[wire::Grant]) -> Vec<Value> {
    grants.iter().map(|g| json!({"tool": g.tool, "operation": g.operation, "resource": g.resource})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> wire::Approval {
        let grant = |resource: &str| wire::Grant {
            tool: "delete_file".into(),
            operation: "delete".into(),
            resource: resource.into(),
        };
        let vote = wire::Vote {
            approver: "dan@acme.example".into(),
            approved: true,
            grants: vec![grant("tmp/a/*")],
            ttl_s: 60,
            why: "only these".into(),
            ..Default::default()
        };
        wire::Approval {
            approval_id: "apr_1".into(),
            state: "pending".into(),
            session_id: "ses_1".into(),
            agent: "research-bot".into(),
            agent_version: "1.4.0".into(),
            owner: "ada@acme.example".into(),
            peer: "spiffe://td/sidecar".into(),
            intent: "tidy up for Bob".into(),
            origin: "user:bob@acme.example (verified)".into(),
            subject: "bob@acme.example".into(),
            actors: vec!["spiffe://td/agent/lead".into()],
            scope: Some(wire::Scope { audience: "spiffe://td/tool/files".into(), grants: vec![grant("tmp/*")] }),
            ttl_s: 600,
            risk: "high".into(),
            because: vec!["deletes at files.rego:14: deleting needs a second pair of eyes".into()],
            needed: vec![wire::Needed { group: "security".into(), count: 2, approved: 1 }],
            votes: vec![vote],
            expires_at: 1600,
            history: Some(wire::History { asked: 5, approved: 3, refused: 1 }),
            ..Default::default()
        }
    }

    #[test]
    fn a_person_is_told_everything_that_a_decision_needs() {
        let text = text_at(&request(), Timestamp::from_unix_s(1000));
        for part in [
            "research-bot 1.4.0, owner ada@acme.example",
            "spiffe://td/sidecar",
            "bob@acme.example, user:bob@acme.example (verified)",
            "spiffe://td/agent/lead",
            "tidy up for Bob",
            "delete_file delete tmp/* at spiffe://td/tool/files",
            "high risk",
            "files.rego:14",
            "security 1 of 2",
            "dan@acme.example approved: delete_file delete tmp/a/*, for 60 s (only these)",
            "5 asked, 3 approved, 1 refused",
            "10 min left",
        ] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        let late = text_at(&request(), Timestamp::from_unix_s(1600));
        assert!(late.contains("over"), "{late}");
    }

    #[test]
    fn a_program_is_told_the_same() {
        let value = to_json(&request());
        assert_eq!(value["grants"][0]["resource"], "tmp/*");
        assert_eq!(value["votes"][0]["why"], "only these");
        assert_eq!(value["needed"][0]["approved"], 1);
    }
}
