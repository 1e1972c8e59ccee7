//! One agent's review, and what was decided on it, for people and for programs.

use crate::{
    apply::change_to_json,
    get::last_day,
    output::{dim, verdict},
};
use crumb_proto::wire;
use crumb_token::AgentName;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Who, the window, each right with what became of it, what is not shown, and what is proposed.
pub(super) fn text(r: &wire::AgentReview) -> String {
    let until = last_day(r.review_by).map_or_else(|| "no day of review".to_owned(), |day| format!("review by {day}"));
    let mut lines =
        vec![format!("{} {}, owner {}, {} in {}, {until}", r.agent, r.version, r.owner, r.lifecycle, r.environment)];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {} {value}", dim(&format!("{name:<8}"))));
        }
    };
    line(
        "window",
        format!(
            "{} to {}: {} sessions, {} calls, {} tokens",
            day(r.since_unix_ms),
            day(r.until_unix_ms),
            r.sessions,
            r.calls,
            r.tokens
        ),
    );
    line(
        "manifest",
        format!("version {}, in force since {}, by {}", r.manifest_version, day(r.applied_at * 1000), r.applied_by),
    );
    for grant in &r.grants {
        let (word, lines) = grant_text(grant);
        lines.into_iter().enumerate().for_each(|(n, text)| line(if n == 0 { word } else { "" }, text));
    }
    r.unseen.iter().for_each(|sentence| line("unseen", sentence.clone()));
    if let Some(proposal) = &r.proposal {
        line("proposed", proposal.action.clone());
        proposal.notes.iter().for_each(|note| line("note", note.clone()));
        if !proposal.diff.is_empty() {
            lines.push(proposal.diff.trim_end().to_owned());
        }
    }
    lines.join("\n")
}

fn grant_text(u: &wire::GrantUse) -> (&'static str, Vec<String>) {
    let grant = u.grant.clone().unwrap_or_default();
    let right = format!("{} {} {}", grant.tool, grant.operation, grant.resource);
    let from = dim(&format!(" ({} risk, {}, {})", u.risk, u.audience, u.sources.join("; ")));
    if u.used.is_empty() {
        return ("never", vec![format!("{}{from}", verdict(false, &right))]);
    }
    let delegated = if u.delegated_calls == 0 { String::new() } else { format!(" ({} delegated)", u.delegated_calls) };
    let mut lines = vec![
        format!("{right}{from}"),
        format!(
            "{} calls{delegated}, {} tokens in {} sessions, last on {}",
            u.calls,
            u.tokens,
            u.sessions,
            day(u.last_unix_ms)
        ),
    ];
    let is_narrower = u.used.iter().all(|used| *used != grant);
    if is_narrower {
        let used: Vec<_> = u.used.iter().map(|used| used.resource.as_str()).collect();
        lines.push(format!("only {}", used.join(", ")));
    }
    let more = if u.more_resources { ", and others" } else { "" };
    if !u.resources.is_empty() {
        lines.push(dim(&format!("touched {}{more}", u.resources.join(", "))));
    }
    (if is_narrower { "narrower" } else { "used" }, lines)
}

fn day(at_unix_ms: u64) -> String {
    let at = i64::try_from(at_unix_ms / 1000).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    at.map_or_else(|| "-".to_owned(), |at| at.date().to_string())
}

