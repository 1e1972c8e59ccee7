//! Plans: what applying manifests would do, on a shelf that a test keeps itself.

use super::{
    super::plan::{Action, NotApplied, Plan, Wanted, plan},
    *,
};
use std::collections::BTreeMap;

const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);

fn files(texts: &[&str]) -> Vec<ManifestFile> {
    let file = |(n, text): (usize, &&str)| ManifestFile { file: format!("{n}.yaml").into(), text: (*text).to_owned() };
    texts.iter().enumerate().map(file).collect()
}

fn wanted(texts: &[&str]) -> Wanted {
    let author = Author::Operator("uid:5".into());
    Wanted { author, files: files(texts), prune: false, expected: BTreeMap::new() }
}

fn pruning(texts: &[&str]) -> Wanted {
    Wanted { prune: true, ..wanted(texts) }
}

fn from_directory(texts: &[&str]) -> Wanted {
    Wanted { author: Author::Directory, ..pruning(texts) }
}

fn apply(shelf: &mut Shelf, wanted: &Wanted) -> Plan {
    let plan = plan(shelf, None, wanted, NOW).expect("applied");
    assert_eq!(plan.edits.revision, shelf.revision);
    *shelf = std::mem::take(shelf).after(&plan.edits);
    plan
}

/// A shelf with the two good manifests on it.
fn stocked() -> Shelf {
    let mut shelf = Shelf::default();
    apply(&mut shelf, &wanted(&[TOOL_SERVER, AGENT]));
    shelf
}

fn told(plan: &Plan) -> Vec<String> {
    let line = |c: &plan::Change| format!("{} {} {}->{}", c.key, c.action.as_str(), c.from_version, c.to_version);
    plan.changes.iter().map(line).collect()
}

