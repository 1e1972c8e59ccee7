//! Delegation on a real SPIRE: an orchestrator, a sub-agent and a third agent under users of their own, each known by
//! nothing but its uid, and a tool server whose verifier is asked with their own SVIDs.
//!
//! Needs root (for the users) and the SPIRE binaries; where one is missing the run says so by name.

use anyhow::{Context, ensure};
use crumb_tests::{
    measured::measured,
    processes::{Service, Site, copy_program, run_as},
    skip::skipped,
    spire::{self, Lifetimes, Spire},
};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

const BROKER: u32 = 61_011;
const TOOLS: u32 = 61_012;
const ORCHESTRATOR: u32 = 61_013;
const SUB_AGENT: u32 = 61_014;
const THIRD: u32 = 61_015;

/// The agents: name and user.
const AGENTS: [(&str, u32); 3] = [("orchestrator", ORCHESTRATOR), ("sub-agent", SUB_AGENT), ("third", THIRD)];

/// How soon after its parent is ended a token has to be refused.
const ENDED_WITHIN: Duration = Duration::from_secs(1);

/// Says whether this machine has what this test needs.
fn ready(test: &str) -> bool {
    let users = nix::unistd::geteuid().is_root() && Path::new("/usr/bin/setpriv").exists();
    if spire::binaries().is_none() {
        skipped(test, "SPIRE is not installed (scripts/install-spire)");
    } else if !users {
        skipped(test, "needs root and setpriv, to run each agent as its own user");
    }
    spire::binaries().is_some() && users
}

/// A broker and a tool server on a SPIRE, and a program that is whatever its user is.
struct House {
    site: Site,
    spire: Spire,
    broker: Service,
    tools: Service,
    agent: PathBuf,
    server: String,
}

impl House {
    async fn build() -> anyhow::Result<Self> {
        let spire = Spire::start("chain.test", Lifetimes::CALM).await?;
        let agents = AGENTS.map(|(name, uid)| (format!("agent/{name}"), uid));
        for (path, uid) in
            agents.iter().map(|(p, u)| (p.as_str(), *u)).chain([("broker", BROKER), ("tool/files", TOOLS)])
        {
            spire.register(path, uid)?;
        }
        let site = Site::new()?;
        let agent = site.path("spire_agent");
        copy_program(Path::new(env!("CARGO_BIN_EXE_spire_agent")), &agent)?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        site.write("registry/chain.yaml", &registry(&spire, port))?;
        let (data, admin) = (site.own("broker", BROKER, 0o700)?, site.own("admin", BROKER, 0o700)?);
        let config = format!(
            "listen = \"127.0.0.1:0\"\nadmin_socket = {:?}\ndata_dir = {data:?}\nregistry_dir = {:?}\n\
             identity_provider = \"spire\"\nworkload_api = {:?}\n",
            admin.join("admin.sock"),
            site.path("registry"),
            spire.endpoint()
        );
        let broker = Service::start(&site, "crumb-broker", "broker-1", BROKER, false, &config).await?;
        let server = spire.id("tool/files");
        let config = format!(
            "listen = \"127.0.0.1:{port}\"\naudience = {server:?}\nworkload_api = {:?}\n[broker]\naddress = {:?}\n\
             spiffe_id = {:?}\n",
            spire.endpoint(),
            broker.said("addr"),
            spire.id("broker")
        );
        let tools = Service::start(&site, "crumb-sample-tools", "tools-1", TOOLS, false, &config).await?;
        Ok(Self { site, spire, broker, tools, agent, server })
    }

