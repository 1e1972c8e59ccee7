//! The program `crumb`. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    crumb_cli::main()
}
