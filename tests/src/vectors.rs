//! The token vectors: tokens with the answer that every verifier of the profile has to give.
//!
//! They live in `tests/vectors/token/*.json`, so that an implementation in another language can read them. The files are
//! the truth: the tests read them. The generator in the modules below makes
//! them from fixed keys, byte for byte the same each time, and writes only when asked to:
//!
//! ```text
//! CRUMB_REGENERATE=1 cargo test -p crumb-tests --test token_vectors
//! ```

pub mod accepted;
pub mod at_the_gate;
pub mod authority_block;
pub mod by_the_call;
pub mod delegable;
pub mod forge;
pub mod handed_on;
pub mod hop_places;
pub mod hop_shapes;
pub mod hops;
pub mod hostile;
pub mod mutated;
pub mod out_of_profile;
pub mod player;
pub mod samples;

pub use hostile::hostile_tokens;
pub use mutated::generated_hostile;

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// One token, one call, one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// Its name, unique over all files.
    pub name: String,
    /// What it shows.
    pub why: String,
    /// What is presented: base64url without padding, when it is a token at all.
    pub token: String,
    /// The number of the one signing key that the verifier knows.
    pub root_key_id: u32,
    /// That key, in hexadecimal. A key of another length than 32 bytes cannot be known at all.
    pub public_key: String,
    /// From when that key is in force, in Unix seconds, both ends included: tokens issued outside are refused.
    pub key_not_before: u64,
    /// Until when.
    pub key_not_after: u64,
    /// The verifier's clock, in Unix seconds. The skew allowed is 2 s.
    pub now: u64,
    /// The SPIFFE ID of the mTLS peer.
    pub peer: String,
    /// The verifier's own audience.
    pub audience: String,
    /// Where the verifier runs; absent when it takes tokens of every environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The call.
    pub ask: Call,
    /// What has been revoked: a kind and a name, such as `session:<id>` or `agent:<name>`, and ` <= ` and a time when only
    /// what was issued until then is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<String>,
    /// True when the same call with the same token was allowed just before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// `allowed`, or the reason code.
    pub expect: String,
}

/// The call of a vector, as text that may well be no call at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool.
    pub tool: String,
    /// The operation.
    pub operation: String,
    /// The resource.
    pub resource: String,
    /// The scalar arguments: texts, whole numbers, truth values.
    pub args: BTreeMap<String, serde_json::Value>,
    /// SHA-256 of the argument bytes in hexadecimal, or null.
    pub args_digest: Option<String>,
}

/// Returns the folder of the files.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/token")
}

/// Reads all files, by name.
pub fn committed() -> BTreeMap<String, Vec<Vector>> {
    let entries = fs::read_dir(folder()).expect("the vectors are there");
    let paths = entries.map(|e| e.expect("readable").path()).filter(|p| p.extension().is_some_and(|e| e == "json"));
    paths
        .map(|path| {
            let name = path.file_stem().and_then(|s| s.to_str()).expect("a name").to_owned();
            let text = fs::read_to_string(&path).expect("readable");
            (name, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        })
        .collect()
}

/// Makes all files anew.
pub fn generated() -> BTreeMap<String, Vec<Vector>> {
    let hops = [hop_shapes::vectors(), hop_places::vectors()].concat();
    let gate = [at_the_gate::vectors(), out_of_profile::vectors(), delegable::vectors(), hops].concat();
    let files = [
        ("accepted", [accepted::vectors(), handed_on::accepted()].concat()),
        ("refused-at-the-gate", gate),
        ("refused-by-the-call", [by_the_call::vectors(), handed_on::refused()].concat()),
        ("refused-hostile", hostile::vectors()),
    ];
    files.into_iter().map(|(name, vectors)| (name.to_owned(), vectors)).collect()
}

/// Writes `files` over the committed ones.
pub fn write(files: &BTreeMap<String, Vec<Vector>>) {
    for (name, vectors) in files {
        let mut text = serde_json::to_string_pretty(vectors).expect("plain data");
        text.push('\n');
        fs::write(folder().join(format!("{name}.json")), text).expect("the folder is writable");
    }
}
