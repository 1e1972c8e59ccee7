//! Events through a real broker, at a real receiver: what is told when, signed by whom, and what happens when the receiver is
//! not there.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crumb_broker::notify::{Kind, SigningSecret};
use crumb_identity::SystemClock;
use crumb_proto::wire::{
    ApplyRequest, ApproveRequest, DelegateRequest, ExchangeRequest, LiftRequest, ManifestFile, OpenSessionRequest,
    RefuseRequest, ResumeRequest, RevokeRequest, registry_service_client::RegistryServiceClient,
};
use crumb_tests::{
    broker::{
        AGENT_PATH, Client, GOVERNED, MANIFESTS, Setup, TestBroker, exchange, files, opening, reason, refusal,
        request_id,
    },
    member::id,
    skip::skipped,
    web_server::{Asked, Reply, WebAuthority, WebServer},
};
use crumb_token::Clock as _;
use serde_json::Value;
use std::{collections::BTreeSet, fs, io::Write as _, path::Path, process::Stdio};
use tempfile::TempDir;

/// Two secrets: the newer, and the one that it replaces.
const SECRETS: [[u8; 32]; 2] = [[0x11; 32], [0x22; 32]];

fn secret(n: usize) -> String {
    format!("whsec_{}", STANDARD.encode(SECRETS[n]))
}

/// A receiver, and the lines of the configuration that name it.
struct Receiver {
    server: WebServer,
    directory: TempDir,
}

impl Receiver {
    async fn new() -> Self {
        Self::with(WebServer::plain(Reply::status(204)).await)
    }

    fn with(server: WebServer) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for n in 0..SECRETS.len() {
            fs::write(directory.path().join(n.to_string()), secret(n) + "\n").expect("a file of our own");
        }
        Self { server, directory }
    }

    fn config(&self, url: &str, more: &str) -> String {
        let file = |n: usize| self.directory.path().join(n.to_string()).display().to_string();
        let files = format!("[\"{}\", \"{}\"]", file(0), file(1));
        format!("[[webhooks]]\nname = \"ops\"\nurl = \"{url}\"\nsecret_files = {files}\n{more}\n")
    }

    fn setup(&self, more: &str) -> Setup {
        Setup { config: self.config(&format!("http://{}/in?key=1", self.server.addr), more), ..Setup::governed() }
    }

    /// Waits for so many events of a kind, and returns them all.
    async fn events(&self, kind: &str, count: usize) -> Vec<Value> {
        let of_kind = |asked: &[Asked]| {
            let mut bodies: Vec<Value> = Vec::new();
            for body in asked.iter().map(|asked| serde_json::from_slice::<Value>(&asked.body).expect("JSON")) {
                // What came twice is one event.
                if body["type"] == kind && !bodies.iter().any(|seen| seen["id"] == body["id"]) {
                    bodies.push(body);
                }
            }
            bodies
        };
        of_kind(&self.server.until(kind, |asked| of_kind(asked).len() >= count).await)
    }

    /// Returns how many events have come, however often each did.
    fn told(&self) -> usize {
        let asked = self.server.asked();
        asked.iter().map(|asked| asked.header("webhook-id")).collect::<BTreeSet<_>>().len()
    }

    /// Waits for the first event of a kind.
    async fn event(&self, kind: &str) -> Value {
        self.events(kind, 1).await.remove(0)
    }
}

async fn stop(broker: &TestBroker, agent: &str) {
    let request = RevokeRequest {
        kind: "agent".into(),
        name: agent.into(),
        why: "it went astray".into(),
        stop: true,
        ..RevokeRequest::default()
    };
    broker.operator().revoke(request).await.expect("stopped");
}

async fn lift(broker: &TestBroker, agent: &str) {
    let request = LiftRequest { kind: "agent".into(), name: agent.into(), why: "it is back".into() };
    broker.operator().lift(request).await.expect("lifted");
}

async fn apply(broker: &TestBroker, text: String) {
    let documents = vec![ManifestFile { file: "a.yaml".into(), text }];
    let request = ApplyRequest { documents, ..ApplyRequest::default() };
    let answer = RegistryServiceClient::new(broker.admin()).apply(request).await.expect("an answer").into_inner();
    assert!(answer.defects.is_empty(), "{:?}", answer.defects);
}

