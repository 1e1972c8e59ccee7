//! One manifest that is written, taken away or left as it is, and what that means.

use super::super::{Edit, Key, Kind, Registry, Shelf, document::Document, widening};
use similar::TextDiff;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Create,
    /// It has another text.
    Update,
    /// It is taken away.
    Delete,
    /// It says what it said.
    Unchanged,
}

impl Action {
    /// Returns the word of answers and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What becomes of one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub key: Key,
    /// What.
    pub action: Action,
    /// The version before; 0 when there was none.
    pub from_version: u64,
    /// The version after; of one that is taken away, the version that says so.
    pub to_version: u64,
    /// The lines that go and come, as a unified diff; cut at [`DIFF_LEN_MAX`](Self::DIFF_LEN_MAX) bytes.
    pub diff: String,
    /// What can be done with it that could not be done before, sentence by sentence.
    pub widens: Vec<String>,
}

impl Change {
    /// The longest diff, in bytes. It is there to be read by a person.
    pub const DIFF_LEN_MAX: usize = 16 * 1024;

    /// Returns what is to be written.
    pub(super) fn to_edit(&self, fresh: &[&Document]) -> Option<Edit> {
        let text = match self.action {
            Action::Unchanged => return None,
            Action::Delete => None,
            Action::Create | Action::Update => {
                Some(fresh.iter().find(|document| *document.key() == self.key)?.text().to_owned())
            }
        };
        Some(Edit { key: self.key.clone(), version: self.to_version, text })
    }
}

/// Lists what becomes of each manifest, by kind and name.
pub(super) fn list(shelf: &Shelf, fresh: &[&Document], pruned: &BTreeSet<&Key>) -> Vec<Change> {
    let kept: BTreeMap<&Key, _> = shelf.manifests.iter().map(|kept| (&kept.key, kept)).collect();
    let gone: BTreeMap<&Key, u64> = shelf.gone.iter().map(|kept| (&kept.key, kept.version)).collect();
    let mut changes = Vec::with_capacity(fresh.len() + pruned.len());
    for document in fresh {
        let key = document.key();
        let before = kept.get(key);
        let (from, old) = before.map_or((0, ""), |kept| (kept.version, kept.text.as_str()));
        let action = match before {
            None => Action::Create,
            Some(kept) if kept.text == document.text() => Action::Unchanged,
            Some(_) => Action::Update,
        };
        let to = match action {
            Action::Unchanged => from,
            // A name that was there before goes on counting, so that no version ever means two texts.
            _ => from.max(gone.get(key).copied().unwrap_or(0)) + 1,
        };
        changes.push(change(key, action, (from, to), (old, document.text())));
    }
    for key in pruned {
        let Some(before) = kept.get(key) else { continue };
        changes.push(change(key, Action::Delete, (before.version, before.version + 1), (&before.text, "")));
    }
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

fn change(key: &Key, action: Action, (from_version, to_version): (u64, u64), (old, new): (&str, &str)) -> Change {
    let diff = if action == Action::Unchanged { String::new() } else { diff(key, old, new) };
    Change { key: key.clone(), action, from_version, to_version, diff, widens: Vec::new() }
}

fn diff(key: &Key, old: &str, new: &str) -> String {
    let file = key.file_name();
    let mut diff = TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(&file, &file).to_string();
    let mut end = diff.len().min(Change::DIFF_LEN_MAX);
    while !diff.is_char_boundary(end) {
        end -= 1;
    }
    diff.truncate(end);
    diff
}

/// Marks the changes by which something can be done that could not be done before.
pub(super) fn mark_widening(changes: &mut [Change], before: Option<&Registry>, after: &Registry) {
    let agents = widening::of_agents(before, after);
    for change in changes.iter_mut().filter(|change| change.action != Action::Unchanged) {
        let name = &change.key.name;
        change.widens = match change.key.kind {
            Kind::Agent => agents.get(name.as_str()).cloned().unwrap_or_default(),
            Kind::ToolServer => {
                let server = |r: &Registry| r.tool_servers().find(|s| s.name.as_str() == name.as_str()).cloned();
                both(before, after, server, widening::of_risks)
            }
            Kind::Persona => both(before, after, |r| r.persona(name).cloned(), widening::of_personas),
            Kind::ToolBundle => both(before, after, |r| r.bundle(name).cloned(), widening::of_bundles),
            Kind::ApprovalRule => both(before, after, |r| r.approval_rule(name).cloned(), widening::of_approvals),
            Kind::Directory => before.map(|before| widening::of_people(before, after)).unwrap_or_default(),
            Kind::Policy => Vec::new(),
        };
    }
}

/// Compares what is there before and after. What is new gives nothing until something refers to it.
fn both<T>(
    before: Option<&Registry>,
    after: &Registry,
    find: impl Fn(&Registry) -> Option<T>,
    compare: impl Fn(&T, &T) -> Vec<String>,
) -> Vec<String> {
    let found = before.and_then(&find).zip(find(after));
    found.map(|(old, new)| compare(&old, &new)).unwrap_or_default()
}
