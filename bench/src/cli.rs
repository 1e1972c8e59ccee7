//! The command line of `crumb-bench`.

use crate::{
    exchange::{self, ExchangeArgs},
    feed::{self, FeedArgs},
    gate,
    memory::{self, Allocated},
    meter::Effort,
    readme,
    report::{Report, Row},
    sidecar::{self, SidecarArgs},
    verify,
};
use clap::{Parser, Subcommand};
use std::{ffi::OsStr, path::PathBuf, process::ExitCode};

const EXAMPLES: &str = "\
Examples:
  crumb-bench verify --json verify.json
  crumb-bench verify --only hot
  crumb-bench --quick all               a smoke run of everything; the figures mean nothing";

/// What checking a token costs, and load and latency of a whole Crumb, on this machine.
#[derive(Debug, Parser)]
#[command(name = "crumb-bench", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// A smoke run of some seconds, to see that everything runs.
    #[arg(long, global = true)]
    quick: bool,
    /// Where to write the JSON.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checking a token, in process, beside its floors and beside other libraries.
    Verify(verify::VerifyArgs),
    /// The token exchange over mTLS, each with its durable audit record.
    Exchange(ExchangeArgs),
    /// A call token from the sidecar, over its Unix socket.
    Sidecar(SidecarArgs),
    /// From revoked to refused, and turning keys.
    Feed(FeedArgs),
    /// Everything, one after the other.
    All(verify::VerifyArgs),
    /// Count the instructions of a hot call, and refuse more than the bound in bench/gate.json.
    Gate(gate::GateArgs),
    /// Write the README's figures from bench/numbers.json.
    Readme(readme::ReadmeArgs),
    /// Make hot calls, for callgrind to count.
    #[command(hide = true)]
    HotCalls {
        /// How many rounds of calls.
        rounds: usize,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new("serve")) {
        return crumb_cli::main();
    }
    let cli = Cli::parse();
    ended(run(&cli))
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let effort = if cli.quick { Effort::QUICK } else { Effort::FULL };
    let rows = match &cli.command {
        Command::Readme(args) => return readme::run(args),
        Command::HotCalls { rounds } => return gate::hot_calls(*rounds),
        command => rows(command, effort)?,
    };
    let report = Report::new(rows);
    report.print();
    cli.json.as_deref().map_or(Ok(()), |path| report.write(path))
}

fn rows(command: &Command, effort: Effort) -> anyhow::Result<Vec<Row>> {
    match command {
        Command::Verify(args) => verify::run(args, effort),
        Command::Exchange(args) => with_services(exchange::run(args, effort)),
        Command::Sidecar(args) => with_services(sidecar::run(args, effort)),
        Command::Feed(args) => with_services(feed::run(args, effort)),
        Command::All(args) => {
            let mut rows = verify::run(args, effort)?;
            rows.extend(with_services(exchange::run(&ExchangeArgs::default(), effort))?);
            rows.extend(with_services(sidecar::run(&SidecarArgs::default(), effort))?);
            rows.extend(with_services(feed::run(&FeedArgs::default(), effort))?);
            Ok(rows)
        }
        Command::Gate(args) => gate::run(args, effort),
        Command::Readme(_) | Command::HotCalls { .. } => Ok(vec![]),
    }
}

/// Runs what talks to services, on a runtime of its own.
fn with_services(rows: impl Future<Output = anyhow::Result<Vec<Row>>>) -> anyhow::Result<Vec<Row>> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(rows)
}

/// Runs the program that counts allocations.
pub(crate) fn count_allocations(allocated: impl Fn() -> Allocated) -> ExitCode {
    let quick = std::env::args_os().nth(1).is_some_and(|arg| arg == "--quick");
    let rows = memory::rows(if quick { Effort::QUICK } else { Effort::FULL }, allocated);
    ended(rows.and_then(|rows| print(&rows)))
}

#[expect(clippy::print_stdout, reason = "the rows are the program's output")]
fn print(rows: &[Row]) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(rows)?);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "this is how a program says why it failed")]
fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crumb-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
