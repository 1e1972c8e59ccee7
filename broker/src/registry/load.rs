//! From a directory of files to texts, each with its place.

use super::{Registry, check, document};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// The most files in a registry directory.
const FILES_MAX: usize = 1_000;
/// The longest manifest file, in bytes. A manifest is a page or two; past this somebody pointed at the wrong directory.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// Where: the file, and the line counted from 1.
    pub file: PathBuf,
    /// The line, counted from 1; 0 when the file as a whole cannot be used.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.reason)
    }
}

/// A registry that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableRegistry {
    /// The directory cannot be listed.
    #[error("registry directory {} cannot be read", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Manifests are wrong. Every defect is there, in the order of the files.
    #[error("{} defects in the registry{}", .0.len(), listed(.0))]
    Defects(Vec<Defect>),
}

fn listed(defects: &[Defect]) -> String {
    defects.iter().map(|defect| format!("\n  {defect}")).collect()
}

/// The text of a file of manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// How messages name it.
    pub file: PathBuf,
    /// What is in it: one manifest, or several parted by lines of `---`.
    pub text: String,
}

/// Reads the files of a directory; a file that cannot be read is a defect.
pub(super) fn files(path: &Path) -> Result<(Vec<ManifestFile>, Vec<Defect>), UnusableRegistry> {
    let listed = list(path).map_err(|source| UnusableRegistry::Directory { path: path.to_owned(), source })?;
    let (mut files, mut defects) = (Vec::new(), Vec::new());
    for file in listed {
        match read(&file) {
            Ok(text) => files.push(ManifestFile { file, text }),
            Err(reason) => defects.push(Defect { file, line: 0, reason: reason.to_string() }),
        }
    }
    Ok((files, defects))
}

/// Reads one file.
pub(super) fn one(path: &Path) -> Result<ManifestFile, UnusableRegistry> {
    let failed = |reason: io::Error| Defect { file: path.to_owned(), line: 0, reason: reason.to_string() };
    let text = read(path).map_err(|reason| UnusableRegistry::Defects(vec![failed(reason)]))?;
    Ok(ManifestFile { file: path.to_owned(), text })
}

pub(super) fn directory(path: &Path) -> Result<Registry, UnusableRegistry> {
    let (files, mut defects) = files(path)?;
    let mut documents = Vec::new();
    for ManifestFile { file, text } in &files {
        document::read(file, text, &mut documents, &mut defects);
    }
    check::registry(&documents.iter().collect::<Vec<_>>(), defects, None).map_err(UnusableRegistry::Defects)
}

fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let is_yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let is_hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_yaml && !is_hidden && file.is_file() {
            files.push(file);
        }
    }
    if files.len() > FILES_MAX {
        return Err(io::Error::other(format!("more than {FILES_MAX} manifest files")));
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> io::Result<String> {
    if fs::metadata(file)?.len() > FILE_LEN_MAX {
        return Err(io::Error::other(format!("is longer than {FILE_LEN_MAX} bytes")));
    }
    fs::read_to_string(file)
}
