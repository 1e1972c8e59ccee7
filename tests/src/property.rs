//! Runs a property: over seeds that failed before, then over as many cases as asked for.
//!
//! Every case has a seed of its own, so that one number is enough to make it again. What a run is told comes from the
//! environment, since a campaign (`scripts/properties`) runs the same tests:
//!
//! - `CRUMB_CASES`: how many cases, 256 unless told;
//! - `CRUMB_SEED`: where to begin; without it every run is the same. With it, a seed that fails is written to
//!   `tests/vectors/seeds.json`, which every run replays first;
//! - `CRUMB_COUNTS`: a directory where each property adds its cases to a number in a file of its name.

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Cases per property: a second or two each.
const CASES: u64 = 256;

/// The file of seeds, and its one writer.
static SEEDS: Mutex<()> = Mutex::new(());

/// Holds `test` to every case, and returns how many there were.
///
/// # Panics
///
/// At the first case that fails, with its seed and the smallest case that fails alike.
pub fn holds<S: Strategy>(name: &str, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) -> u64 {
    holds_in(1, name, strategy, test)
}

/// Does the same for a property whose cases cost as much as `weight` others: there are as many times fewer.
///
/// # Panics
///
/// As [`holds`].
pub fn holds_in<S: Strategy>(
    weight: u64,
    name: &str,
    strategy: S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) -> u64 {
    let failed_before = seeds().remove(name).unwrap_or_default();
    let replayed = u64::try_from(failed_before.len()).expect("few");
    for seed in failed_before {
        let seed = u64::from_str_radix(&seed, 16).expect("16 hexadecimal digits");
        if let Err(error) = run(seed, &strategy, &test) {
            panic!("{name} fails again with seed {seed:016x}: {error}");
        }
    }
    let from = number("CRUMB_SEED");
    let cases = number("CRUMB_CASES").unwrap_or(CASES).div_ceil(weight);
    for case in 0..cases {
        let seed = seed_of(name, from.unwrap_or(0), case);
        if let Err(error) = run(seed, &strategy, &test) {
            if from.is_some() {
                remember(name, seed);
            }
            panic!("{name} fails with seed {seed:016x}: {error}");
        }
    }
    count(name, cases);
    cases + replayed
}

fn run<S: Strategy>(
    seed: u64,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) -> Result<(), String> {
    let rng_seed = RngSeed::Fixed(seed);
    let config = Config { cases: 1, rng_seed, failure_persistence: None, max_shrink_iters: 4096, ..Config::default() };
    TestRunner::new(config).run(strategy, test).map_err(|error| error.to_string())
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn seed_of(name: &str, from: u64, case: u64) -> u64 {
    let digest = Sha256::new().chain_update(name).chain_update(from.to_be_bytes()).chain_update(case.to_be_bytes());
    u64::from_be_bytes(*digest.finalize().first_chunk().expect("32 bytes"))
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/seeds.json")
}

/// The seeds that failed, in hexadecimal, by the name of the property.
type Seeds = BTreeMap<String, BTreeSet<String>>;

fn seeds() -> Seeds {
    let _one_at_a_time = SEEDS.lock().unwrap_or_else(PoisonError::into_inner);
    read_seeds()
}

fn read_seeds() -> Seeds {
    let text = fs::read_to_string(file()).expect("tests/vectors/seeds.json");
    serde_json::from_str(&text).expect("names and lists of seeds")
}

fn remember(name: &str, seed: u64) {
    let _one_at_a_time = SEEDS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut seeds = read_seeds();
    seeds.entry(name.to_owned()).or_default().insert(format!("{seed:016x}"));
    let mut text = serde_json::to_string_pretty(&seeds).expect("plain data");
    text.push('\n');
    fs::write(file(), text).expect("tests/vectors is writable");
}

fn count(name: &str, cases: u64) {
    let Some(directory) = env::var_os("CRUMB_COUNTS") else { return };
    let file = Path::new(&directory).join(name);
    let before = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0u64);
    fs::write(&file, format!("{}\n", before + cases)).expect("the directory of counts is writable");
}
