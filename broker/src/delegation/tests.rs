//! What may be delegated, what goes along, and the property that no chain is ever wider, longer or deeper than its parts.

use super::*;
use crate::registry::Registry;
use crate::session::{Opening, Session, open};
use crumb_token::{Audience, Grant, Grants, origin::Assurance};
use proptest::{collection, prelude::*, sample::select};
use std::{fs, sync::LazyLock};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);
const FILES: &str = "spiffe://td/tool/files";
const RESOURCES: &[&str] = &["*", "a/*", "a/b/*", "a/b/c", "b/*", "b/c", "d/*"];

/// Three agents that may do different things, the first of them most.
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
";

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    let mut text = MANIFESTS.to_owned();
    for (n, resources) in [(0, "\"*\""), (1, "\"a/*\", \"b/*\""), (2, "\"a/*\", \"d/*\"")] {
        text += &format!(
            "---
apiVersion: crumb.dev/v1
kind: Agent
metadata: {{ name: agent-{n} }}
spec:
  spiffeId: spiffe://td/agent/{n}
  owner: ada@acme.example
  purpose: Tests.
  version: 1.{n}
  environment: test
  scopes:
    - toolServer: files
      tools: [{{ tool: read_file, operation: read, resources: [{resources}] }}]
"
        );
    }
    fs::write(directory.path().join("all.yaml"), text).expect("a file of our own");
    Registry::load(directory.path()).expect("good manifests")
});

fn audience() -> Audience {
    FILES.parse().expect("an audience")
}

fn grants(resources: &[&str]) -> Grants {
    let grant = |resource: &&str| Grant {
        tool: "read_file".parse().expect("tool"),
        operation: "read".parse().expect("operation"),
        resource: resource.parse().expect("resource"),
    };
    Grants::try_new(resources.iter().map(grant)).expect("few")
}

fn id(n: u128) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(n))
}

fn caller(n: usize) -> Caller {
    let id = format!("spiffe://td/agent/{n}").parse().expect("an id");
    Caller { id, svid_expires_at: NOW.plus(Duration::from_secs(3600)) }
}

fn root(resources: &[&str]) -> Session {
    let opening = Opening {
        agent: "agent-0".parse().expect("name"),
        intent: "plan for Bob".parse().expect("intent"),
        origin: Origin::User { name: "bob@acme.example".parse().expect("name"), assurance: Assurance::Verified },
        envelope: vec![(audience(), grants(resources))],
        lifetime: Duration::from_secs(600),
        process: None,
        proof: None,
    };
    open(id(1), opening, &caller(0), &REGISTRY, None, NOW).expect("a session")
}

fn to(agent: usize, session: &Session, resources: &[&str], depth: usize) -> Delegation {
    Delegation {
        session: session.id,
        agent: format!("agent-{agent}").parse().expect("name"),
        peer: caller(agent).id,
        intent: "do a part of it".parse().expect("intent"),
        envelope: vec![(audience(), grants(resources))],
        lifetime: Duration::ZERO,
        depth,
        process: None,
    }
}

fn delegate(delegation: Delegation, by: usize, own: &Session) -> Result<Session, Denial> {
    decide(id(2), delegation, &caller(by), &REGISTRY, Some(own), NOW)
}

fn reason(result: Result<Session, Denial>) -> Reason {
    result.expect_err("refused").reason
}

#[test]
fn origin_subject_sessions_and_actors_go_along() {
    let planner = root(&["a/*"]);
    let child = delegate(to(1, &planner, &["a/b/*"], 3), 0, &planner).expect("delegated");
    assert_eq!((child.peer.clone(), child.expires_at), (caller(1).id, planner.expires_at));
    let grandchild = delegate(to(2, &child, &["a/b/c"], 0), 1, &child).expect("delegated");
    let lineage = grandchild.lineage;
    assert_eq!(lineage.root, planner.origin);
    assert_eq!(lineage.subject().expect("somebody's").name.as_str(), "bob@acme.example");
    let above: Vec<_> = lineage.ancestors.iter().map(|a| (a.session, a.agent.as_str(), a.intent_digest)).collect();
    let intents = [planner.intent.digest(), child.intent.digest()];
    assert_eq!(above, [(planner.id, "agent-0", intents[0]), (child.id, "agent-1", intents[1])]);
    assert_eq!(lineage.actors, [caller(1).id, caller(0).id]);
}

