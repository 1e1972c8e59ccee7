//! Issuers whose keys are at an https address, with a real server there: one that changes its keys, goes away, and says what
//! it should not.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crumb_attestors::subject_token::Issuer;
use crumb_broker::subjects::{Purpose, Subjects, UnusableIssuers};
use crumb_identity::SystemClock;
use crumb_proto::wire::{ListApprovalsRequest, OpenSessionRequest};
use crumb_tests::{
    broker::{AGENT_PATH, PATIENCE, Setup, TestBroker, opening, reason, refusal},
    member::ForwardClock,
    web_server::{Reply, WebAuthority, WebServer},
};
use crumb_token::{Clock as _, Denial};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

const ISSUER: &str = "https://login.a.test";

/// One key of an identity provider.
struct Key {
    id: &'static str,
    key: SigningKey,
}

impl Key {
    fn new(id: &'static str, seed: u8) -> Self {
        Self { id, key: SigningKey::from_bytes(&[seed; 32]) }
    }

    /// The document with this key alone.
    fn set(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": x, "use": "sig"}]}).to_string()
    }

    /// A token for Bob that begins now, or so many seconds later.
    fn token(&self, after_s: u64) -> String {
        self.token_with(after_s, json!({"alg": "EdDSA", "kid": self.id, "typ": "JWT"}))
    }

