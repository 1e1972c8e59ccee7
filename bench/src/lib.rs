//! `crumb-bench`: what checking a token costs, and load and latency of a whole Crumb, on this machine.
//!
//! `verify` measures in process. `exchange`, `sidecar` and `feed` start real services and talk to them through their real
//! sockets. Each prints one table for people and writes one JSON file for programs; `all` does everything, and `readme`
//! writes the README's figures from that.
//!
//! # Invariants
//!
//! - A figure comes with the machine, the commit and the build that it was measured on.
//! - What is compared is measured side by side, in the same run.
//! - An answer that is wrong or missing is counted, or ends the run; it is never timed as if it were good.
//!
//! It does not judge: a missed mark is shown as missed, and the program still ends well. Only `gate` refuses.

mod cli;
mod exchange;
mod feed;
mod gate;
mod load;
mod machine;
mod memory;
mod meter;
mod micro;
mod readme;
mod report;
mod services;
mod sessions;
mod sidecar;
mod verify;
mod world;

pub use cli::main;
pub use memory::Allocated;
pub use micro::Micro;

use std::process::ExitCode;

/// Runs `crumb-bench-memory`, whose allocator tells what it did through `allocated`.
pub fn count_allocations(allocated: impl Fn() -> Allocated) -> ExitCode {
    cli::count_allocations(allocated)
}
