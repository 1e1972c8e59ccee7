//! `crumb bench`: becomes `crumb-bench`, which is built beside this program and apart from it, so that nothing that it
//! compares with is ever part of this one.

use crate::exit::{Exit, Failure};
use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true, after_help = "Examples:\n  crumb bench verify\n  crumb bench --help")]
pub(crate) struct BenchArgs {
    /// What `crumb-bench` is asked; `--help` lists it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(crate) fn run(args: BenchArgs) -> Failure {
    match std::env::current_exe() {
        Ok(this) => become_program(&beside(&this), args.args),
        Err(e) => Failure::new(Exit::Unexpected, format!("this program's path: {e}"), ""),
    }
}

fn beside(this: &Path) -> PathBuf {
    this.with_file_name("crumb-bench")
}

/// Runs `program` in place of this one; returns only when that cannot be done.
fn become_program(program: &Path, args: Vec<OsString>) -> Failure {
    let error = Command::new(program).args(args).exec();
    let what = format!("{}: {error}", program.display());
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(Exit::Usage, what, "build it: cargo build --release -p crumb-bench"),
        _ => Failure::new(Exit::Unexpected, what, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_built_is_a_usage_error_that_says_how_to_build_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let failure = become_program(&beside(&folder.path().join("crumb")), vec!["verify".into()]);
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.next.contains("cargo build --release -p crumb-bench"), "{failure:?}");
    }
}
