//! The feed, as the verifier that ships takes it: keys, revocations in order, heartbeats, rotation, restarts.

use crumb_identity::{Connector, SystemClock};
use crumb_proto::wire::{SignedFeedMessage, WatchRequest, feed_service_client::FeedServiceClient};
use crumb_sdk::feed::decode;
use crumb_tests::{
    broker::{AGENT_PATH, Client, FILES, PATIENCE, Setup, TestBroker, exchange, reason},
    member::id,
};
use crumb_token::{Ask, Clock as _, KeyId, TokenText, parse::Unverified};
use crumb_verifier::{Decision, Limits, Verifier, feed::Message, feed::Signed};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tonic::{
    Streaming,
    transport::{Channel, Endpoint, Uri},
};

/// A tool server's verifier, and its stream.
struct Listener {
    verifier: Verifier,
    stream: Streaming<SignedFeedMessage>,
}

impl Listener {
    async fn start(client: &Client) -> Self {
        let verifier = Verifier::new(FILES.parse().expect("audience"), Limits::default());
        Self { verifier, stream: watch(client).await }
    }

    /// Takes the next message into the verifier, and returns it.
    async fn hear(&mut self) -> Message {
        let next = timeout(PATIENCE, self.stream.message()).await.expect("in time").expect("no refusal");
        let signed = next.expect("the stream goes on");
        let message = decode(&signed.message).expect("well-formed");
        let parts = Signed { bytes: &signed.message, key_id: KeyId(signed.key_id), signature: &signed.signature };
        let now = SystemClock::new().now();
        self.verifier.apply(&parts, message.clone(), now).unwrap_or_else(|e| panic!("{e}: {message:?}"));
        message
    }

    /// Listens until a message is `wanted`.
    async fn until(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = timeout_at(deadline, self.hear()).await.expect("in time");
            if wanted(&message) {
                return message;
            }
        }
    }

    fn decide(&self, token: &str) -> Decision {
        let token = TokenText::from_presented(token).expect("a token");
        let ask = Ask::new(
            "read_file".parse().expect("tool"),
            "read".parse().expect("operation"),
            "file:///docs/a.md".parse().expect("resource"),
        );
        let peer = "spiffe://a.test/agent/research-bot".parse().expect("id");
        self.verifier.decide(&token, &ask, &peer, SystemClock::new().now())
    }

    fn refuses(&self, token: &str) -> Option<&'static str> {
        match self.decide(token) {
            Decision::Allowed(_) => None,
            Decision::Denied(refused) => Some(refused.denial.reason.code()),
        }
    }
}

async fn watch(client: &Client) -> Streaming<SignedFeedMessage> {
    client.feed().watch(WatchRequest {}).await.expect("a stream").into_inner()
}

async fn token(client: &Client, session: &str) -> String {
    client.exchange(exchange(session)).await.expect("a token").token
}

#[tokio::test]
async fn a_verifier_takes_tokens_until_their_session_is_closed() {
    let broker = TestBroker::start().await;
    let (agent, server) = (broker.client(AGENT_PATH).await, broker.client("/tool/files").await);
    let mut listener = Listener::start(&server).await;
    let first = listener.hear().await;
    assert!(first.full && first.sequence == 0 && first.keys.len() == 2);
    let (kept, closed) = (agent.session().await, agent.session().await);
    let (kept, dead) = (token(&agent, &kept).await, token(&agent, &closed).await);
    assert_eq!((listener.refuses(&kept), listener.refuses(&dead)), (None, None));

    let sequence = agent.close(&closed).await.expect("closed");
    assert_eq!(sequence, 1);
    let told = listener.until(|message| !message.revocations.is_empty()).await;
    assert_eq!((told.full, told.sequence, told.revocations[0].sequence), (false, 1, 1));
    assert_eq!((listener.refuses(&kept), listener.refuses(&dead)), (None, Some("token_revoked")));

    let mut late = Listener::start(&server).await;
    let full = late.hear().await;
    assert_eq!((full.sequence, full.revocations.len()), (1, 1), "who comes later is told as well");
    assert_eq!(late.refuses(&dead), Some("token_revoked"));
}

#[tokio::test]
async fn a_close_is_told_at_once_and_heartbeats_come_each_second() {
    let broker = TestBroker::start().await;
    let (agent, server) = (broker.client(AGENT_PATH).await, broker.client("/tool/files").await);
    let mut listener = Listener::start(&server).await;
    let mut last = listener.hear().await.time_unix_ms;
    for _ in 0..4 {
        let begun = Instant::now();
        let message = listener.hear().await;
        assert!(begun.elapsed() < Duration::from_secs(1), "a second without a heartbeat");
        assert!(!message.full && message.time_unix_ms > last && message.keys.is_empty());
        last = message.time_unix_ms;
    }
    for n in 1..=20 {
        let session = agent.session().await;
        assert_eq!(agent.close(&session).await.expect("closed"), n, "numbers have no gaps");
    }
    listener.until(|message| message.sequence == 20).await;
}

