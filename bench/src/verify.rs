//! `crumb-bench verify`: what checking a token costs, in process, through the verifier's public interface.
//!
//! Beside each other, in the same rounds: the verifier, the floors that no implementation gets under, and (with the
//! feature `peers`) other libraries with the same claims.

mod cold;
mod floors;
mod hostile;
mod hot;
#[cfg(feature = "peers")]
mod peers;
mod structures;
mod threads;

use crate::{
    memory, meter,
    meter::Effort,
    report::{HOT, Row},
};
use anyhow::Context;
use std::thread;

/// What `verify` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct VerifyArgs {
    /// How many hostile tokens to generate.
    #[arg(long, default_value_t = 100_000)]
    hostile: u64,
    /// Measure one part only.
    #[arg(long, value_enum)]
    only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Hot,
    Structures,
    Cold,
    Refused,
    Revocations,
    Threads,
    Memory,
    Peers,
}

pub(crate) fn run(args: &VerifyArgs, effort: Effort) -> anyhow::Result<Vec<Row>> {
    // A thread of its own stays on one core, and the rest of the process goes where it will.
    thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            meter::stay_on_core(0);
            parts(args, effort)
        });
        measuring.join().ok().context("the measuring thread ended")?
    })
}

fn parts(args: &VerifyArgs, effort: Effort) -> anyhow::Result<Vec<Row>> {
    let wanted = |part| args.only.is_none_or(|only| only == part);
    let mut rows = Vec::new();
    if wanted(Part::Hot) {
        rows.extend(hot::rows(effort)?);
    }
    if wanted(Part::Structures) {
        rows.extend(structures::rows(effort)?);
    }
    if wanted(Part::Cold) {
        rows.extend(cold::rows(effort)?);
    }
    if wanted(Part::Refused) {
        rows.extend(hostile::rows(effort, args.hostile)?);
    }
    if wanted(Part::Revocations) {
        rows.extend(hot::with_revocations(effort)?);
    }
    if wanted(Part::Memory) {
        rows.extend(memory::rows_of_another_process(effort)?);
    }
    #[cfg(feature = "peers")]
    if wanted(Part::Peers) {
        rows.extend(peers::rows(effort)?);
    }
    if wanted(Part::Threads) {
        rows.extend(threads::rows(effort)?);
    }
    Ok(rows)
}

/// How many tokens are alive in the usual case.
fn usual(effort: Effort) -> usize {
    effort.pick(usize::try_from(HOT.1).unwrap_or(1000), 8)
}
