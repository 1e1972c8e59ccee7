//! What load is put on: the development stack, each service a process of its own, and what an agent asks of it.
//!
//! The services are this very program started again as `serve`, so that what is measured is what was built with it.

use crate::{meter::Effort, sessions};
use crumb_cli::{
    places::Places,
    stack::{FILES, Stack, dev_id, manifests::AGENT},
};
use crumb_identity::{Endpoint, Workload};
use crumb_sdk::broker::{BrokerClient, Exchange, OpenSession, new_request_id};
use crumb_token::{Audience, Grant, Grants, Origin, SessionId, origin::Assurance};
use std::{os::unix::fs::PermissionsExt, time::Duration};
use tempfile::TempDir;

/// How long a workload waits for its SVID.
const IDENTITY_WITHIN: Duration = Duration::from_secs(10);

/// A running stack, in which this process is the agent.
pub(crate) struct Services {
    stack: Stack,
    workload: Workload,
    _directory: TempDir,
}

impl Services {
    /// Starts everything, with `sessions` sessions of other agents in the broker's store.
    pub(crate) async fn start(sessions: u64) -> anyhow::Result<Self> {
        let owner_only = std::fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("crumb-bench-").permissions(owner_only).tempdir()?;
        sessions::fill(directory.path(), sessions).await?;
        let stack = Stack::start(Places::at(directory.path().to_owned()), std::env::current_exe()?).await?;
        stack.know(i32::try_from(std::process::id())?, &dev_id(&format!("agent/{AGENT}")))?;
        let endpoint: Endpoint = stack.endpoint().parse()?;
        let workload = Workload::connect(&endpoint, IDENTITY_WITHIN).await?;
        Ok(Self { stack, workload, _directory: directory })
    }

    pub(crate) async fn stop(self) {
        self.stack.stop().await;
    }

    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Makes a client of the broker with a connection of its own.
    pub(crate) fn broker(&self) -> BrokerClient {
        self.connector()()
    }

    /// Returns what makes such clients.
    pub(crate) fn connector(&self) -> impl Fn() -> BrokerClient + Clone + Send + Sync + use<> {
        let (workload, address) = (self.workload.clone(), self.stack.broker());
        move || BrokerClient::new(&workload, &address, dev_id("broker"))
    }

    /// Returns the number of a service's process.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        self.stack.pids().into_iter().find_map(|(service, pid)| (service == name).then_some(pid))
    }
}

/// Rights that the stack's agent has.
pub(crate) fn grants() -> anyhow::Result<Grants> {
    let grant = Grant { tool: "read_file".parse()?, operation: "read".parse()?, resource: "file:///docs/*".parse()? };
    Ok(Grants::try_new([grant])?)
}

pub(crate) fn audience() -> anyhow::Result<Audience> {
    Ok(dev_id(&format!("tool/{FILES}")).as_str().parse()?)
}

pub(crate) fn origin() -> anyhow::Result<Origin> {
    Ok(Origin::User { name: "bob@acme.example".parse()?, assurance: Assurance::Asserted })
}

/// Opens a session at the broker itself, with no sidecar in the way.
pub(crate) async fn open(broker: &BrokerClient) -> anyhow::Result<SessionId> {
    let open = OpenSession {
        request: new_request_id(),
        agent: AGENT.parse()?,
        intent: "measure the exchange".parse()?,
        origin: origin()?,
        envelope: vec![(audience()?, grants()?)],
        lifetime: None,
        process: None,
        subject_token: None,
    };
    Ok(broker.open_session(&open).await?.id)
}

/// A request for a task token in `session`, another one each time.
pub(crate) fn exchange(session: SessionId) -> anyhow::Result<Exchange> {
    Ok(Exchange {
        handing: None,
        request: new_request_id(),
        session,
        task: None,
        audience: audience()?,
        grants: grants()?,
        ttl: None,
        holder: None,
        process: None,
    })
}

/// How long to warm up and to measure.
pub(crate) fn spans(effort: Effort, seconds: u32) -> (Duration, Duration) {
    let quick = (Duration::from_millis(100), Duration::from_millis(400));
    effort.pick((Duration::from_secs(2), Duration::from_secs(seconds.into())), quick)
}
