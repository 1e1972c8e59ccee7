//! Who may be named in a token, case by case.

use super::*;
use crate::{approval::Need, session::Opening};
use crumb_token::{Grant, Grants, Origin, SessionId, TokenId, origin::Assurance};
use std::{fs, sync::LazyLock, time::Duration};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);
const FILES: &str = "spiffe://td/tool/files";

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    let agent = |name: &str, environment: &str, resources: &str, more: &str| {
        format!(
            "---
apiVersion: crumb.dev/v1
kind: Agent
metadata: {{ name: {name} }}
spec:
  spiffeId: spiffe://td/agent/{name}
  owner: ada@acme.example
  purpose: Tests.
  version: 1.0.0
  environment: {environment}
  scopes:
    - toolServer: files
      tools: [{{ tool: read_file, operation: read, resources: [{resources}] }}]
{more}"
        )
    };
    let manifests = format!(
        "apiVersion: crumb.dev/v1
kind: ToolServer
metadata: {{ name: files }}
spec:
  audience: {FILES}
  spiffeId: {FILES}
  owner: ada@acme.example
  address: 127.0.0.1:9443
  tools:
    - {{ name: read_file, operation: read, risk: low }}
{}{}{}{}{}{}{}{}",
        agent(
            "lead",
            "test",
            "\"a/*\", \"b/*\"",
            "  mayHandTo: [reader, narrow, elsewhere, retired, lead, hosted, gateway]\n"
        ),
        agent("reader", "test", "\"a/*\", \"b/*\"", "  maxTtlSeconds: 60\n"),
        agent("narrow", "test", "\"a/x\"", ""),
        agent("elsewhere", "production", "\"a/*\"", ""),
        agent("retired", "test", "\"a/*\"", "  lifecycle: retired\n"),
        agent("gateway", "test", "\"a/*\"", ""),
        agent("hosted", "test", "\"a/*\"", "  sidecars: [spiffe://td/agent/gateway]\n  process: { uid: 7 }\n"),
        agent("unnamed", "test", "\"a/*\"", ""),
    );
    fs::write(directory.path().join("all.yaml"), manifests).expect("a file of our own");
    Registry::load(directory.path()).expect("good manifests")
});

fn grants(resource: &str) -> Grants {
    Grants::try_new([Grant {
        tool: "read_file".parse().expect("tool"),
        operation: "read".parse().expect("operation"),
        resource: resource.parse().expect("resource"),
    }])
    .expect("one")
}

fn own() -> Session {
    let opening = Opening {
        agent: "lead".parse().expect("name"),
        intent: "test".parse().expect("intent"),
        origin: Origin::User { name: "bob@acme.example".parse().expect("name"), assurance: Assurance::Asserted },
        envelope: vec![(FILES.parse().expect("audience"), grants("a/*"))],
        lifetime: Duration::ZERO,
        process: None,
        proof: None,
    };
    let lead = Caller {
        id: "spiffe://td/agent/lead".parse().expect("id"),
        svid_expires_at: NOW.plus(Duration::from_secs(3600)),
    };
    let id = SessionId::from_uuid(Uuid::from_u128(1));
    session::open(id, opening, &lead, &REGISTRY, None, NOW).expect("a session")
}

fn claims() -> Claims {
    let session = own();
    Claims {
        token: TokenId::from_uuid(Uuid::from_u128(2)),
        session: session.id,
        agent: session.agent.clone(),
        version: session.version.clone(),
        environment: "test".parse().expect("environment"),
        holder: session.peer.clone(),
        subject: None,
        actors: vec![],
        ancestors: vec![],
        origin: session.origin.clone(),
        intent_digest: [1; 32],
        audience: FILES.parse().expect("audience"),
        grants: grants("a/*"),
        issued_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(600)),
        may_act: None,
        depth_limit: 8,
        identity_provider: "spire".parse().expect("provider"),
    }
}

fn to(agents: &[&str]) -> Handing {
    let to = agents
        .iter()
        .map(|name| (name.parse().expect("name"), format!("spiffe://td/agent/{name}").parse().expect("id")));
    Handing { key: DelegationKey::try_from(&[1; 32][..]).expect("a key"), to: to.collect() }
}

fn refusal(handing: &Handing, session: &Session) -> Denial {
    decide(handing, &claims(), session, &REGISTRY).expect_err("refused")
}

