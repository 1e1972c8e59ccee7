//! Running one service in this process: how `crumb dev` and `crumb demo` start the real broker, sidecar and tool server.
//!
//! A managed service waits for a line on stdin before it does anything, so that its parent can first tell the development
//! Workload API which process it is; and it ends when stdin ends, so that no service outlives its parent.

use crate::exit::Failure;
use anyhow::{Context, anyhow};
use serde::Serialize;
use std::{net::SocketAddr, path::PathBuf};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Service {
    Broker,
    Sidecar,
    ToolServer,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Which service to run.
    service: Service,
    /// Its configuration file.
    #[arg(long)]
    config: PathBuf,
}

/// What a service says on stdout when it is ready.
#[derive(Debug, Serialize, serde::Deserialize)]
pub(crate) struct Announcement {
    /// The address it listens on; a sidecar has none.
    pub(crate) addr: Option<SocketAddr>,
    /// Its SPIFFE ID.
    pub(crate) spiffe_id: String,
}

/// Waits for the line with which the parent says that the Workload API knows this process.
pub(crate) fn wait_for_go() -> Result<(), Failure> {
    let mut go = String::new();
    std::io::stdin().read_line(&mut go).context("stdin")?;
    if go == "go\n" { Ok(()) } else { Err(Failure::usage("waits for the line `go` on stdin; `crumb dev` runs it")) }
}

pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let shutdown = CancellationToken::new();
    wait_for_go()?;
    let ended = shutdown.clone();
    // A thread, since a read of stdin cannot be cancelled; it ends with the process.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        ended.cancel();
    });
    let text = tokio::fs::read_to_string(&args.config).await.with_context(|| args.config.display().to_string())?;
    serve(args.service, &text, shutdown).await.map_err(Failure::from)
}

async fn serve(service: Service, config: &str, shutdown: CancellationToken) -> anyhow::Result<()> {
    match service {
        Service::Broker => {
            let config = crumb_broker::Config::from_toml(config)?;
            let (ready, announced) = oneshot::channel();
            let announce = announce(announced, |r: crumb_broker::Ready| (Some(r.addr), r.spiffe_id.to_string()));
            both(crumb_broker::run(config, shutdown, ready), announce).await
        }
        Service::Sidecar => {
            let config = crumb_agent_sidecar::Config::from_toml(config)?;
            let (ready, announced) = oneshot::channel();
            let announce = announce(announced, |r: crumb_agent_sidecar::Ready| (None, r.spiffe_id.to_string()));
            both(crumb_agent_sidecar::run(config, shutdown, ready), announce).await
        }
        Service::ToolServer => {
            let config = crumb_sample_tools::Config::from_toml(config)?;
            let (ready, announced) = oneshot::channel();
            let announce = announce(announced, |r: crumb_sample_tools::Ready| (Some(r.addr), r.audience.to_string()));
            both(crumb_sample_tools::run(config, shutdown, ready), announce).await
        }
    }
}

async fn both<E: Into<anyhow::Error>>(
    service: impl Future<Output = Result<(), E>>,
    announce: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (served, ()) = tokio::join!(service, announce);
    served.map_err(|e| anyhow!(e))
}

async fn announce<R>(ready: oneshot::Receiver<R>, facts: impl FnOnce(R) -> (Option<SocketAddr>, String)) {
    if let Ok(ready) = ready.await {
        let (addr, spiffe_id) = facts(ready);
        crate::output::json(&Announcement { addr, spiffe_id });
    }
}
