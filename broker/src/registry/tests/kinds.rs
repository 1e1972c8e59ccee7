//! The kinds besides agents and tool servers: what they add to an agent, and each way of being wrong with its line.

use super::*;

const SERVER: &str = "apiVersion: crumb.dev/v1
kind: ToolServer
metadata: { name: files }
spec:
  audience: spiffe://td/tool/files
  spiffeId: spiffe://td/tool/files
  owner: ada@acme.example
  address: 127.0.0.1:9443
  tools:
    - { name: read_file, operation: read, risk: low, resourceFrom: { argument: path, prefix: \"file://\" } }
    - { name: search, operation: read, risk: low, resourceFrom: { always: \"docs:index\" } }
    - { name: drop, operation: delete, risk: high }
  toolsDigest: 0000000000000000000000000000000000000000000000000000000000000001
  reviewers: security
";

const RULE: &str = "apiVersion: crumb.dev/v1
kind: ApprovalRule
metadata: { name: security }
spec:
  owner: ada@acme.example
  members: [eve@acme.example, bob@acme.example, \"spiffe://td/portal\"]
  count: 2
";

const BUNDLES: &str = "apiVersion: crumb.dev/v1
kind: ToolBundle
metadata: { name: reading }
spec:
  owner: ada@acme.example
  purpose: Reads documents.
  includes: [searching]
  scopes:
    - toolServer: files
      tools:
        - { tool: read_file, operation: read, resources: [\"file:///docs/*\"] }
---
apiVersion: crumb.dev/v1
kind: ToolBundle
metadata: { name: searching }
spec:
  owner: ada@acme.example
  purpose: Searches documents.
  scopes:
    - toolServer: files
      tools:
        - { tool: search, operation: read, resources: [\"docs:index\"] }
";

const PERSONAS: &str = "apiVersion: crumb.dev/v1
kind: Persona
metadata: { name: reader }
spec:
  owner: ada@acme.example
  purpose: Reads.
  bundles: [reading]
  riskCeiling: low
  defaultTtlSeconds: 120
  maxTtlSeconds: 600
  sessionSeconds: 900
---
apiVersion: crumb.dev/v1
kind: Persona
metadata: { name: night-reader }
spec:
  owner: ada@acme.example
  purpose: Reads at night.
  extends: reader
  riskCeiling: high
  maxTtlSeconds: 3600
";

const BOT: &str = "apiVersion: crumb.dev/v1
kind: Agent
metadata: { name: bot }
spec:
  spiffeIdPattern: spiffe://td/agent/bot/*
  instances: many
  owner: ada@acme.example
  purpose: Summarises release notes.
  version: 1.0
  model: acme/large-2:2026-05
  environment: test
  persona: night-reader
  lifecycle: tested
  reviewBy: 2027-01-31
  deployment: { lease: 10m }
";

const DIRECTORY: &str = "apiVersion: crumb.dev/v1
kind: Directory
metadata: { name: people }
spec:
  owner: ada@acme.example
  departed: [Eve@acme.example]
";

const FILES: &[(&str, &str)] = &[
    ("1.yaml", SERVER),
    ("2.yaml", RULE),
    ("3.yaml", BUNDLES),
    ("4.yaml", PERSONAS),
    ("5.yaml", BOT),
    ("6.yaml", DIRECTORY),
];

/// Loads everything with one text changed, and returns what is wrong.
fn wrong(from: &str, to: &str) -> String {
    let changed: Vec<_> = FILES.iter().map(|(name, text)| (*name, text.replacen(from, to, 1))).collect();
    assert!(FILES.iter().zip(&changed).any(|(a, b)| a.1 != b.1), "{from:?} is nowhere");
    let files: Vec<_> = changed.iter().map(|(name, text)| (*name, text.as_str())).collect();
    defects(&files).join(" | ")
}

#[test]
fn an_agent_is_put_together_from_its_persona_and_bundles() {
    let registry = load(FILES).expect("good");
    let agent = registry.agent(&"bot".parse().expect("name")).expect("registered");
    let scope = agent.scopes.get(&"spiffe://td/tool/files".parse().expect("audience")).expect("a scope");
    let rights: Vec<_> = scope.iter().map(ToString::to_string).collect();
    assert_eq!(rights, ["read_file read file:///docs/*", "search read docs:index"]);
    let seconds = |d: Option<std::time::Duration>| d.map(|d| d.as_secs());
    assert_eq!(seconds(agent.ttl_max), Some(600), "never above that of the extended persona");
    assert_eq!((seconds(agent.ttl_default), seconds(agent.session_default)), (Some(120), Some(900)));
    assert_eq!(seconds(agent.lease), Some(600));
    assert_eq!(agent.model.as_ref().map(Model::as_str), Some("acme/large-2:2026-05"));
    let persona = registry.persona(&"night-reader".parse().expect("name")).expect("registered");
    assert_eq!(persona.risk_ceiling, Risk::Low);
}

#[test]
fn every_instance_speaks_for_the_agent_and_for_no_other_instance() {
    let registry = load(FILES).expect("good");
    let agent = registry.agent(&"bot".parse().expect("name")).expect("registered");
    let id = |text: &str| text.parse().expect("an id");
    let (one, two) = (id("spiffe://td/agent/bot/1"), id("spiffe://td/agent/bot/2"));
    assert!(agent.is_spoken_for_by(&one) && agent.is_spoken_for_by(&two));
    assert!(!agent.is_spoken_for_by(&id("spiffe://td/agent/bot")));
    assert!(agent.may_bind(&one, &one) && !agent.may_bind(&one, &two));
}

#[test]
fn a_tool_server_says_where_resources_come_from_and_what_was_reviewed() {
    let registry = load(FILES).expect("good");
    let server = registry.tool_servers().next().expect("registered");
    let from: Vec<_> = server.tools.iter().map(|tool| (tool.name.as_str(), tool.resource_from.is_some())).collect();
    assert_eq!(from, [("drop", false), ("read_file", true), ("search", true)]);
    assert!(server.tools_digest.is_some_and(|digest| digest.to_string().ends_with("01")));
    assert_eq!(server.reviewers.as_ref().map(ManifestName::as_str), Some("security"));
}

#[test]
fn somebody_who_has_left_approves_nothing() {
    let registry = load(FILES).expect("good");
    let rule = registry.approval_rule(&"security".parse().expect("name")).expect("registered");
    let approvers: Vec<_> = registry.approvers(rule).map(ToString::to_string).collect();
    assert_eq!(approvers, ["bob@acme.example", "spiffe://td/portal"]);
}

#[test]
fn says_where_each_of_them_is_wrong() {
    let table: &[(&str, &str, &str)] = &[
        ("reviewers: security", "reviewers: nobody", "1.yaml:14: no approval rule is registered as nobody"),
        ("argument: path, prefix: \"file://\"", "prefix: \"file://\"", "1.yaml:10: a resource comes from"),
        ("always: \"docs:index\"", "always: \"docs:*\"", "1.yaml:11: spec.tools[1].resourceFrom.always: "),
        ("toolsDigest: 0", "toolsDigest: g", "1.yaml:13: spec.toolsDigest: a SHA-256 digest"),
        ("count: 2", "count: 4", "2.yaml:7: a count is from 1 to the number of members, 3"),
        ("count: 2", "count: 0", "2.yaml:7: a count is from 1"),
        ("bob@acme.example", "eve@acme.example", "2.yaml:6: a member is listed twice"),
        ("eve@acme.example, bob", "security@acme.example, bob", "2.yaml:6: spec.members[0]: a member is"),
        (
            "includes: [searching]",
            "includes: [reading]",
            "3.yaml:7: tool bundle reading leads back to itself: reading → reading",
        ),
        ("includes: [searching]", "includes: [other]", "3.yaml:7: no tool bundle is registered as other"),
        (
            "purpose: Searches documents.",
            "purpose: x\n  includes: [reading]",
            "3.yaml:19: tool bundle reading leads back",
        ),
        ("toolServer: files", "toolServer: mail", "3.yaml:9: no tool server is registered as mail"),
        ("bundles: [reading]", "bundles: [writing]", "4.yaml:7: no tool bundle is registered as writing"),
        ("bundles: [reading]", "bundles: [reading, reading]", "4.yaml:7: reading is listed twice"),
        ("extends: reader", "extends: night-reader", "4.yaml:19: persona night-reader leads back to itself"),
        (
            "bundles: [reading]",
            "extends: night-reader",
            "4.yaml:7: persona night-reader leads back to itself: night-reader → reader → night-reader",
        ),
        ("riskCeiling: low", "riskCeiling: none", "4.yaml:8: spec.riskCeiling: unknown variant"),
        (
            "defaultTtlSeconds: 120",
            "defaultTtlSeconds: 1",
            "4.yaml:9: spec.defaultTtlSeconds: defaultTtlSeconds is from 2",
        ),
        ("sessionSeconds: 900", "sessionSeconds: 999999", "4.yaml:11: spec.sessionSeconds: sessionSeconds is from"),
        ("persona: night-reader", "persona: writer", "5.yaml:12: no persona is registered as writer"),
        ("instances: many", "instances: single", "5.yaml:6: many instances have an identity each"),
        (
            "instances: many",
            "spiffeId: spiffe://td/a",
            "5.yaml:5: an agent has a spiffeId or a spiffeIdPattern, not both",
        ),
        ("bot/*", "bot-*", "5.yaml:5: spec.spiffeIdPattern: a pattern is a SPIFFE ID and one last segment"),
        (
            "spiffe://td/agent/bot/*",
            "spiffe://td/tool/*",
            "5.yaml:5: spiffe://td/tool/* overlaps with spiffe://td/tool/files",
        ),
        ("lifecycle: tested", "lifecycle: done", "5.yaml:13: spec.lifecycle: unknown variant `done`"),
        ("lease: 10m", "lease: 10d", "5.yaml:15: spec.deployment.lease: a lease is from 10s to 24h"),
        ("model: acme/large-2:2026-05", "model: \"{{x}} acme\"", "5.yaml:10: spec.model: has a character"),
        ("Eve@acme.example", "team@acme.example", "6.yaml:6: spec.departed[0]: "),
        ("metadata: { name: people }", "metadata: { name: ../people }", "6.yaml:3: metadata.name: has a character"),
    ];
    for (from, to, wanted) in table {
        let found = wrong(from, to);
        assert!(found.contains(wanted), "{to:?}\n  wanted {wanted}\n  found  {found}");
    }
}

#[test]
fn a_persona_holds_its_agents_under_its_ceiling() {
    let own = "persona: night-reader\n  scopes:\n    - toolServer: files\n      tools:\n        - { tool: drop, operation: delete, resources: [\"a/*\"] }";
    let found = wrong("persona: night-reader", own);
    assert_eq!(found, "5.yaml:12: persona night-reader has tools of at most low risk, and drop of files is high");
}

#[test]
fn patterns_of_two_agents_do_not_overlap_with_each_other_or_with_an_id() {
    let other = |identity: &str| {
        BOT.replace("name: bot", "name: other")
            .replace("spiffeIdPattern: spiffe://td/agent/bot/*\n  instances: many", identity)
    };
    let with = |text: &str| {
        let files: Vec<_> = FILES.iter().copied().chain([("7.yaml", text)]).collect();
        defects(&files).join(" | ")
    };
    let found = with(&other("spiffeIdPattern: spiffe://td/agent/bot/*"));
    assert_eq!(found, "7.yaml:5: spiffe://td/agent/bot/* overlaps with spiffe://td/agent/bot/*, of agent bot");
    let found = with(&other("spiffeId: spiffe://td/agent/bot/7"));
    assert_eq!(found, "7.yaml:5: spiffe://td/agent/bot/7 overlaps with spiffe://td/agent/bot/*, of agent bot");
    let files: Vec<_> = FILES
        .iter()
        .map(|(n, t)| (*n, (*t).to_owned()))
        .chain([("7.yaml", other("spiffeIdPattern: spiffe://td/agent/bot/7/*"))])
        .collect();
    let files: Vec<_> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    assert_eq!(load(&files).expect("no id is both").agents().count(), 2);
}

#[test]
fn refuses_bundles_that_lead_too_deep() {
    let one = |n: usize| {
        let includes = if n < 12 { format!("  includes: [b{}]\n", n + 1) } else { String::new() };
        format!(
            "apiVersion: crumb.dev/v1\nkind: ToolBundle\nmetadata: {{ name: b{n} }}\nspec:\n  owner: ada@acme.example\n  purpose: x\n{includes}  scopes:\n    - toolServer: files\n      tools:\n        - {{ tool: search, operation: read, resources: [\"docs:index\"] }}\n---\n"
        )
    };
    let deep: String = (0..=12).map(one).collect();
    let found =
        defects(&[("1.yaml", TOOL_SERVER.replace("name: read_file", "name: search").as_str()), ("2.yaml", &deep)]);
    assert!(found.iter().any(|reason| reason.contains("leads to others at most 8 deep")), "{found:?}");
}

#[test]
fn refuses_an_agent_with_more_rights_than_fit() {
    let many: String = (0..20).map(|n| format!("\"file:///{n}\",")).collect();
    let more: String = (20..40).map(|n| format!("\"file:///{n}\",")).collect();
    let bundles = BUNDLES.replace("[\"file:///docs/*\"]", &format!("[{many}]"));
    let own = format!(
        "persona: night-reader\n  scopes:\n    - toolServer: files\n      tools:\n        - {{ tool: read_file, operation: read, resources: [{more}] }}"
    );
    let bot = BOT.replace("persona: night-reader", &own);
    let found =
        defects(&[("1.yaml", SERVER), ("2.yaml", RULE), ("3.yaml", &bundles), ("4.yaml", PERSONAS), ("5.yaml", &bot)]);
    assert!(
        found.join(" ").contains("more than 32 rights at spiffe://td/tool/files, with bundle reading"),
        "{found:?}"
    );
}

const POLICY: &str = r#"apiVersion: crumb.dev/v1
kind: Policy
metadata: { name: issue }
spec:
  owner: ada@acme.example
  files:
    issue.rego: |
      package crumb.issue

      import rego.v1

      allow contains {"because": "a test"} if input.agent.environment == "test"
    issue_test.rego: |
      package crumb.issue_test

      import data.crumb.issue
      import rego.v1

      test_a_test if count(issue.allow) == 1 with input as {"agent": {"environment": "test"}}
"#;

#[test]
fn a_policy_is_checked_with_its_tests_before_it_is_in_force() {
    let registry = load(&[("p.yaml", POLICY)]).expect("good");
    let policy = registry.policy(&"issue".parse().expect("name")).expect("registered");
    let version = policy.compiled.version();
    assert_eq!((version.len(), policy.owner.as_str()), (64, "ada@acme.example"));
    let pinned = |digest: &str| POLICY.replace("  files:", &format!("  digest: {digest}\n  files:"));
    assert!(load(&[("p.yaml", &pinned(version))]).is_ok());
    let found = defects(&[("p.yaml", &pinned(&"0".repeat(64)))]);
    assert_eq!(found, [format!("p.yaml:8: the digest is of other files: these have {version}")]);
}

#[test]
fn says_where_a_policy_is_wrong() {
    for (from, to, wanted) in [
        ("issue.rego: |", "../issue.rego: |", "p.yaml:7: `../issue.rego` is no name of rules"),
        ("issue_test.rego: |", "issue.rego: |", "duplicate entry with key \"issue.rego\""),
        ("== 1 with", "== 2 with", "p.yaml:7: issue_test.rego:"),
        ("if input.agent.environment == \"test\"", "if {", "p.yaml:7: issue.rego:"),
    ] {
        let found = defects(&[("p.yaml", &POLICY.replacen(from, to, 1))]).join(" | ");
        assert!(found.contains(wanted), "{to:?}\n  wanted {wanted}\n  found  {found}");
    }
}
