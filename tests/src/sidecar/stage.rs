//! The world around a sidecar, and the requests that the tests make.

use super::{broker::StandInBroker, tool_server::RecordingToolServer};
use crate::{
    processes::{Site, copy_program},
    skip::skipped,
};
use crumb_dev_identity::{DevWorkloadApi, Entry, Selector, Settings, SocketMode};
use crumb_identity::{Endpoint, SystemClock, Workload};
use crumb_sdk::sidecar::{BeginTask, DelegateWithin, Open, Presenter};
use crumb_token::{Ask, Grant, Grants, Origin, SessionId, SpiffeId};
use std::{path::Path, sync::Arc, time::Duration};

/// The broker's SPIFFE ID; the test process has it.
pub const BROKER_ID: &str = "spiffe://dev.crumb.invalid/broker";
/// The sidecar's SPIFFE ID.
pub const SIDECAR_ID: &str = "spiffe://dev.crumb.invalid/sidecar/host-1";
/// The SPIFFE ID that the agent is registered with.
pub const AGENT_ID: &str = "spiffe://dev.crumb.invalid/agent/research-bot";
/// The tool server's audience.
pub const AUDIENCE: &str = "spiffe://dev.crumb.invalid/tool/files";

/// The name of the sidecar's program.
pub const PROGRAM: &str = "crumb-agent-sidecar";

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Workload API, a broker and a tool server, and a place for sidecars.
#[derive(Debug)]
pub struct Stage {
    /// Directories and programs that every user can reach.
    pub site: Site,
    /// Says who is who.
    pub api: DevWorkloadApi,
    /// Mints.
    pub broker: StandInBroker,
    /// Remembers what arrives.
    pub tools: RecordingToolServer,
}

impl Stage {
    /// Sets it up; `None`, and said so, when the sidecar's program is not built.
    ///
    /// # Panics
    ///
    /// When a part of it cannot be started.
    pub async fn set(test: &str) -> Option<Self> {
        Self::set_with(test, |_| ()).await
    }

    /// Sets it up with another Workload API than the default.
    ///
    /// # Panics
    ///
    /// When a part of it cannot be started.
    pub async fn set_with(test: &str, change: impl FnOnce(&mut Settings)) -> Option<Self> {
        if crate::processes::binary(PROGRAM).is_none() {
            skipped(test, "the binary `crumb-agent-sidecar` is not built (cargo build --workspace)");
            return None;
        }
        let site = Site::new().expect("a directory");
        let program = site.install(PROGRAM).expect("it is built");
        let mut settings = Settings::new(Arc::new(SystemClock::new()));
        settings.socket_mode = SocketMode::AnyUser;
        change(&mut settings);
        let socket = site.path("spire").join("api.sock");
        let api = DevWorkloadApi::start(socket, settings).await.expect("a Workload API");
        let own_pid = i32::try_from(std::process::id()).expect("a pid");
        api.entries().add(entry(BROKER_ID, Selector::Pid(own_pid))).expect("well-formed");
        api.entries().add(entry(SIDECAR_ID, Selector::Path(program))).expect("well-formed");
        let endpoint = Endpoint::at(api.socket()).expect("a short path");
        let workload = Workload::connect(&endpoint, PATIENCE).await.expect("the test process has an entry");
        let tools = RecordingToolServer::start(&workload).await;
        let broker = StandInBroker::start(&workload, &tools.address()).await;
        Some(Self { site, api, broker, tools })
    }

    /// Installs the agent program (`CARGO_BIN_EXE_sidecar_agent`) under a name of its own; every name is another identity.
    ///
    /// # Panics
    ///
    /// When it cannot be copied.
    pub fn agent_program(&self, built: &str, name: &str) -> std::path::PathBuf {
        let copy = self.site.path(name);
        copy_program(Path::new(built), &copy).expect("the agent can be copied");
        copy
    }
}

fn entry(spiffe_id: &str, selector: Selector) -> Entry {
    Entry { spiffe_id: id(spiffe_id), selectors: vec![selector], hint: None }
}

/// Reads a SPIFFE ID.
///
/// # Panics
///
/// When it is not canonical.
pub fn id(text: &str) -> SpiffeId {
    text.parse().expect("canonical")
}

/// Returns the right to read `resource`.
///
/// # Panics
///
/// When it is no pattern.
pub fn grants(resource: &str) -> Grants {
    let grant = Grant {
        tool: "read_file".parse().expect("a tool"),
        operation: "read".parse().expect("an operation"),
        resource: resource.parse().expect("a pattern"),
    };
    Grants::try_new([grant]).expect("one")
}

/// Returns a session that may read `docs/`.
///
/// # Panics
///
/// Never.
pub fn opening() -> Open {
    Open {
        agent: "research-bot".parse().expect("a name"),
        intent: "summarise the release notes".parse().expect("a sentence"),
        origin: Origin::Schedule { name: "nightly".parse().expect("a name") },
        envelope: vec![(AUDIENCE.parse().expect("an audience"), grants("docs/*"))],
        lifetime: None,
    }
}

/// Returns a session for the lead agent, inside `session`, that may read `docs/a/` at the broker's tests' tool server.
///
/// # Panics
///
/// Never.
pub fn delegate(session: SessionId) -> DelegateWithin {
    DelegateWithin {
        session,
        agent: "lead".parse().expect("a name"),
        peer: id("spiffe://a.test/agent/lead"),
        intent: "read one folder".parse().expect("a sentence"),
        envelope: vec![(crate::broker::FILES.parse().expect("an audience"), grants("docs/a/*"))],
        lifetime: None,
        depth: 0,
    }
}

/// Returns a task that reads `resource`.
///
/// # Panics
///
/// When it is no pattern.
pub fn begin(session: SessionId, resource: &str, presenter: Presenter) -> BeginTask {
    BeginTask {
        session,
        task: None,
        audience: AUDIENCE.parse().expect("an audience"),
        grants: grants(resource),
        ttl: None,
        presenter,
    }
}

/// Returns the call that reads `resource`.
///
/// # Panics
///
/// When it is no resource.
pub fn ask(resource: &str) -> Ask {
    let tool = "read_file".parse().expect("a tool");
    Ask::new(tool, "read".parse().expect("an operation"), resource.parse().expect("a resource"))
}

/// Waits until `done`; `what` is said when it takes too long.
///
/// # Panics
///
/// When it takes too long.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let mut poll = tokio::time::interval(Duration::from_millis(20));
    let waited = async {
        while !done().await {
            poll.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
