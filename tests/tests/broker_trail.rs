//! The trail: what is on record when an answer comes, requests that are repeated, and the decisions of tool servers.

use crumb_proto::wire::{
    AuditRecord, Decision, Denial, Process, RecordDecisionsRequest, TailRequest,
    audit_service_client::AuditServiceClient,
};
use crumb_tests::broker::{
    AGENT_PATH, Client, FILES, MAIL, PATIENCE, Setup, TestBroker, exchange, files, opening, reason, refusal,
    request_id, trail,
};
use crumb_token::{RecordId, TokenText, parse::Unverified};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use std::{collections::BTreeSet, sync::Arc};
use tokio::{task::JoinSet, time::timeout};
use tonic::Code;
use uuid::Uuid;

fn of_kind(records: &[AuditRecord], kind: &str) -> Vec<AuditRecord> {
    records.iter().filter(|record| record.kind == kind).cloned().collect()
}

#[tokio::test]
async fn a_grant_is_on_record_when_the_token_comes() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let mut request = exchange(&session);
    request.process =
        Some(Process { pid: 7, uid: 1000, gid: 1000, exe: "/usr/bin/bot".into(), exe_sha256: vec![7; 32] });
    let issued = client.exchange(request.clone()).await.expect("a token");
    let record = of_kind(&broker.trail().await, "exchange").pop().expect("a record");
    assert!(record.allowed && record.denial.is_none());
    assert_eq!((&record.token_id, &record.request_id), (&issued.token_id, &request.request_id));
    assert_eq!((record.peer.as_str(), record.holder.as_str()), ("spiffe://a.test/agent/research-bot", &*issued.holder));
    assert_eq!((record.agent.as_str(), record.agent_version.as_str()), ("research-bot", "1.4.0"));
    assert_eq!((record.owner.as_str(), record.session_id.as_str()), ("ada@a.test", session.as_str()));
    assert_eq!(record.intent, "summarise the release notes for Bob");
    assert_eq!(record.origin, "user:bob@a.test (asserted)");
    assert_eq!((record.audience.as_str(), record.expires_at), (FILES, issued.expires_at));
    assert_eq!((&record.asked, &record.granted), (&issued.grants, &issued.grants));
    assert_eq!(record.process, request.process);
}

#[tokio::test]
async fn a_denial_is_on_record_as_fully_as_a_grant() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let mut request = exchange(&session);
    request.scope = Some(files(&[("delete_file", "delete", "file:///docs/a.md")]));
    let (_, denial) = refusal(client.exchange(request.clone()).await);
    let record = of_kind(&broker.trail().await, "exchange").pop().expect("a record");
    assert!(!record.allowed);
    assert_eq!(record.denial, Some(crumb_proto::convert::to_denial(&denial)));
    assert_eq!((&record.session_id, &record.request_id), (&session, &request.request_id));
    assert_eq!((record.owner.as_str(), record.agent.as_str()), ("ada@a.test", "research-bot"));
    assert_eq!(record.asked, request.scope.expect("a scope").grants);
    assert!(record.granted.is_empty() && record.token_id.is_empty());
}

/// Fields of an exchange that its record does not repeat, and what is there instead.
const LEFT_OUT: [(&str, &str); 3] = [
    ("ttl_s", "the token's end"),
    ("may_act", "the detail of a grant, or the denial"),
    ("delegation_key", "nothing: a public key, which the token has"),
];

