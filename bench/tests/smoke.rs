//! Every benchmark runs, and what it writes has the shape that programs rely on. No figure is looked at: those of a smoke
//! run mean nothing.

use serde_json::Value;
use std::{path::Path, process::Command};

/// Runs a benchmark, and returns what it wrote.
fn written(args: &[&str]) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("out.json");
    let output = Command::new(env!("CARGO_BIN_EXE_crumb-bench"))
        .arg("--quick")
        .args(args)
        .arg("--json")
        .arg(&json)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("at commit"), "{args:?} printed no table: {table}");
    serde_json::from_str(&std::fs::read_to_string(Path::new(&json)).expect("a file")).expect("JSON")
}

/// Checks the shape of a report, and returns the names of its rows.
fn rows(report: &Value) -> Vec<String> {
    assert!(report["machine"]["cpus"].as_u64().is_some_and(|n| n > 0), "{report}");
    assert!(report["commit"].is_string(), "{report}");
    let rows = report["rows"].as_array().expect("rows");
    for row in rows {
        for field in ["live", "blocks", "threads", "revocations"] {
            assert!(row[field].is_u64(), "{field} of {row}");
        }
        for field in ["ns_p50", "ns_p99", "ratio_to_hot"] {
            let there = row.get(field).unwrap_or_else(|| panic!("{field} of {row}"));
            assert!(there.is_f64() || there.is_null(), "{field} of {row}");
        }
        assert!(row["ns_p50"].is_f64() || row["value"].is_f64(), "no figure in {row}");
    }
    rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
}

#[track_caller]
fn has(names: &[String], wanted: &[&str]) {
    for name in wanted {
        assert!(names.iter().any(|n| n == name), "no row {name} in {names:?}");
    }
}

#[test]
fn verify_writes_hot_cold_floors_and_refusals() {
    let names = rows(&written(&["verify"]));
    has(
        &names,
        &["hot", "cold", "fresh_leaf", "refused", "hostile", "floor", "floor:ed25519", "allocations", "memory"],
    );
    #[cfg(feature = "peers")]
    has(
        &names,
        &[
            "peer:biscuit-auth",
            "peer:biscuit-auth+moka",
            "peer:jwt-eddsa",
            "peer:jwt-es256",
            "peer:paseto-v4.public",
            "peer:macaroon",
            "peer:tenuo",
            "peer:cedar",
            "peer:regorus",
        ],
    );
}

#[test]
fn exchange_writes_latency_throughput_and_cost() {
    let names = rows(&written(&["exchange", "--sessions", "50"]));
    has(&names, &["exchange", "exchange:full_speed", "exchange:full_speed:broker_cpu", "exchange:cold"]);
}

#[test]
fn exchange_can_be_asked_for_one_run() {
    assert_eq!(
        rows(&written(&["exchange", "--rate", "0", "--in-flight", "2"])).first().map(String::as_str),
        Some("exchange:full_speed")
    );
}

#[test]
fn sidecar_writes_tokens_for_old_and_new_calls() {
    has(&rows(&written(&["sidecar"])), &["sidecar:cached", "sidecar:new", "sidecar:cached:beat", "sidecar:new:beat"]);
}

#[test]
fn feed_writes_revocation_and_rotation() {
    let report = written(&["feed"]);
    has(&rows(&report), &["feed:revocation", "feed:rotation"]);
    let rotation = report["rows"].as_array().and_then(|rows| rows.iter().find(|r| r["name"] == "feed:rotation"));
    assert_eq!(rotation.expect("a row")["failed"], 0, "a good token was refused");
}

#[test]
fn gate_counts_or_says_that_it_cannot() {
    let names = rows(&written(&["gate"]));
    assert!(names.is_empty() || names == ["gate"], "{names:?}");
}