    fn token_with(&self, after_s: u64, header: Value) -> String {
        let now = SystemClock::new().now().wall.as_unix_s() + after_s;
        let claims = json!({
            "iss": ISSUER, "aud": "crumb", "sub": "u-1", "email": "bob@a.test", "email_verified": true,
            "iat": now, "exp": now + 3000,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A provider with its server, and the file that vouches for it.
struct Provider {
    server: WebServer,
    directory: TempDir,
}

impl Provider {
    async fn new(reply: Reply) -> Self {
        let authority = WebAuthority::new("the provider's");
        let directory = tempfile::tempdir().expect("a directory");
        authority.write_pem(&directory.path().join("ca.pem"));
        WebAuthority::new("somebody else's").write_pem(&directory.path().join("other.pem"));
        Self { server: WebServer::tls(&authority, reply).await, directory }
    }

    fn entry(&self, ca: &str) -> String {
        format!(
            "name = \"corp\"\nkind = \"oidc\"\niss = \"{ISSUER}\"\naudiences = [\"crumb\"]\nprincipal = \"email\"\n\
             jwks_url = \"https://127.0.0.1:{}/keys?tenant=a\"\njwks_ca_file = \"{}\"\njwks_age_max_s = 3600\n",
            self.server.addr.port(),
            self.directory.path().join(ca).display(),
        )
    }
}

/// The issuers of a broker by themselves, so that a test can put the clock forward.
struct Stage {
    provider: Provider,
    subjects: Arc<Subjects>,
    clock: Arc<ForwardClock>,
    fetching: JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

impl Stage {
    async fn new(reply: Reply, ca: &str) -> Self {
        let provider = Provider::new(reply).await;
        let issuer: Issuer = toml::from_str(&provider.entry(ca)).expect("a good entry");
        let subjects = Arc::new(Subjects::load(Purpose::Subjects, vec![issuer]).expect("good issuers"));
        let clock = Arc::new(ForwardClock::default());
        let (kept, with) = (Arc::clone(&subjects), Arc::clone(&clock));
        let fetching = tokio::spawn(async move { kept.keep_keys(with.as_ref()).await });
        Self { provider, subjects, clock, fetching }
    }

    async fn verify(&self, token: &str) -> Result<(), Denial> {
        self.subjects.verify(token, self.clock.as_ref()).await.map(drop)
    }

    /// Checks a token until the answer is this rule, or no refusal.
    async fn comes_to(&self, token: &str, rule: Option<&str>) {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.verify(token).await.err().map(|denial| denial.rule);
            if said.as_deref() == rule {
                return;
            }
            assert!(Instant::now() < until, "it says {said:?} and not {rule:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many fetches have failed.
    async fn has_failed(&self, times: u32) {
        let until = Instant::now() + PATIENCE;
        while self.subjects.keys(self.clock.as_ref())[0].failures != times {
            assert!(Instant::now() < until, "{:?}", self.subjects.keys(self.clock.as_ref()));
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn keys_are_fetched_at_the_start_and_a_new_key_when_a_token_names_it() {
    let (old, new) = (Key::new("k1", 1), Key::new("k2", 2));
    let provider = Provider::new(Reply::body(old.set())).await;
    let setup = Setup { config: format!("[[subject_issuers]]\n{}", provider.entry("ca.pem")), ..Setup::default() };
    let broker = TestBroker::start_with(setup).await;
    let client = broker.client(AGENT_PATH).await;
    let open = |token: String| client.open(OpenSessionRequest { subject_token: token, ..opening() });
    open(old.token(0)).await.expect("the first key, fetched at the start or for this");
    assert_eq!(provider.server.asked()[0].path, "/keys?tenant=a");
    provider.server.reply(Reply::body(new.set()));
    let until = Instant::now() + PATIENCE;
    while let Err(refused) = open(new.token(0)).await {
        assert_eq!(reason(Err::<(), _>(refused)), "subject_invalid");
        assert!(Instant::now() < until, "the new key is not found");
        sleep(Duration::from_millis(100)).await;
    }
    let (_, denial) = refusal(open(old.token(0)).await);
    assert_eq!((denial.reason.code(), denial.rule.as_str()), ("subject_invalid", "the issuer has no such key"));
    assert_eq!(provider.server.asked().len(), 2, "however many tokens named it");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_broker_starts_without_the_issuer_and_says_that_its_keys_are_not_there_yet() {
    let key = Key::new("k1", 1);
    let provider = Provider::new(Reply::HangsUp).await;
    let receiver = WebServer::plain(Reply::status(204)).await;
    let secret = provider.directory.path().join("secret");
    std::fs::write(&secret, format!("whsec_{}", "Y3J1".repeat(11))).expect("a file of our own");
    let webhook = format!(
        "[[webhooks]]\nname = \"ops\"\nurl = \"http://{}/\"\nsecret_files = [\"{}\"]\nkinds = [\"issuer.*\"]\n",
        receiver.addr,
        secret.display(),
    );
    let config = format!("[[subject_issuers]]\n{}{webhook}", provider.entry("ca.pem"));
    let broker = TestBroker::start_with(Setup { config, ..Setup::default() }).await;
    let client = broker.client(AGENT_PATH).await;
    let with_token = OpenSessionRequest { subject_token: key.token(0), ..opening() };
    let (_, denial) = refusal(client.open(with_token).await);
    assert_eq!(
        (denial.reason.code(), denial.rule.as_str()),
        ("subject_invalid", "the issuer's keys are not there yet")
    );
    assert_eq!(denial.next, "ask again in a few seconds: the issuer's keys are fetched");
    client.session().await;
    let told = receiver.until("an event", |asked| !asked.is_empty()).await.remove(0);
    let told: Value = serde_json::from_slice(&told.body).expect("JSON");
    assert_eq!((&told["type"], &told["data"]["issuer"]), (&"issuer.keys_unavailable".into(), &"corp".into()));
    assert_eq!(told["data"]["list"], "subject issuers");
}

#[tokio::test]
async fn while_nobody_knows_whether_a_token_opens_sessions_it_approves_nothing() {
    let key = Key::new("k1", 1);
    let provider = Provider::new(Reply::HangsUp).await;
    let approvers = format!(
        "[[approver_issuers]]\nname = \"people\"\nkind = \"oidc\"\niss = \"{ISSUER}\"\naudiences = [\"approvals\"]\n\
         principal = \"email\"\njwks = '{}'\n",
        key.set(),
    );
    let config = format!("[[subject_issuers]]\n{}{approvers}", provider.entry("ca.pem"));
    let broker = TestBroker::start_with(Setup { config, ..Setup::governed() }).await;
    let request = ListApprovalsRequest { approver_token: key.token(0), ..ListApprovalsRequest::default() };
    let (_, denial) = refusal(broker.client("/portal").await.approvals().list_approvals(request).await);
    assert_eq!(
        (denial.rule.as_str(), denial.author.as_str()),
        ("the issuer's keys are not there yet", "the subject issuers")
    );
}

#[tokio::test]
async fn keys_that_are_held_outlive_an_issuer_that_is_away_and_not_their_age() {
    let key = Key::new("k1", 1);
    let stage = Stage::new(Reply::body(key.set()), "ca.pem").await;
    stage.comes_to(&key.token(0), None).await;
    let unknown = Key::new("k9", 9);
    for (times, reply) in (1..).zip([
        Reply::HangsUp,
        Reply::status(500),
        Reply::status(204),
        Reply::body("<html>sign in</html>"),
        Reply::body(json!({"keys": []}).to_string()),
        Reply::body(vec![0xff; 100]),
    ]) {
        stage.provider.server.reply(reply);
        stage.clock.forward(Duration::from_secs(500));
        // A token with another key has them fetched; nothing that comes back takes away what is held.
        let _ = stage.verify(&unknown.token(500)).await;
        stage.has_failed(times).await;
        stage.verify(&key.token(500 * u64::from(times))).await.expect("the keys that are held");
    }
    stage.clock.forward(Duration::from_secs(700));
    let late = key.token(3700);
    stage.comes_to(&late, Some("the issuer's keys are too old")).await;
    assert_eq!(stage.subjects.keys(stage.clock.as_ref())[0].are_held, Some(false));
    stage.provider.server.reply(Reply::body(key.set()));
    stage.clock.forward(Duration::from_secs(400));
    stage.comes_to(&late, None).await;
}

#[tokio::test]
async fn ten_megabytes_are_no_key_set() {
    let key = Key::new("k1", 1);
    let mut set = key.set();
    set.push_str(&" ".repeat(10 * 1024 * 1024));
    let stage = Stage::new(Reply::body(set), "ca.pem").await;
    stage.has_failed(1).await;
    stage.comes_to(&key.token(0), Some("the issuer's keys are not there yet")).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let key = Key::new("k1", 1);
    let elsewhere = Provider::new(Reply::body(key.set())).await;
    let to = format!("https://127.0.0.1:{}/keys", elsewhere.server.addr.port());
    let stage = Stage::new(Reply::Redirects(to), "ca.pem").await;
    stage.has_failed(1).await;
    stage.comes_to(&key.token(0), Some("the issuer's keys are not there yet")).await;
    assert!(elsewhere.server.asked().is_empty());
}

#[tokio::test]
async fn keys_of_a_server_that_nobody_vouches_for_are_not_taken() {
    let key = Key::new("k1", 1);
    let stage = Stage::new(Reply::body(key.set()), "other.pem").await;
    stage.has_failed(1).await;
    stage.comes_to(&key.token(0), Some("the issuer's keys are not there yet")).await;
    assert!(stage.provider.server.asked().is_empty(), "it was asked nothing");
}

#[tokio::test]
async fn tokens_with_keys_that_nobody_has_cannot_make_us_fetch_at_will() {
    let key = Key::new("k1", 1);
    let stage = Stage::new(Reply::body(key.set()), "ca.pem").await;
    stage.comes_to(&key.token(0), None).await;
    let unknown = Key::new("k9", 9);
    for _ in 0..50 {
        assert!(stage.verify(&unknown.token(0)).await.is_err());
    }
    assert_eq!(stage.provider.server.asked().len(), 1);
    stage.clock.forward(Duration::from_secs(10));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (subjects, clock, token) = (Arc::clone(&stage.subjects), Arc::clone(&stage.clock), unknown.token(0));
        asking.spawn(async move { subjects.verify(&token, clock.as_ref()).await.is_err() });
    }
    assert!(asking.join_all().await.into_iter().all(|refused| refused));
    assert_eq!(stage.provider.server.asked().len(), 2, "one fetch for all of them");
}

#[tokio::test]
async fn a_token_never_says_where_its_keys_are() {
    let (key, own) = (Key::new("k1", 1), Key::new("k1", 7));
    let attacker = WebServer::plain(Reply::body(own.set())).await;
    let stage = Stage::new(Reply::body(key.set()), "ca.pem").await;
    stage.comes_to(&key.token(0), None).await;
    for member in ["jku", "x5u"] {
        let mut header = json!({"alg": "EdDSA", "kid": "k1", "typ": "JWT"});
        header[member] = json!(format!("http://{}/keys", attacker.addr));
        let denial = stage.verify(&own.token_with(0, header)).await.expect_err("refused");
        assert_eq!(denial.rule, "the header says where its key is, and only the configuration does");
    }
    assert!(attacker.asked().is_empty());
    assert_eq!(stage.provider.server.asked().len(), 1);
}

#[tokio::test]
async fn a_broker_does_not_start_when_the_file_of_authorities_holds_none() {
    let provider = Provider::new(Reply::HangsUp).await;
    std::fs::write(provider.directory.path().join("ca.pem"), "nobody").expect("a file of our own");
    let issuer: Issuer = toml::from_str(&provider.entry("ca.pem")).expect("a good entry");
    let refused = Subjects::load(Purpose::Approvers, vec![issuer]).expect_err("no authority");
    assert!(matches!(refused, UnusableIssuers::Authorities { .. }));
    assert_eq!(
        refused.to_string(),
        "nobody can vouch for the server with the keys of corp, one of the approver issuers"
    );
}
