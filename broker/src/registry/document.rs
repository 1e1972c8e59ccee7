//! One manifest of a file: its text, where it stands, and what it says.
//!
//! Apart from the loader because manifests come from three places, a directory, an operator and the store, and an error
//! has to name file and line in each.

use super::{
    Key, Kind, ManifestName,
    line::{self, Step},
    load::Defect,
    manifest::{
        AgentManifest, ApprovalRuleManifest, DirectoryManifest, Peek, PersonaManifest, PolicyManifest,
        ToolBundleManifest, ToolServerManifest,
    },
    resource_version,
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_yaml_ng::Value;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One manifest, and its place.
#[derive(Debug)]
pub(super) struct Document {
    key: Key,
    /// Which version its writer had seen, when the writer said so.
    pub(super) seen_version: Option<u64>,
    file: PathBuf,
    /// As it was written; lines are counted in it.
    written: Box<str>,
    /// As it is kept: without the version.
    text: Box<str>,
    /// The line of the file on which the text begins, counted from 1.
    first_line: usize,
    pub(super) content: Content,
}

/// What a manifest says, by kind.
#[derive(Debug)]
pub(super) enum Content {
    Agent(Box<AgentManifest>),
    ToolServer(Box<ToolServerManifest>),
    Persona(Box<PersonaManifest>),
    ToolBundle(Box<ToolBundleManifest>),
    Policy(Box<PolicyManifest>),
    ApprovalRule(Box<ApprovalRuleManifest>),
    Directory(Box<DirectoryManifest>),
}

impl Document {
    /// Names the manifest.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the text as it is kept.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Notes something wrong with the node at `path`.
    pub(super) fn defect(&self, path: &[Step], reason: impl fmt::Display) -> Defect {
        // Of something that is missing, the place is what it is missing from.
        let line = (0..=path.len()).rev().find_map(|depth| line::find(&self.written, &path[..depth])).unwrap_or(1);
        Defect { file: self.file.clone(), line: self.first_line + line - 1, reason: reason.to_string() }
    }
}

/// Reads every manifest of a file; what is wrong goes to `defects`.
pub(super) fn read(file: &Path, text: &str, documents: &mut Vec<Document>, defects: &mut Vec<Defect>) {
    for (first_line, text) in pieces(text) {
        match document(file, first_line, text) {
            Ok(found) => documents.extend(found),
            Err(error) => defects.push(yaml_defect(file, first_line, &error)),
        }
    }
}

/// Cuts a file at its lines of `---`. No line inside a document can begin so: YAML ends every scalar there.
fn pieces(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let (mut first_line, mut start, mut at) = (1, 0, 0);
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        let end = at + line.len();
        if let Some(rest) = line
            .strip_prefix("---")
            .filter(|rest| rest.trim_start_matches([' ', '\t', '\r']) != *rest || rest.trim().is_empty())
        {
            pieces.push((first_line, &text[start..at]));
            // What follows on the same line belongs to the next document.
            (first_line, start) = if rest.trim().is_empty() { (number + 1, end) } else { (number, at + 3) };
        }
        at = end;
    }
    pieces.push((first_line, &text[start..]));
    pieces
}

fn document(file: &Path, first_line: usize, text: &str) -> Result<Option<Document>, serde_yaml_ng::Error> {
    if is_empty(text)? {
        return Ok(None);
    }
    let (content, name, seen_version) = content(text)?;
    if matches!(content, Content::Policy(_)) {
        // The one kind with a map in it. Reading it as a value refuses a key that is there twice.
        one::<Value>(text)?;
    }
    let kept = match seen_version {
        None => text.into(),
        Some(_) => resource_version::without(text).ok_or_else(misplaced)?.into(),
    };
    let key = Key { kind: content.kind(), name };
    let (file, written) = (file.to_owned(), text.into());
    Ok(Some(Document { key, seen_version, file, written, text: kept, first_line, content }))
}

/// Says whether there is nothing but comments, as after a last `---`.
fn is_empty(text: &str) -> Result<bool, serde_yaml_ng::Error> {
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    // A manifest has keys; only what has none is worth reading for this alone.
    Ok(text.lines().all(blank) || (!text.contains(':') && one::<Option<IgnoredAny>>(text)?.is_none()))
}

fn misplaced() -> serde_yaml_ng::Error {
    <serde_yaml_ng::Error as serde::de::Error>::custom("metadata.resourceVersion is written on a line of its own")
}

impl Content {
    fn kind(&self) -> Kind {
        match self {
            Self::Agent(_) => Kind::Agent,
            Self::ToolServer(_) => Kind::ToolServer,
            Self::Persona(_) => Kind::Persona,
            Self::ToolBundle(_) => Kind::ToolBundle,
            Self::Policy(_) => Kind::Policy,
            Self::ApprovalRule(_) => Kind::ApprovalRule,
            Self::Directory(_) => Kind::Directory,
        }
    }
}

type Read = (Content, ManifestName, Option<u64>);

fn content(text: &str) -> Result<Read, serde_yaml_ng::Error> {
    let Peek { kind } = one(text)?;
    macro_rules! read {
        ($variant:ident, $manifest:ty) => {{
            let manifest: Box<$manifest> = Box::new(one(text)?);
            let name = manifest
                .metadata
                .name
                .0
                .to_string()
                .parse()
                .map_err(<serde_yaml_ng::Error as serde::de::Error>::custom)?;
            let version = manifest.metadata.resource_version;
            Ok((Content::$variant(manifest), name, version))
        }};
    }
    match kind {
        Kind::Agent => read!(Agent, AgentManifest),
        Kind::ToolServer => read!(ToolServer, ToolServerManifest),
        Kind::Persona => read!(Persona, PersonaManifest),
        Kind::ToolBundle => read!(ToolBundle, ToolBundleManifest),
        Kind::Policy => read!(Policy, PolicyManifest),
        Kind::ApprovalRule => read!(ApprovalRule, ApprovalRuleManifest),
        Kind::Directory => read!(Directory, DirectoryManifest),
    }
}

fn one<T: DeserializeOwned>(text: &str) -> Result<T, serde_yaml_ng::Error> {
    T::deserialize(serde_yaml_ng::Deserializer::from_str(text))
}

fn yaml_defect(file: &Path, first_line: usize, error: &serde_yaml_ng::Error) -> Defect {
    let text = error.to_string();
    // The place is told apart from the reason; any further place is counted from the beginning of the document.
    let reason = text.split_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    let line = error.location().map_or(1, |at| at.line().max(1));
    Defect { file: file.to_owned(), line: first_line + line - 1, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_at_its_markers_and_keeps_its_lines() {
        let cut = |text| pieces(text).into_iter().filter(|(_, piece)| !piece.is_empty()).collect::<Vec<_>>();
        assert_eq!(cut("a: 1\n---\nb: 2\n"), [(1, "a: 1\n"), (3, "b: 2\n")]);
        assert_eq!(cut("# why\n---\r\na: |\n  x\n  ---\n---\n"), [(1, "# why\n"), (3, "a: |\n  x\n  ---\n")]);
        assert_eq!(cut("--- {a: 1}\n--- # b\nb: 2"), [(1, " {a: 1}\n"), (2, " # b\nb: 2")]);
        assert_eq!(cut("---a: 1\n----\n"), [(1, "---a: 1\n----\n")]);
    }
}
