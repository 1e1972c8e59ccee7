//! What applying manifests would do, worked out before anything is written. Pure: what is kept and what is submitted in, a
//! new snapshot with the changes that lead to it out, or every reason why not.
//!
//! # Invariants
//!
//! - A plan is made of everything submitted or of nothing.
//! - The snapshot is checked as a whole: what would be left without something that it refers to is a defect.
//! - A version that somebody names has to be the one that is kept.
//! - No agent takes a step in its life that is not allowed, whether its manifest was there all the time or not.

mod change;

pub use change::{Action, Change};

use super::{
    Author, Defect, Edits, Key, ManifestFile, Registry, Shelf, UnusableRegistry, check,
    document::{self, Content, Document},
    lifecycle::{self, Lifecycle},
    line::Step,
    load,
};
use crumb_token::{AgentName, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// What somebody wants to be in force.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who.
    pub author: Author,
    /// The manifests.
    pub files: Vec<ManifestFile>,
    /// Whether manifests that are not among them are taken away: all of them, or for the registry directory those that it
    /// wrote itself.
    pub prune: bool,
    /// The versions that the author has seen; 0 for a manifest that must not be there.
    pub expected: BTreeMap<Key, u64>,
}

impl Wanted {
    /// Reads the registry directory.
    ///
    /// # Errors
    ///
    /// [`UnusableRegistry`] when it, or a file in it, cannot be read.
    pub fn directory(path: &Path) -> Result<Self, UnusableRegistry> {
        let (files, defects) = load::files(path)?;
        if !defects.is_empty() {
            return Err(UnusableRegistry::Defects(defects));
        }
        Ok(Self { author: Author::Directory, files, prune: true, expected: BTreeMap::new() })
    }

    /// Reads a file, or the files of a directory, for an operator.
    ///
    /// # Errors
    ///
    /// [`UnusableRegistry`] when it, or a file in it, cannot be read.
    pub fn path(path: &Path, author: Author) -> Result<Self, UnusableRegistry> {
        let files = if path.is_dir() { Self::directory(path)?.files } else { vec![load::one(path)?] };
        Ok(Self { author, files, prune: false, expected: BTreeMap::new() })
    }

    /// Wants what is there.
    pub fn nothing() -> Self {
        Self { author: Author::Directory, files: Vec::new(), prune: false, expected: BTreeMap::new() }
    }
}

/// Why nothing is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotApplied {
    /// Manifests are wrong.
    Defects(Vec<Defect>),
    /// Somebody changed a manifest meanwhile.
    Conflict {
        /// Which.
        key: Key,
        /// The version that the author has seen.
        seen: u64,
        /// The version that is kept; 0 when there is none.
        kept: u64,
    },
}

/// What applying would do.
#[derive(Debug)]
pub struct Plan {
    /// Every manifest that was submitted or would be taken away, by kind and name.
    pub changes: Vec<Change>,
    /// The snapshot as it would be.
    pub registry: Registry,
    /// What is to be written; empty when all is as it should be.
    pub edits: Edits,
    /// Agents that would get no tokens any more, or are gone.
    pub stopped: Vec<AgentName>,
}

/// Works out what applying `wanted` to `shelf` would do. `in_force` is the snapshot that was made of the shelf, when there
/// is one.
///
/// # Errors
///
/// [`NotApplied`].
pub fn plan(shelf: &Shelf, in_force: Option<&Registry>, wanted: &Wanted, now: Timestamp) -> Result<Plan, NotApplied> {
    let (kept, mut defects) = read(shelf.manifests.iter().map(|kept| (stored(&kept.key), kept.text.as_str())));
    let (submitted, wrong) = read(wanted.files.iter().map(|file| (file.file.clone(), file.text.as_str())));
    defects.extend(wrong);
    conflicts(shelf, wanted, &submitted)?;

    let listed: BTreeSet<&Key> = submitted.iter().map(Document::key).collect();
    let fresh: Vec<&Document> = submitted.iter().filter(|document| is_news(shelf, &wanted.author, document)).collect();
    let replaced: BTreeSet<&Key> = fresh.iter().map(|document| document.key()).collect();
    let pruned: BTreeSet<&Key> = pruned(shelf, wanted, &listed);
    let stays = |document: &&Document| !replaced.contains(document.key()) && !pruned.contains(document.key());
    let result: Vec<&Document> = kept.iter().filter(stays).chain(fresh.iter().copied()).collect();

    defects.extend(forbidden_steps(shelf, &fresh));
    let mut registry = check::registry(&result, defects, in_force).map_err(NotApplied::Defects)?;
    let kept: Vec<_> = kept.iter().collect();
    // What is kept was checked when it was applied. Rules may have grown since; then everything counts as new.
    let rebuilt = match in_force.filter(|registry| registry.version() == check::version(&kept)) {
        Some(_) => None,
        None => check::registry(&kept, Vec::new(), in_force).ok(),
    };
    let before = rebuilt.as_ref().or(in_force);
    let mut changes = change::list(shelf, &fresh, &pruned);
    change::mark_widening(&mut changes, before, &registry);
    let stopped = before.map(|before| stopped(before, &registry, now)).unwrap_or_default();
    let edits: Vec<_> = changes.iter().filter_map(|change| change.to_edit(&fresh)).collect();
    registry.revision = shelf.revision + edits.len() as u64;
    let edits = Edits { revision: shelf.revision, edits, at: now, by: wanted.author.clone() };
    Ok(Plan { changes, registry, edits, stopped })
}

