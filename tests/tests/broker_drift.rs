//! Drift through a real broker: what halts and contracts a session, what an operator gives back, and what a tool server
//! cannot do to sessions that are not its business.

use crumb_identity::SystemClock;
use crumb_proto::wire::{
    AuditRecord, Decision, DelegateRequest, Denial, ExchangeResponse, HaltedSession, ListHaltedRequest,
    RecordDecisionsRequest, ResumeRequest, revocation_service_client::RevocationServiceClient,
};
use crumb_sdk::feed::follow;
use crumb_tests::{
    broker::{
        AGENT, AGENT_PATH, Client, FILES, MAIL, PATIENCE, Setup, TestBroker, exchange, files, reason, refusal,
        request_id,
    },
    member::id,
};
use crumb_token::{Ask, Clock as _, RecordId, TokenText};
use crumb_verifier::{Limits, Verifier};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use uuid::Uuid;

/// The tool server `files`: it reports what it decided, and its verifier follows the feed.
struct ToolServer {
    client: Client,
    verifier: Arc<Verifier>,
    _following: DropGuard,
}

impl ToolServer {
    async fn start(broker: &TestBroker) -> Self {
        let client = broker.client("/tool/files").await;
        let verifier = Arc::new(Verifier::new(FILES.parse().expect("an audience"), Limits::default()));
        let shutdown = CancellationToken::new();
        drop(follow(verifier.clone(), client.channel.clone(), Arc::new(SystemClock::new()), shutdown.clone()));
        Self { client, verifier, _following: shutdown.drop_guard() }
    }

    async fn report(&self, decisions: Vec<Decision>) {
        report(&self.client, decisions).await.expect("kept");
    }

    fn allows(&self, token: &ExchangeResponse) -> bool {
        let token = TokenText::from_presented(&token.token).expect("a token's text");
        let resource = "file:///docs/readme.md".parse().expect("a resource");
        let ask = Ask::new("read_file".parse().expect("a tool"), "read".parse().expect("an operation"), resource);
        self.verifier.decide(&token, &ask, &id(AGENT_PATH), SystemClock::new().now()).is_allowed()
    }