#[tokio::test]
async fn each_field_of_an_exchange_is_on_record_or_listed_as_left_out() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let mut request = exchange(&client.session().await);
    request.task = "a step like no other".into();
    request.holder = "spiffe://a.test/agent/research-bot".into();
    let exe = "/opt/like-no-other".to_owned();
    request.process = Some(Process { pid: 7, uid: 1000, gid: 1000, exe: exe.clone(), exe_sha256: vec![7; 32] });
    client.exchange(request.clone()).await.expect("a token");
    let record = format!("{:?}", of_kind(&broker.trail().await, "exchange"));
    let kept = [
        ("request_id", request.request_id),
        ("session_id", request.session_id),
        ("holder", request.holder),
        ("task", request.task),
        ("process", exe),
        ("scope", "file:///docs/*".to_owned()),
    ];
    for (field, value) in &kept {
        assert!(record.contains(value), "{field}: {record}");
    }
    let files = FileDescriptorSet::decode(crumb_proto::DESCRIPTORS).expect("our own").file;
    let messages = files.iter().flat_map(|file| &file.message_type);
    let fields: BTreeSet<_> =
        messages.filter(|m| m.name() == "ExchangeRequest").flat_map(|m| &m.field).map(|f| f.name()).collect();
    let listed = kept.iter().map(|(field, _)| *field).chain(LEFT_OUT.map(|(field, _)| field)).collect();
    assert_eq!(fields, listed);
}

#[tokio::test]
async fn sql_in_an_intent_is_a_text() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let intent = "'); DROP TABLE audit; UPDATE sessions SET closed_at = 0; --";
    let mut open = opening();
    open.intent = intent.into();
    let (other, session) = (client.session().await, client.open(open).await.expect("a sentence like any other"));
    let mut request = exchange(&session);
    request.task = "x' OR '1'='1".into();
    client.exchange(request).await.expect("a token");
    client.exchange(exchange(&other)).await.expect("a token in the other session");
    let records = trail(broker.admin(), TailRequest { session_id: session, ..TailRequest::default() }).await;
    assert_eq!(records.iter().map(|r| r.intent.as_str()).collect::<Vec<_>>(), [intent; 2]);
}

#[tokio::test]
async fn what_cannot_be_read_is_on_record_as_it_came() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let mut unknown = opening();
    unknown.agent = "no-such-bot".into();
    assert_eq!(reason(client.open(unknown).await), "agent_unknown");
    let mut malformed = exchange("nonsense \u{1b}[31m");
    malformed.request_id = "1".into();
    malformed.holder = "x".repeat(5000);
    assert_eq!(reason(client.exchange(malformed).await), "request_invalid");
    let records = broker.trail().await;
    let opened = of_kind(&records, "session.open");
    assert_eq!(opened[0].agent, "no-such-bot");
    assert_eq!(opened[0].denial.as_ref().map(|d| d.reason.as_str()), Some("agent_unknown"));
    let exchanged = of_kind(&records, "exchange");
    assert_eq!(exchanged[0].session_id, "nonsense \u{fffd}[31m");
    assert_eq!((exchanged[0].request_id.as_str(), exchanged[0].holder.len()), ("1", 1024));
    assert_eq!(exchanged[0].peer, "spiffe://a.test/agent/research-bot");
}

#[tokio::test]
async fn the_same_request_is_answered_the_same() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let open = opening();
    let session = client.open(open.clone()).await.expect("a session");
    assert_eq!(client.open(open.clone()).await.expect("the same"), session);
    let request = exchange(&session);
    let first = client.exchange(request.clone()).await.expect("a token");
    assert_eq!(client.exchange(request.clone()).await.expect("the same"), first);

    let mut other = request.clone();
    other.ttl_s = 60;
    let (code, denial) = refusal(client.exchange(other).await);
    assert_eq!((code, denial.reason.code()), (Code::AlreadyExists, "request_conflict"));
    let mut other = open.clone();
    other.intent = "something else".into();
    assert_eq!(reason(client.open(other).await), "request_conflict");
    let mut across = exchange(&session);
    across.request_id = open.request_id;
    assert_eq!(reason(client.exchange(across).await), "request_conflict", "one id, two methods");
    let issued = of_kind(&broker.trail().await, "exchange").into_iter().filter(|record| record.allowed).count();
    assert_eq!(issued, 1);
}

