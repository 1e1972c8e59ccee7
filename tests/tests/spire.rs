//! The main path on a real SPIRE: server, agent, join token, entries by Unix user; our binaries as separate processes under
//! separate users.
//!
//! Needs root (for the users) and the SPIRE binaries; where one is missing the run says so by name.

use anyhow::Context;
use crumb_tests::{
    measured::measured,
    processes::{Service, Site, json_as, run_as},
    skip::skipped,
    spire::{self, Lifetimes, Spire},
};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

const BROKER: u32 = 61_001;
const SIDECAR: u32 = 61_002;
const AGENT: u32 = 61_003;
const TOOLS: u32 = 61_004;
const STRANGER: u32 = 61_005;

/// Says whether this machine has what these tests need.
fn ready(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    let setpriv = Path::new("/usr/bin/setpriv").exists();
    if spire::binaries().is_none() {
        skipped(test, "SPIRE is not installed (scripts/install-spire)");
    } else if !root || !setpriv {
        skipped(test, "needs root and setpriv, to run each service as its own user");
    }
    spire::binaries().is_some() && root && setpriv
}

/// Crumb on a SPIRE: every service a process and a user of its own.
struct House {
    site: Site,
    spire: Spire,
    sidecar_entry: String,
    _broker: Service,
    tools: Service,
    sidecar: Service,
    crumb: PathBuf,
    server: String,
}

impl House {
    async fn build(lifetimes: Lifetimes) -> anyhow::Result<Self> {
        let spire = Spire::start("demo.test", lifetimes).await?;
        for (path, uid) in [("broker", BROKER), ("tool/files", TOOLS)] {
            spire.register(path, uid)?;
        }
        let sidecar_entry = spire.register("sidecar/host-1", SIDECAR)?;
        let site = Site::new()?;
        let crumb = site.install("crumb")?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        site.write("registry/house.yaml", &registry(&spire, port))?;
        let (data, admin) = (site.own("broker", BROKER, 0o700)?, site.own("admin", BROKER, 0o700)?);
        let broker = broker_config(&spire, &data, &admin, &site.path("registry"));
        let broker = Service::start(&site, "crumb-broker", "broker-1", BROKER, false, &broker).await?;
        let address = broker.said("addr");
        let server = spire.id("tool/files");
        let tools = tools_config(&spire, port, &address);
        let tools = Service::start(&site, "crumb-sample-tools", "tools-1", TOOLS, false, &tools).await?;
        let socket_dir = site.own("sidecar", SIDECAR, 0o755)?;
        let sidecar = sidecar_config(&spire, &socket_dir, &address);
        let sidecar = Service::start(&site, "crumb-agent-sidecar", "sidecar-1", SIDECAR, true, &sidecar).await?;
        Ok(Self { site, spire, sidecar_entry, _broker: broker, tools, sidecar, crumb, server })
    }

    fn socket(&self) -> String {
        self.site.path("sidecar/agent.sock").display().to_string()
    }

    fn open(&self, uid: u32) -> anyhow::Result<String> {
        let allow = format!("{} read_file read file:///docs/*", self.server);
        let socket = self.socket();
        let arguments = [
            "session",
            "open",
            "--sidecar",
            &socket,
            "--agent",
            "research-bot",
            "--intent",
            "read the docs",
            "--origin",
            "user:bob@acme.example",
            "--allow",
            &allow,
            "-o",
            "json",
        ];
        let opened = json_as(uid, &self.crumb, &arguments)?;
        Ok(opened["session_id"].as_str().context("no session id")?.to_owned())
    }

    /// Calls `read_file` on a path; the exit code, and what was written.
    fn read(&self, uid: u32, session: &str, path: &str) -> anyhow::Result<(i32, String)> {
        let (resource, socket) = (format!("file:///{path}"), self.socket());
        let arguments = [
            "call",
            "--sidecar",
            &socket,
            "--session",
            session,
            &self.server,
            "read_file",
            "read",
            &resource,
            "-o",
            "json",
        ];
        let output = run_as(uid, &self.crumb, &arguments)?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok((output.status.code().unwrap_or(-1), said))
    }
}

