//! `crumb policy`: a policy bundle on this machine, without any service: checked, tested, explained, compared.

mod read;
mod show;

use crate::{
    exit::{Exit, Failure},
    output::{self, Format, verdict},
};
use crumb_policy::{Bundle, Defect, Policy, Report, diff};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PolicyCommand {
    /// Say whether the broker would load a bundle; exit code 7 when not.
    #[command(
        after_help = "Examples:\n  crumb policy check deploy/policy\n  crumb policy check deploy/policy -o json | jq -r .version"
    )]
    Check(BundleArg),
    /// Run the tests of a bundle, and name the rules that none of them makes match.
    #[command(
        after_help = "Examples:\n  crumb policy test deploy/policy\n  crumb policy test deploy/policy -o json | jq '.defects[]'"
    )]
    Test(BundleArg),
    /// Say for one input what is decided, by which rules, and which rules did not match.
    #[command(after_help = "Examples:\n  crumb policy explain deploy/policy --input deploy/policy/input.json\n  \
                            crumb policy explain deploy/policy --input deploy/policy/input.json -o json | jq .verdict.ruling")]
    Explain(ExplainArgs),
    /// Say which inputs two bundles decide differently.
    #[command(
        after_help = "Examples:\n  crumb policy diff deploy/policy my/policy --inputs deploy/policy/inputs.jsonl\n  \
                            crumb policy diff released/ new/ --inputs asks.jsonl --no-changes"
    )]
    Diff(DiffArgs),
}