#[tokio::test]
async fn many_of_the_same_request_at_once_get_one_token() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let request = exchange(&client.session().await);
    let client = Arc::new(client);
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let (client, request) = (Arc::clone(&client), request.clone());
        asking.spawn(async move { client.exchange(request).await.expect("a token").token_id });
    }
    let ids: BTreeSet<_> = asking.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(of_kind(&broker.trail().await, "exchange").len(), 1);
}

#[tokio::test]
async fn a_denial_is_repeated_too() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let mut request = exchange(&client.session().await);
    request.scope = Some(files(&[("read_file", "read", "file:///etc/*")]));
    let first = refusal(client.exchange(request.clone()).await);
    assert_eq!(refusal(client.exchange(request).await), first);
    assert_eq!(of_kind(&broker.trail().await, "exchange").len(), 1);
}

fn read(token: &str) -> Unverified {
    let bytes = TokenText::from_presented(token).expect("a token").decode().expect("base64url");
    Unverified::parse(&bytes).expect("inside the profile")
}

#[tokio::test]
async fn after_a_restart_the_same_request_gets_a_token_that_says_the_same() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let request = exchange(&session);
    let before = client.exchange(request.clone()).await.expect("a token");
    let broker = broker.restart().await;
    let client = broker.client_of(client);
    let after = client.exchange(request.clone()).await.expect("a token");
    assert_eq!(
        (&after.token_id, &after.grants, after.expires_at),
        (&before.token_id, &before.grants, before.expires_at)
    );
    let (old, new) = (read(&before.token), read(&after.token));
    assert_ne!(old.key_id(), new.key_id(), "keys end with their process");
    let mut moved = old.claims().clone();
    moved.issued_at = new.claims().issued_at;
    assert_eq!(new.claims(), &moved);
    let mut other = request;
    other.task = "something else".into();
    assert_eq!(reason(client.exchange(other).await), "request_conflict");
    assert_eq!(of_kind(&broker.trail().await, "exchange").iter().filter(|r| r.allowed).count(), 1);
}

fn decision(session: &str) -> Decision {
    Decision {
        record_id: RecordId::from_uuid(Uuid::now_v7()).to_string(),
        at_unix_ms: 1_800_000_000_000,
        audience: FILES.into(),
        peer: "spiffe://a.test/agent/research-bot".into(),
        session_id: session.into(),
        agent: "research-bot".into(),
        tool: "read_file".into(),
        operation: "read".into(),
        resource: "file:///docs/a.md".into(),
        args_digest: vec![9; 32],
        allowed: true,
        outcome_status: 200,
        duration_us: 1234,
        ..Decision::default()
    }
}

async fn report(client: &Client, decisions: Vec<Decision>) -> Result<(), tonic::Status> {
    client.audit().record_decisions(RecordDecisionsRequest { decisions }).await.map(|_| ())
}

#[tokio::test]
async fn decisions_are_kept_once_and_joined_with_their_session() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let server = broker.client("/tool/files").await;
    let session = client.session().await;
    let allowed = decision(&session);
    let mut denied = decision(&session);
    denied.allowed = false;
    denied.denial = Some(Denial { reason: "token_expired".into(), ..Denial::default() });
    let batch = vec![allowed.clone(), denied, decision("")];
    report(&server, batch.clone()).await.expect("kept");
    report(&server, batch).await.expect("kept once");
    let kept = of_kind(&broker.trail().await, "decision");
    assert_eq!(kept.len(), 3);
    assert_eq!((kept[0].owner.as_str(), kept[0].agent_version.as_str()), ("ada@a.test", "1.4.0"));
    assert_eq!(kept[0].intent, "summarise the release notes for Bob");
    assert_eq!((kept[0].outcome_status, kept[0].duration_us, kept[0].at_unix_ms), (200, 1234, 1_800_000_000_000));
    assert_eq!(kept[0].args_digest, [9; 32]);
    assert_eq!(kept[1].denial.as_ref().map(|d| d.reason.as_str()), Some("token_expired"));
    assert_eq!(kept[2].owner, "", "without a session nobody answers for it");

    let mut changed = allowed;
    changed.allowed = false;
    let fresh = decision(&session);
    assert_eq!(reason(report(&server, vec![fresh, changed]).await), "request_conflict");
    assert_eq!(of_kind(&broker.trail().await, "decision").len(), 3, "all of a batch or nothing");
}

