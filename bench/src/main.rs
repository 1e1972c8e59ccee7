//! The program `crumb-bench`. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    crumb_bench::main()
}
