//! Manifests through a real broker: applied on the admin socket, in force for the next request, on record, and still there
//! after a restart.

use crumb_proto::wire::{
    ApplyRequest, ApplyResponse, AuditRecord, ExpectedVersion, GetManifestsRequest, ListAgentsRequest, ManifestFile,
    registry_service_client::RegistryServiceClient,
};
use crumb_tests::broker::{AGENT_PATH, MANIFESTS, Setup, TestBroker, exchange, files, opening, reason};
use tonic::{Status, transport::Channel};

const AGENT: &str = "apiVersion: crumb.dev/v1
kind: Agent
metadata: { name: swarm }
spec:
  spiffeIdPattern: spiffe://a.test/agent/swarm/*
  owner: ada@a.test
  purpose: Comes and goes.
  version: 1.0.0
  environment: test
  scopes:
    - toolServer: files
      tools:
        - { tool: read_file, operation: read, resources: [\"file:///docs/*\"] }
";

fn admin(broker: &TestBroker) -> RegistryServiceClient<Channel> {
    RegistryServiceClient::new(broker.admin())
}

fn request(texts: &[&str]) -> ApplyRequest {
    let document = |(n, text): (usize, &&str)| ManifestFile { file: format!("{n}.yaml"), text: (*text).to_owned() };
    ApplyRequest { documents: texts.iter().enumerate().map(document).collect(), ..ApplyRequest::default() }
}

async fn apply(broker: &TestBroker, request: ApplyRequest) -> Result<ApplyResponse, Status> {
    admin(broker).apply(request).await.map(tonic::Response::into_inner)
}

/// Applies one changed text of the agent that most tests are about.
async fn change(broker: &TestBroker, from: &str, to: &str) -> ApplyResponse {
    let text = MANIFESTS.split("---\n").find(|text| text.contains("name: research-bot")).expect("it is there");
    assert!(text.contains(from), "{from:?}");
    apply(broker, request(&[&text.replacen(from, to, 1)])).await.expect("an answer")
}

fn told(answer: &ApplyResponse) -> Vec<String> {
    let line = |c: &crumb_proto::wire::Change| format!("{} {}/{} v{}", c.action, c.kind, c.name, c.to_version);
    answer.changes.iter().map(line).collect()
}

fn of_kind(records: &[AuditRecord], kind: &str) -> Vec<AuditRecord> {
    records.iter().filter(|record| record.kind == kind).cloned().collect()
}

#[tokio::test]
async fn what_is_applied_is_in_force_for_the_next_request_and_on_record() {
    let broker = TestBroker::start().await;
    let one = broker.client("/agent/swarm/7f3a").await;
    let two = broker.client("/agent/swarm/9c1e").await;
    let open = || {
        let mut open = opening();
        open.agent = "swarm".into();
        open.envelope = vec![files(&[("read_file", "read", "file:///docs/*")])];
        open
    };
    assert_eq!(reason(one.open(open()).await), "agent_unknown");
    let answer = apply(&broker, request(&[AGENT])).await.expect("applied");
    assert_eq!(told(&answer), ["create Agent/swarm v1"]);
    assert!(answer.changes[0].widens, "a new agent can do something that nobody could");
    assert_ne!(answer.registry_before, answer.registry_after);

    // Instances need no registration of their own, and are told apart: a session of one is not the other's.
    let session = one.open(open()).await.expect("a session");
    assert_eq!(reason(two.exchange(exchange(&session)).await), "session_unknown");
    let mut bound = exchange(&session);
    bound.holder = "spiffe://a.test/agent/swarm/9c1e".into();
    assert_eq!(reason(one.exchange(bound).await), "agent_not_spoken_for");
    one.exchange(exchange(&session)).await.expect("a token");
    two.open(open()).await.expect("a session of its own");

    let records = broker.trail().await;
    let issued = of_kind(&records, "exchange").pop().expect("a record");
    assert_eq!(issued.holder, "spiffe://a.test/agent/swarm/7f3a", "the concrete instance");
    let record = of_kind(&records, "registry.apply").pop().expect("a record");
    assert!(record.allowed && record.peer.starts_with("uid:"), "{record:?}");
    assert_eq!((record.asked[0].tool.as_str(), record.asked[0].operation.as_str()), ("Agent/swarm", "create"));
    assert!(record.detail.contains(&answer.registry_before) && record.detail.contains(&answer.registry_after));
}

#[tokio::test]
async fn the_admin_socket_is_the_only_way_to_apply() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    assert_eq!(reason(client.registry().apply(request(&[AGENT])).await), "not_an_operator");
    let get = client.registry().get_manifests(GetManifestsRequest::default()).await;
    assert_eq!(reason(get), "not_an_operator");
}

#[tokio::test]
async fn one_defect_and_nothing_is_applied() {
    let broker = TestBroker::start().await;
    let wrong = AGENT.replace("name: swarm", "name: other").replace("swarm/*", "other/*").replace("read_file", "look");
    let answer = apply(&broker, request(&[AGENT, &wrong])).await.expect("an answer");
    assert_eq!((answer.changes.len(), answer.registry_before == answer.registry_after), (0, true));
    let defect = &answer.defects[0];
    let found = (defect.file.as_str(), defect.line, defect.reason.as_str());
    assert_eq!(found, ("1.yaml", 13, "files has no tool look that does read"));
    let agents = admin(&broker).list_agents(ListAgentsRequest {}).await.expect("a list").into_inner().agents;
    assert!(agents.iter().all(|agent| agent.name != "swarm"), "not even the good one");
    let record = of_kind(&broker.trail().await, "registry.apply").pop().expect("a refusal is on record as well");
    assert_eq!(record.denial.map(|denial| denial.reason), Some("manifest_invalid".into()));
}

#[tokio::test]
async fn a_dry_run_tells_everything_and_changes_nothing() {
    let broker = TestBroker::start().await;
    let answer = apply(&broker, ApplyRequest { dry_run: true, ..request(&[AGENT]) }).await.expect("an answer");
    assert_eq!(told(&answer), ["create Agent/swarm v1"]);
    assert!(answer.changes[0].diff.contains("+  spiffeIdPattern: spiffe://a.test/agent/swarm/*"));
    let again = apply(&broker, ApplyRequest { dry_run: true, ..request(&[AGENT]) }).await.expect("an answer");
    assert_eq!(again, answer);
    assert_eq!(of_kind(&broker.trail().await, "registry.apply"), []);
}

#[tokio::test]
async fn of_two_edits_of_the_same_version_exactly_one_wins() {
    let broker = TestBroker::start().await;
    apply(&broker, request(&[AGENT])).await.expect("applied");
    let edit = |n: usize| {
        let expected = ExpectedVersion { kind: "Agent".into(), name: "swarm".into(), version: 1 };
        let text = AGENT.replace("1.0.0", &format!("1.0.{n}"));
        apply(&broker, ApplyRequest { expected_versions: vec![expected], ..request(&[&text]) })
    };
    let outcomes = futures::future::join_all((1..=8).map(edit)).await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "{lost:?}");
    for outcome in lost {
        assert_eq!(reason(outcome), "registry_conflict");
    }
    let got = get(&broker, "Agent", "swarm").await;
    assert_eq!(got.version, 2);
    // The version in the text does the same.
    assert!(got.text_with_version.contains("resourceVersion: 2"), "{}", got.text_with_version);
    let stale = got.text_with_version.replace("resourceVersion: 2", "resourceVersion: 1");
    assert_eq!(reason(apply(&broker, request(&[&stale])).await), "registry_conflict");
    let fresh = got.text_with_version.replace("Comes and goes.", "Goes.");
    assert_eq!(told(&apply(&broker, request(&[&fresh])).await.expect("applied")), ["update Agent/swarm v3"]);
}