#[tokio::test]
async fn a_tool_server_speaks_for_itself_only() {
    let broker = TestBroker::start().await;
    let (server, agent) = (broker.client("/tool/files").await, broker.client(AGENT_PATH).await);
    assert_eq!(reason(report(&agent, vec![decision("")]).await), "not_a_tool_server");
    let mut foreign = decision("");
    foreign.audience = MAIL.into();
    assert_eq!(reason(report(&server, vec![decision(""), foreign]).await), "not_a_tool_server");
    let mut nowhere = decision("");
    nowhere.audience = "https://nowhere.a.test/".into();
    assert_eq!(reason(report(&server, vec![nowhere]).await), "not_a_tool_server");
    assert!(of_kind(&broker.trail().await, "decision").is_empty());
}

#[tokio::test]
async fn refuses_decisions_that_are_malformed_or_too_many() {
    let broker = TestBroker::start().await;
    let server = broker.client("/tool/files").await;
    assert_eq!(reason(report(&server, vec![]).await), "request_invalid");
    let many: Vec<_> = (0..257).map(|_| Decision { record_id: request_id(), ..Decision::default() }).collect();
    assert_eq!(reason(report(&server, many).await), "request_invalid");
    let mut odd = decision("");
    odd.args_digest = vec![1; 31];
    assert_eq!(reason(report(&server, vec![odd]).await), "request_invalid");
    let mut odd = decision("ses_1");
    odd.record_id = "1".into();
    assert_eq!(reason(report(&server, vec![odd]).await), "request_invalid");
}

#[tokio::test]
async fn the_trail_is_read_in_order_and_by_session_and_followed() {
    let setup = Setup { config: "[limits]\nsessions_per_agent = 1000".into(), ..Setup::default() };
    let broker = TestBroker::start_with(setup).await;
    let client = broker.client(AGENT_PATH).await;
    let (one, other) = (client.session().await, client.session().await);
    client.exchange(exchange(&one)).await.expect("a token");
    client.exchange(exchange(&other)).await.expect("a token");
    let all = broker.trail().await;
    let numbers: Vec<_> = all.iter().map(|record| record.number).collect();
    assert_eq!(numbers, (1..=5).collect::<Vec<u64>>());
    assert_eq!(all[0].kind, "broker.start");
    let of_one = trail(broker.admin(), TailRequest { session_id: one.clone(), ..TailRequest::default() }).await;
    assert_eq!(of_one.iter().map(|r| r.kind.as_str()).collect::<Vec<_>>(), ["session.open", "exchange"]);
    assert_eq!(trail(broker.admin(), TailRequest { after: 5, ..TailRequest::default() }).await, []);

    let request = TailRequest { after: 4, session_id: String::new(), follow: true };
    let mut followed = AuditServiceClient::new(broker.admin()).tail(request).await.expect("a trail").into_inner();
    assert_eq!(followed.message().await.expect("a record").map(|r| r.number), Some(5));
    client.close(&one).await.expect("closed");
    let next = timeout(PATIENCE, followed.message()).await.expect("in time").expect("a record");
    assert_eq!(next.map(|r| (r.number, r.kind)), Some((6, "session.close".to_owned())));
}

#[tokio::test]
async fn the_trail_is_not_read_over_the_network() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let outcome = client.audit().tail(TailRequest::default()).await.map(|_| ());
    assert_eq!(reason(outcome), "not_an_operator");
    let odd = TailRequest { session_id: "nonsense".into(), ..TailRequest::default() };
    let outcome = AuditServiceClient::new(broker.admin()).tail(odd).await.map(|_| ());
    assert_eq!(reason(outcome), "request_invalid");
}
