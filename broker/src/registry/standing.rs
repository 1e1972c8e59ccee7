//! Whether an agent gets tokens at all, and what its owner should be told about it.

use super::{Agent, Lifecycle, Registry};
use crumb_token::{Owner, Reason, Timestamp};
use std::fmt;

/// Something about a manifest that somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Flag {
    /// Its owner has left.
    Orphaned,
    /// Its registration has ended.
    Expired,
    /// It was to be reviewed by a day that has passed.
    ReviewOverdue,
}

impl Flag {
    /// Returns the word of listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphaned => "orphaned",
            Self::Expired => "expired",
            Self::ReviewOverdue => "review-overdue",
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Registry {
    /// Says whether somebody has left. Letters of a mail address count the same in both cases.
    pub fn has_departed(&self, person: &Owner) -> bool {
        let person = person.as_str().to_ascii_lowercase();
        self.directories.values().any(|directory| directory.departed.contains(&person))
    }

    /// Returns what is to be said about an agent.
    pub fn flags(&self, agent: &Agent, now: Timestamp) -> Vec<Flag> {
        let past = |end: Option<Timestamp>| end.is_some_and(|end| now >= end);
        let flags = [
            (self.has_departed(&agent.owner), Flag::Orphaned),
            (past(agent.valid_until), Flag::Expired),
            (past(agent.review_by), Flag::ReviewOverdue),
        ];
        flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect()
    }

    /// Says whether an agent of this registry gets tokens.
    ///
    /// # Errors
    ///
    /// Why not: the gravest reason first.
    pub fn standing(&self, agent: &Agent, now: Timestamp) -> Result<(), Reason> {
        match agent.lifecycle {
            Lifecycle::Retired => return Err(Reason::AgentRetired),
            Lifecycle::Quarantined => return Err(Reason::AgentQuarantined),
            _ => {}
        }
        match self.flags(agent, now).first() {
            Some(Flag::Orphaned) => return Err(Reason::AgentOrphaned),
            Some(Flag::Expired) => return Err(Reason::AgentExpired),
            Some(Flag::ReviewOverdue) => return Err(Reason::ReviewOverdue),
            None => {}
        }
        if agent.lifecycle.is_working() || !agent.is_in_production() { Ok(()) } else { Err(Reason::AgentNotOperating) }
    }
}
