//! Counts allocations for `crumb-bench verify`, and writes rows to stdout. A program of its own, because what is timed
//! must not run on an allocator that counts.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::{alloc::System, process::ExitCode};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    crumb_bench::count_allocations(|| {
        let stats = ALLOCATOR.stats();
        crumb_bench::Allocated {
            times: stats.allocations + stats.reallocations,
            live_bytes: stats.bytes_allocated.saturating_sub(stats.bytes_deallocated),
        }
    })
}