#[test]
fn names_each_agent_with_its_version() {
    let may_act = decide(&to(&["reader"]), &claims(), &own(), &REGISTRY).expect("may act");
    let [delegate] = &may_act.delegates[..] else { panic!("one") };
    assert_eq!((delegate.agent.as_str(), delegate.version.as_str()), ("reader", "1.0.0"));
    let reader = REGISTRY.agent(&delegate.agent).expect("registered");
    assert_eq!(end(reader, &Ruled::default(), &claims()), NOW.plus(Duration::from_secs(60)), "its own longest life");
}

#[test]
fn refuses_whom_the_owner_did_not_name_or_who_would_not_get_it_itself() {
    for (agent, reason) in [
        ("unnamed", Reason::DelegationRefused),
        ("nobody", Reason::DelegationRefused),
        ("narrow", Reason::OutsideManifest),
        ("elsewhere", Reason::DelegationRefused),
        ("retired", Reason::AgentRetired),
        ("lead", Reason::DelegationRefused),
        ("hosted", Reason::DelegationRefused),
        ("gateway", Reason::DelegationRefused),
    ] {
        let denial = refusal(&to(&[agent]), &own());
        assert_eq!(denial.reason, reason, "{agent}: {denial}");
    }
    assert_eq!(refusal(&to(&["reader", "reader"]), &own()).reason, Reason::DelegationRefused);
}

#[test]
fn refuses_a_workload_that_is_not_the_agent() {
    let mut handing = to(&["reader"]);
    handing.to[0].1 = "spiffe://td/agent/lead-2".parse().expect("id");
    assert_eq!(refusal(&handing, &own()).reason, Reason::AgentNotSpokenFor);
    let mut handing = to(&["hosted"]);
    handing.to[0].1 = "spiffe://td/agent/gateway".parse().expect("id");
    assert_eq!(refusal(&handing, &own()).reason, Reason::DelegationRefused, "a sidecar that speaks for it");
}

#[test]
fn a_delegates_policies_are_asked_about_the_delegate_where_hops_can_lead() {
    let handing = to(&["reader", "narrow"]);
    let claims = Claims { grants: grants("a/x"), ..claims() };
    let may_act = decide(&handing, &claims, &own(), &REGISTRY).expect("may act");
    let exchange = Exchange {
        session: own().id,
        audience: claims.audience.clone(),
        grants: claims.grants.clone(),
        ttl: Duration::ZERO,
        holder: None,
        handing: Some(handing),
        task: None,
        process: None,
    };
    let asked = as_asked_by(&may_act.delegates[0], &exchange, &own(), &claims, &may_act).expect("few");
    assert_eq!((asked.claims.agent.as_str(), asked.session.agent.as_str()), ("reader", "reader"));
    let before: Vec<_> = asked.claims.actors.iter().map(SpiffeId::as_str).collect();
    assert_eq!(before, ["spiffe://td/agent/narrow", "spiffe://td/agent/lead"]);
    assert_eq!((asked.session.lineage.ancestors.len(), asked.session.tokens), (2, 0), "two hops deep");
    assert_eq!((asked.exchange.process, asked.exchange.handing), (None, None));
    let many = Claims { actors: vec![claims.holder.clone(); 7], ..claims };
    let denial = as_asked_by(&may_act.delegates[0], &exchange, &own(), &many, &may_act).expect_err("nine");
    assert_eq!(denial.reason, Reason::DelegationRefused);
}

#[test]
fn refuses_more_hops_than_the_session_has_levels() {
    let mut session = own();
    session.lineage.depth_left = 0;
    let denial = refusal(&to(&["reader"]), &session);
    assert_eq!(denial.reason, Reason::DelegationRefused);
    assert!(denial.rule.contains("0 more levels"), "{denial}");
}

#[test]
fn refuses_what_is_counted_or_asked_of_people() {
    let name = "reader".parse().expect("a name");
    assert!(check_offline(&name, &Ruled::default()).is_ok());
    let needs = vec![Need { group: "leads".into(), count: 1 }];
    for ruled in [
        Ruled { needs, ..Ruled::default() },
        Ruled { budget: Some(9), ..Ruled::default() },
        Ruled { per_minute: Some(9), ..Ruled::default() },
    ] {
        assert_eq!(check_offline(&name, &ruled).expect_err("not offline").reason, Reason::DelegationRefused);
    }
}
