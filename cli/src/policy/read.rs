//! Reading what `crumb policy` is given: a directory of texts, one input, many inputs. All of it bounded.

use crate::exit::Failure;
use crumb_policy::{Input, bundle};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// The largest file of inputs: some ten thousand of them.
const INPUTS_LEN_MAX: u64 = 32 * 1024 * 1024;
/// How deep directories of a bundle may stand in each other.
const FOLDERS_MAX: usize = 8;
/// The most entries that are looked at, of which a bundle's files are some.
const ENTRIES_MAX: usize = 4096;

/// Reads the files of a bundle, by their names below `dir`. Files of other kinds, and hidden ones, are left alone.
pub(super) fn texts(dir: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut texts = Vec::new();
    let mut entries = 0usize;
    let mut open = vec![(dir.to_owned(), String::new(), 0usize)];
    while let Some((folder, prefix, depth)) = open.pop() {
        let listing = fs::read_dir(&folder).map_err(|e| unreadable(&folder, &e))?;
        for entry in listing {
            let entry = entry.map_err(|e| unreadable(&folder, &e))?;
            entries += 1;
            if entries > ENTRIES_MAX {
                return Err(Failure::usage(format!("{} has more than {ENTRIES_MAX} entries", dir.display())));
            }
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().filter(|n| !n.starts_with('.')) else { continue };
            let path = entry.path();
            if path.is_dir() {
                if depth == FOLDERS_MAX {
                    return Err(Failure::usage(format!("{} is more than {FOLDERS_MAX} folders deep", path.display())));
                }
                open.push((path, format!("{prefix}{name}/"), depth + 1));
            } else if name.ends_with(".rego") || matches!(name, "data.json" | "data.yaml") {
                // One byte more than is allowed, so that the bundle itself says what is too large.
                let text = bounded(&path, u64::try_from(bundle::FILE_LEN_MAX).unwrap_or(u64::MAX).saturating_add(1))?;
                texts.push((format!("{prefix}{name}"), text));
            }
        }
    }
    Ok(texts)
}

/// Reads one input.
pub(super) fn input(path: &Path) -> Result<Input, Failure> {
    parsed(path, None, &bounded(path, INPUTS_LEN_MAX)?)
}

/// Reads inputs, one a line; empty lines are left out.
pub(super) fn inputs(path: &Path) -> Result<Vec<Input>, Failure> {
    let text = bounded(path, INPUTS_LEN_MAX)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| parsed(path, Some(number + 1), line)).collect()
}

fn parsed(path: &Path, line: Option<usize>, text: &str) -> Result<Input, Failure> {
    serde_json::from_str(text).map_err(|e| {
        let line = line.unwrap_or_else(|| e.line());
        Failure::usage(format!("{}:{line}: is no input: {e}", path.display()))
    })
}

fn bounded(path: &Path, len_max: u64) -> Result<String, Failure> {
    let mut text = String::new();
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let read = file.take(len_max).read_to_string(&mut text).map_err(|e| unreadable(path, &e))?;
    if u64::try_from(read).unwrap_or(u64::MAX) == len_max && len_max == INPUTS_LEN_MAX {
        return Err(Failure::usage(format!("{} has {len_max} bytes or more", path.display())));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_files_of_a_bundle_and_leaves_the_others() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("limits/.git")).expect("folders");
        for name in [
            "a.rego",
            "a_test.rego",
            "README.md",
            "input.json",
            ".hidden.rego",
            "limits/data.yaml",
            "limits/.git/x.rego",
        ] {
            fs::write(dir.path().join(name), name).expect("writes");
        }
        let mut found: Vec<_> = texts(dir.path()).expect("reads").into_iter().map(|(name, _)| name).collect();
        found.sort();
        assert_eq!(found, ["a.rego", "a_test.rego", "limits/data.yaml"]);
    }

    #[test]
    fn refuses_what_is_no_text_and_folders_without_end() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("a.rego"), [0xff, 0xfe]).expect("writes");
        assert!(texts(dir.path()).is_err());
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("a/".repeat(FOLDERS_MAX + 1))).expect("folders");
        assert!(texts(dir.path()).is_err());
    }

    #[test]
    fn an_input_that_is_none_is_named_with_its_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("inputs.jsonl");
        let good = serde_json::to_string(&Input::example()).expect("JSON");
        fs::write(&path, format!("{good}\n\n{{}}\n")).expect("writes");
        let failure = inputs(&path).expect_err("the third line is none");
        assert!(failure.what.contains("inputs.jsonl:3: is no input"), "{}", failure.what);
    }
}