/// The whole review, for programs: as docs/review.md says.
pub(super) fn to_json(r: &wire::AgentReview) -> Value {
    let right = |g: &wire::Grant| json!({"tool": g.tool, "operation": g.operation, "resource": g.resource});
    let grant = |u: &wire::GrantUse| {
        json!({
            "audience": u.audience, "grant": u.grant.as_ref().map(right), "sources": u.sources, "risk": u.risk,
            "calls": u.calls, "delegated_calls": u.delegated_calls, "tokens": u.tokens, "sessions": u.sessions,
            "last_unix_ms": (u.last_unix_ms != 0).then_some(u.last_unix_ms), "resources": u.resources,
            "more_resources": u.more_resources, "asked_as": u.asked_as,
            "used": u.used.iter().map(right).collect::<Vec<_>>(),
        })
    };
    json!({
        "agent": r.agent, "version": r.version, "owner": r.owner, "environment": r.environment, "lifecycle": r.lifecycle,
        "persona": (!r.persona.is_empty()).then_some(&r.persona), "bundles": r.bundles, "review_by": last_day(r.review_by),
        "manifest_version": r.manifest_version, "applied_at": r.applied_at, "applied_by": r.applied_by,
        "since_unix_ms": r.since_unix_ms, "until_unix_ms": r.until_unix_ms, "sessions": r.sessions, "calls": r.calls,
        "tokens": r.tokens, "grants": r.grants.iter().map(grant).collect::<Vec<_>>(), "unseen": r.unseen,
        "proposal": r.proposal.as_ref().map(|p| json!({
            "action": p.action, "manifest": (!p.manifest.is_empty()).then_some(&p.manifest), "diff": p.diff, "notes": p.notes,
        })),
    })
}

/// What was decided, for people.
pub(super) fn decided(agent: &AgentName, verdict: &str, d: &wire::DecideReviewResponse) -> String {
    let done = match verdict {
        "keep" => "kept",
        "narrow" => "narrowed",
        _ => "retired",
    };
    let next = last_day(d.review_by).map(|day| format!(", next review by {day}")).unwrap_or_default();
    let diff = d.change.as_ref().map(|change| change.diff.trim_end()).unwrap_or_default();
    let head = format!("{agent} is {done} by {}{next}", d.reviewer);
    if diff.is_empty() { head } else { format!("{head}\n{diff}") }
}

/// What was decided, for programs.
pub(super) fn decided_to_json(agent: &AgentName, verdict: &str, d: &wire::DecideReviewResponse) -> Value {
    json!({
        "agent": agent.to_string(), "verdict": verdict, "reviewer": d.reviewer, "review_by": last_day(d.review_by),
        "change": d.change.as_ref().map(change_to_json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review() -> wire::AgentReview {
        let grant = |resource: &str| wire::Grant {
            tool: "read_file".into(),
            operation: "read".into(),
            resource: resource.into(),
        };
        let used = wire::GrantUse {
            audience: "spiffe://td/tool/files".into(),
            grant: Some(grant("docs/*")),
            sources: vec!["scopes".into()],
            risk: "low".into(),
            calls: 4,
            delegated_calls: 1,
            tokens: 2,
            sessions: 2,
            last_unix_ms: 1_800_000_000_000,
            resources: vec!["docs/a/x".into()],
            more_resources: true,
            used: vec![grant("docs/a/*")],
            ..Default::default()
        };
        let never = wire::GrantUse { grant: Some(grant("notes/*")), ..Default::default() };
        wire::AgentReview {
            agent: "bot".into(),
            owner: "ada@acme.example".into(),
            review_by: 86_400,
            sessions: 2,
            calls: 4,
            grants: vec![used, never],
            unseen: vec!["the trail starts at noon".into()],
            proposal: Some(wire::ReviewProposal { action: "narrow".into(), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn a_person_sees_what_was_never_used_and_what_was_used_narrower() {
        let text = text(&review());
        for part in [
            "owner ada@acme.example",
            "review by 1970-01-01",
            "narrower",
            "4 calls (1 delegated), 2 tokens in 2 sessions, last on 2027-01-15",
            "only docs/a/*",
            "docs/a/x, and others",
            "never",
            "read_file read notes/*",
            "the trail starts at noon",
            "narrow",
        ] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
    }

    #[test]
    fn a_program_is_told_the_same() {
        let value = to_json(&review());
        assert_eq!(value["grants"][0]["used"][0]["resource"], "docs/a/*");
        assert_eq!((&value["grants"][1]["last_unix_ms"], &value["persona"]), (&Value::Null, &Value::Null));
        assert_eq!((&value["proposal"]["action"], &value["review_by"]), (&"narrow".into(), &"1970-01-01".into()));
    }
}
