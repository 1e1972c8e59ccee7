//! A sidecar and the real broker: whose process may be which agent, and what a closed session does to a token.

use crumb_identity::SystemClock;
use crumb_sdk::{
    feed,
    sidecar::{BeginTask, CallToken, Open, Presenter},
};
use crumb_tests::{
    broker::{FILES, Setup, TestBroker},
    member::{Member, svid},
    processes::{Site, binary, copy_program},
    sidecar::{Launch, PROGRAM, Sidecar, World, ask, grants, id, one_shot, opening, until},
    skip::skipped,
};
use crumb_token::{Ask, Clock as _, Reason, SessionId, TokenText};
use crumb_verifier::{Limits, Verifier};
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where the sidecar's identity is.
const SIDECAR_PATH: &str = "/sidecar/host-1";

/// A tool server, and an agent that is this very test program.
fn manifests() -> String {
    let exe = std::env::current_exe().expect("a path");
    let uid = nix::unistd::geteuid();
    format!(
        r#"apiVersion: crumb.dev/v1
kind: ToolServer
metadata: {{ name: files }}
spec:
  audience: {FILES}
  spiffeId: {FILES}
  owner: ada@a.test
  address: 127.0.0.1:9443
  tools:
    - {{ name: read_file, operation: read, risk: low }}
---
apiVersion: crumb.dev/v1
kind: Agent
metadata: {{ name: research-bot }}
spec:
  spiffeId: spiffe://a.test/agent/research-bot
  owner: ada@a.test
  purpose: Summarises release notes.
  version: 1.4.0
  environment: test
  scopes:
    - toolServer: files
      tools:
        - {{ tool: read_file, operation: read, resources: ["docs/*"] }}
  sidecars: ["spiffe://a.test{SIDECAR_PATH}"]
  process: {{ uid: {uid}, exe: "{}" }}
"#,
        exe.display()
    )
}

struct Scene {
    broker: TestBroker,
    site: Site,
    sidecar: Sidecar,
    verifier: Arc<Verifier>,
    _identity: Member,
    _tool_server: Member,
    _stop: DropGuard,
}

impl Scene {
    async fn set(test: &str) -> Option<Self> {
        if binary(PROGRAM).is_none() {
            skipped(test, "the binary `crumb-agent-sidecar` is not built (cargo build --workspace)");
            return None;
        }
        let manifests = vec![("all.yaml".into(), manifests())];
        let broker = TestBroker::start_with(Setup { manifests, ..Setup::default() }).await;
        let identity = Member::start(&svid(&broker.root, SIDECAR_PATH), &[&broker.root]).await;
        let site = Site::new().expect("a directory");
        let world = World {
            site: &site,
            workload_api: &identity.api.endpoint().to_string(),
            broker_address: &broker.ready.addr.to_string(),
            broker_id: "spiffe://a.test/broker",
        };
        let sidecar = Launch::default().start_in(world).await.expect("it starts");

        let tool_server = broker.client("/tool/files").await;
        let verifier = Arc::new(Verifier::new(FILES.parse().expect("an audience"), Limits::default()));
        let stop = CancellationToken::new();
        let clock = Arc::new(SystemClock::new());
        drop(feed::follow(Arc::clone(&verifier), tool_server.channel.clone(), clock, stop.clone()));
        let (_identity, _tool_server, _stop) = (identity, tool_server.member, stop.drop_guard());
        Some(Self { broker, site, sidecar, verifier, _identity, _tool_server, _stop })
    }

    fn decide(&self, token: &TokenText, ask: &Ask) -> Result<(), Reason> {
        let agent = id("spiffe://a.test/agent/research-bot");
        let decision = self.verifier.decide(token, ask, &agent, SystemClock::new().now());
        decision.into_result().map(drop).map_err(|refused| refused.denial.reason)
    }
}

fn open() -> Open {
    Open { envelope: vec![(FILES.parse().expect("an audience"), grants("docs/*"))], ..opening() }
}

fn begin(session: SessionId, resource: &str) -> BeginTask {
    let audience = FILES.parse().expect("an audience");
    BeginTask { session, task: None, audience, grants: grants(resource), ttl: None, presenter: Presenter::Agent }
}

#[tokio::test]
async fn a_token_of_the_real_broker_verifies_until_its_session_is_closed() {
    let Some(w) = Scene::set("sidecar: the real broker").await else { return };
    let client = w.sidecar.client();
    let session = client.open(&open()).await.expect("this program is the agent").id;
    let task = client.begin_task(&begin(session, "docs/*")).await.expect("inside the envelope").id;
    let ask = ask("docs/a.md");
    let (tool, operation, resource) = (ask.tool.clone(), ask.operation.clone(), ask.resource.clone());
    let wanted = CallToken { task, tool, operation, resource, args_digest: None, ttl: None };
    let token = client.call_token(&wanted).await.expect("granted").token;
    until("the verifier hears the feed", async || w.decide(&token, &ask) == Ok(())).await;

    let outside = client.begin_task(&begin(session, "secrets/*")).await.expect_err("outside the envelope");
    assert_eq!(outside.to_denial().reason, Reason::OutsideEnvelope);
    client.close(session).await.expect("the broker closes it");
    until("the verifier hears of the close", async || w.decide(&token, &ask) == Err(Reason::TokenRevoked)).await;

    let trail = w.broker.trail().await;
    let own_pid = i32::try_from(std::process::id()).expect("a pid");
    let named = trail.iter().any(|record| record.process.as_ref().is_some_and(|process| process.pid == own_pid));
    assert!(named, "the trail has the process");
}

#[tokio::test]
async fn another_program_is_not_the_agent() {
    let Some(w) = Scene::set("sidecar: another program at the real broker").await else { return };
    let agent = w.site.path("agent");
    copy_program(std::path::Path::new(env!("CARGO_BIN_EXE_sidecar_agent")), &agent).expect("it is built");
    let said = one_shot(&agent, None, &[w.sidecar.socket.to_str().expect("ASCII"), "open"]).await;
    assert_eq!(said, "agent_process_mismatch");
}
