//! Tokens that go from agent to agent without the broker: real broker, real sidecars, and a verifier that hears the feed.

use biscuit_auth::KeyPair;
use crumb_identity::SystemClock;
use crumb_proto::wire::{ApplyRequest, ManifestFile, RevokeRequest, registry_service_client::RegistryServiceClient};
use crumb_sdk::{
    CallFailed,
    broker::{BrokerClient, Exchange, Handing, OpenSession, TaskToken, new_request_id},
    feed,
    sidecar::{BeginTask, Call, HandOver, Open, Presenter},
};
use crumb_tests::{
    broker::{FILES, Setup, TestBroker},
    member::{Member, svid},
    processes::{Site, binary},
    sidecar::{Launch, PROGRAM, RecordingToolServer, Sidecar, World, ask, grants, id, until},
    skip::skipped,
};
use crumb_token::{
    Ask, Caveat, Clock as _, Origin, Reason, SessionId, SpiffeId, TokenText,
    attenuate::{AttenuateError, Parent},
    handover::DelegationKey,
};
use crumb_verifier::{Limits, Verifier};
use sha2::{Digest as _, Sha256};
use std::{process::Stdio, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt as _, process::Command};
use tokio_util::sync::{CancellationToken, DropGuard};

const LEAD: &str = "spiffe://a.test/agent/lead";
const READER: &str = "spiffe://a.test/agent/reader";
const DIGGER: &str = "spiffe://a.test/agent/digger";

