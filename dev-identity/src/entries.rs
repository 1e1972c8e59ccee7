//! Which process has which identity.
//!
//! Entries change while streams are open; every stream sees the change at once through a watch channel.

use std::{path::Path, sync::Arc};

use crumb_attestors::unix_process::ProcessFacts;
use crumb_token::{SpiffeId, TrustDomain};
use tokio::sync::watch;

use crate::{
    entries_file::{self, UnusableEntries},
    selector::{InvalidSelector, Selector},
};

/// More entries than this are a fleet, and a fleet wants SPIRE.
const ENTRIES_MAX: usize = 1024;
/// More conditions than there are kinds are a mistake.
const SELECTORS_MAX: usize = 16;
/// In bytes. Workload API: "SHOULD NOT support values of more than 1024 bytes in length".
const HINT_LEN_MAX: usize = 1024;

/// Identities in one answer. Clients stop at about a hundred, and each one costs a key and a signature.
const IDENTITIES_MAX: usize = 64;

/// An entry that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEntry {
    /// The identity lies outside the trust domain of the CA.
    #[error("{0} is not in the trust domain")]
    TrustDomain(SpiffeId),
    /// Without a condition the identity would be everybody's.
    #[error("{0} has no selector")]
    NoSelector(SpiffeId),
    /// More than 16 conditions.
    #[error("{0} has more than 16 selectors")]
    TooManySelectors(SpiffeId),
    /// A condition that no text gives.
    #[error("{id} has an unusable selector")]
    Selector {
        /// Whose entry.
        id: SpiffeId,
        /// What is wrong with it.
        source: InvalidSelector,
    },
    /// The hint is empty or has more than 1,024 bytes.
    #[error("the hint of {0} is empty or longer than 1024 bytes")]
    Hint(SpiffeId),
    /// More than 1,024 entries.
    #[error("there are more than 1024 entries")]
    TooMany,
}

/// An identity and the process that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The identity, in the trust domain of the CA.
    pub spiffe_id: SpiffeId,
    /// Conditions, at least one; all must be true.
    pub selectors: Vec<Selector>,
    /// What the identity is meant for, when a process has several. At most 1,024 bytes.
    pub hint: Option<String>,
}

impl Entry {
    fn matches(&self, facts: &ProcessFacts) -> bool {
        self.selectors.iter().all(|selector| selector.matches(facts))
    }

    fn check(&self, domain: &TrustDomain) -> Result<(), InvalidEntry> {
        let id = || self.spiffe_id.clone();
        if !self.spiffe_id.is_in(domain) {
            return Err(InvalidEntry::TrustDomain(id()));
        }
        if self.selectors.is_empty() {
            return Err(InvalidEntry::NoSelector(id()));
        }
        if self.selectors.len() > SELECTORS_MAX {
            return Err(InvalidEntry::TooManySelectors(id()));
        }
        for selector in &self.selectors {
            selector.check().map_err(|source| InvalidEntry::Selector { id: id(), source })?;
        }
        let good = |hint: &String| !hint.is_empty() && hint.len() <= HINT_LEN_MAX;
        if self.hint.as_ref().is_none_or(good) { Ok(()) } else { Err(InvalidEntry::Hint(id())) }
    }
}

/// The entries of a running Workload API. Clones speak of the same list.
#[derive(Debug, Clone)]
pub struct Entries {
    domain: TrustDomain,
    list: Arc<watch::Sender<Arc<[Entry]>>>,
}

impl Entries {
    pub(crate) fn new(domain: TrustDomain) -> Self {
        Self { domain, list: Arc::new(watch::Sender::new(Arc::from([]))) }
    }

    /// Reads a file of entries: TOML, `[[entry]]` with `spiffe_id`, `selectors` and perhaps `hint`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not such TOML, or has more than 1 MiB.
    pub fn load(path: impl AsRef<Path>) -> Result<Vec<Entry>, UnusableEntries> {
        entries_file::load(path.as_ref())
    }

    /// Adds an entry, last. Callers that match it and wait are served at once.
    ///
    /// # Errors
    ///
    /// The entry is of no use, or there are too many; then nothing changes.
    pub fn add(&self, entry: Entry) -> Result<(), InvalidEntry> {
        entry.check(&self.domain)?;
        self.change(|list| {
            let mut longer = list.to_vec();
            longer.push(entry);
            longer
        })
    }

    /// Removes all entries for `id`; says whether there were any. Streams that lived on them end.
    pub fn remove(&self, id: &SpiffeId) -> bool {
        self.list.send_if_modified(|list| {
            let rest: Arc<[Entry]> = list.iter().filter(|entry| entry.spiffe_id != *id).cloned().collect();
            let fewer = rest.len() < list.len();
            *list = rest;
            fewer
        })
    }

    /// Puts `entries` in the place of all there are.
    ///
    /// # Errors
    ///
    /// One of them is of no use, or there are too many; then nothing changes.
    pub fn replace(&self, entries: Vec<Entry>) -> Result<(), InvalidEntry> {
        entries.iter().try_for_each(|entry| entry.check(&self.domain))?;
        self.change(|_| entries)
    }

    /// Returns all entries, oldest first.
    pub fn all(&self) -> Arc<[Entry]> {
        self.list.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<[Entry]>> {
        self.list.subscribe()
    }

    fn change(&self, to: impl FnOnce(&[Entry]) -> Vec<Entry>) -> Result<(), InvalidEntry> {
        let mut answer = Ok(());
        self.list.send_if_modified(|list| {
            let new = to(list);
            if new.len() > ENTRIES_MAX {
                answer = Err(InvalidEntry::TooMany);
                return false;
            }
            *list = new.into();
            true
        });
        answer
    }
}

/// Returns the entries of the process, the one with most selectors first; so the most particular one is the default.
///
/// An identity is there once, and at most [`IDENTITIES_MAX`] are there at all.
///
/// Workload API §5.2.1: "When the `hint` field is set (i.e. non-empty), SPIFFE Workload API servers MUST ensure its value
/// is unique amongst the set of returned SVIDs". As with SPIRE, the first to use a hint is kept, others are left out.
pub(crate) fn matching<'a>(entries: &'a [Entry], facts: &ProcessFacts) -> Vec<&'a Entry> {
    let mut matching: Vec<&Entry> = entries.iter().filter(|entry| entry.matches(facts)).collect();
    matching.sort_by_key(|entry| std::cmp::Reverse(entry.selectors.len()));
    let mut unique: Vec<&Entry> = Vec::with_capacity(matching.len());
    for entry in matching {
        let repeats =
            |known: &&Entry| known.spiffe_id == entry.spiffe_id || (entry.hint.is_some() && known.hint == entry.hint);
        if unique.len() == IDENTITIES_MAX {
            tracing::warn!(spiffe_id = %entry.spiffe_id, pid = facts.pid, "left out: the process has 64 identities");
        } else if !unique.iter().any(repeats) {
            unique.push(entry);
        }
    }
    unique
}

#[cfg(test)]
mod tests;