fn manifest(name: &str) -> &'static str {
    let is_it = |text: &&str| text.contains(&format!("name: {name} }}"));
    MANIFESTS.split("---\n").find(is_it).expect("it is there")
}

const DELETING: [(&str, &str, &str); 1] = [("delete_file", "delete", "file:///tmp/*")];

fn tidying(lifetime_s: u32) -> OpenSessionRequest {
    let envelope = vec![files(&DELETING)];
    OpenSessionRequest { agent: "janitor".into(), intent: "tidy up".into(), envelope, lifetime_s, ..opening() }
}

fn deleting(session: &str) -> ExchangeRequest {
    ExchangeRequest { scope: Some(files(&DELETING)), ..exchange(session) }
}

/// Asks for what somebody has to approve, and returns the number of the request for it.
async fn ask(client: &Client, session: &str) -> String {
    let (_, denial) = refusal(client.exchange(deleting(session)).await);
    assert_eq!(denial.reason.code(), "approval_needed");
    denial.asked
}

#[tokio::test]
async fn an_event_is_signed_with_every_secret_and_comes_once() {
    let receiver = Receiver::new().await;
    let broker = TestBroker::start_with(receiver.setup("kinds = [\"killswitch.*\"]")).await;
    stop(&broker, "janitor").await;
    let told = receiver.event("killswitch.pulled").await;
    let asked = receiver.server.asked().remove(0);
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/in?key=1"));
    assert_eq!(asked.header("content-type"), "application/json");
    assert_eq!(told["id"], asked.header("webhook-id"));
    let at: u64 = asked.header("webhook-timestamp").parse().expect("seconds");
    assert!(SystemClock::new().now().wall.as_unix_s().abs_diff(at) < 60);
    let signed = |n: usize| {
        let secret: SigningSecret = secret(n).parse().expect("a secret");
        secret.sign(asked.header("webhook-id"), at, &asked.body)
    };
    assert_eq!(asked.header("webhook-signature"), format!("{} {}", signed(0), signed(1)));
    let data = &told["data"];
    assert_eq!(
        (&data["kind"], &data["name"], &data["why"]),
        (&"agent".into(), &"janitor".into(), &"it went astray".into())
    );
    assert!(data["by"].as_str().is_some_and(|by| by.starts_with("uid:")), "{data}");
    lift(&broker, "janitor").await;
    let lifted = receiver.event("killswitch.lifted").await;
    assert_eq!(lifted["data"]["name"], "janitor");
    let broker = broker.restart().await;
    stop(&broker, "helper").await;
    assert_eq!(receiver.events("killswitch.pulled", 2).await.len(), 2);
    assert_eq!(receiver.told(), 3, "each came once, and nothing but what was wanted");
}

/// The blocks of a language in the page that receivers are written after.
fn documented(language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md");
    let page = fs::read_to_string(page).expect("the page");
    let block = page.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap_or_else(|| panic!("no {language} in the page")).to_owned()
}

