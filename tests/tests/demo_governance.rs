//! `crumb demo governance`, as a platform team runs it: the real binary, and what each of its six acts has to come to.
//!
//! The demo checks itself. Here each act is held to its reason code once more, from outside, so that a demo which asks too
//! little is found as well.

use anyhow::{Context, ensure};
use crumb_tests::{measured::measured, processes::binary, skip::skipped};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

/// A line of an act: who, the decision on what they did, and its reason.
type Line = (&'static str, &'static str, &'static str);

/// What each act is about, by its reason, and every line of it.
const ACTS: [(&str, &[Line]); 6] = [
    (
        "outside_envelope",
        &[("planner", "allowed", ""), ("planner", "denied", "outside_envelope"), ("planner", "allowed", "")],
    ),
    (
        "outside_envelope",
        &[
            ("planner", "allowed", ""),
            ("helper", "done", ""),
            ("helper", "allowed", ""),
            ("helper", "allowed", ""),
            ("helper", "denied", "resource_not_granted"),
            ("helper", "denied", "outside_envelope"),
            ("planner", "denied", "session_unknown"),
        ],
    ),
    (
        "approval_needed",
        &[
            ("planner", "denied", "approval_needed"),
            ("planner", "denied", "not_an_approver"),
            ("bob@acme.example", "denied", "not_an_approver"),
            ("eve@acme.example", "allowed", ""),
            ("planner", "allowed", ""),
            ("planner", "allowed", ""),
            ("planner", "denied", "resource_not_granted"),
            ("planner", "denied", "approval_needed"),
            ("eve@acme.example", "denied", "approval_used"),
        ],
    ),
    (
        "session_halted",
        &[
            ("planner", "allowed", ""),
            ("planner", "denied", "resource_not_granted"),
            ("the broker", "done", ""),
            ("planner", "denied", "session_halted"),
            ("planner", "denied", "token_revoked"),
            ("an operator", "allowed", ""),
            ("the trail", "done", ""),
            ("planner", "allowed", ""),
            ("planner", "allowed", ""),
            ("planner", "denied", "token_revoked"),
        ],
    ),
    (
        "token_revoked",
        &[
            ("planner", "allowed", ""),
            ("helper", "allowed", ""),
            ("an operator", "allowed", ""),
            ("planner", "denied", "token_revoked"),
            ("helper", "denied", "token_revoked"),
            ("planner", "denied", "agent_retired"),
            ("planner", "denied", "agent_retired"),
            ("helper", "denied", "session_closed"),
        ],
    ),
    (
        "environment_mismatch",
        &[
            ("helper", "allowed", ""),
            ("helper", "denied", "environment_mismatch"),
            ("auditor", "allowed", ""),
            ("auditor", "allowed", ""),
        ],
    ),
];

fn crumb(test: &str) -> Option<PathBuf> {
    let found = binary("crumb");
    if found.is_none() {
        skipped(test, "the binary `crumb` is not built (cargo build --workspace)");
    }
    found
}

fn run(crumb: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    Command::new(crumb).args(arguments).stdin(Stdio::null()).output().context("crumb")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The six acts, played once for all tests here.
fn acts(test: &str) -> Option<&'static [Value]> {
    static PLAYED: OnceLock<Vec<Value>> = OnceLock::new();
    let crumb = crumb(test)?;
    Some(PLAYED.get_or_init(|| {
        let output = run(&crumb, &["demo", "governance", "-o", "json"]).expect("crumb runs");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)))
    }))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}"))
}

#[test]
fn each_act_is_decided_line_by_line_for_its_reason() {
    let Some(acts) = acts("demo governance: acts") else { return };
    assert_eq!(acts.len(), ACTS.len());
    for (number, (act, (reason, lines))) in (1u64..).zip(acts.iter().zip(ACTS)) {
        let got = (act["act"].as_u64(), act["as_it_should"].as_bool(), text(act, "decision"), text(act, "reason"));
        assert_eq!(got, (Some(number), Some(true), "denied", reason), "{act}");
        assert!(
            act["name"].is_string() && act["ms"].is_u64() && text(&act["ids"], "session").starts_with("ses_"),
            "{act}"
        );
        let steps = act["steps"].as_array().expect("steps");
        let got: Vec<_> = steps.iter().map(|s| (text(s, "who"), text(s, "decision"), text(s, "reason"))).collect();
        assert_eq!(got, lines, "act {number}");
    }
}

#[test]
fn a_narrowing_is_told_and_passes_as_it_is() {
    let Some(acts) = acts("demo governance: narrowing") else { return };
    assert_eq!(text(&acts[0], "narrowing"), "read_file read file:///docs/*");
    let granted = text(&acts[0]["steps"][2], "about");
    assert!(granted.ends_with("read_file read file:///docs/*") && granted.starts_with("tok_"), "{granted}");
    assert_eq!(text(&acts[1], "narrowing"), "read_file read file:///docs/readme.md");
}

#[test]
fn an_approval_gives_less_than_was_asked() {
    let Some(acts) = acts("demo governance: approval") else { return };
    let steps = &acts[2]["steps"];
    assert!(text(&acts[2]["ids"], "approval").starts_with("apr_"));
    assert_eq!(text(&steps[0], "asked"), text(&acts[2]["ids"], "approval"));
    assert!(text(&steps[4], "about").ends_with("delete_file delete file:///docs/release-notes.md"), "{steps}");
    assert_ne!(text(&steps[7], "asked"), text(&steps[0], "asked"), "a redeemed approval is not waited for again");
}

#[test]
fn nothing_of_a_retired_agent_is_allowed_a_second_later() {
    let Some(acts) = acts("demo governance: retirement") else { return };
    let figures = &acts[4]["measured"];
    let figure = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("{name} of {figures}"));
    measured(format_args!(
        "retired: refused {} ms after the acknowledgement, {} calls later on, {} of them allowed",
        figure("first_refusal_ms"),
        figure("calls_after"),
        figure("allowed_after")
    ));
    assert!(
        figure("first_refusal_ms") <= 1000 && figure("calls_after") > 0 && figure("allowed_after") == 0,
        "{figures}"
    );
}

#[test]
fn it_is_told_in_words_without_colour_or_token_and_says_what_to_do_next() -> anyhow::Result<()> {
    let Some(crumb) = crumb("demo governance: words") else { return Ok(()) };
    let output = run(&crumb, &["demo", "governance"])?;
    let all = said(&output);
    ensure!(output.status.success(), "{all}");
    ensure!(!all.contains('\u{1b}'), "colour without a terminal: {all}");
    ensure!(!all.split_whitespace().any(|word| word.len() > 200), "a token: {all}");
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    ensure!(lines <= 100, "{lines} lines are more than two screens");
    for part in
        ["outside_envelope", "this would pass: read_file read file:///docs/*", "session_halted", "crumb audit tail"]
    {
        ensure!(all.contains(part), "{part:?} is missing: {all}");
    }
    Ok(())
}

#[test]
fn its_help_has_an_example() -> anyhow::Result<()> {
    let Some(crumb) = crumb("demo governance: help") else { return Ok(()) };
    let output = run(&crumb, &["demo", "governance", "--help"])?;
    ensure!(output.status.success() && said(&output).contains("Example"), "{}", said(&output));
    Ok(())
}
