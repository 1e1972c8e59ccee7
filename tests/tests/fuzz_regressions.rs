//! Every input that the fuzz targets have, and some thousand changes of each, without a fuzzer: `scripts/fuzz` finds more.
//!
//! The changes are the same in every run. A crash that a fuzzer wrote to `tests/fuzz/crashes/` fails here until it is fixed,
//! and stays as a test.

use crumb_tests::fuzzed::{TARGETS, inputs};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use std::{panic, path::Path};

/// Replays the target's files, and about `changes` changes of them.
fn replay(name: &str, changes: usize) {
    let (_, body) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    let corpus = inputs("corpus", name);
    assert!(corpus.len() >= 8, "{name} has {} inputs", corpus.len());
    for (file, input) in corpus.iter().chain(&inputs("crashes", name)) {
        assert!(input.len() <= 16 * 1024, "{} is no small input", file.display());
        hold(*body, input, file);
    }
    let mut rng = StdRng::seed_from_u64(1);
    for i in 0..changes {
        let (file, input) = &corpus[i % corpus.len()];
        hold(*body, &changed(input, &mut rng), file);
    }
}

/// Runs the body, and says which input it was when it panics.
fn hold(body: fn(&[u8]), input: &[u8], file: &Path) {
    if let Err(panic) = panic::catch_unwind(|| body(input)) {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let (said, input) = (said.unwrap_or_default(), hex::encode(input));
        panic!("does not hold for {} or this change of it: {input}: {said}", file.display());
    }
}

/// Changes up to four places: a bit, a byte, a part that goes, comes twice or is noise.
fn changed(input: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let from = rng.random_range(0..=input.len());
        let to = (from + rng.random_range(0..=8)).min(input.len());
        let mut part = input[from..to].to_vec();
        match rng.random_range(0..5) {
            0 => part.iter_mut().take(1).for_each(|byte| *byte ^= 1 << rng.random_range(0..8)),
            1 => part.iter_mut().take(1).for_each(|byte| *byte = rng.random()),
            2 => part.clear(),
            3 => part.extend_from_within(..),
            _ => rng.fill_bytes(&mut part),
        }
        input.splice(from..to, part);
    }
    input
}

#[test]
fn token_bytes_holds() {
    replay("token_bytes", 2000);
}

#[test]
fn profile_gate_holds() {
    replay("profile_gate", 300);
}

#[test]
fn spiffe_id_holds() {
    replay("spiffe_id", 5000);
}

#[test]
fn manifest_yaml_holds() {
    replay("manifest_yaml", 2000);
}

#[test]
fn uds_frames_holds() {
    replay("uds_frames", 1000);
}

#[test]
fn the_fuzz_crate_has_exactly_these_targets() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    let script = include_str!("../../scripts/fuzz");
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
        assert!(script.contains(name), "scripts/fuzz does not know {name}");
    }
}
