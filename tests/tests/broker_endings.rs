//! Revoking and the kill switch, through a real broker, its feed, and a real verifier that follows it.

use crumb_identity::SystemClock;
use crumb_proto::wire::{
    DelegateRequest, LiftRequest, ListStopsRequest, OpenSessionRequest, Origin, RevokeRequest, origin::Kind,
    revocation_service_client::RevocationServiceClient,
};
use crumb_sdk::feed::follow;
use crumb_tests::{
    broker::{
        AGENT, AGENT_PATH, Client, FILES, PATIENCE, Setup, TestBroker, exchange, files, opening, reason, request_id,
    },
    member::id,
};
use crumb_token::{Ask, Clock as _, SpiffeId, TokenText};
use crumb_verifier::{Limits, Verifier};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A tool server's verifier, which knows what the feed says.
struct ToolServer {
    verifier: Arc<Verifier>,
    _following: DropGuard,
    _client: Client,
}

impl ToolServer {
    async fn start(broker: &TestBroker) -> Self {
        let client = broker.client("/tool/files").await;
        let verifier = Arc::new(Verifier::new(FILES.parse().expect("an audience"), Limits::default()));
        let shutdown = CancellationToken::new();
        drop(follow(verifier.clone(), client.channel.clone(), Arc::new(SystemClock::new()), shutdown.clone()));
        Self { verifier, _following: shutdown.drop_guard(), _client: client }
    }

    fn allows(&self, token: &TokenText, peer: &SpiffeId) -> bool {
        let resource = "file:///docs/readme.md".parse().expect("a resource");
        let ask = Ask::new("read_file".parse().expect("a tool"), "read".parse().expect("an operation"), resource);
        self.verifier.decide(token, &ask, peer, SystemClock::new().now()).is_allowed()
    }