#[derive(Debug, clap::Args)]
struct BundleArg {
    /// The directory: `*.rego`, `*_test.rego`, `data.json` and `data.yaml` in it, and below.
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
struct ExplainArgs {
    #[command(flatten)]
    bundle: BundleArg,
    /// The input as JSON; docs/policy.md has its fields, deploy/policy/input.json is one.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// The bundle that decides now.
    old: PathBuf,
    /// The bundle that would.
    new: PathBuf,
    /// The inputs, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    inputs: PathBuf,
    /// End with exit code 7 when anything is decided differently.
    #[arg(long)]
    no_changes: bool,
}

pub(crate) fn run(args: PolicyArgs, format: Format) -> Result<(), Failure> {
    match args.command {
        PolicyCommand::Check(args) => check(&args.dir, format),
        PolicyCommand::Test(args) => test(&args.dir, format),
        PolicyCommand::Explain(args) => explain(&args, format),
        PolicyCommand::Diff(args) => compare(&args, format),
    }
}

fn check(dir: &Path, format: Format) -> Result<(), Failure> {
    let report = tested(dir, format)?;
    let policy = loaded(dir, format)?;
    match format {
        Format::Json => output::json(&json!({
            "ok": true, "version": policy.version(), "rules": report.rules, "tests": report.tests.len(), "defects": [],
        })),
        Format::Text => {
            output::data(format!("{} {}", verdict(true, "good"), policy.version()));
            output::note(format!("{} rules, each made to match by one of {} tests", report.rules, report.tests.len()));
        }
    }
    output::next(format!("crumb policy explain {} --input FILE", dir.display()));
    Ok(())
}

fn test(dir: &Path, format: Format) -> Result<(), Failure> {
    let report = tested(dir, format)?;
    match format {
        Format::Json => output::json(&report),
        Format::Text => {
            report.tests.iter().for_each(|test| output::data(show::test(test)));
            let failed: Vec<_> = report.tests.iter().filter(|t| t.failure.is_some()).map(|t| &t.place).collect();
            let of_a_test = |d: &&Defect| failed.iter().any(|place| place.file == d.file && place.line == d.line);
            report.defects.iter().filter(|d| !of_a_test(d)).for_each(|defect| output::data(show::defect(defect)));
            output::note(format!("{} of {} rules matched", report.matched, report.rules));
        }
    }
    refuse(report.defects.len(), dir)?;
    output::next(format!("crumb policy check {}", dir.display()));
    Ok(())
}

fn explain(args: &ExplainArgs, format: Format) -> Result<(), Failure> {
    let policy = loaded(&args.bundle.dir, format)?;
    let input = read::input(&args.input)?;
    let explained = policy.explain(&input).map_err(|e| {
        Failure::new(
            Exit::CheckFailed,
            format!("nothing is decided: {e}"),
            "make the rule hold for any input, and test it",
        )
    })?;
    match format {
        Format::Json => output::json(&explained),
        Format::Text => {
            show::verdict_lines(&explained.verdict).iter().for_each(output::data);
            explained.rules.iter().for_each(|rule| output::data(show::rule(rule)));
        }
    }
    output::next("change the input and ask again, or put it into a test of the bundle");
    Ok(())
}

fn compare(args: &DiffArgs, format: Format) -> Result<(), Failure> {
    let (old, new) = (loaded(&args.old, format)?, loaded(&args.new, format)?);
    let inputs = read::inputs(&args.inputs)?;
    let differences = diff(&old, &new, &inputs);
    for difference in &differences {
        match format {
            Format::Json => output::json(difference),
            Format::Text => show::difference(difference).iter().for_each(output::data),
        }
    }
    output::note(format!("{} of {} inputs are decided differently", differences.len(), inputs.len()));
    if args.no_changes && !differences.is_empty() {
        let what = format!("{} inputs are decided differently", differences.len());
        return Err(Failure::new(
            Exit::CheckFailed,
            what,
            "look at each line above, and agree to it without --no-changes",
        ));
    }
    output::next(format!("crumb policy check {}", args.new.display()));
    Ok(())
}

/// Reads and tests a bundle; what keeps its tests from running is written like any defect.
fn tested(dir: &Path, format: Format) -> Result<Report, Failure> {
    let tested = read::texts(dir).map(|texts| Bundle::try_new(texts).and_then(|bundle| bundle.test()));
    tested?.map_err(|defects| refused(&defects, dir, format))
}

fn loaded(dir: &Path, format: Format) -> Result<Policy, Failure> {
    let loaded = read::texts(dir).map(|texts| Bundle::try_new(texts).and_then(Bundle::check));
    loaded?.map_err(|defects| refused(&defects, dir, format))
}

fn refused(defects: &[Defect], dir: &Path, format: Format) -> Failure {
    match format {
        Format::Json => output::json(&json!({"ok": false, "defects": defects})),
        Format::Text => defects.iter().for_each(|defect| output::data(show::defect(defect))),
    }
    refuse(defects.len(), dir).err().unwrap_or_else(|| Failure::usage("the bundle is refused"))
}

fn refuse(defects: usize, dir: &Path) -> Result<(), Failure> {
    if defects == 0 {
        return Ok(());
    }
    let what =
        format!("{} would not be loaded: {defects} {}", dir.display(), if defects == 1 { "defect" } else { "defects" });
    Err(Failure::new(
        Exit::CheckFailed,
        what,
        format!("mend the lines above, then crumb policy test {}", dir.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::fs;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        policy: PolicyArgs,
    }

    fn deployed(file: &str) -> String {
        format!("{}/../deploy/policy/{file}", env!("CARGO_MANIFEST_DIR"))
    }

    fn exit(words: &[&str]) -> Option<Exit> {
        let line = Line::try_parse_from(["policy"].iter().chain(words)).expect("parses");
        run(line.policy, Format::Json).err().map(|failure| {
            assert!(!failure.next.is_empty(), "says what to do next");
            failure.exit
        })
    }

    #[test]
    fn the_shipped_bundle_is_good_and_its_inputs_are_explained() {
        let (dir, input, inputs) = (deployed(""), deployed("input.json"), deployed("inputs.jsonl"));
        assert_eq!(exit(&["check", &dir]), None);
        assert_eq!(exit(&["test", &dir]), None);
        assert_eq!(exit(&["explain", &dir, "--input", &input]), None);
        assert_eq!(exit(&["diff", &dir, &dir, "--inputs", &inputs, "--no-changes"]), None);
    }

    #[test]
    fn a_bundle_that_would_not_be_loaded_ends_with_seven() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_str().expect("UTF-8");
        assert_eq!(exit(&["check", path]), Some(Exit::CheckFailed), "an empty one");
        fs::write(dir.path().join("a.rego"), "package crumb.issue\nallow contains {\"because\": \"all\"} if true")
            .expect("writes");
        assert_eq!(exit(&["check", path]), Some(Exit::CheckFailed), "one without tests");
        fs::write(
            dir.path().join("a_test.rego"),
            "package crumb.issue_test\ntest_all if data.crumb.issue.allow == {1}",
        )
        .expect("writes");
        assert_eq!(exit(&["test", path]), Some(Exit::CheckFailed), "one whose test fails");
        assert_eq!(exit(&["explain", path, "--input", &deployed("input.json")]), Some(Exit::CheckFailed));
        fs::write(
            dir.path().join("a_test.rego"),
            "package crumb.issue_test\ntest_all if count(data.crumb.issue.allow) == 1",
        )
        .expect("writes");
        assert_eq!(exit(&["check", path]), None);
        let inputs = deployed("inputs.jsonl");
        assert_eq!(exit(&["diff", &deployed(""), path, "--inputs", &inputs]), None);
        assert_eq!(exit(&["diff", &deployed(""), path, "--inputs", &inputs, "--no-changes"]), Some(Exit::CheckFailed));
    }

    #[test]
    fn what_cannot_be_read_is_a_wrong_use() {
        assert_eq!(exit(&["check", "/nowhere/at/all"]), Some(Exit::Usage));
        assert_eq!(exit(&["explain", &deployed(""), "--input", &deployed("data.yaml")]), Some(Exit::Usage));
        assert_eq!(
            exit(&["diff", &deployed(""), &deployed(""), "--inputs", &deployed("issue.rego")]),
            Some(Exit::Usage)
        );
        assert!(Line::try_parse_from(["policy", "explain", "x"]).is_err());
    }
}