#[test]
fn refuses_what_the_delegator_or_the_delegate_has_not() {
    let planner = root(&["a/*", "b/*"]);
    assert_eq!(reason(delegate(to(1, &planner, &["*"], 0), 0, &planner)), Reason::OutsideEnvelope);
    assert_eq!(reason(delegate(to(2, &planner, &["b/*"], 0), 0, &planner)), Reason::OutsideManifest);
}

#[test]
fn refuses_more_levels_than_were_given() {
    let planner = root(&["a/*"]);
    let last = delegate(to(1, &planner, &["a/*"], 0), 0, &planner).expect("delegated");
    assert_eq!(reason(delegate(to(2, &last, &["a/*"], 0), 1, &last)), Reason::DelegationRefused);
    assert_eq!(reason(delegate(to(1, &planner, &["a/*"], 8), 0, &planner)), Reason::DelegationRefused);
}

#[test]
fn refuses_somebody_elses_session_and_a_workload_that_is_not_the_agents() {
    let planner = root(&["a/*"]);
    assert_eq!(reason(delegate(to(2, &planner, &["a/*"], 0), 1, &planner)), Reason::SessionUnknown);
    let stranger = Delegation { peer: caller(2).id, ..to(1, &planner, &["a/*"], 0) };
    assert_eq!(reason(delegate(stranger, 0, &planner)), Reason::AgentNotSpokenFor);
    let nobody = Delegation { agent: "nobody".parse().expect("name"), ..to(1, &planner, &["a/*"], 0) };
    assert_eq!(reason(delegate(nobody, 0, &planner)), Reason::AgentUnknown);
}

#[test]
fn refuses_to_delegate_from_a_session_that_is_over() {
    let planner = Session { closed_at: Some(NOW), ..root(&["a/*"]) };
    assert_eq!(reason(delegate(to(1, &planner, &["a/*"], 0), 0, &planner)), Reason::SessionClosed);
}

/// One step of a chain: to whom, with which rights, for how long, how deep.
type Step = (usize, Vec<&'static str>, u64, usize);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3usize, collection::vec(select(RESOURCES), 1..3), 0..900u64, 0..9usize);
    collection::vec(step, 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn no_chain_is_wider_longer_or_deeper_than_its_parts(
        first in collection::vec(select(RESOURCES), 1..4),
        steps in steps(),
    ) {
        let mut chain = vec![root(&first)];
        for (n, (agent, resources, lifetime, depth)) in (2..).zip(steps) {
            let own = chain.last().expect("never empty").clone();
            let by: usize = own.agent.as_str()[6..].parse().expect("a number");
            let lifetime = Duration::from_secs(lifetime);
            let delegation = Delegation { lifetime, ..to(agent, &own, &resources, depth) };
            let Ok(child) = decide(id(n), delegation, &caller(by), &REGISTRY, Some(&own), NOW) else { continue };
            let manifest = REGISTRY.agent(&child.agent).expect("registered").scopes.get(&audience()).expect("a scope").clone();
            let rights = child.declared(&audience()).expect("declared");
            prop_assert!(rights.first_outside(&manifest).is_none());
            for above in &chain {
                prop_assert!(rights.first_outside(above.declared(&audience()).expect("declared")).is_none());
                prop_assert!(child.expires_at <= above.expires_at);
            }
            prop_assert!(child.lineage.depth_left < own.lineage.depth_left);
            prop_assert_eq!(child.lineage.ancestors.len(), chain.len());
            prop_assert!(child.lineage.ancestors.iter().zip(&chain).all(|(named, real)| named.session == real.id));
            prop_assert_eq!(&child.lineage.root, &chain[0].origin);
            chain.push(child);
        }
        prop_assert!(chain.len() <= 1 + session::DEPTH_MAX);
    }
}

/// How many chains: a few thousand in every run, and as many as wanted by the environment's own variable of proptest.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}
