//! `crumb-bench gate`: how many instructions a hot call takes, held to a bound that is checked in.
//!
//! Instructions, counted by callgrind, are the same on a busy machine as on a quiet one, so a run can be refused for them.
//! The bound is in `bench/gate.json`; whoever makes the hot path longer on purpose writes a new one with `--set` and says
//! so in the commit.

use crate::{
    meter::{Effort, count},
    micro::Micro,
    report::Row,
};
use anyhow::{Context, bail, ensure};
use crumb_tests::skip::skipped;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// How much longer than the bound is still let through, in per cent: what another compiler or allocator may change.
const SLACK_PERCENT: f64 = 10.0;

/// What `gate` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct GateArgs {
    /// Write what was counted as the new bound.
    #[arg(long)]
    set: bool,
}

/// What is checked in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    /// Instructions of one hot call, the reading of the clock included, in a release build.
    instructions_per_hot_call: f64,
}

impl Bound {
    fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("gate.json")
    }

    fn read() -> anyhow::Result<Self> {
        let path = Self::path();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    fn lets_through(&self, counted: f64) -> bool {
        counted <= self.instructions_per_hot_call * (1.0 + SLACK_PERCENT / 100.0)
    }
}

pub(crate) fn run(args: &GateArgs, effort: Effort) -> anyhow::Result<Vec<Row>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        skipped("instructions of a hot call", "valgrind is not installed");
        return Ok(vec![]);
    }
    let counted = counted(effort.pick(100, 1))?;
    let row = Row::new("gate", "instructions of one hot call, counted by callgrind").value(counted, "instructions");
    // Those of a debug build, or of the first rounds only, say nothing.
    if effort.quick {
        return Ok(vec![row]);
    }
    ensure!(
        !cfg!(debug_assertions),
        "instructions are counted in a release build: cargo build --release -p crumb-bench"
    );
    if args.set {
        let text = serde_json::to_string_pretty(&Bound { instructions_per_hot_call: counted.round() })? + "\n";
        fs::write(Bound::path(), text)?;
        return Ok(vec![row]);
    }
    let bound = Bound::read()?;
    if !bound.lets_through(counted) {
        bail!(
            "a hot call takes {counted:.0} instructions, and the bound is {:.0} and {SLACK_PERCENT} %",
            bound.instructions_per_hot_call
        );
    }
    let mark = format!("{:.0} instructions or less, and {SLACK_PERCENT} %", bound.instructions_per_hot_call);
    Ok(vec![row.mark(&mark, true)])
}

/// Runs this program under callgrind, which counts inside of [`Micro::counted_hot_calls`] alone.
fn counted(rounds: usize) -> anyhow::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_hot_calls*"])
        .arg(std::env::current_exe()?)
        .args(["hot-calls", &rounds.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed: {said}");
    let calls: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().context("the number of calls")?;
    Ok(collected(&said).with_context(|| format!("callgrind did not say what it collected: {said}"))? / calls)
}

/// Reads what callgrind says at its end.
fn collected(said: &str) -> Option<f64> {
    said.lines().find_map(|line| line.split_once("Collected :"))?.1.trim().parse().ok().filter(|n| *n > 0.0)
}

/// Makes hot calls and prints how many, for callgrind.
#[expect(clippy::print_stdout, reason = "the number is the program's output")]
pub(crate) fn hot_calls(rounds: usize) -> anyhow::Result<()> {
    println!("{}", count(Micro::new()?.counted_hot_calls(rounds)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_a_tenth_more_through_and_no_more() {
        let bound = Bound { instructions_per_hot_call: 1000.0 };
        assert!(bound.lets_through(1100.0) && !bound.lets_through(1101.0));
    }

    #[test]
    fn reads_what_callgrind_collected_and_refuses_nothing() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 4711\n"), Some(4711.0));
        assert_eq!(collected("==7== Collected : 0\n"), None);
        assert_eq!(collected("==7== killed"), None);
    }

    #[test]
    fn the_bound_is_checked_in() {
        assert!(Bound::read().expect("a bound").instructions_per_hot_call > 0.0);
    }
}