/// Runs a program of the page on a message that was received; says whether it took it.
fn checks(program: &str, arguments: &[&str], asked: &Asked, secret: &str) -> Option<bool> {
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .env("WEBHOOK_SECRET", secret)
        .env("WEBHOOK_ID", asked.header("webhook-id"))
        .env("WEBHOOK_TIMESTAMP", asked.header("webhook-timestamp"))
        .env("WEBHOOK_SIGNATURE", asked.header("webhook-signature"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // One that refuses before it has read everything is fine.
    let _ = child.stdin.take().expect("piped").write_all(&asked.body);
    Some(child.wait().expect("it ends").success())
}

#[tokio::test]
async fn the_programs_of_the_page_take_what_is_signed_and_refuse_what_was_changed() {
    let receiver = Receiver::new().await;
    let broker = TestBroker::start_with(receiver.setup("")).await;
    stop(&broker, "janitor").await;
    receiver.event("killswitch.pulled").await;
    let asked = receiver.server.asked().remove(0);
    let mut changed = asked.clone();
    changed.body = [asked.body.as_ref(), b" "].concat().into();
    let mut late = asked.clone();
    late.headers.insert("webhook-timestamp", "1".parse().expect("a value"));
    let python = documented("python");
    let shell = documented("sh");
    for (program, arguments) in [("python3", ["-c", python.as_str()]), ("bash", ["-c", shell.as_str()])] {
        let Some(taken) = checks(program, &arguments, &asked, &secret(0)) else {
            skipped("events: checking a signature", &format!("{program} is not installed"));
            continue;
        };
        assert!(taken, "{program}: the newer secret");
        assert_eq!(checks(program, &arguments, &asked, &secret(1)), Some(true), "{program}: the older secret");
        let other = format!("whsec_{}", STANDARD.encode([0x33; 32]));
        assert_eq!(checks(program, &arguments, &asked, &other), Some(false), "{program}: another secret");
        assert_eq!(checks(program, &arguments, &changed, &secret(0)), Some(false), "{program}: another body");
        assert_eq!(checks(program, &arguments, &late, &secret(0)), Some(false), "{program}: an old one");
    }
}

#[test]
fn the_page_has_every_kind_of_event() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md");
    let page = fs::read_to_string(page).expect("the page");
    let missing: Vec<&str> =
        Kind::ALL.iter().map(|kind| kind.as_str()).filter(|word| !page.contains(&format!("| `{word}` |"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn what_waits_for_approval_is_told_with_intent_chain_digest_and_risk_and_so_is_the_decision() {
    let receiver = Receiver::new().await;
    let mut setup = receiver.setup("kinds = [\"approval.*\"]");
    let more = "      tools:\n        - { tool: delete_file, operation: delete, resources: [\"file:///tmp/*\"] }\n";
    let helper = GOVERNED.find("metadata: { name: helper }").expect("it is there");
    let (before, after) = GOVERNED.split_at(helper);
    let governed = format!("{before}{}", after.replacen("      tools:\n", more, 1));
    setup.manifests.pop();
    setup.manifests.push(("governed.yaml".into(), governed));
    let broker = TestBroker::start_with(setup).await;
    let (janitor, helper) = (broker.client("/agent/janitor").await, broker.client("/agent/helper").await);
    let above = janitor.open(tidying(0)).await.expect("a session");
    let delegation = DelegateRequest {
        request_id: request_id(),
        session_id: above.clone(),
        agent: "helper".into(),
        peer: id("/agent/helper").to_string(),
        intent: "delete a part of it".into(),
        envelope: vec![files(&DELETING)],
        ..DelegateRequest::default()
    };
    let session = janitor.sessions().delegate(delegation).await.expect("delegated").into_inner().session_id;
    let approval = ask(&helper, &session).await;
    assert_eq!(ask(&helper, &session).await, approval, "the same ask waits once");
    let told = receiver.event("approval.requested").await["data"].take();
    assert_eq!(
        (&told["id"], &told["state"], &told["risk"]),
        (&approval.as_str().into(), &"pending".into(), &"high".into())
    );
    assert!(told["because"][0].as_str().is_some_and(|why| why.ends_with(": what cannot be undone")), "{told}");
    assert_eq!((&told["needs"][0]["group"], &told["needs"][0]["count"]), (&"security".into(), &1.into()));
    assert_eq!(told["rights"][0]["resource"], "file:///tmp/*");
    assert_eq!(told["ask_sha256"].as_str().map(str::len), Some(64));
    let about = &told["session"];
    assert_eq!((&about["agent"], &about["intent"]), (&"helper".into(), &"delete a part of it".into()));
    assert_eq!((&about["above"][0]["id"], &about["above"][0]["agent"]), (&above.as_str().into(), &"janitor".into()));
    assert_eq!(about["actors"][0], id("/agent/janitor").to_string());
    assert_eq!(about["root_origin"], "user:bob@a.test (asserted)");
    let mut approvals = broker.client("/portal").await.approvals();
    let yes = ApproveRequest { approval_id: approval.clone(), why: "fine".into(), ..ApproveRequest::default() };
    approvals.approve(yes).await.expect("approved");
    let decided = receiver.event("approval.decided").await["data"].take();
    assert_eq!((&decided["id"], &decided["state"]), (&approval.as_str().into(), &"approved".into()));
    let vote = &decided["votes"][0];
    assert_eq!(
        (&vote["approver"], &vote["said"], &vote["why"]),
        (&id("/portal").to_string().into(), &"yes".into(), &"fine".into())
    );
    helper.exchange(deleting(&session)).await.expect("a token");
    let next = ask(&helper, &session).await;
    let no = RefuseRequest { approval_id: next, why: "once is enough".into(), ..RefuseRequest::default() };
    approvals.refuse(no).await.expect("refused");
    let decided = receiver.events("approval.decided", 2).await;
    assert_eq!((&decided[1]["data"]["state"], decided.len()), (&"refused".into(), 2));
    assert_eq!(receiver.events("approval.requested", 2).await.len(), 2);
}

#[tokio::test]
async fn a_request_that_nobody_decides_is_told_to_have_expired_once() {
    let receiver = Receiver::new().await;
    let broker = TestBroker::start_with(receiver.setup("kinds = [\"approval.*\"]")).await;
    let janitor = broker.client("/agent/janitor").await;
    let brief = janitor.open(tidying(3)).await.expect("a session");
    let approval = ask(&janitor, &brief).await;
    let told = receiver.event("approval.expired").await["data"].take();
    assert_eq!((&told["id"], &told["state"]), (&approval.as_str().into(), &"expired".into()));
    let broker = broker.restart().await;
    let janitor = broker.client_of(janitor);
    let next = janitor.open(tidying(3)).await.expect("a session");
    let next = ask(&janitor, &next).await;
    let all = receiver.events("approval.expired", 2).await;
    assert_eq!((all.len(), &all[1]["data"]["id"]), (2, &next.as_str().into()), "the first is not told again");
}

#[tokio::test]
async fn a_session_that_drifts_and_goes_on_is_told() {
    for (action, kind) in [("contract", "session.contracted"), ("halt", "session.halted")] {
        let receiver = Receiver::new().await;
        let rule = format!("kinds = [\"session.*\"]\n[drift.denials_in_a_row]\nthreshold = 2\naction = \"{action}\"");
        let broker = TestBroker::start_with(receiver.setup(&rule)).await;
        let client = broker.client(AGENT_PATH).await;
        let session = client.session().await;
        for _ in 0..3 {
            let wider = ExchangeRequest { scope: Some(files(&DELETING)), ..exchange(&session) };
            client.exchange(wider).await.expect_err("outside its envelope");
        }
        let told = receiver.event(kind).await["data"].take();
        assert_eq!((&told["session"]["id"], &told["rule"]), (&session.as_str().into(), &"denials_in_a_row".into()));
        assert_eq!((&told["measured"], &told["threshold"]), (&2.into(), &2.into()));
        let request = ResumeRequest { session_id: session.clone(), why: "looked at it".into() };
        assert!(broker.operator().resume(request).await.expect("an answer").into_inner().resumed);
        let resumed = receiver.event("session.resumed").await["data"].take();
        assert_eq!(resumed["session"]["id"], session.as_str());
        assert!(resumed["detail"].as_str().is_some_and(|detail| detail.contains("looked at it")), "{resumed}");
        assert_eq!(receiver.told(), 2);
    }
}

#[tokio::test]
async fn what_stands_is_told_once_and_not_again_after_a_restart() {
    let receiver = Receiver::new().await;
    let mut setup = receiver.setup("kinds = [\"agent.*\"]");
    let overdue = manifest("brief-bot").replacen("environment: test", "environment: test\n  reviewBy: 2020-01-31", 1);
    setup.manifests = vec![("all.yaml".into(), MANIFESTS.replace(manifest("brief-bot"), &overdue))];
    let broker = TestBroker::start_with(setup).await;
    let expired = receiver.event("agent.expired").await["data"].take();
    assert_eq!((&expired["name"], &expired["valid_until"]), (&"expired-bot".into(), &"2020-02-01T00:00:00Z".into()));
    assert_eq!(receiver.event("agent.review_overdue").await["data"]["name"], "brief-bot");
    let shadow = broker.client("/agent/shadow").await;
    for _ in 0..2 {
        let request = OpenSessionRequest { agent: "shadow".into(), ..opening() };
        assert_eq!(reason(shadow.open(request).await), "agent_unknown");
    }
    let unknown = receiver.event("agent.unknown").await["data"].take();
    assert_eq!((&unknown["workload"], &unknown["agent"]), (&id("/agent/shadow").to_string().into(), &"shadow".into()));
    let broker = broker.restart().await;
    let shadow = broker.client_of(shadow);
    let request = OpenSessionRequest { agent: "shadow".into(), ..opening() };
    assert_eq!(reason(shadow.open(request).await), "agent_unknown");
    for (state, kind) in [("quarantined", "agent.quarantined"), ("retired", "agent.retired")] {
        let bot = manifest("research-bot").replacen(
            "environment: test",
            &format!("environment: test\n  lifecycle: {state}"),
            1,
        );
        apply(&broker, bot).await;
        assert_eq!(receiver.event(kind).await["data"]["name"], "research-bot");
    }
    let people = "apiVersion: crumb.dev/v1\nkind: Directory\nmetadata: { name: people }\nspec:\n  owner: eve@a.test\n  departed: [ada@a.test]\n";
    apply(&broker, people.to_owned()).await;
    let orphans = receiver.events("agent.orphaned", 3).await;
    let names: BTreeSet<&str> = orphans.iter().filter_map(|orphan| orphan["data"]["name"].as_str()).collect();
    assert_eq!(names, ["brief-bot", "expired-bot", "host-bot"].into(), "and not the one that is retired");
    assert_eq!(receiver.told(), 3 + 2 + 3, "each once");
}

#[tokio::test]
async fn an_event_is_sent_again_after_a_failure_and_a_restart_under_the_same_number() {
    let receiver = Receiver::new().await;
    receiver.server.reply(Reply::status(500));
    let broker = TestBroker::start_with(receiver.setup("kinds = [\"killswitch.*\"]")).await;
    stop(&broker, "janitor").await;
    stop(&broker, "helper").await;
    receiver.server.until("tried twice", |asked| asked.len() >= 2).await;
    let broker = broker.restart().await;
    receiver.server.until("tried again", |asked| asked.len() >= 3).await;
    receiver.server.reply(Reply::status(200));
    let ids = |asked: &[Asked]| asked.iter().map(|asked| asked.header("webhook-id").to_owned()).collect::<Vec<_>>();
    let asked = receiver.server.until("both", |asked| ids(asked).iter().collect::<BTreeSet<_>>().len() == 2).await;
    let (first, last) = (ids(&asked).remove(0), ids(&asked).pop().expect("the second"));
    assert!(ids(&asked)[..asked.len() - 1].iter().all(|id| *id == first) && last != first, "one after another");
    let names: Vec<Value> = [asked.first(), asked.last()]
        .map(|asked| serde_json::from_slice::<Value>(&asked.expect("one").body).expect("JSON")["data"]["name"].take())
        .into();
    assert_eq!(names, ["janitor", "helper"], "in the order in which it happened");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_is_tried_again_at_the_same_address() {
    let (receiver, elsewhere) = (Receiver::new().await, Receiver::new().await);
    receiver.server.reply(Reply::Redirects(format!("http://{}/in", elsewhere.server.addr)));
    let broker = TestBroker::start_with(receiver.setup("kinds = [\"killswitch.*\"]")).await;
    stop(&broker, "janitor").await;
    receiver.server.until("tried twice", |asked| asked.len() >= 2).await;
    assert!(elsewhere.server.asked().is_empty());
    receiver.server.reply(Reply::status(200));
    let tried = receiver.server.asked().len();
    receiver.server.until("once more", |asked| asked.len() > tried).await;
}

#[tokio::test]
async fn what_waits_is_bounded_and_what_was_dropped_is_told_before_the_rest() {
    let receiver = Receiver::new().await;
    receiver.server.reply(Reply::status(503));
    let broker = TestBroker::start_with(receiver.setup("kinds = [\"killswitch.*\"]\nwaiting_max = 10")).await;
    for _ in 0..8 {
        stop(&broker, "janitor").await;
        lift(&broker, "janitor").await;
    }
    receiver.server.until("tried", |asked| !asked.is_empty()).await;
    receiver.server.reply(Reply::status(200));
    stop(&broker, "helper").await;
    let is = |asked: &Asked, what: &str| String::from_utf8_lossy(&asked.body).contains(what);
    let asked = receiver.server.until("the last", |asked| asked.iter().any(|asked| is(asked, "helper"))).await;
    // While the receiver was away it was told of fewer as well.
    let told = asked.iter().rposition(|asked| is(asked, "events.dropped")).expect("told");
    let dropped: Value = serde_json::from_slice(&asked[told].body).expect("JSON");
    let all = dropped["data"]["dropped_in_all"].as_u64().expect("a number");
    assert!((6..=7).contains(&all), "of 17 there was room for 10, and one may have arrived before the last was made");
    let after: BTreeSet<&str> = asked[told + 1..].iter().map(|asked| asked.header("webhook-id")).collect();
    assert_eq!(after.len() as u64, 17 - all, "all that was not dropped, and nothing of what was");
}

#[tokio::test]
async fn events_go_over_tls_to_a_server_that_the_named_authority_vouches_for_and_to_no_other() {
    let (authority, other) = (WebAuthority::new("the receiver's"), WebAuthority::new("somebody else's"));
    let receiver = Receiver::with(WebServer::tls(&authority, Reply::status(204)).await);
    let (good, wrong) = (receiver.directory.path().join("good.pem"), receiver.directory.path().join("wrong.pem"));
    authority.write_pem(&good);
    other.write_pem(&wrong);
    let url = format!("https://localhost:{}/in", receiver.server.addr.port());
    let config = |ca: &Path| receiver.config(&url, &format!("ca_file = \"{}\"", ca.display()));
    let distrusting = TestBroker::start_with(Setup { config: config(&wrong), ..Setup::default() }).await;
    stop(&distrusting, "host-bot").await;
    let trusting = TestBroker::start_with(Setup { config: config(&good), ..Setup::default() }).await;
    stop(&trusting, "brief-bot").await;
    assert_eq!(receiver.event("killswitch.pulled").await["data"]["name"], "brief-bot");
    assert_eq!(receiver.events("killswitch.pulled", 1).await.len(), 1, "and never the other's");
}

#[tokio::test]
async fn a_broker_does_not_start_without_the_secret_of_a_webhook() {
    let receiver = Receiver::new().await;
    fs::write(receiver.directory.path().join("1"), "canary").expect("a file of our own");
    let refused = TestBroker::why_not(receiver.setup("")).await;
    assert!(matches!(refused, crumb_broker::RunError::Webhooks(_)), "{refused:?}");
    assert!(!format!("{refused:?}").contains("canary"));
}

#[tokio::test]
async fn no_event_holds_a_token_a_secret_or_the_argument_of_a_call() {
    let receiver = Receiver::new().await;
    let broker = TestBroker::start_with(receiver.setup("[drift.denials_in_a_row]\nthreshold = 2")).await;
    let janitor = broker.client("/agent/janitor").await;
    let mut request = tidying(0);
    request.subject_token = "canary.subject.token".into();
    assert_eq!(reason(janitor.open(request).await), "subject_invalid");
    let session = janitor.open(tidying(0)).await.expect("a session");
    let approval = ask(&janitor, &session).await;
    let yes = ApproveRequest { approval_id: approval.clone(), ..ApproveRequest::default() };
    broker.client("/portal").await.approvals().approve(yes).await.expect("approved");
    let issued = janitor.exchange(deleting(&session)).await.expect("a token");
    for _ in 0..2 {
        let wider = files(&[("read_file", "read", "file:///canary-of-what-was-refused")]);
        janitor.exchange(ExchangeRequest { scope: Some(wider), ..exchange(&session) }).await.expect_err("outside");
    }
    receiver.event("session.halted").await;
    stop(&broker, "janitor").await;
    receiver.event("killswitch.pulled").await;
    for asked in receiver.server.asked() {
        let said = format!("{:?} {}", asked.headers, String::from_utf8_lossy(&asked.body));
        for never in ["canary", issued.token.as_str(), &secret(0)[6..], &secret(1)[6..]] {
            assert!(!said.contains(never), "{never}: {said}");
        }
    }
}
