//! Manifests: what is read from good ones, and for each way of being wrong the file, the line and the reason.

mod kinds;
mod plans;
mod standings;

use super::*;
use crumb_token::{Grants, Timestamp};
use std::fs;

const TOOL_SERVER: &str = "apiVersion: crumb.dev/v1
kind: ToolServer
metadata: { name: files }
spec:
  audience: spiffe://td/tool/files
  spiffeId: spiffe://td/tool/files
  owner: ada@acme.example
  address: 127.0.0.1:9443
  tools:
    - { name: read_file, operation: read, risk: low }
";

const AGENT: &str = "apiVersion: crumb.dev/v1
kind: Agent
metadata: { name: bot }
spec:
  spiffeId: spiffe://td/agent/bot
  owner: ada@acme.example
  purpose: Summarises release notes.
  version: 1.0
  environment: test
  scopes:
    - toolServer: files
      tools:
        - { tool: read_file, operation: read, resources: [\"file:///docs/*\"] }
";

fn load(files: &[(&str, &str)]) -> Result<Registry, UnusableRegistry> {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("a file of our own");
    }
    Registry::load(directory.path())
}

/// Loads the two good manifests with one line changed, and returns what is wrong, as `file:line: reason`.
fn defects(files: &[(&str, &str)]) -> Vec<String> {
    let Err(UnusableRegistry::Defects(defects)) = load(files) else { panic!("{files:?} was taken") };
    let name = |d: &Defect| d.file.file_name().expect("a file").to_string_lossy().into_owned();
    defects.iter().map(|d| format!("{}:{}: {}", name(d), d.line, d.reason)).collect()
}

fn defect_of(from: &str, to: &str) -> String {
    let (server, agent) = (TOOL_SERVER.replace(from, to), AGENT.replace(from, to));
    assert!(server != TOOL_SERVER || agent != AGENT, "{from:?} is in neither");
    defects(&[("a.yaml", &server), ("b.yaml", &agent)]).join(" | ")
}

#[test]
fn reads_what_the_manifests_say() {
    let more = "  sidecars: [spiffe://td/sidecar]
  process: { uid: 1000, exe: /usr/bin/bot }
  validUntil: 2027-01-31
  maxTtlSeconds: 60
";
    let text = format!("# One file, two documents.\n{AGENT}{more}---\n{TOOL_SERVER}---\n");
    let registry = load(&[("all.yml", &text), ("notes.txt", "nothing"), (".hidden.yaml", "nothing")]).expect("good");
    let agent = registry.agent(&"bot".parse().expect("name")).expect("registered");
    assert_eq!((agent.version.as_str(), agent.owner.as_str()), ("1.0", "ada@acme.example"));
    assert_eq!(agent.valid_until, Some(Timestamp::from_unix_s(1_801_440_000)), "2027-02-01T00:00:00Z");
    assert_eq!(agent.ttl_max, Some(std::time::Duration::from_secs(60)));
    assert!(agent.is_spoken_for_by(&"spiffe://td/sidecar".parse().expect("id")));
    assert!(!agent.is_spoken_for_by(&"spiffe://td/other".parse().expect("id")));
    let server = registry.tool_server(&"spiffe://td/tool/files".parse().expect("audience")).expect("registered");
    assert_eq!(server.tools.first().map(|t| t.risk), Some(Risk::Low));
    assert_eq!(agent.scopes.get(&server.audience).map(Grants::len), Some(1));
}

#[test]
fn the_version_is_that_of_the_content() {
    let version = |files: &[_]| load(files).expect("good").version().to_owned();
    let one = version(&[("a.yaml", TOOL_SERVER), ("b.yaml", AGENT)]);
    assert_eq!(one, version(&[("a.yaml", TOOL_SERVER), ("b.yaml", AGENT)]));
    assert_ne!(one, version(&[("a.yaml", TOOL_SERVER), ("b.yaml", &format!("{AGENT}# why\n"))]));
    assert_eq!(one.len(), 64);
}

#[test]
fn says_where_each_manifest_is_wrong() {
    let table: &[(&str, &str, &str)] = &[
        (
            "apiVersion: crumb.dev/v1\nkind: Agent",
            "apiVersion: v2\nkind: Agent",
            "b.yaml:1: apiVersion: apiVersion is crumb.dev/v1",
        ),
        (
            "kind: Agent",
            "kind: Robot",
            "b.yaml:2: kind: unknown variant `Robot`, expected one of `Agent`, `ToolServer`",
        ),
        ("name: bot", "name: No Bot", "b.yaml:3: metadata.name: has a character that is not allowed here"),
        ("  spiffeId: spiffe://td/agent/bot\n", "", "b.yaml:5: spec: missing field `spiffeId`"),
        ("  purpose: Summarises release notes.\n", "", "b.yaml:5: spec: missing field `purpose`"),
        ("purpose: Summarises release notes.", "purpose: ''", "b.yaml:7: spec.purpose: is empty"),
        ("version: 1.0", "colour: red", "b.yaml:8: spec: unknown field `colour`, expected one of"),
        ("toolServer: files", "toolServer: mail", "b.yaml:11: no tool server is registered as mail"),
        ("tool: read_file", "tool: drop", "b.yaml:13: files has no tool drop that does read"),
        ("tool: read_file, operation: read,", "tool: read_file, operation: write,", "b.yaml:13: files has no tool"),
        ("file:///docs/*", "file:///docs*", "b.yaml:13: spec.scopes[0].tools[0].resources[0]: `*` stands alone"),
        ("[\"file:///docs/*\"]", "[]", "b.yaml:13: a right without resources allows nothing"),
        ("risk: low", "risk: none", "a.yaml:10: spec.tools[0].risk: unknown variant `none`"),
        ("address: 127.0.0.1:9443", "address: here", "a.yaml:8: spec.address: an address is host:port"),
        ("audience: spiffe://td/tool/files", "audience: files", "a.yaml:5: spec.audience: an audience is a SPIFFE ID"),
        (
            "environment: test",
            "environment: test\n  validUntil: soon",
            "b.yaml:10: spec.validUntil: a date is written 2027-01-31",
        ),
        (
            "environment: test",
            "environment: test\n  maxTtlSeconds: 1",
            "b.yaml:10: spec.maxTtlSeconds: maxTtlSeconds is from 2 to 3600",
        ),
        ("environment: test", "environment: test\n  process: {}", "b.yaml:10: a process is named by at least one"),
        (
            "environment: test",
            "environment: test\n  sidecars: [spiffe://td/s]",
            "b.yaml:10: an agent that sidecars speak for",
        ),
        ("version: 1.0", "version: 1.0\n  version: 2.0", "b.yaml:5: spec: duplicate field `version`"),
        ("environment: test", "environment: \"test", "b.yaml:13: did not find expected key"),
    ];
    for (from, to, wanted) in table {
        let found = defect_of(from, to);
        assert!(found.starts_with(wanted), "{to:?}\n  wanted {wanted}\n  found  {found}");
    }
}

#[test]
fn refuses_owners_who_are_no_person() {
    for owner in ["team@acme.example", "security@acme.example", "ai-group@acme.example", "ada"] {
        let found = defect_of("owner: ada@acme.example\n  purpose", &format!("owner: {owner}\n  purpose"));
        assert!(found.starts_with("b.yaml:6: spec.owner: "), "{found}");
    }
}

#[test]
fn refuses_what_is_registered_twice() {
    let found = defects(&[("a.yaml", TOOL_SERVER), ("b.yaml", AGENT), ("c.yaml", AGENT), ("d.yaml", TOOL_SERVER)]);
    let wanted = [
        "c.yaml:3: agent bot is registered twice",
        "c.yaml:5: spiffe://td/agent/bot is the identity of another agent",
        "d.yaml:3: tool server files is registered twice",
        "d.yaml:5: audience spiffe://td/tool/files is registered twice",
    ];
    assert_eq!(found, wanted);
    let twice = "    - { name: read_file, operation: read, risk: low }\n    - { name: read_file, operation: read, risk: high }\n";
    let twice = TOOL_SERVER.replace("    - { name: read_file, operation: read, risk: low }\n", twice);
    assert_eq!(defects(&[("a.yaml", &twice)]), ["a.yaml:11: read_file read is listed twice"]);
}

#[test]
fn tells_all_defects_of_all_files_at_once() {
    let broken = AGENT.replace("name: bot", "name: B").replace("td/agent/bot", "td/agent/b");
    let both = format!("{broken}---\n{}", AGENT.replace("toolServer: files", "toolServer: mail"));
    let found = defects(&[("a.yaml", TOOL_SERVER), ("b.yaml", &both), ("c.yaml", "kind: Agent\n")]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("b.yaml:3: metadata.name"), "{found:?}");
    assert!(found[1].starts_with("b.yaml:25: no tool server"), "{found:?}");
    assert!(found[2].starts_with("c.yaml:1: missing field"), "{found:?}");
}

#[test]
fn refuses_a_directory_that_is_not_there_and_takes_an_empty_one() {
    assert!(matches!(Registry::load(Path::new("/no/such/directory")), Err(UnusableRegistry::Directory { .. })));
    assert_eq!(load(&[]).expect("nobody may do anything").agents().count(), 0);
}