fn agent(name: &str, more: &str) -> String {
    format!(
        "---
apiVersion: crumb.dev/v1
kind: Agent
metadata: {{ name: {name} }}
spec:
  spiffeId: spiffe://a.test/agent/{name}
  owner: ada@a.test
  purpose: Reads documents.
  version: 1.0.0
  environment: test
  scopes:
    - toolServer: files
      tools: [{{ tool: read_file, operation: read, resources: [\"docs/*\"] }}]
{more}"
    )
}

fn manifests(address: &str) -> String {
    format!(
        "apiVersion: crumb.dev/v1
kind: ToolServer
metadata: {{ name: files }}
spec:
  audience: {FILES}
  spiffeId: {FILES}
  owner: ada@a.test
  address: {address}
  tools:
    - {{ name: read_file, operation: read, risk: low }}
{}{}{}{}",
        agent("lead", "  mayHandTo: [reader, digger]\n"),
        agent("reader", ""),
        agent("digger", "  maxTtlSeconds: 60\n"),
        agent("stranger", ""),
    )
}

/// A broker, and a verifier of the tool server that hears its feed.
struct Place {
    broker: TestBroker,
    verifier: Arc<Verifier>,
    _tool_server: Member,
    _stop: DropGuard,
}

impl Place {
    async fn start(address: &str) -> Self {
        let manifests = vec![("all.yaml".into(), manifests(address))];
        let broker = TestBroker::start_with(Setup { manifests, ..Setup::default() }).await;
        let tool_server = broker.client("/tool/files").await;
        let verifier = Arc::new(Verifier::new(FILES.parse().expect("an audience"), Limits::default()));
        let stop = CancellationToken::new();
        let clock = Arc::new(SystemClock::new());
        drop(feed::follow(Arc::clone(&verifier), tool_server.channel.clone(), clock, stop.clone()));
        Self { broker, verifier, _tool_server: tool_server.member, _stop: stop.drop_guard() }
    }

    async fn end_agent(&self, name: &str) {
        let (kind, name, why) = ("agent".to_owned(), name.to_owned(), "it went astray".to_owned());
        let request = RevokeRequest { kind, name, why, ..RevokeRequest::default() };
        self.broker.operator().revoke(request).await.expect("revoked");
    }

    async fn apply(&self, text: String) {
        let documents = vec![ManifestFile { file: "all.yaml".into(), text }];
        let request = ApplyRequest { documents, ..ApplyRequest::default() };
        RegistryServiceClient::new(self.broker.admin()).apply(request).await.expect("applied");
    }

    fn decide(&self, token: &TokenText, ask: &Ask, peer: &str) -> Result<(), Reason> {
        let decision = self.verifier.decide(token, ask, &id(peer), SystemClock::new().now());
        decision.into_result().map(drop).map_err(|refused| refused.denial.reason)
    }

    async fn decides(&self, token: &TokenText, peer: &str, wanted: Result<(), Reason>) {
        until(&format!("{peer} gets {wanted:?}"), async || self.decide(token, &ask("docs/a.md"), peer) == wanted).await;
    }
}

/// The lead agent with a session, and its key.
struct Lead {
    broker: BrokerClient,
    session: SessionId,
    pair: KeyPair,
    _member: Member,
}

impl Lead {
    async fn of(world: &Place) -> Self {
        let client = world.broker.client("/agent/lead").await;
        let broker = BrokerClient::over(client.channel);
        let open = OpenSession {
            request: new_request_id(),
            agent: "lead".parse().expect("a name"),
            intent: "have the documents read".parse().expect("a sentence"),
            origin: Origin::Schedule { name: "nightly".parse().expect("a name") },
            envelope: vec![(FILES.parse().expect("an audience"), grants("docs/*"))],
            lifetime: None,
            process: None,
            subject_token: None,
        };
        let session = broker.open_session(&open).await.expect("the lead may").id;
        Self { broker, session, pair: KeyPair::new(), _member: client.member }
    }

    fn exchange(&self, to: &[(&str, &str)]) -> Exchange {
        let to = to.iter().map(|(name, peer)| (name.parse().expect("a name"), id(peer))).collect();
        let key = DelegationKey::of(&self.pair).expect("Ed25519");
        Exchange {
            request: new_request_id(),
            session: self.session,
            task: None,
            audience: FILES.parse().expect("an audience"),
            grants: grants("docs/*"),
            ttl: None,
            holder: None,
            process: None,
            handing: Some(Handing { key, to }),
        }
    }

    async fn token(&self, to: &[(&str, &str)]) -> Result<TaskToken, CallFailed> {
        self.broker.exchange(&self.exchange(to)).await
    }
}

fn handed(token: &TokenText, to: &str, onward: Option<DelegationKey>, caveats: &[Caveat], by: &KeyPair) -> TokenText {
    let parent = Parent::read(&token.decode().expect("base64")).expect("a token");
    TokenText::from_bytes(&parent.hand_over(&id(to), onward, caveats, by).expect("named"))
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, CallFailed>) -> Reason {
    answer.expect_err("it is refused").to_denial().reason
}

#[tokio::test]
async fn a_token_is_handed_on_offline_and_ends_with_what_is_above_or_below() {
    let world = Place::start("127.0.0.1:9443").await;
    let lead = Lead::of(&world).await;
    let task = lead.token(&[("reader", READER), ("digger", DIGGER)]).await.expect("its owner named them");
    assert!(
        task.expires_at <= SystemClock::new().now().wall.plus(Duration::from_secs(60)),
        "the digger's longest life"
    );
    let digs = KeyPair::new();
    let narrower = [Caveat::Resource("docs/a.md".parse().expect("a resource"))];
    let once = handed(&task.token, DIGGER, DelegationKey::of(&digs), &narrower, &lead.pair);
    let twice = handed(&once, READER, None, &[], &digs);
    world.decides(&task.token, LEAD, Ok(())).await;
    for (token, peer, wanted) in [
        (&once, DIGGER, Ok(())),
        (&once, LEAD, Err(Reason::HolderMismatch)),
        (&once, READER, Err(Reason::HolderMismatch)),
        (&twice, READER, Ok(())),
        (&twice, DIGGER, Err(Reason::HolderMismatch)),
        (&task.token, DIGGER, Err(Reason::HolderMismatch)),
    ] {
        assert_eq!(world.decide(token, &ask("docs/a.md"), peer), wanted, "{peer}");
    }
    assert_eq!(world.decide(&twice, &ask("docs/b.md"), READER), Err(Reason::ResourceNotGranted));

    // The trail says to whom it could go.
    let trail = world.broker.trail().await;
    let record = trail.iter().find(|record| record.kind == "exchange").expect("a record");
    assert!(record.detail.contains("digger") && record.detail.contains(READER), "{}", record.detail);

    // Below: an agent in between is ended, and what went through it with it.
    world.end_agent("digger").await;
    world.decides(&twice, READER, Err(Reason::TokenRevoked)).await;
    assert_eq!(world.decide(&task.token, &ask("docs/a.md"), LEAD), Ok(()), "the lead's own goes on");
    // Above: the session.
    lead.broker.close_session(lead.session).await.expect("its own");
    world.decides(&task.token, LEAD, Err(Reason::TokenRevoked)).await;
}

#[tokio::test]
async fn a_repeated_request_brings_back_nothing_for_whom_it_may_be_handed_to() {
    let world = Place::start("127.0.0.1:9443").await;
    let lead = Lead::of(&world).await;
    let exchange = lead.exchange(&[("reader", READER)]);
    let first = lead.broker.exchange(&exchange).await.expect("its owner named it");
    let again = lead.broker.exchange(&exchange).await.expect("the same request");
    assert_eq!(first.token.expose(), again.token.expose());
    world.end_agent("reader").await;
    // A new start has a new key, and would sign with a later beginning than what was ended.
    let Place { broker, .. } = world;
    let broker = broker.restart().await;
    let client = broker.client("/agent/lead").await;
    let refused = BrokerClient::over(client.channel.clone()).exchange(&exchange).await;
    assert_eq!(refusal(refused), Reason::LifetimeTooShort);
}

#[tokio::test]
async fn refuses_to_issue_for_whom_the_owner_did_not_name() {
    let world = Place::start("127.0.0.1:9443").await;
    let lead = Lead::of(&world).await;
    for (to, wanted) in [
        (("stranger", "spiffe://a.test/agent/stranger"), Reason::DelegationRefused),
        (("reader", "spiffe://a.test/agent/stranger"), Reason::AgentNotSpokenFor),
        (("lead", LEAD), Reason::DelegationRefused),
        (("nobody", "spiffe://a.test/agent/nobody"), Reason::DelegationRefused),
    ] {
        assert_eq!(refusal(lead.token(&[to]).await), wanted, "{to:?}");
    }
    let nine = [("reader", READER); 9];
    assert_eq!(refusal(lead.token(&nine).await), Reason::RequestInvalid);
    assert_eq!(refusal(lead.token(&nine[..2]).await), Reason::DelegationRefused, "twice the same");
    assert_eq!(refusal(lead.token(&[]).await), Reason::RequestInvalid, "a key for nobody");
    // Whoever is ended cannot be named any more.
    world.end_agent("reader").await;
    let plain = Exchange { handing: None, ..lead.exchange(&[]) };
    let token = lead.broker.exchange(&plain).await.expect("its own");
    let parent = Parent::read(&token.token.decode().expect("base64")).expect("a token");
    let refused = parent.hand_over(&id(READER), None, &[], &lead.pair).expect_err("not to be handed on");
    assert!(matches!(refused, AttenuateError::NotForThem(_)), "{refused}");
}

/// A sidecar that shares its agent's identity.
struct Beside {
    sidecar: Sidecar,
    _site: Site,
    _member: Member,
}

async fn beside(world: &Place, path: &str) -> Beside {
    let member = Member::start(&svid(&world.broker.root, path), &[&world.broker.root]).await;
    let site = Site::new().expect("a directory");
    let around = World {
        site: &site,
        workload_api: &member.api.endpoint().to_string(),
        broker_address: &world.broker.ready.addr.to_string(),
        broker_id: "spiffe://a.test/broker",
    };
    let sidecar = Launch::default().start_in(around).await.expect("it starts");
    Beside { sidecar, _site: site, _member: member }
}

/// Runs the command line as the agent beside `sidecar`, and returns its code and what it wrote.
async fn crumb(sidecar: &Sidecar, words: &[&str], stdin: &str) -> (i32, String, String) {
    let mut command = Command::new(binary("crumb").expect("it is built"));
    command.args(words).env("CRUMB_SOCKET", &sidecar.socket).kill_on_drop(true);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("crumb runs");
    // A program that reads nothing may have ended already.
    let _ = child.stdin.take().expect("it was piped").write_all(stdin.as_bytes()).await;
    let output = child.wait_with_output().await.expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.code().expect("no signal"), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn the_command_line_hands_a_token_on_and_calls_with_it() {
    if binary(PROGRAM).is_none() || binary("crumb").is_none() {
        return skipped("cli: hand over", "the binaries are not built (cargo build --workspace)");
    }
    let stage = Place::start("127.0.0.1:9443").await;
    let tool_member = Member::start(&svid(&stage.broker.root, "/tool/files"), &[&stage.broker.root]).await;
    let tools = RecordingToolServer::start(&tool_member.workload).await;
    stage.apply(manifests(&tools.address())).await;
    let (lead, reader) = (beside(&stage, "/agent/lead").await, beside(&stage, "/agent/reader").await);
    let right = format!("{FILES} read_file read docs/*");
    let open = ["session", "open", "--agent", "lead", "--intent", "read", "--origin", "schedule:nightly", "--allow"];
    let (_, session, _) = crumb(&lead.sidecar, &[&open[..], &[&right]].concat(), "").await;
    let to = format!("reader={READER}");
    let hand = ["hand", "over", "--session", &session, "--allow", &right, "--seconds", "60", "--to"];
    let (code, handed, hint) = crumb(&lead.sidecar, &[&hand[..], &[&to]].concat(), "").await;
    assert_eq!(code, 0, "{hint}");
    assert!(hint.contains("crumb hand call"), "{hint}");
    let call = ["hand", "call", "-", "read_file", "read", "docs/a.md"];
    let (code, _, said) = crumb(&reader.sidecar, &call, &handed).await;
    assert_eq!((code, tools.arrivals().len()), (0, 1), "{said}");
    let (code, _, said) = crumb(&lead.sidecar, &call, &handed).await;
    assert_eq!((code, said.contains("holder_mismatch")), (3, true), "{said}");
    let (code, _, said) = crumb(&reader.sidecar, &call, "not a token").await;
    assert_eq!(code, 3, "{said}");
    let other = format!("stranger={READER}");
    let (code, _, said) = crumb(&lead.sidecar, &[&hand[..], &[&other]].concat(), "").await;
    assert_eq!((code, said.contains("delegation_refused")), (3, true), "{said}");
}

fn call(task: crumb_token::TaskId, asked: &Ask) -> Call {
    let (tool, operation, resource) = (asked.tool.clone(), asked.operation.clone(), asked.resource.clone());
    Call { task, tool, operation, resource, arguments: b"{}"[..].into() }
}

/// The call that reads `resource`, with the arguments of [`call`].
fn with_arguments(resource: &str) -> Ask {
    Ask { args_digest: Some(Sha256::digest(b"{}").into()), ..ask(resource) }
}

#[tokio::test]
async fn two_sidecars_hand_a_token_on_and_the_tool_server_sees_who_presents_it() {
    if binary(PROGRAM).is_none() {
        return skipped(
            "sidecar: hand over",
            "the binary `crumb-agent-sidecar` is not built (cargo build --workspace)",
        );
    }
    // The tool server's address has to be known to the registry, and its identity is the broker's root's to give.
    let stage = Place::start("127.0.0.1:9443").await;
    let tool_member = Member::start(&svid(&stage.broker.root, "/tool/files"), &[&stage.broker.root]).await;
    let tools = RecordingToolServer::start(&tool_member.workload).await;
    stage.apply(manifests(&tools.address())).await;
    let (lead, reader) = (beside(&stage, "/agent/lead").await, beside(&stage, "/agent/reader").await);
    let (leads, readers) = (lead.sidecar.client(), reader.sidecar.client());
    let open = Open {
        agent: "lead".parse().expect("a name"),
        intent: "have the documents read".parse().expect("a sentence"),
        origin: Origin::Schedule { name: "nightly".parse().expect("a name") },
        envelope: vec![(FILES.parse().expect("an audience"), grants("docs/*"))],
        lifetime: None,
    };
    let session = leads.open(&open).await.expect("this is the lead").id;
    let begin = BeginTask {
        session,
        task: None,
        audience: FILES.parse().expect("an audience"),
        grants: grants("docs/*"),
        ttl: None,
        presenter: Presenter::Sidecar,
    };
    let may_act: Vec<(_, SpiffeId)> = vec![("reader".parse().expect("a name"), id(READER))];
    let task = leads.begin_task_to_hand_on(&begin, &may_act).await.expect("its owner named it");
    let wanted = HandOver {
        task: task.id,
        to: id(READER),
        tools: vec![],
        operation: None,
        resource: Some("docs/a.md".parse().expect("a resource")),
        ttl: Some(Duration::from_secs(120)),
        onward: readers.status().await.expect("it answers").delegation_key,
    };
    let handed = leads.hand_over(&wanted).await.expect("named");
    assert!(handed.expires_at < task.expires_at);

    assert_eq!(refusal(leads.accept(&handed.token).await), Reason::HolderMismatch, "it is the reader's now");
    let plain = leads.begin_task(&begin).await.expect("a task of its own");
    let not_begun_for = HandOver { task: plain.id, ..wanted.clone() };
    assert_eq!(refusal(leads.hand_over(&not_begun_for).await), Reason::DelegationRefused);
    let elsewhere = HandOver { to: id(DIGGER), ..wanted.clone() };
    assert_eq!(refusal(leads.hand_over(&elsewhere).await), Reason::DelegationRefused);
    assert_eq!(refusal(readers.hand_over(&wanted).await), Reason::SessionUnknown, "another sidecar's task");

    let accepted = readers.accept(&handed.token).await.expect("it is the reader's");
    assert_eq!(readers.status().await.expect("it answers").handed_tokens, 1);
    let answer = readers.call(&call(accepted.id, &ask("docs/a.md"))).await.expect("it arrives");
    assert_eq!(answer.status, 200);
    let arrived = tools.arrivals().pop().expect("the reader's call");
    assert_eq!(arrived.peer.as_str(), READER);
    let asked = with_arguments("docs/a.md");
    until("the verifier hears the feed", async || stage.decide(&arrived.token, &asked, READER) == Ok(())).await;
    assert_eq!(stage.decide(&arrived.token, &asked, LEAD), Err(Reason::HolderMismatch));
    // What was taken away on the way is the tool server's to refuse.
    readers.call(&call(accepted.id, &ask("docs/b.md"))).await.expect("it arrives");
    let wider = tools.arrivals().pop().expect("the second call").token;
    let asked = with_arguments("docs/b.md");
    assert_eq!(stage.decide(&wider, &asked, READER), Err(Reason::ResourceNotGranted));
    leads.close(session).await.expect("its own");
    let asked = with_arguments("docs/a.md");
    until("the verifier hears of the end", async || {
        stage.decide(&arrived.token, &asked, READER) == Err(Reason::TokenRevoked)
    })
    .await;
}