/// How messages name a manifest that nobody submitted.
fn stored(key: &Key) -> PathBuf {
    PathBuf::from("in-force").join(key.file_name())
}

fn read<'t>(texts: impl Iterator<Item = (PathBuf, &'t str)>) -> (Vec<Document>, Vec<Defect>) {
    let (mut documents, mut defects) = (Vec::new(), Vec::new());
    for (file, text) in texts {
        document::read(&file, text, &mut documents, &mut defects);
    }
    (documents, defects)
}

fn kept_version(shelf: &Shelf, key: &Key) -> u64 {
    shelf.manifests.iter().find(|kept| kept.key == *key).map_or(0, |kept| kept.version)
}

fn conflicts(shelf: &Shelf, wanted: &Wanted, submitted: &[Document]) -> Result<(), NotApplied> {
    let in_texts = submitted.iter().filter_map(|document| Some((document.key(), document.seen_version?)));
    let beside = wanted.expected.iter().map(|(key, version)| (key, *version));
    for (key, seen) in in_texts.chain(beside) {
        let kept = kept_version(shelf, key);
        if seen != kept {
            return Err(NotApplied::Conflict { key: key.clone(), seen, kept });
        }
    }
    Ok(())
}

/// Says whether a submitted manifest counts. The registry directory says the same at every start; what it said before, and
/// somebody changed since, stays changed.
fn is_news(shelf: &Shelf, author: &Author, document: &Document) -> bool {
    !author.is_directory() || shelf.from_directory.get(document.key()).map(String::as_str) != Some(document.text())
}

fn pruned<'s>(shelf: &'s Shelf, wanted: &Wanted, listed: &BTreeSet<&Key>) -> BTreeSet<&'s Key> {
    let is_own = |by: &str| !wanted.author.is_directory() || by == Author::DIRECTORY;
    let goes = |kept: &&super::Kept| wanted.prune && is_own(&kept.applied_by) && !listed.contains(&kept.key);
    shelf.manifests.iter().filter(goes).map(|kept| &kept.key).collect()
}

fn forbidden_steps(shelf: &Shelf, fresh: &[&Document]) -> Vec<Defect> {
    let agents: BTreeSet<&Key> = fresh.iter().filter_map(|document| state(document).map(|_| document.key())).collect();
    let known = shelf.manifests.iter().chain(&shelf.gone).filter(|kept| agents.contains(&kept.key));
    let (documents, _) = read(known.map(|kept| (stored(&kept.key), kept.text.as_str())));
    let last: BTreeMap<&Key, Lifecycle> =
        documents.iter().filter_map(|document| Some((document.key(), state(document)?))).collect();
    let refused = |document: &&Document| {
        let step = lifecycle::step(*last.get(document.key())?, state(document)?);
        Some(document.defect(&[Step::Key("spec"), Step::Key("lifecycle")], step.err()?))
    };
    fresh.iter().filter_map(refused).collect()
}

fn state(document: &Document) -> Option<Lifecycle> {
    match &document.content {
        Content::Agent(manifest) => Some(manifest.spec.lifecycle),
        _ => None,
    }
}

/// Returns the agents that got tokens before and get none now.
fn stopped(before: &Registry, after: &Registry, now: Timestamp) -> Vec<AgentName> {
    let stands = |registry: &Registry, name: &AgentName| {
        registry.agent(name).is_some_and(|agent| registry.standing(agent, now).is_ok())
    };
    let names = before.agents().map(|agent| &agent.name);
    names.filter(|name| stands(before, name) && !stands(after, name)).cloned().collect()
}
