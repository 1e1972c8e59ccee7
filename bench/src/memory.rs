//! What a hot call allocates, and what a token takes that the verifier keeps.
//!
//! Measured by a program of its own, `crumb-bench-memory`, whose allocator counts: counting would slow down everything
//! that is timed.

use crate::{
    meter::{Effort, count},
    report::Row,
    world::{self, Call},
};
use anyhow::{Context, ensure};
use crumb_verifier::Verifier;
use std::{hint::black_box, process::Command};

/// What the allocator has done so far.
#[derive(Clone, Copy, Debug)]
pub struct Allocated {
    /// How often it was asked.
    pub times: usize,
    /// How many bytes are in use.
    pub live_bytes: usize,
}

/// The name of the program that counts.
const PROGRAM: &str = "crumb-bench-memory";

/// Runs the program that counts, which is built beside this one, and returns its rows.
pub(crate) fn rows_of_another_process(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let program = std::env::current_exe()?.with_file_name(PROGRAM);
    let mut command = Command::new(&program);
    if effort.quick {
        command.arg("--quick");
    }
    let output = command.output().with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "{PROGRAM} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Measures with an allocator that counts.
pub(crate) fn rows(effort: Effort, allocated: impl Fn() -> Allocated) -> anyhow::Result<Vec<Row>> {
    let calls = world::live(effort.pick(10_000, 16))?;
    let refused = world::elsewhere(&calls[0])?;
    let before = allocated().live_bytes;
    let verifier = world::verifier_for(calls.len())?;
    ensure!(calls[0].decide(&verifier), "a good token was refused");
    let empty = allocated().live_bytes.saturating_sub(before);
    for call in &calls {
        ensure!(call.decide(&verifier), "a good token was refused");
    }
    let full = allocated().live_bytes.saturating_sub(before);
    let header = calls.iter().map(|call| call.token.expose().len()).sum::<usize>();
    let kept = count(full.saturating_sub(empty)) / count(calls.len());
    let own = count(header) / count(calls.len());
    let hot = per_call(&verifier, &calls, &allocated);
    let denied = per_call(&verifier, &[refused], &allocated);
    let row = |name: &str, what: &str, value: f64, unit: &str| Row::new(name, what).value(value, unit);
    Ok(vec![
        row("allocations", "allocations of one hot call", hot, "").live(calls.len()).mark("none", hot == 0.0),
        row("allocations:refused", "allocations of one call that is refused, with its reason", denied, "").live(1),
        row("memory", "what the verifier keeps of one token", kept, "bytes")
            .live(calls.len())
            .mark("2 KiB or less plus the token's own bytes", kept <= 2048.0 + own),
        row("memory:token", "the token's own bytes, as it travels", own, "bytes").live(calls.len()),
        row(
            "memory:empty",
            "what a verifier with room for four times as many takes when it has seen one",
            count(empty),
            "bytes",
        )
        .live(1),
    ])
}

fn per_call(verifier: &Verifier, calls: &[Call], allocated: &impl Fn() -> Allocated) -> f64 {
    let before = allocated().times;
    for call in calls {
        black_box(call.decide(verifier));
    }
    count(allocated().times - before) / count(calls.len())
}
