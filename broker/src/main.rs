//! The broker as a program: arguments, logs, signals. Everything else is the library's.

use anyhow::Context as _;
use clap::Parser;
use crumb_broker::{Config, Ready, run};
use std::{
    io::{IsTerminal as _, Write as _},
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

/// The Crumb broker: exchanges an agent's X.509-SVID for a token that can do one task.
#[derive(Debug, Parser)]
#[command(name = "crumb-broker", version, after_help = EXAMPLE)]
struct Arguments {
    /// The configuration, TOML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one line of JSON on stdout once the broker serves.
    #[arg(long)]
    announce: bool,
}

const EXAMPLE: &str = r#"Example:
  crumb-broker --config /etc/crumb/broker.toml

  with, in broker.toml:
    listen = "0.0.0.0:8443"
    admin_socket = "/run/crumb-broker/admin.sock"
    data_dir = "/var/lib/crumb-broker"
    registry_dir = "/etc/crumb/registry"
    workload_api = "unix:///run/spire/sockets/agent.sock"

The log goes to stderr; CRUMB_LOG=debug shows more."#;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("CRUMB_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    // Keys live in memory; a core dump would put them on the disk.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none).context("cannot turn core dumps off")?;
    let config = Config::load(&arguments.config)?;
    let shutdown = CancellationToken::new();
    let (ready, is_ready) = oneshot::channel();
    let announced = async {
        if let (Ok(ready), true) = (is_ready.await, arguments.announce) {
            announce(&ready)?;
        }
        anyhow::Ok(())
    };
    tokio::spawn(stop_on_signal(shutdown.clone())?);
    let (ran, announced) = tokio::join!(run(config, shutdown.clone(), ready), announced);
    ran?;
    announced
}

fn announce(ready: &Ready) -> anyhow::Result<()> {
    let line = serde_json::json!({
        "ready": "broker",
        "addr": ready.addr.to_string(),
        "admin_socket": ready.admin_socket,
        "spiffe_id": ready.spiffe_id.to_string(),
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("cannot announce on stdout")
}

/// Listens for the signals at once, and stops the broker on the first.
fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    })
}