async fn get(broker: &TestBroker, kind: &str, name: &str) -> crumb_proto::wire::Manifest {
    let request = GetManifestsRequest { kind: kind.into(), name: name.into() };
    let found = admin(broker).get_manifests(request).await.expect("an answer").into_inner().manifests;
    found.into_iter().next().expect("it is there")
}

#[tokio::test]
async fn edits_at_once_without_versions_all_count_and_none_is_lost() {
    let broker = TestBroker::start().await;
    let broker = &broker;
    let edit = |n: usize| async move {
        let text = AGENT.replace("swarm", &format!("swarm-{n}"));
        (n, apply(broker, request(&[&text])).await)
    };
    for (n, outcome) in futures::future::join_all((0..3).map(edit)).await {
        assert_eq!(told(&outcome.expect("applied")), [format!("create Agent/swarm-{n} v1")]);
    }
    let agents = admin(broker).list_agents(ListAgentsRequest {}).await.expect("a list").into_inner().agents;
    assert_eq!(agents.iter().filter(|agent| agent.name.starts_with("swarm-")).count(), 3, "in force, all of them");
}

#[tokio::test]
async fn pruning_takes_away_what_is_not_listed_and_orphans_nothing() {
    let broker = TestBroker::start().await;
    let prune = |texts: &[&str]| ApplyRequest { prune: true, ..request(texts) };
    let without_servers: String =
        MANIFESTS.split("---\n").filter(|text| !text.contains("kind: ToolServer")).collect::<Vec<_>>().join("---\n");
    let answer = apply(&broker, prune(&[&without_servers])).await.expect("an answer");
    assert!(answer.defects.iter().all(|defect| defect.reason == "no tool server is registered as files"));
    assert!(!answer.defects.is_empty());
    let without_brief: String =
        MANIFESTS.split("---\n").filter(|text| !text.contains("name: brief-bot")).collect::<Vec<_>>().join("---\n");
    let answer = apply(&broker, prune(&[&without_brief])).await.expect("an answer");
    let gone: Vec<_> = told(&answer).into_iter().filter(|line| !line.starts_with("unchanged")).collect();
    assert_eq!(gone, ["delete Agent/brief-bot v2"]);
}

