//! Which agents get tokens: by owner, days, state and environment.

use super::*;
use crumb_token::Reason;

const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);

fn standing(more: &str, environment: &str, departed: &str) -> Result<(), Reason> {
    let agent = AGENT.replace("environment: test", &format!("environment: {environment}\n{more}"));
    let directory = format!(
        "apiVersion: crumb.dev/v1\nkind: Directory\nmetadata: {{ name: people }}\nspec:\n  owner: bob@acme.example\n  departed: [{departed}]\n"
    );
    let registry = load(&[("a.yaml", TOOL_SERVER), ("b.yaml", &agent), ("c.yaml", &directory)]).expect("good");
    let agent = registry.agent(&"bot".parse().expect("name")).expect("registered");
    registry.standing(agent, NOW)
}

#[test]
fn where_it_counts_only_working_agents_get_tokens() {
    for (state, production, test) in [
        ("built", Err(Reason::AgentNotOperating), Ok(())),
        ("tested", Err(Reason::AgentNotOperating), Ok(())),
        ("promoted", Err(Reason::AgentNotOperating), Ok(())),
        ("operating", Ok(()), Ok(())),
        ("updated", Ok(()), Ok(())),
        ("quarantined", Err(Reason::AgentQuarantined), Err(Reason::AgentQuarantined)),
        ("retired", Err(Reason::AgentRetired), Err(Reason::AgentRetired)),
    ] {
        let more = format!("  lifecycle: {state}");
        assert_eq!(standing(&more, "production", ""), production, "{state} in production");
        assert_eq!(standing(&more, "prod", ""), production, "{state} in prod");
        assert_eq!(standing(&more, "test", ""), test, "{state} in test");
    }
    assert_eq!(standing("", "production", ""), Ok(()), "a manifest that says nothing goes on");
}

#[test]
fn an_agent_whose_owner_has_left_gets_none() {
    assert_eq!(standing("", "test", "bob@acme.example"), Ok(()));
    assert_eq!(standing("", "test", "ada@acme.example"), Err(Reason::AgentOrphaned));
    assert_eq!(standing("", "test", "ADA@Acme.example"), Err(Reason::AgentOrphaned), "in whatever case");
    assert_eq!(standing("  lifecycle: retired", "test", "ada@acme.example"), Err(Reason::AgentRetired));
}

#[test]
fn an_agent_past_its_days_gets_none() {
    assert_eq!(standing("  validUntil: 2020-01-31", "test", ""), Err(Reason::AgentExpired));
    assert_eq!(standing("  reviewBy: 2020-01-31", "test", ""), Err(Reason::ReviewOverdue));
    assert_eq!(standing("  reviewBy: 2099-01-31\n  validUntil: 2099-01-31", "test", ""), Ok(()));
}

#[test]
fn every_flag_is_told_and_the_gravest_decides() {
    let agent =
        AGENT.replace("environment: test", "environment: test\n  validUntil: 2020-01-31\n  reviewBy: 2020-01-31");
    let registry = load(&[("a.yaml", TOOL_SERVER), ("b.yaml", &agent)]).expect("good");
    let agent = registry.agent(&"bot".parse().expect("name")).expect("registered");
    let flags: Vec<_> = registry.flags(agent, NOW).into_iter().map(Flag::as_str).collect();
    assert_eq!(flags, ["expired", "review-overdue"]);
    assert_eq!(registry.standing(agent, NOW), Err(Reason::AgentExpired));
    let day = Timestamp::from_unix_s(1_580_428_800);
    assert_eq!(registry.flags(agent, day), [], "the last day is included");
}
