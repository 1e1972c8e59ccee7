//! The bodies of the fuzz targets: each takes any bytes, and panics when something that must hold does not.
//!
//! They are here, and not in `tests/fuzz/`, so that `tests/fuzz_regressions.rs` can replay the corpus and every crash that
//! was found, without a fuzzer. Some read the bytes as they are; some read choices out of them, to get past the
//! first check of a format. None keeps a decision from one input to the next, so that an input alone shows what it shows.

mod drawn_hop;
mod drawn_token;
mod manifest_yaml;
mod profile_gate;
mod spiffe_id;
mod token_bytes;
mod uds_frames;

pub use manifest_yaml::manifest_yaml;
pub use profile_gate::profile_gate;
pub use spiffe_id::spiffe_id;
pub use token_bytes::token_bytes;
pub use uds_frames::uds_frames;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A target: its name, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("token_bytes", token_bytes),
    ("profile_gate", profile_gate),
    ("spiffe_id", spiffe_id),
    ("manifest_yaml", manifest_yaml),
    ("uds_frames", uds_frames),
];

/// Reads the checked-in inputs of a target: its `corpus`, or its `crashes`, which may not be there.
///
/// # Panics
///
/// When a file cannot be read.
pub fn inputs(kind: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(&file).expect("readable"))).collect()
}
