//! The official samples of the Biscuit project, where the `biscuit-auth` source package is at hand: it ships them.

use super::forge::ROOT_ID;
use biscuit_auth::format::schema::Biscuit;
use prost_biscuit::Message;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Returns the folder of the samples, or why there is none.
///
/// # Errors
///
/// One sentence, to be printed with the name of what is skipped.
pub fn folder() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace");
    // Packages for other platforms than this one need not have been downloaded.
    let arguments = ["metadata", "--format-version", "1", "--offline", "--filter-platform", &host()?];
    let output = Command::new(env!("CARGO")).current_dir(root).args(arguments).output();
    let output = output.map_err(|e| format!("cargo metadata: {e}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let biscuit = packages.iter().find(|p| p["name"] == "biscuit-auth").ok_or("biscuit-auth is not in the tree")?;
    let manifest = Path::new(biscuit["manifest_path"].as_str().ok_or("biscuit-auth has no manifest")?);
    let folder = manifest.with_file_name("samples");
    if folder.is_dir() { Ok(folder) } else { Err(format!("{} is not there", folder.display())) }
}

fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|e| format!("rustc: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc names no host".to_owned())
}

/// One sample of the Biscuit project.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its file's name.
    pub name: String,
    /// What it is about, in the project's words.
    pub title: String,
    /// The token.
    pub bytes: Vec<u8>,
}

impl Sample {
    /// Returns the token with the number of the key that signed it; as it is, when it cannot be read.
    pub fn with_key_id(&self) -> Vec<u8> {
        let read = Biscuit::decode(&self.bytes[..]);
        read.map_or_else(|_| self.bytes.clone(), |t| Biscuit { root_key_id: Some(ROOT_ID), ..t }.encode_to_vec())
    }
}

/// What the profile says about one sample: a line of `tests/vectors/official.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The sample's file.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// The reason code that it is refused with.
    pub reason: String,
    /// The reason code once it names the key that signed it, which is not covered by signatures: no sample does.
    pub reason_with_key_id: String,
}

/// Returns the samples in `folder`, and the root key that `samples.json` names.
///
/// # Panics
///
/// When a file is missing, or is none of theirs.
pub fn read(folder: &Path) -> (Vec<Sample>, Vec<u8>) {
    let json = fs::read_to_string(folder.join("samples.json")).expect("samples.json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let root = hex::decode(text(&json["root_public_key"])).expect("hexadecimal");
    let sample = |case: &serde_json::Value| {
        let (name, title) = (text(&case["filename"]), text(&case["title"]));
        let bytes = fs::read(folder.join(&name)).expect("a sample");
        Sample { name, title, bytes }
    };
    (json["testcases"].as_array().expect("test cases").iter().map(sample).collect(), root)
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/official.json")
}

/// Reads the committed verdicts.
///
/// # Panics
///
/// When the file is not there, or is no list of verdicts.
pub fn committed() -> Vec<Verdict> {
    serde_json::from_str(&fs::read_to_string(file()).expect("official.json")).expect("verdicts")
}

/// Writes the verdicts over the committed ones.
///
/// # Panics
///
/// When the file cannot be written.
pub fn write(verdicts: &[Verdict]) {
    let text = serde_json::to_string_pretty(verdicts).expect("plain data");
    fs::write(file(), format!("{text}\n")).expect("the folder is writable");
}
