//! `crumb-bench`: load and latency of a whole Crumb on this machine, through its real sockets.
//!
//! Each benchmark starts the development stack (real broker, real sidecar, real mTLS, durable audit), drives it in an open
//! loop, and writes one table for people and one JSON file for programs. Times are from when a request was due, not from when
//! it could be sent, so a stall is seen by every request behind it.

mod exchange;
mod load;
mod report;
mod sidecar;

use anyhow::Context;
use clap::{Parser, Subcommand};
use crumb_cli::{places::Places, stack::Stack};
use std::{os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

/// Load and latency of Crumb on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "crumb-bench",
    version,
    after_help = "Examples:\n  crumb-bench exchange --rate 500 --seconds 20\n  crumb-bench sidecar --out sidecar.json"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The token exchange over warm mTLS, each with its durable audit record.
    Exchange(LoadArgs),
    /// A call token from a task token that the sidecar holds, over its Unix socket.
    Sidecar(LoadArgs),
}

/// What every benchmark takes.
#[derive(Clone, Debug, clap::Args)]
struct LoadArgs {
    /// Requests due each second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// How long to warm up first, unmeasured.
    #[arg(long, default_value_t = 3)]
    warmup_seconds: u32,
    /// Where to write the JSON.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl LoadArgs {
    fn shape(&self) -> load::Shape {
        load::Shape {
            rate: self.rate,
            warmup: Duration::from_secs(self.warmup_seconds.into()),
            measured: Duration::from_secs(self.seconds.into()),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let owner_only = std::fs::Permissions::from_mode(0o700);
        let dir = tempfile::Builder::new().prefix("crumb-bench-").permissions(owner_only).tempdir()?;
        let stack = Stack::start(Places::at(dir.path().to_owned()), crumb()?).await?;
        let (report, out) = match cli.command {
            Command::Exchange(args) => (exchange::run(&stack, args.shape()).await?, args.out),
            Command::Sidecar(args) => (sidecar::run(&stack, args.shape()).await?, args.out),
        };
        report.print();
        if let Some(out) = out {
            std::fs::write(&out, report.to_json()).with_context(|| out.display().to_string())?;
        }
        stack.stop().await;
        Ok(())
    })
}

/// Finds `crumb`, which is built beside this program.
fn crumb() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let crumb = here.with_file_name("crumb");
    anyhow::ensure!(crumb.exists(), "{} is not built: cargo build --release -p crumb-cli", crumb.display());
    Ok(crumb)
}
