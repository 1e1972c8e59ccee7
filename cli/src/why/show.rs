//! One explanation, for people and for programs.

use crate::{
    audit::{denial_to_json, to_json as record_to_json},
    output::{dim, verdict},
};
use crumb_proto::wire;
use serde_json::{Value, json};

/// The answer first, then who asked, then what was looked at.
pub(super) fn text(e: &wire::Explanation) -> String {
    let record = e.record.clone().unwrap_or_default();
    let mut lines = vec![head(e, &record)];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {} {value}", dim(&format!("{name:<11}"))));
        }
    };
    line("about", about(e, &record));
    line("agent", joined(&[&record.agent, &record.agent_version], " ", &format!(", owner {}", record.owner)));
    line("asked by", record.peer.clone());
    line("session", joined(&[&record.session_id, &record.intent], ": ", ""));
    line("for", if record.subject.is_empty() { record.origin.clone() } else { record.subject.clone() });
    line("through", record.actors.join(", "));
    line("now", e.state.clone());
    for step in e.steps.iter().filter(|step| step.outcome != "not reached") {
        line(&step.outcome, step_text(step));
    }
    let unreached = e.steps.iter().filter(|step| step.outcome == "not reached").map(|step| step.layer.as_str());
    line("not reached", unreached.collect::<Vec<_>>().join(", "));
    e.assumed.iter().for_each(|assumed| line("assumed", assumed.clone()));
    lines.join("\n")
}

fn head(e: &wire::Explanation, record: &wire::AuditRecord) -> String {
    let word = match e.decision.as_str() {
        "allowed" => verdict(true, "allowed"),
        "waiting" | "unknown" => e.decision.clone(),
        other => verdict(false, other),
    };
    let reason = e.denial.as_ref().map(|denial| format!(" {} ({})", denial.reason, denial.layer)).unwrap_or_default();
    let asked: Vec<_> = record.asked.iter().map(grant_text).collect();
    let at = if record.audience.is_empty() { String::new() } else { format!(" at {}", record.audience) };
    let asked = if asked.is_empty() { String::new() } else { format!("  {}{at}", asked.join("; ")) };
    format!("{word}{reason}{asked}")
}

fn about(e: &wire::Explanation, record: &wire::AuditRecord) -> String {
    let on_record = if record.number == 0 { String::new() } else { format!(", record {}", record.number) };
    match e.id.as_str() {
        "" => "an ask that was never made".to_owned(),
        id => format!("{} {id}{on_record}", e.about),
    }
}

fn step_text(step: &wire::Step) -> String {
    let number = if step.number == 0 { String::new() } else { format!(" (record {})", step.number) };
    let author = if step.author.is_empty() { String::new() } else { dim(&format!(", by {}", step.author)) };
    let rule = if step.rule.is_empty() { String::new() } else { format!(": {}", step.rule) };
    format!("{}{rule}{author}{number}", step.layer)
}

fn joined(parts: &[&str], between: &str, behind: &str) -> String {
    let there: Vec<_> = parts.iter().filter(|part| !part.is_empty()).copied().collect();
    if there.is_empty() { String::new() } else { format!("{}{behind}", there.join(between)) }
}

fn grant_text(grant: &wire::Grant) -> String {
    format!("{} {} {}", grant.tool, grant.operation, grant.resource)
}

/// The whole explanation, for programs: as docs/explain.md says.
pub(super) fn to_json(e: &wire::Explanation) -> Value {
    let step = |s: &wire::Step| {
        json!({
            "layer": s.layer, "outcome": s.outcome, "rule": s.rule, "author": s.author,
            "at_unix_ms": (s.at_unix_ms != 0).then_some(s.at_unix_ms), "number": (s.number != 0).then_some(s.number),
        })
    };
    json!({
        "id": (!e.id.is_empty()).then_some(&e.id), "about": e.about, "decision": e.decision,
        "state": (!e.state.is_empty()).then_some(&e.state),
        "record": e.record.as_ref().map(record_to_json), "denial": e.denial.as_ref().map(denial_to_json),
        "steps": e.steps.iter().map(step).collect::<Vec<_>>(), "assumed": e.assumed, "next": e.next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation() -> wire::Explanation {
        let step = |layer: &str, outcome: &str, rule: &str| wire::Step {
            layer: layer.into(),
            outcome: outcome.into(),
            rule: rule.into(),
            author: "ada@acme.example".into(),
            ..Default::default()
        };
        wire::Explanation {
            about: "ask".into(),
            decision: "denied".into(),
            record: Some(wire::AuditRecord {
                agent: "research-bot".into(),
                agent_version: "1.4.0".into(),
                owner: "ada@acme.example".into(),
                audience: "spiffe://td/tool/files".into(),
                asked: vec![wire::Grant { tool: "a".into(), operation: "read".into(), resource: "b".into() }],
                ..Default::default()
            }),
            denial: Some(wire::Denial {
                reason: "outside_manifest".into(),
                layer: "manifest".into(),
                ..Default::default()
            }),
            steps: vec![
                step("registry", "held", "registry 0123"),
                step("manifest", "refused", "manifest research-bot"),
                step("policy", "not reached", ""),
                step("pace", "not reached", ""),
            ],
            assumed: vec!["a session that declares just this".into()],
            next: "ask for less".into(),
            ..Default::default()
        }
    }

    #[test]
    fn says_what_refused_who_wrote_it_and_how_far_it_came() {
        let text = text(&explanation());
        for part in [
            "outside_manifest (manifest)",
            "a read b at spiffe://td/tool/files",
            "an ask that was never made",
            "research-bot 1.4.0, owner ada@acme.example",
            "manifest: manifest research-bot",
            "by ada@acme.example",
            "policy, pace",
            "a session that declares just this",
        ] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
    }

    #[test]
    fn tells_programs_the_same_with_null_for_what_is_not_there() {
        let value = to_json(&explanation());
        assert_eq!((&value["decision"], &value["denial"]["layer"]), (&"denied".into(), &"manifest".into()));
        assert_eq!(
            (&value["id"], &value["state"], &value["steps"][0]["number"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        assert_eq!(value["steps"][3]["outcome"], "not reached");
        assert_eq!(value["record"]["agent"], "research-bot");
    }
}