    /// Runs one request as a user; what it says.
    fn says(&self, uid: u32, what: &[&str]) -> anyhow::Result<String> {
        let (endpoint, id, address) = (self.spire.endpoint(), self.spire.id("broker"), self.broker.said("addr"));
        let output = run_as(uid, &self.agent, &[&[endpoint.as_str(), &id, &address], what].concat())?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {stderr}\n{}", what[0], self.broker.log());
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Runs one request that has to succeed; what it got.
    fn gets(&self, uid: u32, what: &[&str]) -> anyhow::Result<String> {
        let said = self.says(uid, what)?;
        Ok(said.strip_prefix("ok ").with_context(|| format!("{} of {uid}: {said}", what[0]))?.to_owned())
    }

    /// Presents a token at the tool server, with the SVID of `uid`.
    fn presents(&self, uid: u32, token: &str, path: &str) -> anyhow::Result<String> {
        self.says(uid, &["call", &self.server, &self.tools.said("addr"), token, path])
    }

    /// Delegates a part of `session` from the orchestrator to the sub-agent.
    fn delegate(&self, session: &str) -> anyhow::Result<String> {
        let peer = self.spire.id("agent/sub-agent");
        self.gets(ORCHESTRATOR, &["delegate", session, "sub-agent", &peer, &self.server, "file:///docs/readme.md"])
    }
}

fn registry(spire: &Spire, port: u16) -> String {
    let server = spire.id("tool/files");
    let mut text = format!(
        r#"apiVersion: crumb.dev/v1
kind: ToolServer
metadata: {{ name: files }}
spec:
  audience: {server}
  spiffeId: {server}
  owner: bob@acme.example
  address: 127.0.0.1:{port}
  tools:
    - {{ name: read_file, operation: read, risk: low }}
"#
    );
    for (name, _) in AGENTS {
        text += &format!(
            r#"---
apiVersion: crumb.dev/v1
kind: Agent
metadata: {{ name: {name} }}
spec:
  spiffeId: {}
  owner: alice@acme.example
  purpose: Reads the documents, or has them read.
  version: 1.0.0
  environment: production
  scopes:
    - toolServer: files
      tools:
        - {{ tool: read_file, operation: read, resources: ["file:///docs/*"] }}
"#,
            spire.id(&format!("agent/{name}"))
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_across_three_users_is_bound_to_each_and_ends_with_the_first() -> anyhow::Result<()> {
    if !ready("SPIRE: delegation across three users") {
        return Ok(());
    }
    let house = House::build().await?;
    for (name, uid) in AGENTS {
        assert_eq!(house.gets(uid, &["whoami"])?, house.spire.id(&format!("agent/{name}")));
    }
    let server = house.server.as_str();
    let session = house.gets(ORCHESTRATOR, &["open", "orchestrator", server, "file:///docs/*"])?;
    let inside = house.delegate(&session)?;
    let own = house.gets(ORCHESTRATOR, &["exchange", &session, server, "file:///docs/*"])?;
    let below = house.gets(SUB_AGENT, &["exchange", &inside, server, "file:///docs/readme.md"])?;

    // The sub-agent's token, with its own SVID: what it was given, and no more.
    assert_eq!(house.presents(SUB_AGENT, &below, "docs/readme.md")?, "ok 200", "{}", house.tools.log());
    assert_eq!(house.presents(SUB_AGENT, &below, "docs/roadmap.md")?, "no resource_not_granted");
    let wider = house.says(SUB_AGENT, &["exchange", &inside, server, "file:///docs/*"])?;
    assert_eq!(wider, "no outside_envelope");

    // Nobody else can use it: not a third agent, not the one that delegated.
    assert_eq!(house.presents(THIRD, &below, "docs/readme.md")?, "no holder_mismatch");
    assert_eq!(house.presents(ORCHESTRATOR, &below, "docs/readme.md")?, "no holder_mismatch");
    for (uid, theirs) in [(THIRD, &inside), (ORCHESTRATOR, &inside), (THIRD, &session), (SUB_AGENT, &session)] {
        let said = house.says(uid, &["exchange", theirs, server, "file:///docs/readme.md"])?;
        assert_eq!(said, "no session_unknown", "{uid}");
    }
    assert_eq!(house.presents(ORCHESTRATOR, &own, "docs/roadmap.md")?, "ok 200");

    // One end above ends everything below.
    house.gets(ORCHESTRATOR, &["close", &session])?;
    ended(&house, &own, &below)?;
    let asked = house.says(SUB_AGENT, &["exchange", &inside, server, "file:///docs/readme.md"])?;
    assert_eq!(asked, "no session_closed");
    assert!(house.site.path("spire_agent").exists());
    Ok(())
}

/// Both tokens come to be refused within a second, and stay so.
fn ended(house: &House, own: &str, below: &str) -> anyhow::Result<()> {
    let closed = Instant::now();
    for (uid, token) in [(SUB_AGENT, below), (ORCHESTRATOR, own)] {
        while house.presents(uid, token, "docs/readme.md")? == "ok 200" {
            ensure!(closed.elapsed() < ENDED_WITHIN, "{uid} goes on a second after its parent was ended");
        }
        measured(format_args!("SPIRE chain: {uid} refused at most {} ms after the end", closed.elapsed().as_millis()));
        assert_eq!(house.presents(uid, token, "docs/readme.md")?, "no token_revoked");
    }
    Ok(())
}