    /// Waits until it allows, or does not.
    async fn comes_to(&self, token: &TokenText, peer: &SpiffeId, allowed: bool) {
        let until = Instant::now() + PATIENCE;
        while self.allows(token, peer) != allowed {
            assert!(Instant::now() < until, "the verifier does not come to {allowed}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Gets a token: in the second in which something of it was revoked there is none.
async fn token(client: &Client, session: &str) -> TokenText {
    let mut tries = tokio::time::interval(Duration::from_millis(50));
    let issued = tokio::time::timeout(PATIENCE, async {
        loop {
            match client.exchange(exchange(session)).await {
                Ok(issued) => return issued,
                Err(status) => assert_eq!(reason::<()>(Err(status)), "overloaded"),
            }
            tries.tick().await;
        }
    });
    TokenText::from_presented(&issued.await.expect("a token in time").token).expect("a token's text")
}

fn revoking(kind: &str, name: &str) -> RevokeRequest {
    RevokeRequest { kind: kind.into(), name: name.into(), why: "it went astray".into(), ..RevokeRequest::default() }
}

#[tokio::test]
async fn each_target_ends_what_it_names_at_a_tool_server() {
    let peer = id(AGENT_PATH);
    for (kind, name) in [
        ("agent", AGENT),
        ("version", "research-bot@1.4.0"),
        ("owner", "ada@a.test"),
        ("tool_server", FILES),
        ("subject", "bob@a.test"),
        ("everything", ""),
        ("key", "1"),
    ] {
        let broker = TestBroker::start().await;
        let server = ToolServer::start(&broker).await;
        let client = broker.client(AGENT_PATH).await;
        let session = client.session().await;
        let token = token(&client, &session).await;
        server.comes_to(&token, &peer, true).await;
        let revoked = broker.operator().revoke(revoking(kind, name)).await.expect("revoked").into_inner();
        assert!(revoked.revocation > 0 && !revoked.targets.is_empty(), "{kind}: {revoked:?}");
        server.comes_to(&token, &peer, false).await;
        let record = broker.trail().await.pop().expect("a record");
        assert_eq!((record.kind.as_str(), record.allowed), ("revoke", true), "{kind}");
        assert!(record.peer.starts_with("uid:") && record.detail.contains("it went astray"), "{record:?}");
    }
}

#[tokio::test]
async fn a_token_and_a_session_are_revoked_by_their_numbers() {
    let broker = TestBroker::start().await;
    let server = ToolServer::start(&broker).await;
    let (client, peer) = (broker.client(AGENT_PATH).await, id(AGENT_PATH));
    let session = client.session().await;
    let issued = client.exchange(exchange(&session)).await.expect("a token");
    let one = TokenText::from_presented(&issued.token).expect("a token's text");
    let other = token(&client, &session).await;
    server.comes_to(&other, &peer, true).await;
    broker.operator().revoke(revoking("token", &issued.token_id)).await.expect("revoked");
    server.comes_to(&one, &peer, false).await;
    assert!(server.allows(&other, &peer), "another token of the session lives");
    let ended = broker.operator().revoke(revoking("session", &session)).await.expect("revoked").into_inner();
    assert_eq!(ended.sessions, 1);
    server.comes_to(&other, &peer, false).await;
    assert_eq!(reason(client.exchange(exchange(&session)).await), "session_closed");
}

#[tokio::test]
async fn no_token_is_dead_at_birth() {
    let peer = id(AGENT_PATH);
    let broker = TestBroker::start().await;
    let server = ToolServer::start(&broker).await;
    let client = broker.client(AGENT_PATH).await;
    let old = token(&client, &client.session().await).await;
    server.comes_to(&old, &peer, true).await;
    broker.operator().revoke(revoking("agent", AGENT)).await.expect("revoked");
    let new = token(&client, &client.session().await).await;
    server.comes_to(&old, &peer, false).await;
    assert!(server.allows(&new, &peer), "whoever got it can use it");
}

#[tokio::test]
async fn a_revoked_agent_may_go_on_and_a_stopped_one_may_not_until_it_is_lifted() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    broker.operator().revoke(revoking("agent", AGENT)).await.expect("revoked");
    assert_eq!(reason(client.exchange(exchange(&session)).await), "session_closed");
    let session = client.session().await;
    token(&client, &session).await;
    for (kind, name) in [("agent", AGENT), ("owner", "ada@a.test"), ("subject", "bob@a.test"), ("everything", "")] {
        let stop = RevokeRequest { stop: true, ..revoking(kind, name) };
        broker.operator().revoke(stop).await.expect("stopped");
        assert_eq!(reason(client.open(opening()).await), "stopped", "{kind}");
        let lift = LiftRequest { kind: kind.into(), name: name.into(), why: "mended".into() };
        assert!(broker.operator().lift(lift.clone()).await.expect("lifted").into_inner().lifted);
        assert!(!broker.operator().lift(lift).await.expect("nothing to lift").into_inner().lifted);
        client.session().await;
    }
    let session = client.session().await;
    broker.operator().revoke(RevokeRequest { stop: true, ..revoking("tool_server", FILES) }).await.expect("stopped");
    assert_eq!(reason(client.exchange(exchange(&session)).await), "stopped");
}

#[tokio::test]
async fn a_stop_outlives_a_restart_and_says_who_did_it_and_why() {
    let broker = TestBroker::start().await;
    broker.operator().revoke(RevokeRequest { stop: true, ..revoking("agent", AGENT) }).await.expect("stopped");
    let broker = broker.restart().await;
    let client = broker.client(AGENT_PATH).await;
    assert_eq!(reason(client.open(opening()).await), "stopped");
    let stops = broker.operator().list_stops(ListStopsRequest {}).await.expect("a list").into_inner().stops;
    assert_eq!((stops[0].name.as_str(), stops[0].why.as_str()), (AGENT, "it went astray"));
    assert!(stops[0].by.starts_with("uid:"));
}

#[tokio::test]
async fn a_dry_run_counts_and_ends_nothing() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let dry = RevokeRequest { dry_run: true, stop: true, ..revoking("everything", "") };
    let counted = broker.operator().revoke(dry).await.expect("counted").into_inner();
    assert_eq!((counted.sessions, counted.revocation), (1, 0));
    token(&client, &session).await;
}

#[tokio::test]
async fn refuses_what_names_nothing_and_whoever_is_no_operator() {
    let broker = TestBroker::start().await;
    for (kind, name) in [
        ("agent", "*"),
        ("agent", ""),
        ("everything", "x"),
        ("session", "ses_1"),
        ("owner", ""),
        ("planet", "earth"),
        ("version", "research-bot"),
    ] {
        assert_eq!(reason(broker.operator().revoke(revoking(kind, name)).await), "request_invalid", "{kind}:{name}");
    }
    let without_reason = RevokeRequest { why: String::new(), ..revoking("agent", AGENT) };
    assert_eq!(reason(broker.operator().revoke(without_reason).await), "request_invalid");
    let session_stop = RevokeRequest { stop: true, ..revoking("session", "ses_00000000000000000000000000000001") };
    assert_eq!(reason(broker.operator().revoke(session_stop).await), "request_invalid");
    let workload = broker.client(AGENT_PATH).await;
    let refused = RevocationServiceClient::new(workload.channel.clone()).revoke(revoking("agent", AGENT)).await;
    assert_eq!(refused.expect_err("not served").code(), tonic::Code::Unimplemented);
}

#[tokio::test]
async fn one_entry_ends_everything_that_was_delegated_below() {
    let broker = TestBroker::start_with(Setup::governed()).await;
    let server = ToolServer::start(&broker).await;
    let (planner, helper) = (broker.client(AGENT_PATH).await, broker.client("/agent/helper").await);
    let session = planner.session().await;
    let delegated = planner
        .sessions()
        .delegate(DelegateRequest {
            request_id: request_id(),
            session_id: session.clone(),
            agent: "helper".into(),
            peer: id("/agent/helper").to_string(),
            intent: "read a part of it".into(),
            envelope: vec![files(&[("read_file", "read", "file:///docs/*")])],
            ..DelegateRequest::default()
        })
        .await
        .expect("delegated")
        .into_inner();
    let below = token(&helper, &delegated.session_id).await;
    server.comes_to(&below, &id("/agent/helper"), true).await;
    let before = broker.trail().await.len();
    let sequence = planner.close(&session).await.expect("closed");
    server.comes_to(&below, &id("/agent/helper"), false).await;
    assert_eq!(sequence, 1, "one revocation");
    assert_eq!(broker.trail().await.len(), before + 1, "and one record");
    assert_eq!(reason(helper.exchange(exchange(&delegated.session_id)).await), "session_closed");
}

#[tokio::test]
async fn a_revoked_key_signs_nothing_more_and_another_one_begins_at_once() {
    let broker = TestBroker::start().await;
    let server = ToolServer::start(&broker).await;
    let (client, peer) = (broker.client(AGENT_PATH).await, id(AGENT_PATH));
    let session = client.session().await;
    let old = token(&client, &session).await;
    server.comes_to(&old, &peer, true).await;
    broker.operator().revoke(revoking("key", "1")).await.expect("revoked");
    server.comes_to(&old, &peer, false).await;
    let new = token(&client, &session).await;
    server.comes_to(&new, &peer, true).await;
    assert!(!server.allows(&old, &peer));
    // Nor does a start bring it back.
    let broker = broker.restart().await;
    let server = ToolServer::start(&broker).await;
    server.comes_to(&new, &peer, true).await;
    assert!(!server.allows(&old, &peer), "the key is not published again");
}

#[tokio::test]
async fn a_repeated_request_brings_nothing_back_that_was_revoked_or_stopped() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let request = exchange(&session);
    client.exchange(request.clone()).await.expect("a token");
    broker.operator().revoke(revoking("tool_server", FILES)).await.expect("revoked");
    assert_eq!(reason(client.exchange(request.clone()).await), "lifetime_too_short");
    let broker = broker.restart().await;
    let client = broker.client_of(client);
    assert_eq!(reason(client.exchange(request).await), "lifetime_too_short", "nor signed anew, with a later beginning");
    let later = exchange(&session);
    loop {
        // A second has to pass before what is issued is later than what was revoked.
        if client.exchange(exchange(&session)).await.is_ok() {
            break;
        }
    }
    client.exchange(later.clone()).await.expect("a token");
    broker.operator().revoke(RevokeRequest { stop: true, ..revoking("tool_server", FILES) }).await.expect("stopped");
    assert_eq!(reason(client.exchange(later).await), "stopped");
}

#[tokio::test]
async fn a_session_that_ended_with_its_agent_can_be_closed_like_any_other() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    broker.operator().revoke(revoking("agent", AGENT)).await.expect("revoked");
    client.close(&session).await.expect("closing a closed session is no error");
}

#[tokio::test]
async fn a_person_is_stopped_in_every_spelling() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let stop = RevokeRequest { stop: true, ..revoking("subject", "Bob@A.test") };
    broker.operator().revoke(stop).await.expect("stopped");
    for name in ["bob@a.test", "BOB@a.test"] {
        let origin = Origin { kind: Some(Kind::User(name.into())) };
        let request = OpenSessionRequest { origin: Some(origin), ..opening() };
        assert_eq!(reason(client.open(request).await), "stopped", "{name}");
    }
}
