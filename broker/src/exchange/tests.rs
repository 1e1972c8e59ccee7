//! The decision, case by case, and the property that nothing is ever wider than what it was made from.

use super::*;
use crate::session::{BoundProcess, Opening};
use crumb_token::{Grant, Origin, origin::Assurance};
use proptest::prelude::*;
use std::{fs, sync::LazyLock};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);
const FILES: &str = "spiffe://td/tool/files";

const MANIFESTS: &str = "apiVersion: crumb.dev/v1
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
kind: Agent
metadata: { name: bot }
spec:
  spiffeId: spiffe://td/agent/bot
  owner: ada@acme.example
  purpose: Tests.
  version: 1.0.0
  environment: test
  scopes:
    - toolServer: files
      tools:
        - { tool: read_file, operation: read, resources: [\"a/*\", \"b/*\", \"b/c/*\"] }
        - { tool: write_file, operation: write, resources: [\"a/*\"] }
  sidecars: [spiffe://td/sidecar]
  process: { uid: 1000 }
";

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("all.yaml"), MANIFESTS).expect("a file of our own");
    Registry::load(directory.path()).expect("good manifests")
});

fn grants(rights: &[(&str, &str)]) -> Grants {
    let right = |(operation, resource): &(&str, &str)| Grant {
        tool: format!("{operation}_file").parse().expect("tool"),
        operation: operation.parse().expect("operation"),
        resource: resource.parse().expect("resource"),
    };
    Grants::try_new(rights.iter().map(right)).expect("few")
}

fn caller(id: &str) -> Caller {
    Caller { id: id.parse().expect("id"), svid_expires_at: NOW.plus(Duration::from_secs(3600)) }
}

fn session(envelope: Grants) -> Session {
    let opening = Opening {
        agent: "bot".parse().expect("name"),
        intent: "test".parse().expect("intent"),
        origin: Origin::User { name: "bob@acme.example".parse().expect("name"), assurance: Assurance::Asserted },
        envelope: vec![(FILES.parse().expect("audience"), envelope)],
        lifetime: Duration::ZERO,
        process: None,
        proof: None,
    };
    let id = SessionId::from_uuid(Uuid::from_u128(1));
    session::open(id, opening, &caller("spiffe://td/agent/bot"), &REGISTRY, None, NOW).expect("a session")
}

fn wanted(grants: Grants) -> Exchange {
    Exchange {
        session: SessionId::from_uuid(Uuid::from_u128(1)),
        audience: FILES.parse().expect("audience"),
        grants,
        ttl: Duration::ZERO,
        holder: None,
        handing: None,
        task: None,
        process: None,
    }
}

fn decided(exchange: &Exchange, session: &Session, caller: &Caller, now: Timestamp) -> Result<Claims, Denial> {
    let provider = "spire".parse().expect("provider");
    let token = TokenId::from_uuid(Uuid::from_u128(2));
    decide(&Inputs { exchange, caller, registry: &REGISTRY, session: Some(session), provider: &provider, token, now })
}

#[test]
fn grants_exactly_what_was_asked_when_manifest_and_envelope_give_it() {
    let session = session(grants(&[("read", "a/*"), ("read", "b/*"), ("write", "a/x")]));
    // `b/*` is given by two overlapping rules; the answer is still the request.
    let asked = grants(&[("read", "a/b/*"), ("read", "b/*"), ("write", "a/x")]);
    let claims = decided(&wanted(asked.clone()), &session, &caller("spiffe://td/agent/bot"), NOW).expect("claims");
    assert_eq!(claims.grants, asked);
    assert_eq!(claims.holder, caller("spiffe://td/agent/bot").id);
}

#[test]
fn the_first_rule_that_is_broken_answers() {
    let good = session(grants(&[("read", "a/*")]));
    let me = caller("spiffe://td/agent/bot");
    let other = caller("spiffe://td/agent/other");
    let mine = |s: &Session| Session { peer: other.id.clone(), ..s.clone() };
    let closed = Session { closed_at: Some(NOW), ..good.clone() };
    let bound = Session { process: Some(BoundProcess { uid: 1000, exe: "/bot".into() }), ..good.clone() };
    let gone = Session { agent: "gone".parse().expect("name"), ..good.clone() };
    let ask = |resource| wanted(grants(&[("read", resource)]));
    let elsewhere = Exchange { audience: "spiffe://td/tool/other".parse().expect("audience"), ..ask("a/x") };
    let no_tool = wanted(
        Grants::try_new([Grant {
            tool: "read_file".parse().expect("tool"),
            operation: "write".parse().expect("operation"),
            resource: "a/x".parse().expect("resource"),
        }])
        .expect("one"),
    );
    let for_other = Exchange { holder: Some(other.id.clone()), ..ask("a/x") };
    let late = good.expires_at;
    let table: &[(&str, &Exchange, &Session, &Caller, Timestamp)] = &[
        ("session_unknown", &ask("z"), &closed, &other, NOW),
        ("session_unknown", &ask("a/x"), &bound, &me, NOW),
        ("agent_unknown", &elsewhere, &gone, &me, NOW),
        ("agent_not_spoken_for", &elsewhere, &mine(&good), &other, NOW),
        ("tool_server_unknown", &elsewhere, &closed, &me, NOW),
        ("tool_unknown", &no_tool, &closed, &me, NOW),
        ("session_closed", &ask("z"), &closed, &me, NOW),
        ("session_closed", &ask("a/x"), &good, &me, late),
        ("outside_envelope", &ask("b/x"), &good, &me, NOW),
        ("outside_envelope", &ask("*"), &good, &me, NOW),
        ("agent_not_spoken_for", &for_other, &good, &me, NOW),
        ("lifetime_too_short", &ask("a/x"), &good, &me, Timestamp::from_unix_s(late.as_unix_s() - 1)),
    ];
    for (code, exchange, session, caller, now) in table {
        let denial = decided(exchange, session, caller, *now).expect_err(code);
        assert_eq!(denial.reason.code(), *code, "{denial:?}");
        assert!(!denial.asked.is_empty(), "{denial:?}");
    }
}

#[test]
fn a_session_that_is_wider_than_the_manifest_does_not_widen_it() {
    let wide = Session {
        envelope: vec![(FILES.parse().expect("audience"), grants(&[("read", "*")]))],
        ..session(grants(&[("read", "a/*")]))
    };
    let denial = decided(&wanted(grants(&[("read", "z/x")])), &wide, &caller("spiffe://td/agent/bot"), NOW);
    assert_eq!(denial.expect_err("refused").reason, Reason::OutsideManifest);
}

#[test]
fn a_sidecar_binds_the_token_to_itself_or_to_its_agent() {
    let sidecar = caller("spiffe://td/sidecar");
    let process = LocalProcess { pid: 1, uid: 1000, gid: 1000, exe: "/bot".into(), exe_sha256: None };
    let session = Session { peer: sidecar.id.clone(), ..session(grants(&[("read", "a/*")])) };
    let mut exchange = wanted(grants(&[("read", "a/x")]));
    let missing = decided(&exchange, &session, &sidecar, NOW).expect_err("no process");
    assert_eq!(missing.reason, Reason::AgentProcessMismatch);
    exchange.process = Some(LocalProcess { uid: 1001, ..process.clone() });
    let wrong = decided(&exchange, &session, &sidecar, NOW).expect_err("another user");
    assert_eq!(wrong.reason, Reason::AgentProcessMismatch);
    exchange.process = Some(process);
    assert_eq!(decided(&exchange, &session, &sidecar, NOW).expect("claims").holder, sidecar.id);
    exchange.holder = Some("spiffe://td/agent/bot".parse().expect("id"));
    let claims = decided(&exchange, &session, &sidecar, NOW).expect("claims");
    assert_eq!(claims.holder.as_str(), "spiffe://td/agent/bot");
}

fn any_grants() -> impl Strategy<Value = Grants> {
    let resource = prop::sample::select(vec!["*", "a/*", "a/b/*", "a/b/c", "a/x", "b/*", "b/c/*", "b/c/d", "z"]);
    let right = (prop::sample::select(vec!["read", "write"]), resource);
    prop::collection::vec(right, 1..5).prop_map(|rights| grants(&rights))
}

proptest! {
    #[test]
    fn nothing_is_granted_that_one_side_lacks(asked in any_grants(), envelope in any_grants(), probe in "[abz](/[abcxd]){0,3}") {
        let session = Session {
            envelope: vec![(FILES.parse().expect("audience"), envelope.clone())],
            ..session(grants(&[("read", "a/*")]))
        };
        let manifest = &REGISTRY.agent(&session.agent).expect("registered").scopes[&session.envelope[0].0];
        let outcome = decided(&wanted(asked.clone()), &session, &caller("spiffe://td/agent/bot"), NOW);
        let probe = probe.parse().expect("resource");
        for operation in ["read", "write"] {
            let tool = format!("{operation}_file").parse().expect("tool");
            let operation = operation.parse().expect("operation");
            let covered = |grants: &Grants| grants.covers(&tool, &operation, &probe);
            if let Ok(claims) = &outcome && covered(&claims.grants) {
                prop_assert!(covered(&asked) && covered(&envelope) && covered(manifest));
            }
        }
        if let Ok(claims) = outcome {
            prop_assert_eq!(claims.grants, asked);
        }
    }
}

#[test]
fn a_session_inside_another_is_of_the_same_process() {
    let sidecar = caller("spiffe://td/sidecar");
    let process = |exe: &str| LocalProcess { pid: 1, uid: 1000, gid: 1000, exe: exe.into(), exe_sha256: None };
    let opening = |origin: Origin, exe: &str| Opening {
        agent: "bot".parse().expect("name"),
        intent: "test".parse().expect("intent"),
        origin,
        envelope: vec![(FILES.parse().expect("audience"), grants(&[("read", "a/*")]))],
        lifetime: Duration::ZERO,
        process: Some(process(exe)),
        proof: None,
    };
    let schedule = Origin::Schedule { name: "nightly".parse().expect("name") };
    let id = |n| SessionId::from_uuid(Uuid::from_u128(n));
    let parent = session::open(id(1), opening(schedule, "/bot"), &sidecar, &REGISTRY, None, NOW).expect("a session");
    let inside = |exe| {
        let origin = Origin::Agent { session: id(1) };
        session::open(id(2), opening(origin, exe), &sidecar, &REGISTRY, Some(&parent), NOW)
    };
    assert!(inside("/bot").is_ok());
    assert_eq!(inside("/another").expect_err("another process").reason, Reason::SessionUnknown);
}
