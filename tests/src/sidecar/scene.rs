//! A sidecar beside the real broker, and a verifier that hears its feed.

use super::{
    PROGRAM,
    program::{Launch, Sidecar, World},
    stage::id,
};
use crate::{
    broker::{FILES, GOVERNED, Setup, TestBroker},
    member::{Member, svid},
    processes::{Site, binary},
    skip::skipped,
};
use crumb_identity::SystemClock;
use crumb_sdk::{broker::BrokerClient, feed};
use crumb_token::{Ask, Clock as _, Reason, TokenText};
use crumb_verifier::{Limits, Verifier};
use std::{path::Path, sync::Arc};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where the sidecar's identity is.
const SIDECAR_PATH: &str = "/sidecar/host-1";

/// A tool server; an agent that is the program `exe`, behind a sidecar; and a lead agent with an identity of its own.
fn manifests(exe: &Path) -> String {
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
    - {{ name: write_file, operation: write, risk: medium }}
    - {{ name: delete_file, operation: delete, risk: high }}
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
        - {{ tool: delete_file, operation: delete, resources: ["tmp/*"] }}
  sidecars: ["spiffe://a.test{SIDECAR_PATH}", "spiffe://a.test/sidecar/host-2"]
  process: {{ uid: {uid}, exe: "{}" }}
---
apiVersion: crumb.dev/v1
kind: Agent
metadata: {{ name: lead }}
spec:
  spiffeId: spiffe://a.test/agent/lead
  owner: kim@a.test
  purpose: Hands work to others.
  version: 2.0.0
  environment: test
  scopes:
    - toolServer: files
      tools:
        - {{ tool: read_file, operation: read, resources: ["docs/*"] }}
"#,
        exe.display()
    )
}

/// The sidecar, the broker and the verifier.
#[derive(Debug)]
pub struct Scene {
    /// The real broker, with a policy that wants deleting approved.
    pub broker: TestBroker,
    /// Directories and programs that every user can reach.
    pub site: Site,
    /// The sidecar, at `/sidecar/host-1`.
    pub sidecar: Sidecar,
    verifier: Arc<Verifier>,
    _identity: Member,
    _tool_server: Member,
    _stop: DropGuard,
}

impl Scene {
    /// Sets it up, with this very test program as the agent; `None`, and said so, when the sidecar's program is not built.
    ///
    /// # Panics
    ///
    /// When a part of it cannot be started.
    pub async fn set(test: &str) -> Option<Self> {
        Self::set_for(test, &std::env::current_exe().expect("a path")).await
    }

    /// Sets it up, with another program as the agent.
    ///
    /// # Panics
    ///
    /// When a part of it cannot be started.
    pub async fn set_for(test: &str, exe: &Path) -> Option<Self> {
        if binary(PROGRAM).is_none() {
            skipped(test, "the binary `crumb-agent-sidecar` is not built (cargo build --workspace)");
            return None;
        }
        let manifests = vec![("all.yaml".into(), manifests(exe)), ("governed.yaml".into(), GOVERNED.into())];
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

    /// Decides as the tool server would, when the agent presents the token.
    ///
    /// # Errors
    ///
    /// The reason of the denial.
    pub fn decide(&self, token: &TokenText, ask: &Ask) -> Result<(), Reason> {
        let agent = id("spiffe://a.test/agent/research-bot");
        let decision = self.verifier.decide(token, ask, &agent, SystemClock::new().now());
        decision.into_result().map(drop).map_err(|refused| refused.denial.reason)
    }

    /// Makes a client of the broker that is the workload at `path`, and what keeps its identity.
    pub async fn workload(&self, path: &str) -> (BrokerClient, Member) {
        let client = self.broker.client(path).await;
        (BrokerClient::over(client.channel), client.member)
    }
}
