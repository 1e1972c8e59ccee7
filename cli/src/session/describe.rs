//! What a session is, for people and for programs.

use crate::output::{self, Format, dim};
use crumb_sdk::broker::SessionDescription;
use crumb_token::{Origin, SessionId, origin::Assurance};
use serde_json::{Value, json};

pub(super) fn show(id: SessionId, session: &SessionDescription, format: Format) {
    match format {
        Format::Json => output::json(&to_json(id, session)),
        Format::Text => output::data(text(id, session)),
    }
}

fn text(id: SessionId, session: &SessionDescription) -> String {
    let mut lines = vec![format!("{id} {}: {}", session.agent, session.intent)];
    let mut line = |name: &str, value: String| lines.push(format!("  {} {value}", dim(&format!("{name:<8}"))));
    line("origin", session.origin.to_string());
    for above in &session.above {
        line("inside", format!("{} of {} {}", above.session, above.agent, above.version));
    }
    session.actors.iter().for_each(|actor| line("through", actor.to_string()));
    for (audience, grants) in &session.envelope {
        grants.iter().for_each(|grant| line("may", format!("{grant} at {audience}")));
    }
    line("depth", format!("{} more levels may be delegated", session.depth));
    lines.join("\n")
}

fn to_json(id: SessionId, session: &SessionDescription) -> Value {
    let envelope: Vec<_> = session.envelope.iter().map(|(audience, grants)| {
        let grants = grants.iter().map(|g| {
            json!({"tool": g.tool.to_string(), "operation": g.operation.to_string(), "resource": g.resource.to_string()})
        });
        json!({"audience": audience.to_string(), "grants": grants.collect::<Vec<_>>()})
    }).collect();
    let above = session.above.iter().map(|above| {
        json!({"session_id": above.session.to_string(), "agent": above.agent.to_string(), "version": above.version.to_string()})
    });
    json!({
        "session_id": id.to_string(), "agent": session.agent.to_string(), "intent": session.intent.to_string(),
        "origin": session.origin.to_string(),
        "origin_verified": matches!(session.origin, Origin::User { assurance: Assurance::Verified, .. }),
        "above": above.collect::<Vec<_>>(),
        "actors": session.actors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "envelope": envelope, "expires_at": session.expires_at.as_unix_s(), "depth": session.depth,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_sdk::broker::SessionAbove;
    use crumb_token::{Grants, Timestamp};

    fn session() -> SessionDescription {
        let id = "ses_01983f00000070008000000000000001".parse().expect("an id");
        let grant = crumb_token::Grant {
            tool: "read_file".parse().expect("a tool"),
            operation: "read".parse().expect("an operation"),
            resource: "docs/*".parse().expect("a pattern"),
        };
        SessionDescription {
            agent: "reader".parse().expect("a name"),
            intent: "read one folder".parse().expect("a sentence"),
            origin: Origin::User { name: "bob@acme.example".parse().expect("a name"), assurance: Assurance::Verified },
            above: vec![SessionAbove {
                session: id,
                agent: "lead".parse().expect("a name"),
                version: "1".parse().expect("a version"),
                intent_digest: [0; 32],
            }],
            actors: vec!["spiffe://td/agent/lead".parse().expect("an id")],
            envelope: vec![("spiffe://td/tool".parse().expect("an audience"), Grants::try_new([grant]).expect("one"))],
            expires_at: Timestamp::from_unix_s(9),
            depth: 1,
        }
    }

    #[test]
    fn tells_on_whose_behalf_through_whom_and_for_what() {
        let id = "ses_01983f00000070008000000000000002".parse().expect("an id");
        let text = text(id, &session());
        for part in ["bob@acme.example (verified)", "of lead 1", "spiffe://td/agent/lead", "read_file read docs/*"] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        let value = to_json(id, &session());
        assert_eq!((&value["origin_verified"], &value["above"][0]["agent"]), (&true.into(), &"lead".into()));
        assert_eq!(value["envelope"][0]["grants"][0]["resource"], "docs/*");
    }
}
