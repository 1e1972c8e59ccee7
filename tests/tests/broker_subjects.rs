//! On whose behalf: sessions opened with a person's token, through a real broker that lists its issuer; and people who
//! approve with one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crumb_identity::SystemClock;
use crumb_proto::wire::{
    ApproveRequest, ExchangeRequest, OpenSessionRequest, Origin, approval_service_client::ApprovalServiceClient,
    origin::Kind,
};
use crumb_tests::broker::{AGENT_PATH, Client, Setup, TestBroker, exchange, files, opening, reason, refusal};
use crumb_token::{Clock as _, origin::Assurance, parse::Unverified};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

const ISSUER: &str = "https://login.a.test";

/// The audience of the tokens that people approve with.
const APPROVALS: &str = "crumb-approvals";

/// An identity provider: one key, and the tokens that it signs.
struct Provider(SigningKey);

impl Provider {
    fn new() -> Self {
        Self(SigningKey::from_bytes(&[0x1d; 32]))
    }

    fn config(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes());
        let key = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x, "use": "sig"}]});
        let issuer = |list: &str, name: &str, audience: &str| {
            format!(
                "[[{list}]]\nname = \"{name}\"\nkind = \"oidc\"\niss = \"{ISSUER}\"\naudiences = [\"{audience}\"]\n\
                 principal = \"email\"\njwks = '{key}'\n"
            )
        };
        issuer("subject_issuers", "corp", "crumb") + &issuer("approver_issuers", "people", APPROVALS)
    }

    /// A token that `who` approves with.
    fn approver(&self, who: &str) -> String {
        self.token(|claims| (claims["email"], claims["aud"]) = (json!(who), json!(APPROVALS)))
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let now = SystemClock::new().now().wall.as_unix_s();
        let mut claims = json!({
            "iss": ISSUER, "aud": "crumb", "sub": "u-1", "email": "bob@a.test", "email_verified": true,
            "iat": now, "exp": now + 300,
        });
        change(&mut claims);
        let header = json!({"alg": "EdDSA", "kid": "k1", "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.0.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

struct Stage {
    broker: TestBroker,
    provider: Provider,
    client: Client,
}

impl Stage {
    async fn new() -> Self {
        let provider = Provider::new();
        let setup = Setup { config: provider.config(), ..Setup::governed() };
        let broker = TestBroker::start_with(setup).await;
        let client = broker.client(AGENT_PATH).await;
        Self { broker, provider, client }
    }

    fn for_bob(&self, change: impl FnOnce(&mut Value)) -> OpenSessionRequest {
        OpenSessionRequest { subject_token: self.provider.token(change), ..opening() }
    }
}

#[tokio::test]
async fn a_proven_user_is_verified_in_the_token_and_the_trail() {
    let stage = Stage::new().await;
    let session = stage.client.open(stage.for_bob(|_| {})).await.expect("a session");
    let issued = stage.client.exchange(exchange(&session)).await.expect("a token");
    let bytes = crumb_token::TokenText::from_presented(&issued.token).and_then(|text| text.decode()).expect("bytes");
    let token = Unverified::parse(&bytes).expect("a token");
    let subject = token.claims().subject.clone().expect("a subject");
    assert_eq!((subject.name.as_str(), subject.assurance), ("bob@a.test", Assurance::Verified));
    let trail = stage.broker.trail().await;
    let record = trail.last().expect("a record");
    assert_eq!(record.subject, "bob@a.test (verified)");
    assert_eq!(record.origin, "user:bob@a.test (verified)");
}

#[tokio::test]
async fn a_delegated_access_ends_with_the_persons_token() {
    let stage = Stage::new().await;
    let now = SystemClock::new().now().wall.as_unix_s();
    let request = stage.for_bob(|claims| claims["exp"] = json!(now + 60));
    let opened = stage.client.sessions().open_session(request).await.expect("a session").into_inner();
    assert!((now + 60..=now + 66).contains(&opened.expires_at), "{} s", opened.expires_at - now);
}

#[tokio::test]
async fn nobodys_token_is_looked_at_but_theirs_who_may_speak_for_the_agent() {
    let stage = Stage::new().await;
    let bad = || stage.for_bob(|claims| claims["aud"] = json!("another"));
    assert_eq!(reason(stage.client.open(bad()).await), "subject_invalid");
    let unknown = OpenSessionRequest { agent: "nobody".into(), ..bad() };
    assert_eq!(reason(stage.client.open(unknown).await), "agent_unknown");
    let stranger = stage.broker.client("/agent/stranger").await;
    assert_eq!(reason(stranger.open(bad()).await), "agent_not_spoken_for");
}

#[tokio::test]
async fn refuses_another_persons_token_and_one_that_does_not_verify() {
    let stage = Stage::new().await;
    let open = |change: fn(&mut Value)| stage.client.open(stage.for_bob(change));
    for change in [
        (|c| c["email"] = json!("eve@a.test")) as fn(&mut Value),
        |c| c["aud"] = json!("another"),
        |c| c["iss"] = json!("https://login.a.test/"),
        |c| c["exp"] = json!(1),
        |c| c["email_verified"] = json!(false),
        |c| c["may_act"] = json!({"sub": "spiffe://a.test/agent/other"}),
    ] {
        assert_eq!(reason(open(change).await), "subject_invalid");
    }
    let scheduled = OpenSessionRequest {
        origin: Some(Origin { kind: Some(Kind::Schedule("nightly".into())) }),
        ..stage.for_bob(|_| {})
    };
    assert_eq!(reason(stage.client.open(scheduled).await), "subject_invalid");
    let forged =
        OpenSessionRequest { subject_token: Provider(SigningKey::from_bytes(&[9; 32])).token(|_| {}), ..opening() };
    let (_, denial) = refusal(stage.client.open(forged.clone()).await);
    assert_eq!(denial.reason.code(), "subject_invalid");
    let secret = forged.subject_token.split('.').next_back().expect("a signature");
    let trail = format!("{denial:?} {:?}", stage.broker.trail().await);
    assert!(!trail.contains(secret), "nothing of the token is repeated");
}

#[tokio::test]
async fn a_broker_without_issuers_believes_nobody() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let request = OpenSessionRequest { subject_token: Provider::new().token(|_| {}), ..opening() };
    assert_eq!(reason(client.open(request).await), "subject_invalid");
}

/// Asks for what needs an approval, for Bob, and returns the number of the request for it.
async fn ask(stage: &Stage, janitor: &Client) -> String {
    let right = [("delete_file", "delete", "file:///tmp/*")];
    let request =
        OpenSessionRequest { agent: "janitor".into(), envelope: vec![files(&right)], ..stage.for_bob(|_| {}) };
    let session = janitor.open(request).await.expect("a session");
    let asking = ExchangeRequest { scope: Some(files(&right)), ..exchange(&session) };
    refusal(janitor.exchange(asking).await).1.asked
}

#[tokio::test]
async fn people_approve_with_their_own_token_and_never_their_own_ask() {
    let stage = Stage::new().await;
    let id = ask(&stage, &stage.broker.client("/agent/janitor").await).await;
    let approve = |who: &str| {
        let approver_token = stage.provider.approver(who);
        let request = ApproveRequest { approval_id: id.clone(), approver_token, ..ApproveRequest::default() };
        let mut approvals = ApprovalServiceClient::new(stage.broker.admin());
        async move { approvals.approve(request).await }
    };
    assert_eq!(reason(approve("bob@a.test").await), "not_an_approver", "whom it is done for");
    assert_eq!(reason(approve("Bob@a.test").await), "not_an_approver", "in another spelling");
    assert_eq!(reason(approve("ada@a.test").await), "not_an_approver", "the agent's owner");
    let refused = stage.broker.trail().await.pop().expect("a record");
    assert!(!refused.allowed && refused.detail.ends_with("by ada@a.test (token of people)"), "{}", refused.detail);
    assert_eq!(reason(approve("kim@a.test").await), "approval_unknown", "nobody of the group");
    let approved = approve("Eve@a.test").await.expect("approved").into_inner();
    assert_eq!((approved.state.as_str(), approved.votes[0].approver.as_str()), ("approved", "eve@a.test"));
    let record = stage.broker.trail().await.pop().expect("a record");
    assert!(record.kind == "approval" && record.allowed && record.peer.starts_with("uid:"), "{record:?}");
    assert_eq!(record.detail, format!("approved {id} by eve@a.test (token of people)"), "who, and on whose word");
}

#[tokio::test]
async fn what_an_agent_holds_for_a_person_approves_nothing() {
    let stage = Stage::new().await;
    let janitor = stage.broker.client("/agent/janitor").await;
    let portal = stage.broker.client("/portal").await;
    let id = ask(&stage, &janitor).await;
    let approve = |client: &Client, approver_token: String| {
        let request = ApproveRequest { approval_id: id.clone(), approver_token, ..ApproveRequest::default() };
        let mut approvals = client.approvals();
        async move { approvals.approve(request).await }
    };
    let subject = stage.provider.token(|claims| claims["email"] = json!("eve@a.test"));
    assert_eq!(reason(approve(&portal, subject).await), "subject_invalid", "Eve's token for sessions");
    let both = stage.provider.token(|c| (c["email"], c["aud"]) = (json!("eve@a.test"), json!(["crumb", APPROVALS])));
    assert_eq!(reason(approve(&portal, both).await), "subject_invalid", "one that is good for both");
    let eve = stage.provider.approver("eve@a.test");
    for agent in [&janitor, &stage.client] {
        assert_eq!(reason(approve(agent, eve.clone()).await), "not_an_approver", "an agent that got hold of it");
    }
    let named = |actor: &str| {
        let (claim, aud) = (json!({"sub": actor}), json!(APPROVALS));
        stage.provider.token(|c| (c["email"], c["aud"], c["may_act"]) = (json!("eve@a.test"), aud, claim))
    };
    let other = named("spiffe://a.test/somebody");
    assert_eq!(reason(approve(&portal, other).await), "subject_invalid", "another one may act for her");
    approve(&portal, named("spiffe://a.test/portal")).await.expect("approved");
    let record = stage.broker.trail().await.pop().expect("a record");
    assert_eq!((record.peer.as_str(), record.allowed), ("spiffe://a.test/portal", true));
    assert!(record.detail.ends_with("by eve@a.test (token of people)"), "{}", record.detail);
}
