//! From a directory of files to manifests, each with its place.

use super::{
    Registry, check,
    line::{self, Step},
    manifest::{AgentManifest, Kind, Peek, ToolServerManifest},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    rc::Rc,
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

/// One document of a file: where it is, and what it says.
pub(super) struct Document {
    pub(super) file: PathBuf,
    text: Rc<str>,
    index: usize,
    pub(super) content: Content,
}

pub(super) enum Content {
    Agent(Box<AgentManifest>),
    ToolServer(Box<ToolServerManifest>),
}

impl Document {
    /// Notes something wrong with the node at `path`.
    pub(super) fn defect(&self, path: &[Step], reason: impl fmt::Display) -> Defect {
        let line = line::find(&self.text, self.index, path).unwrap_or(1);
        Defect { file: self.file.clone(), line, reason: reason.to_string() }
    }
}

pub(super) fn directory(path: &Path) -> Result<Registry, UnusableRegistry> {
    let files = list(path).map_err(|source| UnusableRegistry::Directory { path: path.to_owned(), source })?;
    let mut digest = Sha256::new();
    let mut documents = Vec::new();
    let mut defects = Vec::new();
    for file in files {
        match read(&file) {
            Ok(text) => {
                let name = file.file_name().unwrap_or_default().as_encoded_bytes();
                // Lengths first, so that no other cut of names and contents has the same digest.
                digest.update((name.len() as u64).to_be_bytes());
                digest.update(name);
                digest.update((text.len() as u64).to_be_bytes());
                digest.update(text.as_bytes());
                parse(&file, &text.into(), &mut documents, &mut defects);
            }
            Err(reason) => defects.push(Defect { file, line: 0, reason: reason.to_string() }),
        }
    }
    let version = hex::encode(digest.finalize());
    check::registry(documents, defects, version).map_err(UnusableRegistry::Defects)
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

fn parse(file: &Path, text: &Rc<str>, documents: &mut Vec<Document>, defects: &mut Vec<Defect>) {
    for index in 0..line::documents(text) {
        if is_empty(text, index) {
            continue;
        }
        match content(text, index) {
            Ok(content) => documents.push(Document { file: file.to_owned(), text: Rc::clone(text), index, content }),
            Err(error) => defects.push(yaml_defect(file, &error)),
        }
    }
}

/// Says whether the document holds nothing, as after a last `---`.
fn is_empty(text: &str, index: usize) -> bool {
    let document = serde_yaml_ng::Deserializer::from_str(text).nth(index);
    document.is_some_and(|d| matches!(serde_yaml_ng::Value::deserialize(d), Ok(serde_yaml_ng::Value::Null)))
}

fn content(text: &str, index: usize) -> Result<Content, serde_yaml_ng::Error> {
    let Peek { kind } = nth(text, index)?;
    match kind {
        Kind::Agent => nth(text, index).map(Box::new).map(Content::Agent),
        Kind::ToolServer => nth(text, index).map(Box::new).map(Content::ToolServer),
    }
}

fn nth<'t, T: Deserialize<'t>>(text: &'t str, index: usize) -> Result<T, serde_yaml_ng::Error> {
    let gone = || <serde_yaml_ng::Error as serde::de::Error>::custom("there is no such document");
    let document = serde_yaml_ng::Deserializer::from_str(text).nth(index).ok_or_else(gone)?;
    T::deserialize(document)
}

fn yaml_defect(file: &Path, error: &serde_yaml_ng::Error) -> Defect {
    let text = error.to_string();
    // The place is told apart from the reason.
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    let line = error.location().map_or(1, |at| at.line());
    Defect { file: file.to_owned(), line, reason: reason.to_owned() }
}