#[tokio::test]
async fn retiring_an_agent_ends_what_it_has_and_it_never_comes_back() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    client.exchange(exchange(&session)).await.expect("a token");
    let state = |state: &str| format!("environment: test\n  lifecycle: {state}");
    assert_eq!(
        told(&change(&broker, "environment: test", &state("quarantined")).await),
        ["update Agent/research-bot v2"]
    );
    assert_eq!(reason(client.exchange(exchange(&session)).await), "agent_quarantined");
    let revoked = of_kind(&broker.trail().await, "revoke").pop().expect("its tokens are ended");
    assert!(revoked.detail.contains("agent:research-bot"), "{revoked:?}");
    let answer = change(&broker, "environment: test", &state("operating")).await;
    assert!(answer.defects[0].reason.starts_with("an agent does not go from quarantined to operating"));
    change(&broker, "environment: test", &state("retired")).await;
    assert_eq!(reason(client.open(opening()).await), "agent_retired");
    let answer = change(&broker, "environment: test", &state("tested")).await;
    assert!(answer.defects[0].reason.ends_with("a retired one never comes back"), "{:?}", answer.defects);
}

#[tokio::test]
async fn an_owner_who_has_left_leaves_orphans_that_are_listed_and_get_nothing() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let people = "apiVersion: crumb.dev/v1\nkind: Directory\nmetadata: { name: people }\nspec:\n  owner: eve@a.test\n  departed: [ada@a.test]\n";
    apply(&broker, request(&[people])).await.expect("applied");
    assert_eq!(reason(client.open(opening()).await), "agent_orphaned");
    let agents = admin(&broker).list_agents(ListAgentsRequest {}).await.expect("a list").into_inner().agents;
    let bot = agents.iter().find(|agent| agent.name == "research-bot").expect("listed");
    assert_eq!((bot.flags.as_slice(), bot.refused.as_str()), (["orphaned".to_owned()].as_slice(), "agent_orphaned"));
    assert_eq!(get(&broker, "ToolServer", "files").await.flags, ["orphaned"], "a tool server without an owner as well");
    assert!(get(&broker, "ToolServer", "mail").await.flags.is_empty());
    change(&broker, "owner: ada@a.test", "owner: eve@a.test").await;
    client.open(opening()).await.expect("somebody answers for it again");
}

#[tokio::test]
async fn what_was_applied_is_there_after_a_restart() {
    let broker = TestBroker::start().await;
    apply(&broker, request(&[AGENT])).await.expect("applied");
    change(&broker, "environment: test", "environment: test\n  lifecycle: quarantined").await;
    let before = get(&broker, "Agent", "research-bot").await;
    let broker = broker.restart().await;
    assert_eq!(get(&broker, "Agent", "research-bot").await, before, "the directory does not undo an operator");
    assert_eq!(get(&broker, "Agent", "swarm").await.version, 1);
    let client = broker.client(AGENT_PATH).await;
    assert_eq!(reason(client.open(opening()).await), "agent_quarantined");
    let starts = of_kind(&broker.trail().await, "broker.start");
    assert!(starts[0].detail.contains("6 created, 0 updated, 0 deleted"), "{:?}", starts[0].detail);
    assert!(starts[1].detail.is_empty() && starts[1].asked.is_empty(), "the second start changed nothing");
}

#[tokio::test]
async fn an_export_is_what_was_applied() {
    let broker = TestBroker::start().await;
    let all = admin(&broker).get_manifests(GetManifestsRequest::default()).await.expect("an answer").into_inner();
    assert_eq!(all.manifests.len(), MANIFESTS.split("---\n").count());
    let texts: Vec<_> = all.manifests.iter().map(|manifest| manifest.text.as_str()).collect();
    let answer = apply(&broker, ApplyRequest { prune: true, ..request(&texts) }).await.expect("an answer");
    assert!(answer.changes.iter().all(|change| change.action == "unchanged"), "{:?}", told(&answer));
    assert_eq!(answer.registry_after, all.registry_version);
    let other = Setup { manifests: vec![], ..Setup::default() };
    let empty = TestBroker::start_with(other).await;
    let answer = apply(&empty, request(&texts)).await.expect("applied");
    assert_eq!(answer.registry_after, all.registry_version, "the same registry, by its version");
}