fn registry(spire: &Spire, port: u16) -> String {
    let (agent, server, sidecar) = (spire.id("agent/research-bot"), spire.id("tool/files"), spire.id("sidecar/host-1"));
    format!(
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
    - {{ name: delete_file, operation: delete, risk: high }}
---
apiVersion: crumb.dev/v1
kind: Agent
metadata: {{ name: research-bot }}
spec:
  spiffeId: {agent}
  owner: alice@acme.example
  purpose: Answers questions from the public documents.
  version: 1.0.0
  environment: production
  sidecars: [{sidecar}]
  process: {{ uid: {AGENT} }}
  scopes:
    - toolServer: files
      tools:
        - {{ tool: read_file, operation: read, resources: ["file:///docs/*"] }}
"#
    )
}

fn broker_config(spire: &Spire, data: &Path, admin: &Path, registry: &Path) -> String {
    let admin = admin.join("admin.sock");
    format!(
        "listen = \"127.0.0.1:0\"\nadmin_socket = {admin:?}\ndata_dir = {data:?}\nregistry_dir = {registry:?}\nworkload_api = {:?}\n",
        spire.endpoint()
    )
}

fn tools_config(spire: &Spire, port: u16, broker: &str) -> String {
    format!(
        "listen = \"127.0.0.1:{port}\"\naudience = {:?}\nworkload_api = {:?}\n[broker]\naddress = {broker:?}\nspiffe_id = {:?}\n",
        spire.id("tool/files"),
        spire.endpoint(),
        spire.id("broker")
    )
}

