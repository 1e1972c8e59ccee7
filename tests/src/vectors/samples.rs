//! The official samples of the Biscuit project, where the `biscuit-auth` source package is at hand: it ships them.

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
    let arguments = ["metadata", "--format-version", "1", "--offline"];
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

/// Returns the names and bytes of all samples in `folder`, and the root key that `samples.json` names.
pub fn read(folder: &Path) -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
    let json = fs::read_to_string(folder.join("samples.json")).expect("samples.json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let root = hex::decode(json["root_public_key"].as_str().expect("a root key")).expect("hexadecimal");
    let cases = json["testcases"].as_array().expect("test cases").iter();
    let names = cases.map(|c| c["filename"].as_str().expect("a file name").to_owned());
    let sample = |name: String| {
        let bytes = fs::read(folder.join(&name)).expect("a sample");
        (name, bytes)
    };
    (names.map(sample).collect(), root)
}
