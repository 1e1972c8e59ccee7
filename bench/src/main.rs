//! The program `crumb-bench`. Everything is in the library.

use std::process::ExitCode;

/// The allocator of the services, which this program is as well when it is started as one.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    crumb_bench::main()
}