fn refused(shelf: &Shelf, wanted: &Wanted) -> Vec<String> {
    match plan(shelf, None, wanted, NOW) {
        Err(NotApplied::Defects(defects)) => defects.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn in_state(state: &str) -> String {
    AGENT.replace("environment: test", &format!("environment: test\n  lifecycle: {state}"))
}

#[test]
fn tells_what_is_new_changed_taken_away_and_as_it_was() {
    let mut shelf = Shelf::default();
    let first = apply(&mut shelf, &wanted(&[TOOL_SERVER, AGENT]));
    assert_eq!(told(&first), ["Agent/bot create 0->1", "ToolServer/files create 0->1"]);
    let changed = AGENT.replace("version: 1.0", "version: 1.1");
    let second = apply(&mut shelf, &wanted(&[&changed]));
    assert_eq!(told(&second), ["Agent/bot update 1->2"]);
    assert!(second.changes[0].diff.contains("-  version: 1.0\n+  version: 1.1\n"), "{}", second.changes[0].diff);
    let same = apply(&mut shelf, &wanted(&[TOOL_SERVER, &changed]));
    assert_eq!(told(&same), ["Agent/bot unchanged 2->2", "ToolServer/files unchanged 1->1"]);
    assert_eq!((same.edits.edits.len(), same.registry.version()), (0, second.registry.version()));
    let gone = apply(&mut shelf, &pruning(&[TOOL_SERVER]));
    assert_eq!(told(&gone), ["Agent/bot delete 2->3", "ToolServer/files unchanged 1->1"]);
    let back = apply(&mut shelf, &wanted(&[AGENT]));
    assert_eq!(told(&back), ["Agent/bot create 0->4"], "no version ever means two texts");
}

#[test]
fn a_snapshot_from_the_shelf_is_the_one_from_the_directory() {
    let both = format!("{TOOL_SERVER}---\n{AGENT}");
    let mut shelf = Shelf::default();
    let plan = apply(&mut shelf, &wanted(&[&both]));
    let loaded = load(&[("all.yaml", &both)]).expect("good");
    assert_eq!(plan.registry.version(), loaded.version());
}

#[test]
fn a_version_that_was_seen_has_to_be_the_one_in_force() {
    let mut shelf = stocked();
    let seen = |version: u64| {
        AGENT
            .replace("name: bot", &format!("name: bot, resourceVersion: {version}"))
            .replace("version: 1.0", "version: 1.1")
    };
    let key = Key::new(Kind::Agent, "bot").expect("a name");
    let conflict = |seen, kept| NotApplied::Conflict { key: key.clone(), seen, kept };
    assert_eq!(plan(&shelf, None, &wanted(&[&seen(2)]), NOW).expect_err("stale"), conflict(2, 1));
    let plan_one = apply(&mut shelf, &wanted(&[&seen(1)]));
    assert_eq!(told(&plan_one), ["Agent/bot update 1->2"]);
    assert!(!shelf.manifests.iter().any(|kept| kept.text.contains("resourceVersion")), "the store counts by itself");
    assert_eq!(plan(&shelf, None, &wanted(&[&seen(1)]), NOW).expect_err("stale"), conflict(1, 2));
    let beside = |version| Wanted { expected: [(key.clone(), version)].into(), ..wanted(&[]) };
    assert_eq!(plan(&shelf, None, &beside(0), NOW).expect_err("it is there"), conflict(0, 2));
    assert!(plan(&shelf, None, &beside(2), NOW).is_ok());
}

#[test]
fn what_is_left_without_what_it_refers_to_is_a_defect() {
    let shelf = stocked();
    let found = refused(&shelf, &pruning(&[AGENT]));
    assert_eq!(found, ["0.yaml:11: no tool server is registered as files"]);
    // And also when the one that is orphaned was not even submitted.
    let renamed = TOOL_SERVER.replace("name: read_file", "name: look");
    let found = refused(&shelf, &wanted(&[&renamed]));
    assert_eq!(found, ["in-force/agent-bot.yaml:13: files has no tool read_file that does read"]);
}

#[test]
fn a_forbidden_step_is_a_defect_even_by_way_of_deletion() {
    let mut shelf = Shelf::default();
    apply(&mut shelf, &wanted(&[TOOL_SERVER, &in_state("built")]));
    let found = refused(&shelf, &wanted(&[AGENT]));
    assert!(found[0].starts_with("0.yaml:5: an agent does not go from built to operating"), "{found:?}");
    for state in ["tested", "promoted", "operating", "retired"] {
        apply(&mut shelf, &wanted(&[&in_state(state)]));
    }
    let found = refused(&shelf, &wanted(&[&in_state("operating")]));
    assert_eq!(found, ["0.yaml:10: an agent does not go from retired to operating: a retired one never comes back"]);
    apply(&mut shelf, &pruning(&[TOOL_SERVER]));
    assert!(refused(&shelf, &wanted(&[&in_state("operating")]))[0].contains("never comes back"));
}

#[test]
fn what_gives_more_is_marked_and_what_gives_less_is_not() {
    let mut shelf = Shelf::default();
    let created = apply(&mut shelf, &wanted(&[TOOL_SERVER, AGENT]));
    assert_eq!(created.changes[0].widens, ["read_file read file:///docs/* at spiffe://td/tool/files"]);
    for (from, to, wanted_words) in [
        ("file:///docs/*", "file:///docs/a/*", ""),
        ("file:///docs/a/*", "file:///*", "read_file read file:///* at spiffe://td/tool/files"),
        ("environment: test", "environment: production", "it may run in production"),
        ("environment: production", "environment: production\n  maxTtlSeconds: 60", ""),
        ("maxTtlSeconds: 60", "maxTtlSeconds: 90", "its tokens may live for 90 s"),
        (
            "maxTtlSeconds: 90",
            "process: { uid: 1, exe: /bin/a }\n  sidecars: [spiffe://td/s]\n  maxTtlSeconds: 90",
            "spiffe://td/s may speak for it",
        ),
        ("uid: 1, exe: /bin/a", "uid: 1, exe: /bin/b", "another process may be it"),
        ("uid: 1, exe: /bin/b", "uid: 1", "another process may be it"),
        ("uid: 1", "uid: 1, exe: /bin/b", ""),
        (
            "spiffeId: spiffe://td/agent/bot",
            "spiffeIdPattern: spiffe://td/agent/*",
            "spiffe://td/agent/* may act as it",
        ),
        ("version: 1.0", "version: 1.1", ""),
        ("version: 1.1", "deployment: { lease: 30s }\n  version: 1.1", ""),
        ("lease: 30s", "lease: 10m", "it goes on for 600 s when its deployment is gone"),
        ("lease: 10m", "lease: 30s", ""),
        ("deployment: { lease: 30s }", "validUntil: 2027-01-31", "it goes on when its deployment is gone"),
        ("validUntil: 2027-01-31", "validUntil: 2027-06-30", "it is registered until 2027-06-30"),
        ("validUntil: 2027-06-30", "validUntil: 2027-01-31", ""),
        ("validUntil: 2027-01-31", "reviewBy: 2027-01-31", "it is registered for ever"),
        ("reviewBy: 2027-01-31", "reviewBy: 2099-01-31", "it goes without a review until 2099-01-31"),
        ("reviewBy: 2099-01-31", "reviewBy: 2027-01-31", ""),
        ("reviewBy: 2027-01-31", "model: acme/large-2", "it goes without a review for ever"),
    ] {
        let text = shelf.manifests.iter().find(|kept| kept.key.kind == Kind::Agent).expect("there").text.clone();
        assert!(text.contains(from), "{from}");
        let plan = apply(&mut shelf, &wanted(&[&text.replace(from, to)]));
        assert_eq!(plan.changes[0].widens.join("; "), wanted_words, "{from} to {to}");
    }
}

#[test]
fn a_persona_that_goes_is_marked_and_one_that_comes_is_not() {
    let persona = "apiVersion: crumb.dev/v1\nkind: Persona\nmetadata: { name: clerk }\nspec:\n  owner: ada@acme.example\n  purpose: x\n  bundles: []\n  riskCeiling: low\n";
    let (other, held) =
        (persona.replace("clerk", "reader"), AGENT.replace("  version:", "  persona: clerk\n  version:"));
    let mut shelf = Shelf::default();
    apply(&mut shelf, &wanted(&[TOOL_SERVER, AGENT, persona, &other]));
    let mut told = |text: &str| apply(&mut shelf, &wanted(&[text])).changes[0].widens.join("; ");
    let gone = "persona clerk goes, with its risk ceiling, its policies and what counts as drift for it";
    assert_eq!(told(&held), "");
    assert_eq!(told(AGENT), gone);
    assert_eq!(told(&held), "");
    assert_eq!(told(&held.replace("persona: clerk", "persona: reader")), gone, "another one holds it in otherwise");
}

#[test]
fn a_bundle_that_gives_more_is_marked_and_an_unchanged_agent_is_not_listed() {
    let bundle = "apiVersion: crumb.dev/v1\nkind: ToolBundle\nmetadata: { name: reading }\nspec:\n  owner: ada@acme.example\n  purpose: x\n  scopes:\n    - toolServer: files\n      tools:\n        - { tool: read_file, operation: read, resources: [\"a/*\"] }\n";
    let agent = AGENT.replace("environment: test", "environment: test\n  bundles: [reading]");
    let mut shelf = Shelf::default();
    apply(&mut shelf, &wanted(&[TOOL_SERVER, bundle, &agent]));
    let wider = bundle.replace("a/*", "*");
    let plan = apply(&mut shelf, &wanted(&[&wider]));
    assert_eq!(told(&plan), ["ToolBundle/reading update 1->2"]);
    assert_eq!(plan.changes[0].widens, ["read_file read * at spiffe://td/tool/files"]);
    let agent = plan.registry.agents().next().expect("registered");
    assert_eq!(agent.scopes.values().map(Grants::len).sum::<usize>(), 2);
}

#[test]
fn groups_risks_and_lists_of_people_can_give_more_as_well() {
    let rule = "apiVersion: crumb.dev/v1\nkind: ApprovalRule\nmetadata: { name: sec }\nspec:\n  owner: ada@acme.example\n  members: [a@acme.example, b@acme.example]\n  count: 2\n";
    let people = "apiVersion: crumb.dev/v1\nkind: Directory\nmetadata: { name: people }\nspec:\n  owner: bob@acme.example\n  departed: [ada@acme.example]\n";
    let server = TOOL_SERVER.replace("risk: low", "risk: high");
    let mut shelf = Shelf::default();
    apply(&mut shelf, &wanted(&[&server, AGENT, rule, people]));
    let looser = rule.replace("count: 2", "count: 1").replace("b@acme", "c@acme");
    let plan = apply(&mut shelf, &pruning(&[TOOL_SERVER, AGENT, &looser]));
    let widens: Vec<_> = plan.changes.iter().map(|c| (c.key.to_string(), c.widens.join("; "))).collect();
    let wanted: Vec<(String, String)> = [
        ("Agent/bot", ""),
        ("ToolServer/files", "read_file read counts as low risk instead of high"),
        ("ApprovalRule/sec", "c@acme.example may approve; 1 instead of 2 have to approve"),
        ("Directory/people", "ada@acme.example counts as here again"),
    ]
    .map(|(key, words)| (key.to_owned(), words.to_owned()))
    .into();
    assert_eq!(widens, wanted);
}

#[test]
fn agents_that_stop_are_named() {
    let mut shelf = stocked();
    assert!(apply(&mut shelf, &wanted(&[&AGENT.replace("1.0", "1.1")])).stopped.is_empty());
    let plan = apply(&mut shelf, &wanted(&[&in_state("quarantined")]));
    assert_eq!(plan.stopped.iter().map(AgentName::as_str).collect::<Vec<_>>(), ["bot"]);
    assert!(apply(&mut shelf, &wanted(&[&in_state("retired")])).stopped.is_empty(), "it had stopped before");
    let mut shelf = stocked();
    assert_eq!(apply(&mut shelf, &pruning(&[TOOL_SERVER])).stopped.len(), 1);
}

#[test]
fn the_directory_says_the_same_at_each_start_and_does_not_undo_operators() {
    let mut shelf = Shelf::default();
    let first = apply(&mut shelf, &from_directory(&[TOOL_SERVER, AGENT]));
    assert_eq!(told(&first).len(), 2);
    // An operator sets the agent aside, and registers another one.
    let other = AGENT.replace("bot", "other");
    apply(&mut shelf, &wanted(&[&in_state("quarantined"), &other]));
    let start = apply(&mut shelf, &from_directory(&[TOOL_SERVER, AGENT]));
    assert!(start.edits.edits.is_empty(), "{:?}", told(&start));
    let agent = start.registry.agent(&"bot".parse().expect("name")).expect("registered");
    assert_eq!(agent.lifecycle, Lifecycle::Quarantined);
    assert_eq!(start.registry.agents().count(), 2);
    // What changes in the directory counts, and what goes from it goes.
    let renamed = TOOL_SERVER.replace("127.0.0.1:9443", "127.0.0.1:9444");
    let start = apply(&mut shelf, &from_directory(&[&renamed, AGENT]));
    assert_eq!(told(&start), ["ToolServer/files update 1->2"]);
    let start = plan(&shelf, None, &from_directory(&[]), NOW);
    assert!(matches!(start, Err(NotApplied::Defects(_))), "agents of an operator still need the tool server");
}

#[test]
fn without_a_directory_what_is_kept_stays_in_force() {
    let shelf = stocked();
    let start = plan(&shelf, None, &Wanted::nothing(), NOW).expect("a start");
    assert_eq!((start.edits.edits.len(), start.registry.agents().count(), start.stopped.len()), (0, 1, 0));
}

#[test]
fn tells_defects_of_everything_submitted_and_applies_none_of_it() {
    let shelf = stocked();
    let found = refused(&shelf, &wanted(&["kind: Robot\n", &AGENT.replace("read_file", "drop"), "a: [", AGENT]));
    assert!(found[0].starts_with("0.yaml:1: kind: unknown variant `Robot`"), "{found:?}");
    assert!(found.iter().any(|reason| reason.starts_with("1.yaml:13: files has no tool drop")), "{found:?}");
    assert!(found.iter().any(|reason| reason.starts_with("2.yaml:")), "{found:?}");
    assert!(found.iter().any(|reason| reason == "3.yaml:3: agent bot is registered twice"), "{found:?}");
}

#[test]
fn names_that_could_be_read_as_something_else_are_refused_in_every_kind() {
    for name in [
        "*",
        "bot-*",
        "../bot",
        "a/b",
        "b\u{43e}t",
        "\u{ff42}ot",
        "bot\u{200b}",
        "bot\\n",
        "allow if true",
        "right(a, b)",
        "Bot",
        "a.b",
    ] {
        for text in [
            AGENT.replace("name: bot", &format!("name: \"{name}\"")),
            TOOL_SERVER.replace("name: files", &format!("name: \"{name}\"")),
        ] {
            let found = refused(&Shelf::default(), &wanted(&[&text]));
            assert!(found[0].starts_with("0.yaml:3: metadata.name: has a character"), "{name:?}: {found:?}");
        }
    }
}

#[test]
fn keeps_no_more_than_can_be_exported() {
    let comment = format!("# {}\n", "x".repeat(1000)).repeat(Registry::TEXT_LEN_MAX / 1000);
    let found = refused(&Shelf::default(), &wanted(&[&format!("{comment}{TOOL_SERVER}")]));
    assert!(found[0].ends_with("the manifests have 2097152 bytes together at most"), "{found:?}");
    assert_eq!(Action::Unchanged.as_str(), "unchanged");
}
