//! `crumb demo` and `crumb dev`, as a newcomer runs them: the real binary, its exit code and what it writes.

use anyhow::{Context, ensure};
use crumb_tests::{measured::measured, processes::binary, skip::skipped};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The twelve steps: what each must decide, and why.
const STORY: [(&str, &str); 12] = [
    ("done", ""),
    ("done", ""),
    ("done", ""),
    ("allowed", ""),
    ("denied", "resource_not_granted"),
    ("denied", "tool_not_granted"),
    ("denied", "holder_mismatch"),
    ("denied", "audience_mismatch"),
    ("denied", "token_expired"),
    ("denied", "agent_unknown"),
    ("denied", "token_revoked"),
    ("done", ""),
];

fn crumb(test: &str) -> Option<PathBuf> {
    let found = binary("crumb");
    if found.is_none() {
        skipped(test, "the binary `crumb` is not built (cargo build --workspace)");
    }
    found
}

/// Runs `crumb` with a runtime directory of its own, so that no other `crumb dev` is in the way.
fn run(crumb: &Path, home: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(crumb);
    command.args(arguments).env("XDG_RUNTIME_DIR", home).stdin(Stdio::null());
    command.output().context("crumb")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_demo_tells_the_story_in_twelve_steps() -> anyhow::Result<()> {
    let Some(crumb) = crumb("story: crumb demo") else { return Ok(()) };
    let home = tempfile::tempdir()?;
    let output = run(&crumb, home.path(), &["demo", "-o", "json"])?;
    assert!(output.status.success(), "{}", said(&output));
    let stdout = String::from_utf8(output.stdout)?;
    let steps = stdout.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(steps.len(), STORY.len(), "{stdout}");
    for (number, (step, (decision, reason))) in (1u64..).zip(steps.iter().zip(STORY)) {
        let got = (step["step"].as_u64(), step["decision"].as_str(), step["reason"].as_str());
        assert_eq!(got, (Some(number), Some(decision), Some(reason)), "{step}");
        assert!(step["name"].is_string() && step["ms"].is_u64(), "{step}");
    }
    Ok(())
}

#[test]
fn the_demo_leaves_no_token_and_no_process_behind() -> anyhow::Result<()> {
    let Some(crumb) = crumb("story: nothing left behind") else { return Ok(()) };
    let home = tempfile::tempdir()?;
    let output = run(&crumb, home.path(), &["demo"])?;
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    // Every token begins with the same few bytes: a root key id and the length of an authority block.
    let looks_like_token = text.split_whitespace().any(|word| word.len() > 400);
    assert!(!looks_like_token, "{text}");
    assert!(!text.contains('\u{1b}'), "colour without a terminal: {text}");
    Ok(())
}

#[test]
fn dev_makes_a_first_allowed_and_a_first_denied_call() -> anyhow::Result<()> {
    let Some(crumb) = crumb("story: crumb dev") else { return Ok(()) };
    let home = tempfile::tempdir()?;
    let output = run(&crumb, home.path(), &["dev", "--once", "-o", "json"])?;
    assert!(output.status.success(), "{}", said(&output));
    let ready: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(ready["allowed"].as_str().is_some_and(|s| s.contains("docs/readme.md")), "{ready}");
    ensure!(ready["denied"].as_str().is_some_and(|s| s.contains("outside_envelope")), "{ready}");
    measured(format_args!(
        "crumb dev: ready after {} ms, both calls after {} ms",
        ready["ready_ms"], ready["first_calls_ms"]
    ));
    Ok(())
}

#[test]
fn commands_without_a_stack_say_what_to_do() -> anyhow::Result<()> {
    let Some(crumb) = crumb("story: commands without a stack") else { return Ok(()) };
    let home = tempfile::tempdir()?;
    let open = [
        "session",
        "open",
        "--agent",
        "research-bot",
        "--intent",
        "x",
        "--origin",
        "user:bob@acme.example",
        "--allow",
        "files read_file read file:///docs/*",
    ];
    let cases: [(&[&str], i32, &str); 5] = [
        (&open, 6, "crumb dev"),
        (&["audit", "tail"], 6, "crumb dev"),
        (&["call", "--session", "ses_1", "files", "read_file", "read", "file:///a"], 2, "32 hexadecimal digits"),
        (&["session", "open", "--agent", "Research Bot"], 2, "character"),
        (&["no-such-command"], 2, "unrecognized"),
    ];
    for (arguments, exit, words) in cases {
        let output = run(&crumb, home.path(), arguments)?;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty(), "{arguments:?} wrote data: {text}");
    }
    Ok(())
}

#[test]
fn every_command_has_help_with_an_example() -> anyhow::Result<()> {
    let Some(crumb) = crumb("story: help") else { return Ok(()) };
    let home = tempfile::tempdir()?;
    let commands: [&[&str]; 8] = [
        &["--help"],
        &["demo", "--help"],
        &["dev", "--help"],
        &["session", "open", "--help"],
        &["session", "close", "--help"],
        &["call", "--help"],
        &["token", "--help"],
        &["audit", "tail", "--help"],
    ];
    for arguments in commands {
        let output = run(&crumb, home.path(), arguments)?;
        assert!(output.status.success(), "{arguments:?}");
        assert!(said(&output).contains("Example"), "{arguments:?}: {}", said(&output));
    }
    Ok(())
}