    /// Waits until it allows, or does not.
    async fn comes_to(&self, token: &ExchangeResponse, allowed: bool) {
        let until = Instant::now() + PATIENCE;
        while self.allows(token) != allowed {
            assert!(Instant::now() < until, "the verifier does not come to {allowed}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn report(client: &Client, decisions: Vec<Decision>) -> Result<(), Status> {
    client.audit().record_decisions(RecordDecisionsRequest { decisions }).await.map(|_| ())
}

fn decision(session: &str, tool: &str, operation: &str) -> Decision {
    Decision {
        record_id: RecordId::from_uuid(Uuid::now_v7()).to_string(),
        at_unix_ms: SystemClock::new().unix_ms(),
        audience: FILES.into(),
        peer: id(AGENT_PATH).to_string(),
        session_id: session.into(),
        agent: AGENT.into(),
        tool: tool.into(),
        operation: operation.into(),
        resource: "file:///docs/readme.md".into(),
        allowed: true,
        ..Decision::default()
    }
}

fn refused(session: &str, reason: &str) -> Decision {
    let denial = Some(Denial { reason: reason.into(), ..Denial::default() });
    Decision { allowed: false, denial, ..decision(session, "delete_file", "delete") }
}

fn denials(session: &str, count: usize) -> Vec<Decision> {
    (0..count).map(|_| refused(session, "tool_not_granted")).collect()
}

/// Asks for reading until the second is over in which the tokens before were revoked.
async fn fresh(client: &Client, session: &str) -> ExchangeResponse {
    let until = Instant::now() + PATIENCE;
    loop {
        match client.exchange(exchange(session)).await {
            Ok(issued) => return issued,
            Err(status) => assert_eq!(reason(Err::<(), _>(status)), "overloaded"),
        }
        assert!(Instant::now() < until, "no token");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn resume(broker: &TestBroker, session: &str) -> bool {
    let request = ResumeRequest { session_id: session.into(), why: "looked at it".into() };
    broker.operator().resume(request).await.expect("an answer").into_inner().resumed
}

async fn held(broker: &TestBroker) -> Vec<HaltedSession> {
    broker.operator().list_halted(ListHaltedRequest {}).await.expect("a list").into_inner().sessions
}

async fn of_kind(broker: &TestBroker, kind: &str) -> Vec<AuditRecord> {
    broker.trail().await.into_iter().filter(|record| record.kind == kind).collect()
}

fn with(rules: &str) -> Setup {
    Setup { config: rules.into(), ..Setup::default() }
}

/// After two sessions of the same kind a tool that neither used is new.
const NEW_AFTER_TWO: &str = "[drift.new_tool]\nthreshold = 2\n";

#[tokio::test]
async fn twenty_denied_calls_halt_a_session_and_a_resume_gives_it_back() {
    let broker = TestBroker::start().await;
    let server = ToolServer::start(&broker).await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let request = exchange(&session);
    let old = client.exchange(request.clone()).await.expect("a token");
    server.comes_to(&old, true).await;

    server.report(denials(&session, 19)).await;
    client.exchange(exchange(&session)).await.expect("nineteen are not too many");
    server.report(denials(&session, 1)).await;
    server.comes_to(&old, false).await;
    let (_, denial) = refusal(client.exchange(exchange(&session)).await);
    assert_eq!(denial.reason.code(), "session_halted");
    for told in ["denials_in_a_row", "measured 20", "threshold 20"] {
        assert!(denial.rule.contains(told), "{}", denial.rule);
    }
    assert!(denial.next.contains(&format!("crumb session resume {session}")), "{}", denial.next);
    assert_eq!(reason(client.exchange(request.clone()).await), "session_halted", "not even the token it once had");

    let listed = held(&broker).await;
    let [listed] = &listed[..] else { panic!("one: {listed:?}") };
    assert_eq!(
        (listed.session_id.as_str(), listed.agent.as_str(), listed.owner.as_str()),
        (&*session, AGENT, "ada@a.test")
    );
    assert_eq!((listed.action.as_str(), listed.rule.as_str()), ("halt", "denials_in_a_row"));
    assert_eq!((listed.measured, listed.threshold), (20, 20));
    let halts = of_kind(&broker, "session.halt").await;
    assert_eq!(halts.len(), 1);
    assert!(halts[0].detail.contains("measured 20, threshold 20") && halts[0].session_id == session, "{:?}", halts[0]);

    assert!(resume(&broker, &session).await);
    assert!(!resume(&broker, &session).await, "nothing is held any more");
    assert!(held(&broker).await.is_empty());
    let new = fresh(&client, &session).await;
    server.comes_to(&new, true).await;
    assert!(!server.allows(&old), "what was revoked stays revoked");
    assert_eq!(reason(client.exchange(request).await), "lifetime_too_short", "and is not handed out again");
    let resumed = of_kind(&broker, "session.resume").await;
    assert!(resumed[0].peer.starts_with("uid:"), "{:?}", resumed[0]);
    assert!(
        resumed[0].detail.contains("looked at it") && resumed[0].detail.contains("measured 20"),
        "{:?}",
        resumed[0]
    );
    server.report(denials(&session, 19)).await;
    client.exchange(exchange(&session)).await.expect("the row began anew");
}

#[tokio::test]
async fn denied_exchanges_halt_a_session_and_only_its_own_workload_s_count() {
    let broker = TestBroker::start_with(Setup::governed()).await;
    let (client, other) = (broker.client(AGENT_PATH).await, broker.client("/agent/helper").await);
    let session = client.session().await;
    let mut wider = exchange(&session);
    wider.scope = Some(files(&[("read_file", "read", "file:///etc/*")]));
    for _ in 0..25 {
        wider.request_id = request_id();
        assert_eq!(reason(other.exchange(wider.clone()).await), "session_unknown");
    }
    client.exchange(exchange(&session)).await.expect("nobody else halts it");
    for _ in 0..20 {
        wider.request_id = request_id();
        assert_eq!(reason(client.exchange(wider.clone()).await), "outside_envelope");
    }
    assert_eq!(reason(client.exchange(exchange(&session)).await), "session_halted");
}

#[tokio::test]
async fn an_allowed_call_ends_the_row() {
    let broker = TestBroker::start().await;
    let (server, client) = (broker.client("/tool/files").await, broker.client(AGENT_PATH).await);
    let session = client.session().await;
    for _ in 0..3 {
        report(&server, denials(&session, 19)).await.expect("kept");
        report(&server, vec![decision(&session, "read_file", "read")]).await.expect("kept");
    }
    client.exchange(exchange(&session)).await.expect("not halted");
}

#[tokio::test]
async fn a_tool_that_its_kind_never_used_contracts_a_session() {
    let broker = TestBroker::start_with(with(NEW_AFTER_TWO)).await;
    let server = ToolServer::start(&broker).await;
    let client = broker.client(AGENT_PATH).await;
    for _ in 0..2 {
        let usual = client.session().await;
        server.report(vec![decision(&usual, "read_file", "read")]).await;
    }
    let session = client.session().await;
    let old = client.exchange(exchange(&session)).await.expect("a token");
    server.comes_to(&old, true).await;
    server.report(vec![decision(&session, "read_file", "read")]).await;
    assert!(server.allows(&old), "a usual tool");
    server.report(vec![decision(&session, "write_file", "write")]).await;
    server.comes_to(&old, false).await;

    fresh(&client, &session).await;
    let mut both = exchange(&session);
    both.scope = Some(files(&[("read_file", "read", "file:///docs/*"), ("write_file", "write", "file:///notes/*")]));
    let (_, denial) = refusal(client.exchange(both.clone()).await);
    assert_eq!(denial.reason.code(), "outside_envelope");
    assert!(denial.asked.contains("write_file") && !denial.asked.contains("read_file"), "{}", denial.asked);
    assert!(denial.rule.contains("contracted") && denial.rule.contains("new_tool"), "{}", denial.rule);
    assert!(denial.next.contains("read_file"), "{}", denial.next);
    assert_eq!(
        (held(&broker).await[0].action.as_str(), of_kind(&broker, "session.contract").await.len()),
        ("contract", 1)
    );

    // What contracted one session is not usual for the next, before somebody has said so.
    let next = client.session().await;
    server.report(vec![decision(&next, "write_file", "write")]).await;
    assert_eq!(held(&broker).await.len(), 2);
    assert!(resume(&broker, &session).await);
    fresh(&client, &session).await;
    both.request_id = request_id();
    client.exchange(both).await.expect("the envelope is whole again");
    let third = client.session().await;
    server.report(vec![decision(&third, "write_file", "write")]).await;
    assert_eq!(held(&broker).await.len(), 1, "it is usual now");
}

#[tokio::test]
async fn a_session_inside_a_halted_one_is_halted_and_resumed_with_it() {
    let broker = TestBroker::start_with(Setup::governed()).await;
    let server = broker.client("/tool/files").await;
    let (planner, helper) = (broker.client(AGENT_PATH).await, broker.client("/agent/helper").await);
    let session = planner.session().await;
    let delegating = DelegateRequest {
        request_id: request_id(),
        session_id: session.clone(),
        agent: "helper".into(),
        peer: id("/agent/helper").to_string(),
        intent: "read a part of it".into(),
        envelope: vec![files(&[("read_file", "read", "file:///docs/*")])],
        ..DelegateRequest::default()
    };
    let inside = planner.sessions().delegate(delegating.clone()).await.expect("delegated").into_inner().session_id;
    helper.exchange(exchange(&inside)).await.expect("a token");
    report(&server, denials(&session, 20)).await.expect("kept");
    let (_, denial) = refusal(helper.exchange(exchange(&inside)).await);
    assert_eq!((denial.reason.code(), denial.asked.as_str()), ("session_halted", session.as_str()));
    let again = DelegateRequest { request_id: request_id(), ..delegating };
    assert_eq!(reason(planner.sessions().delegate(again).await), "session_halted");
    assert!(!resume(&broker, &inside).await, "it is the one above that is held");
    assert!(resume(&broker, &session).await);
    fresh(&helper, &inside).await;
}

#[tokio::test]
async fn a_restart_keeps_what_is_held_and_what_is_counted() {
    let broker = TestBroker::start().await;
    let (server, client) = (broker.client("/tool/files").await, broker.client(AGENT_PATH).await);
    let (halted, counted) = (client.session().await, client.session().await);
    report(&server, denials(&halted, 20)).await.expect("kept");
    report(&server, denials(&counted, 19)).await.expect("kept");
    let broker = broker.restart().await;
    let (server, client) = (broker.client_of(server), broker.client_of(client));
    assert_eq!(reason(client.exchange(exchange(&halted)).await), "session_halted");
    client.exchange(exchange(&counted)).await.expect("not halted");
    report(&server, denials(&counted, 1)).await.expect("kept");
    assert_eq!(reason(client.exchange(exchange(&counted)).await), "session_halted");
}

#[tokio::test]
async fn what_is_not_about_the_session_s_reach_or_not_the_server_s_business_halts_nobody() {
    let broker = TestBroker::start().await;
    let (server, mail, client) =
        (broker.client("/tool/files").await, broker.client("/tool/mail").await, broker.client(AGENT_PATH).await);
    let session = client.session().await;
    let many = |one: &dyn Fn() -> Decision| (0..25).map(|_| one()).collect::<Vec<_>>();
    // A server that the session cannot call, and one that reports in another's name.
    let elsewhere = || Decision { audience: MAIL.into(), ..refused(&session, "tool_not_granted") };
    report(&mail, many(&elsewhere)).await.expect("kept");
    assert_eq!(reason(report(&mail, denials(&session, 25)).await), "not_a_tool_server");
    // Another agent's name, no session, a session that is not there.
    let other = || Decision { agent: "host-bot".into(), ..refused(&session, "tool_not_granted") };
    report(&server, many(&other)).await.expect("kept");
    let nameless = || Decision { agent: String::new(), ..refused(&session, "tool_not_granted") };
    report(&server, many(&nameless)).await.expect("kept");
    report(&server, denials("", 25)).await.expect("kept");
    report(&server, denials("ses_00000000000070008000000000000001", 25)).await.expect("kept");
    // What is no reaching too far, and the same record again and again.
    for reason in ["feed_stale", "token_expired", "holder_mismatch", "audit_unavailable", "no_such_reason"] {
        report(&server, many(&|| refused(&session, reason))).await.expect("kept");
    }
    let same = refused(&session, "tool_not_granted");
    for _ in 0..25 {
        report(&server, vec![same.clone()]).await.expect("kept once");
    }
    client.exchange(exchange(&session)).await.expect("not halted");
    assert!(held(&broker).await.is_empty());
}

#[tokio::test]
async fn a_note_is_on_record_once_and_takes_nothing() {
    let broker = TestBroker::start_with(with("[drift.denials_in_a_row]\nthreshold = 3\naction = \"note\"\n")).await;
    let (server, client) = (broker.client("/tool/files").await, broker.client(AGENT_PATH).await);
    let session = client.session().await;
    report(&server, denials(&session, 10)).await.expect("kept");
    client.exchange(exchange(&session)).await.expect("a token");
    assert_eq!(of_kind(&broker, "session.note").await.len(), 1);
    assert!(held(&broker).await.is_empty());
}

#[tokio::test]
async fn a_halted_session_can_be_closed_for_good() {
    let broker = TestBroker::start().await;
    let (server, client) = (broker.client("/tool/files").await, broker.client(AGENT_PATH).await);
    let session = client.session().await;
    report(&server, denials(&session, 20)).await.expect("kept");
    let sequence = client.close(&session).await.expect("closed");
    assert_eq!(client.close(&session).await.expect("closing is idempotent"), sequence);
    assert_eq!(sequence, 2, "the halt was the first revocation");
    assert!(held(&broker).await.is_empty());
    assert_eq!(reason(client.exchange(exchange(&session)).await), "session_closed");
}

#[tokio::test]
async fn only_operators_resume_and_list() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let request = ResumeRequest { session_id: session.clone(), why: "please".into() };
    let mut network = RevocationServiceClient::new(client.channel.clone());
    assert_eq!(network.resume(request.clone()).await.expect_err("not served").code(), tonic::Code::Unimplemented);
    let without_reason = ResumeRequest { why: String::new(), ..request.clone() };
    assert_eq!(reason(broker.operator().resume(without_reason).await), "request_invalid");
    let malformed = ResumeRequest { session_id: "ses_1".into(), ..request };
    assert_eq!(reason(broker.operator().resume(malformed).await), "request_invalid");
    assert!(!resume(&broker, &session).await, "nothing is held against it");
    assert!(!resume(&broker, "ses_00000000000070008000000000000001").await, "there is no such session");
}
