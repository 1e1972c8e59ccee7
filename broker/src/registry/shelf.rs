//! What the store keeps of manifests: their texts, their versions, and who wrote them. Plain values, no decisions.

use super::{Key, resource_version};
use crumb_token::Timestamp;
use std::{collections::BTreeMap, fmt};

/// Who applies manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// The registry directory, at a start of the broker.
    Directory,
    /// An operator on the admin socket, as the trail names one: `uid:0`.
    Operator(String),
}

impl Author {
    /// Says whether it is the registry directory.
    pub(super) fn is_directory(&self) -> bool {
        matches!(self, Self::Directory)
    }

    /// The word for the registry directory.
    pub const DIRECTORY: &'static str = "directory";
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => f.write_str(Self::DIRECTORY),
            Self::Operator(name) => f.write_str(name),
        }
    }
}

/// One version of a manifest, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which manifest.
    pub key: Key,
    /// Its version, counted from 1 over its whole life, deletions included.
    pub version: u64,
    /// The text; empty for the version that took it away.
    pub text: String,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// By whom, as [`Author`] writes it.
    pub applied_by: String,
}

impl Kept {
    /// Returns the text with its version in it, for somebody who will change it. A text that has no place for it comes
    /// without; a change of it then notices no other.
    pub fn text_with_version(&self) -> String {
        resource_version::with(&self.text, self.version).unwrap_or_else(|| self.text.clone())
    }
}

/// All that is kept, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf {
    /// The number of the newest version of any manifest; 0 when there never was one.
    pub revision: u64,
    /// The manifests in force.
    pub manifests: Vec<Kept>,
    /// The last version with a text of each manifest that was taken away, with the version that took it away.
    pub gone: Vec<Kept>,
    /// The last text that the registry directory had for each manifest.
    pub from_directory: BTreeMap<Key, String>,
}

impl Shelf {
    /// Returns what is kept once the edits are made.
    #[must_use]
    pub fn after(mut self, edits: &Edits) -> Self {
        for Edit { key, version, text } in &edits.edits {
            self.revision += 1;
            let at = self.manifests.iter().position(|kept| kept.key == *key);
            let was = at.map(|at| self.manifests.remove(at).text).unwrap_or_default();
            self.gone.retain(|kept| kept.key != *key);
            if let (Some(text), Author::Directory) = (text, &edits.by) {
                self.from_directory.insert(key.clone(), text.clone());
            }
            let (key, version) = (key.clone(), *version);
            let kept = |text| Kept { key, version, text, applied_at: edits.at, applied_by: edits.by.to_string() };
            match text {
                Some(text) => self.manifests.push(kept(text.clone())),
                None => self.gone.push(kept(was)),
            }
        }
        self.manifests.sort_by(|a, b| a.key.cmp(&b.key));
        self
    }
}

/// A manifest that is written or taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which.
    pub key: Key,
    /// The version that this makes.
    pub version: u64,
    /// The new text; `None` when it is taken away.
    pub text: Option<String>,
}

/// Everything that one apply writes, or nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edits {
    /// The revision that it was made from; when the store has another, nothing is written.
    pub revision: u64,
    /// What is written.
    pub edits: Vec<Edit>,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Author,
}