fn sidecar_config(spire: &Spire, socket_dir: &Path, broker: &str) -> String {
    let socket = socket_dir.join("agent.sock");
    format!(
        "socket = {socket:?}\nsocket_mode = \"0666\"\nallow_uids = [{AGENT}]\nworkload_api = {:?}\n[broker]\naddress = {broker:?}\nspiffe_id = {:?}\n",
        spire.endpoint(),
        spire.id("broker")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reads_a_document_and_nothing_else() -> anyhow::Result<()> {
    if !ready("SPIRE: exchange and call") {
        return Ok(());
    }
    let mut house = House::build(Lifetimes::CALM).await?;
    let session = house.open(AGENT)?;
    let (exit, said) = house.read(AGENT, &session, "docs/readme.md")?;
    assert_eq!(exit, 0, "{said}\n{}", house.sidecar.log());
    let (exit, said) = house.read(AGENT, &session, "finance/payroll.csv")?;
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains("outside_envelope"), "{said}");

    // Another user on the same socket gets nothing: no session, and none of the agent's.
    let (exit, said) = house.read(STRANGER, &session, "docs/readme.md")?;
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains("caller_refused"), "{said}");
    assert!(house.open(STRANGER).is_err());
    assert!(house.tools.is_running() && house.sidecar.is_running());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_entry_leads_to_refusal() -> anyhow::Result<()> {
    if !ready("SPIRE: entry delete") {
        return Ok(());
    }
    let house = House::build(Lifetimes::FAST).await?;
    let session = house.open(AGENT)?;
    assert_eq!(until_exit(&house, &session, 0, Duration::from_secs(30)).await?, 0);
    house.spire.unregister(&house.sidecar_entry)?;
    // SPIRE's agent hears of it within its sync interval of five seconds; the SVID itself lives ten more.
    let exit =
        until(Duration::from_secs(40), || Ok(house.read(AGENT, &session, "docs/readme.md")?.0), |exit| exit != 0)
            .await?;
    assert!(matches!(exit, 3 | 5 | 6), "exit {exit}");
    // And it stays so.
    let (exit, said) = house.read(AGENT, &session, "docs/readme.md")?;
    assert!(matches!(exit, 3 | 5 | 6), "exit {exit}: {said}");
    Ok(())
}

async fn until_exit(house: &House, session: &str, wanted: i32, within: Duration) -> anyhow::Result<i32> {
    until(within, || Ok(house.read(AGENT, session, "docs/readme.md")?.0), |exit| exit == wanted).await
}

/// Asks again until the answer is right or the time is over; returns the last answer.
async fn until(
    within: Duration,
    mut ask: impl FnMut() -> anyhow::Result<i32>,
    right: impl Fn(i32) -> bool,
) -> anyhow::Result<i32> {
    let mut last = -1;
    let asked = async {
        loop {
            last = ask()?;
            if right(last) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    match tokio::time::timeout(within, asked).await {
        Ok(done) => done.map(|()| last),
        Err(_) => Ok(last),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn svids_and_authorities_rotate_under_calls_and_none_fails() -> anyhow::Result<()> {
    if !ready("SPIRE: rotation under calls") {
        return Ok(());
    }
    let quick = std::env::var_os("CRUMB_QUICK").is_some();
    if quick {
        skipped("SPIRE: rotation for two minutes", "--quick: twenty seconds instead");
    }
    let span = Duration::from_secs(if quick { 20 } else { 120 });
    let house = House::build(Lifetimes::FAST).await?;
    let session = house.open(AGENT)?;
    let (mut calls, mut retried, mut failed) = (0u32, 0u32, Vec::new());
    let calling = async {
        loop {
            calls += 1;
            let (exit, said) = house.read(AGENT, &session, "docs/readme.md")?;
            if exit != 0 {
                // One retry by the caller, as an agent's own client would do.
                retried += 1;
                let again = until_exit(&house, &session, 0, Duration::from_secs(2)).await?;
                if again != 0 {
                    failed.push(said);
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let ended: Result<anyhow::Result<()>, _> = tokio::time::timeout(span, calling).await;
    if let Ok(Err(e)) = ended {
        return Err(e);
    }
    measured(format_args!(
        "{calls} calls in {} s under 10 s SVIDs and a 1 min CA; {retried} retried, {} failed",
        span.as_secs(),
        failed.len()
    ));
    assert!(failed.is_empty(), "{failed:?}\n{}", house.sidecar.log());
    assert!(calls > 50, "only {calls} calls in {} s", span.as_secs());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svid_of_a_foreign_trust_domain_gets_nothing() -> anyhow::Result<()> {
    if !ready("SPIRE: foreign trust domain") {
        return Ok(());
    }
    let house = House::build(Lifetimes::CALM).await?;
    let foreign = Spire::start("other.test", Lifetimes::CALM).await?;
    foreign.register("sidecar/host-1", STRANGER)?;
    // A sidecar of the other domain, pointed at our broker, which it would even trust by name.
    let dir = house.site.own("foreign", STRANGER, 0o700)?;
    let socket = dir.join("agent.sock");
    let config = format!(
        "socket = {socket:?}\nworkload_api = {:?}\n[broker]\naddress = {:?}\nspiffe_id = {:?}\n",
        foreign.endpoint(),
        house._broker.said("addr"),
        house.spire.id("broker")
    );
    let _sidecar = Service::start(&house.site, "crumb-agent-sidecar", "foreign-1", STRANGER, true, &config).await?;
    let allow = format!("{} read_file read file:///docs/*", house.server);
    let socket = socket.display().to_string();
    let arguments = [
        "session",
        "open",
        "--sidecar",
        &socket,
        "--agent",
        "research-bot",
        "--intent",
        "get in",
        "--origin",
        "user:eve@other.test",
        "--allow",
        &allow,
    ];
    let output = run_as(STRANGER, &house.crumb, &arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("broker_unreachable"), "{said}");
    Ok(())
}
