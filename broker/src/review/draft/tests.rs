//! Narrower manifests, made from real ones and held against the registry as applying them would.

use super::*;
use crate::{
    audit::{Kind, Record},
    registry::{
        Author, ManifestFile, Shelf,
        plan::{self, Plan, Wanted},
        widening,
    },
    store::Used,
};
use crumb_proto::wire;
use crumb_token::{AgentName, RecordId, Resource, SessionId, Timestamp};
use proptest::{prelude::*, sample::subsequence};
use std::collections::BTreeMap as Map;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);

const OTHERS: &str = "apiVersion: crumb.dev/v1
kind: ToolServer
metadata: { name: files }
spec:
  audience: spiffe://td/tool/files
  spiffeId: spiffe://td/tool/files
  owner: ada@acme.example
  address: 127.0.0.1:9443
  tools:
    - { name: read_file, operation: read, risk: low }
    - { name: write_file, operation: write, risk: medium }
---
apiVersion: crumb.dev/v1
kind: ToolServer
metadata: { name: mail }
spec:
  audience: https://mail.td/mcp
  spiffeId: spiffe://td/tool/mail
  owner: ada@acme.example
  address: 127.0.0.1:9444
  tools:
    - { name: send, operation: send, risk: high }
---
apiVersion: crumb.dev/v1
kind: ToolBundle
metadata: { name: reading }
spec:
  owner: ada@acme.example
  purpose: Reads.
  scopes:
    - toolServer: files
      tools:
        - { tool: read_file, operation: read, resources: [\"file:///docs/*\", \"repo:acme/*\"] }
---
apiVersion: crumb.dev/v1
kind: ToolBundle
metadata: { name: mailing }
spec:
  owner: ada@acme.example
  purpose: Mails.
  scopes:
    - toolServer: mail
      tools:
        - { tool: send, operation: send, resources: [\"mail:acme:*\"] }
---
apiVersion: crumb.dev/v1
kind: Persona
metadata: { name: clerk }
spec:
  owner: ada@acme.example
  purpose: Does what clerks do.
  bundles: [mailing]
  riskCeiling: high
  maxTtlSeconds: 300
";

/// Rights that an agent may have of its own, and what calls may touch.
const OWN: [(&str, &str, &str); 6] = [
    ("read_file", "read", "*"),
    ("read_file", "read", "file:///docs/a/*"),
    ("read_file", "read", "file:///etc/motd"),
    ("write_file", "write", "file:///notes/*"),
    ("write_file", "write", "file:///docs/*"),
    ("write_file", "write", "repo:acme/*"),
];

fn agent_text(own: &[(&str, &str, &str)], bundles: &[&str], persona: bool) -> String {
    let mut text = String::from(
        "# Asked for in March.
apiVersion: crumb.dev/v1
kind: Agent
metadata: { name: bot }
spec:
  spiffeId: spiffe://td/agent/bot
  owner: ada@acme.example # until June
  purpose: Summarises.
  version: 1.0.0
  environment: test
",
    );
    if persona {
        text.push_str("  persona: clerk\n");
    }
    if !bundles.is_empty() {
        text.push_str(&format!("  bundles: [{}]\n", bundles.join(", ")));
    }
    if !own.is_empty() {
        text.push_str("  scopes:\n    - toolServer: files\n      tools:\n");
        for (tool, operation, resource) in own {
            text.push_str(&format!(
                "        - {{ tool: {tool}, operation: {operation}, resources: [\"{resource}\"] }}\n"
            ));
        }
    }
    text + "  reviewBy: 2027-01-31\n"
}

fn planned(shelf: &Shelf, in_force: Option<&Registry>, texts: &[&str]) -> Plan {
    let file = |text: &&str| ManifestFile { file: "a.yaml".into(), text: (*text).to_owned() };
    let files = texts.iter().map(file).collect();
    let wanted = Wanted { author: Author::Operator("uid:0".into()), files, prune: false, expected: Map::new() };
    plan::plan(shelf, in_force, &wanted, NOW).unwrap_or_else(|defects| panic!("{defects:?}\n{}", texts.join("---\n")))
}

fn name() -> AgentName {
    "bot".parse().expect("a name")
}

fn call(audience: &str, tool: &str, operation: &str, resource: &str) -> Used {
    let mut record = Record::new(RecordId::from_uuid(Uuid::from_u128(1)), 7, Kind::Decision, "v");
    record.agent = "bot".into();
    record.audience = audience.into();
    record.ask(&[wire::Grant { tool: tool.into(), operation: operation.into(), resource: resource.into() }]);
    record.allow();
    Used { number: 1, session: SessionId::from_uuid(Uuid::from_u128(1)), record }
}

/// Drafts for an agent with this manifest that made these calls; with the plan that put it in force.
fn drafted(text: &str, calls: &[Used]) -> (Plan, Draft) {
    let plan = planned(&Shelf::default(), None, &[OTHERS, text]);
    let agent = plan.registry.agent(&name()).expect("it is there").clone();
    let mut usage = Usage::of(&agent.scopes);
    calls.iter().for_each(|used| usage.take(&name(), used));
    let draft = draft(&agent, &plan.registry, text, &usage).expect("it can be amended");
    (plan, draft)
}

const FILES: &str = "spiffe://td/tool/files";
const MAIL: &str = "https://mail.td/mcp";

#[test]
fn what_was_not_used_goes_and_comments_stay() {
    let text = agent_text(&[OWN[0], OWN[3]], &[], false);
    let (_, draft) = drafted(&text, &[call(FILES, "read_file", "read", "file:///docs/a/x.md")]);
    let Draft::Narrow { text, .. } = draft else { panic!("{draft:?}") };
    assert!(text.contains("resources: [\"file:///docs/a/*\"]") && !text.contains("write_file"), "{text}");
    assert!(text.contains("# Asked for in March.") && text.contains("# until June"), "{text}");
}

#[test]
fn a_bundle_that_was_used_in_part_becomes_the_agents_own() {
    let text = agent_text(&[], &["reading", "mailing"], false);
    let calls = [call(FILES, "read_file", "read", "file:///docs/x.md"), call(MAIL, "send", "send", "mail:acme:bob")];
    let (_, draft) = drafted(&text, &calls);
    let Draft::Narrow { text, notes } = draft else { panic!("{draft:?}") };
    assert!(text.contains("bundles: [mailing]"), "one that was used in full stays: {text}");
    assert!(text.contains("toolServer: files") && !text.contains("toolServer: mail"), "{text}");
    assert!(notes.iter().any(|note| note.starts_with("bundle reading")), "{notes:?}");
}

#[test]
fn a_persona_that_goes_leaves_its_longest_life_behind() {
    let text = agent_text(&[OWN[3]], &[], true);
    let (_, draft) = drafted(&text, &[call(FILES, "write_file", "write", "file:///notes/x")]);
    let Draft::Narrow { text, notes } = draft else { panic!("{draft:?}") };
    assert!(text.contains("maxTtlSeconds: 300") && !text.contains("persona"), "{text}");
    for what in ["ceiling of high risk", "default lifetimes", "every policy", "drift", "for the owner to apply"] {
        assert!(notes.iter().any(|note| note.contains(what)), "{what:?} goes unsaid: {notes:?}");
    }
}

#[test]
fn a_persona_stays_as_long_as_anything_beside_it_can_be_narrowed() {
    let text = agent_text(&[OWN[0], OWN[3]], &[], true);
    let (plan, draft) = drafted(&text, &[call(FILES, "write_file", "write", "file:///notes/x")]);
    let Draft::Narrow { text, notes } = draft else { panic!("{draft:?}") };
    assert!(text.contains("persona: clerk") && !text.contains("read_file"), "{text}");
    assert!(
        notes.iter().any(|note| note.starts_with("persona clerk gives more than was used, and stays")),
        "{notes:?}"
    );
    let next = planned(&Shelf::default().after(&plan.edits), Some(&plan.registry), &[&text]);
    assert_eq!(next.changes[0].widens, Vec::<String>::new());
}

#[test]
fn what_was_used_in_full_is_kept_and_what_was_not_at_all_is_set_aside() {
    let text = agent_text(&[OWN[3]], &[], false);
    let (_, draft) = drafted(&text, &[call(FILES, "write_file", "write", "file:///notes/x")]);
    assert_eq!(draft, Draft::Keep);
    let (_, draft) = drafted(&text, &[]);
    let Draft::SetAside { text } = draft else { panic!("{draft:?}") };
    assert!(text.contains("lifecycle: quarantined"), "{text}");
}

/// A call that the agent may make: a right of it, and a resource under that.
fn calls() -> impl Strategy<Value = Vec<(usize, String)>> {
    prop::collection::vec((0usize..9, "([ab]/){0,3}[xyz]"), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_proposal_is_never_wider_and_covers_every_call(
        own in subsequence(OWN.to_vec(), 0..=OWN.len()),
        bundles in subsequence(vec!["reading", "mailing"], 0..=2),
        persona in any::<bool>(),
        made in calls(),
    ) {
        prop_assume!(!own.is_empty() || !bundles.is_empty() || persona);
        let text = agent_text(&own, &bundles, persona);
        let plan = planned(&Shelf::default(), None, &[OTHERS, &text]);
        let before = plan.registry.agent(&name()).expect("it is there").clone();
        let rights: Vec<_> = before.scopes.iter().flat_map(|(a, grants)| grants.iter().map(move |g| (a, g))).collect();
        let used: Vec<Used> = made.iter().map(|(right, rest)| {
            let (audience, grant) = rights[right % rights.len()];
            let resource = match grant.resource.to_string().strip_suffix('*') {
                Some(folder) => format!("{folder}{rest}"),
                None => grant.resource.to_string(),
            };
            call(audience.as_str(), grant.tool.as_str(), grant.operation.as_str(), &resource)
        }).collect();
        let (_, draft) = drafted(&text, &used);
        let (Draft::Narrow { text, .. } | Draft::SetAside { text }) = draft else { return Ok(()) };
        let shelf = Shelf::default().after(&plan.edits);
        let next = planned(&shelf, Some(&plan.registry), &[&text]);
        let after = next.registry.agent(&name()).expect("it is there");
        // No right, no day and no lease: at most a persona, which the notes tell.
        let gone = before.persona.iter().filter(|persona| after.persona.as_ref() != Some(persona));
        let told: Vec<String> = gone.map(widening::without).collect();
        prop_assert_eq!(widening::of_agent(Some(&before), after), told.clone(), "{}", text);
        prop_assert!(next.changes.iter().all(|change| change.widens == told));
        for used in &used {
            let [tool, operation, resource] = used.record.asked().next().expect("it was asked");
            let audience: Audience = used.record.audience.parse().expect("an audience");
            let resource: Resource = resource.parse().expect("a resource");
            let grants = after.scopes.get(&audience).cloned().unwrap_or_default();
            let covered = grants.covers(&tool.parse().expect("a tool"), &operation.parse().expect("one"), &resource);
            prop_assert!(covered, "{tool} {operation} {resource} is not covered by\n{text}");
        }
    }
}