#[tokio::test]
async fn keys_rotate_and_overlap() {
    let setup = Setup { config: "key_rotation_s = 12".into(), ..Setup::default() };
    let broker = TestBroker::start_with(setup).await;
    let (agent, server) = (broker.client(AGENT_PATH).await, broker.client("/tool/files").await);
    let mut listener = Listener::start(&server).await;
    let first = listener.hear().await;
    let (now, next) = (&first.keys[0], &first.keys[1]);
    assert_eq!(next.not_before.since(now.not_before), Duration::from_secs(12), "told before it signs");
    assert_eq!(now.not_after.since(now.not_before), Duration::from_secs(12 + 10 + 3600));
    let session = agent.session().await;
    let old = token(&agent, &session).await;
    assert_eq!(listener.refuses(&old), None);

    // Whoever listened only before the rotation knows the key that signs after it.
    let announced = listener.until(|message| !message.keys.is_empty()).await;
    assert_eq!(announced.keys.len(), 3);
    let new = token(&agent, &session).await;
    let key = |text: &str| {
        let bytes = TokenText::from_presented(text).expect("a token").decode().expect("base64url");
        Unverified::parse(&bytes).expect("inside the profile").key_id()
    };
    assert_eq!((key(&old), key(&new)), (now.id, next.id));
    assert_eq!((listener.refuses(&old), listener.refuses(&new)), (None, None));
}

#[tokio::test]
async fn a_restart_takes_nothing_away_from_living_tokens_and_gives_nothing_back() {
    let broker = TestBroker::start().await;
    let (agent, server) = (broker.client(AGENT_PATH).await, broker.client("/tool/files").await);
    let (kept, closed) = (agent.session().await, agent.session().await);
    let (kept, dead) = (token(&agent, &kept).await, token(&agent, &closed).await);
    agent.close(&closed).await.expect("closed");
    let mut listener = Listener::start(&server).await;
    let before = listener.hear().await;

    let broker = broker.restart().await;
    let (agent, server) = (broker.client_of(agent), broker.client_of(server));
    listener.stream = watch(&server).await;
    let after = listener.hear().await;
    assert!(after.full && after.epoch > before.epoch);
    assert_eq!((after.sequence, after.revocations.len(), after.keys.len()), (1, 1, 3));
    assert_eq!((listener.refuses(&kept), listener.refuses(&dead)), (None, Some("token_revoked")));
    let session = agent.session().await;
    assert_eq!(listener.refuses(&token(&agent, &session).await), None);
    assert_eq!(agent.close(&session).await.expect("closed"), 2, "numbers go on");
}

#[tokio::test]
async fn so_many_listeners_and_no_more() {
    let setup = Setup { config: "[limits]\nwatchers = 1".into(), ..Setup::default() };
    let broker = TestBroker::start_with(setup).await;
    let client = broker.client(AGENT_PATH).await;
    let mut one = watch(&client).await;
    one.message().await.expect("a message");
    assert_eq!(reason(client.feed().watch(WatchRequest {}).await.map(|_| ())), "overloaded");
    drop(one);
    let deadline = Instant::now() + PATIENCE;
    while client.feed().watch(WatchRequest {}).await.is_err() {
        assert!(Instant::now() < deadline, "a place becomes free");
        tokio::task::yield_now().await;
    }
}

/// More than a listener's place in the queue and its window hold together.
const MESSAGES: u64 = 480;

/// Returns a channel that lets the broker send no more than a few messages ahead.
fn narrow(client: &Client, broker: &TestBroker) -> Channel {
    let connector = Connector::new(client.member.workload.clone(), id("/broker"));
    let address = broker.ready.addr.to_string();
    let connect = tower::service_fn(move |_: Uri| {
        let (connector, address) = (connector.clone(), address.clone());
        async move { connector.connect(&address).await.map(hyper_util::rt::TokioIo::new) }
    });
    Endpoint::from_static("http://broker").initial_stream_window_size(4096).connect_with_connector_lazy(connect)
}

#[tokio::test]
async fn a_listener_that_reads_nothing_is_cut_off_and_holds_nobody_up() {
    let broker = TestBroker::start().await;
    let (agent, server) = (Arc::new(broker.client(AGENT_PATH).await), broker.client("/tool/files").await);
    let mut asleep = FeedServiceClient::new(narrow(&server, &broker)).watch(WatchRequest {}).await.expect("a stream");
    let mut awake = Listener::start(&server).await;
    let listening = tokio::spawn(async move { awake.until(|message| message.sequence == MESSAGES).await });
    let mut closing = JoinSet::new();
    for _ in 0..16 {
        let agent = Arc::clone(&agent);
        closing.spawn(async move {
            for _ in 0..MESSAGES / 16 {
                let session = agent.session().await;
                agent.close(&session).await.expect("closed");
            }
        });
    }
    closing.join_all().await;
    listening.await.expect("who listens hears everything");
    let ended = loop {
        match timeout(PATIENCE, asleep.get_mut().message()).await.expect("in time") {
            Ok(Some(_)) => {}
            other => break other.map(|_| ()),
        }
    };
    assert_eq!(reason(ended), "overloaded");
}

#[tokio::test]
async fn a_stop_ends_the_stream_in_good_order() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let mut stream = watch(&client).await;
    stream.message().await.expect("a message");
    broker.stop().await.expect("a clean end");
    while timeout(PATIENCE, stream.message()).await.expect("in time").expect("no error").is_some() {}
}
