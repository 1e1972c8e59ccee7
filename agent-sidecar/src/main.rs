//! The sidecar as a program: reads its configuration, runs until a signal, and says on stdout when it is ready.

use anyhow::Context as _;
use clap::Parser;
use crumb_agent_sidecar::{Config, Ready, hygiene, run};
use serde::Serialize;
use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Requests make many short-lived texts on several threads, which the system's allocator is slow at.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is logged when `CRUMB_LOG` says nothing.
const LOG_DEFAULT: &str = "info";

/// Keeps an agent's task tokens, and breaks off a smaller one for every call.
#[derive(Debug, Parser)]
#[command(name = "crumb-agent-sidecar", version, after_help = EXAMPLE)]
struct Arguments {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one line of JSON on stdout when agents can connect.
    #[arg(long)]
    announce: bool,
}

const EXAMPLE: &str = r#"Example:
  $ cat sidecar.toml
  socket = "/run/crumb/sidecar.sock"
  allow_uids = [1000]
  workload_api = "unix:///run/spire/agent/api.sock"

  [broker]
  address = "broker.internal:8443"
  spiffe_id = "spiffe://acme.example/crumb/broker"

  $ crumb-agent-sidecar --config sidecar.toml --announce

Logs go to stderr; CRUMB_LOG sets what is logged, such as CRUMB_LOG=debug."#;

#[derive(Serialize)]
struct Announcement {
    ready: &'static str,
    socket: PathBuf,
    spiffe_id: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("CRUMB_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    hygiene::quiet_panics();
    match start(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config).with_context(|| arguments.config.display().to_string())?;
    let shutdown = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    let (ready, announced) = oneshot::channel();
    let announce = async {
        match announced.await {
            Ok(ready) if arguments.announce => announce(ready),
            _ => Ok(()),
        }
    };
    let (served, announced) = tokio::join!(run(config, shutdown, ready), announce);
    served?;
    announced.context("stdout")
}

fn announce(ready: Ready) -> io::Result<()> {
    let line = Announcement { ready: "sidecar", socket: ready.socket, spiffe_id: ready.spiffe_id.to_string() };
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&line)?)?;
    out.flush()
}
