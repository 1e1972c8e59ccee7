//! The writers' chains: each entry names the one before it by the same writer.
//!
//! The tree says *that* something between two checkpoints is not what was signed. The chains say what: which entry was
//! changed, is missing, is there twice or stands elsewhere. A writer's last entry has no follower to speak for it; there the
//! tree alone speaks.

use crate::{Entry, Problem, TreeHash, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The last entry of one writer's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its leaf hash.
    pub hash: TreeHash,
}

/// The last entry of one writer's chain, as a header tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldHead {
    /// Who writes the chain.
    pub writer: String,
    /// The number of the last entry.
    pub number: u64,
    /// Its leaf hash.
    pub hash: TreeHash,
}

/// A head, and where it was read.
#[derive(Debug, Clone, Copy)]
struct Link {
    head: Head,
    line: u64,
    /// Whether an entry of this export stands behind it, or the header's word alone.
    seen: bool,
}

/// The heads of all chains.
#[derive(Debug, Clone, Default)]
pub struct Chains(BTreeMap<String, Link>);

/// Heads in a header are not those of chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a header names a writer twice, an impossible one, an entry 0, or too many")]
pub struct InvalidHeads;

impl Chains {
    /// The most writers of one log: each costs a few hundred bytes as long as a check lasts.
    pub const WRITERS_MAX: usize = 4096;

    /// Goes on from the heads that a header tells.
    ///
    /// # Errors
    ///
    /// [`InvalidHeads`].
    pub fn resume(told: &[ToldHead], line: u64) -> Result<Self, InvalidHeads> {
        if told.len() > Self::WRITERS_MAX {
            return Err(InvalidHeads);
        }
        let mut heads = BTreeMap::new();
        for ToldHead { writer, number, hash } in told {
            let writer: Writer = writer.parse().map_err(|_| InvalidHeads)?;
            let link = Link { head: Head { number: *number, hash: *hash }, line, seen: false };
            if *number == 0 || heads.insert(writer.as_str().to_owned(), link).is_some() {
                return Err(InvalidHeads);
            }
        }
        Ok(Self(heads))
    }

    /// Returns the head of a writer's chain.
    pub fn head(&self, writer: &str) -> Option<Head> {
        self.0.get(writer).map(|link| link.head)
    }

    /// Returns all heads, as a header tells them.
    pub fn told(&self) -> Vec<ToldHead> {
        let tell = |(writer, Link { head, .. }): (&String, &Link)| ToldHead {
            writer: writer.clone(),
            number: head.number,
            hash: head.hash,
        };
        self.0.iter().map(tell).collect()
    }

    /// Returns the writers whose head the header told and no entry stands behind.
    pub fn unseen(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, link)| !link.seen).map(|(writer, _)| writer.as_str())
    }

    /// Takes the next entry, whose leaf hash is `hash`, and says what does not fit. After a gap it goes on from the entry, so
    /// that one fault is told once.
    pub fn follow(&mut self, entry: &Entry<'_>, hash: TreeHash, line: u64) -> Option<Problem> {
        let (writer, number) = (entry.writer(), entry.number());
        let next = Link { head: Head { number, hash }, line, seen: true };
        let Some(link) = self.0.get_mut(writer) else {
            if self.0.len() >= Self::WRITERS_MAX {
                return Some(Problem::TooManyWriters);
            }
            self.0.insert(writer.to_owned(), next);
            return gap(writer, 1, number);
        };
        let before = link.head;
        if number <= before.number {
            let writer = writer.to_owned();
            return Some(if before == next.head {
                Problem::Repeated { writer, number, line: link.line }
            } else {
                Problem::OutOfOrder { writer, number, after: before.number }
            });
        }
        let told_at = std::mem::replace(link, next).line;
        let expected = before.number.saturating_add(1);
        if number > expected {
            return gap(writer, expected, number);
        }
        let follows = entry.previous() == before.hash;
        (!follows).then(|| Problem::Changed { writer: writer.to_owned(), number: before.number, line: told_at })
    }
}

fn gap(writer: &str, expected: u64, found: u64) -> Option<Problem> {
    (found > expected).then(|| Problem::Missing { writer: writer.to_owned(), from: expected, to: found - 1 })
}

#[cfg(test)]
mod tests;
