//! The states of an agent's life, and the steps between them. Pure: who may take a step is decided elsewhere.
//!
//! ```text
//! built ⇄ tested → promoted → operating ⇄ updated
//!            ↑________________________________│   (tested again)
//! built, tested, promoted, operating, updated → quarantined → tested
//! every one of them → retired, from which nothing leads away
//! ```
//!
//! Quarantine ends in `tested`, wherever it began: what was set aside is looked at like something new.
//!
//! # Invariants
//!
//! - Nothing comes back from `retired`, not even by deleting the manifest and applying it again.
//! - Nothing gets from `built` to `operating` but through `tested` and `promoted`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an agent is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// There is something to run.
    Built,
    /// It passed its tests.
    Tested,
    /// Somebody decided that it may go where it counts.
    Promoted,
    /// It does its work. The state of a manifest that says nothing.
    #[default]
    Operating,
    /// It does its work in a changed form, which is still to be looked at.
    Updated,
    /// It was set aside.
    Quarantined,
    /// It is over.
    Retired,
}

impl Lifecycle {
    /// Every state, in the order of a life.
    pub const ALL: &[Self] =
        &[Self::Built, Self::Tested, Self::Promoted, Self::Operating, Self::Updated, Self::Quarantined, Self::Retired];

    /// Returns the word of the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Tested => "tested",
            Self::Promoted => "promoted",
            Self::Operating => "operating",
            Self::Updated => "updated",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
        }
    }

    /// Returns the states that one step leads to, besides staying.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Built => &[Self::Tested, Self::Quarantined, Self::Retired],
            Self::Tested => &[Self::Built, Self::Promoted, Self::Quarantined, Self::Retired],
            Self::Promoted => &[Self::Tested, Self::Operating, Self::Quarantined, Self::Retired],
            Self::Operating => &[Self::Updated, Self::Quarantined, Self::Retired],
            Self::Updated => &[Self::Tested, Self::Operating, Self::Quarantined, Self::Retired],
            Self::Quarantined => &[Self::Tested, Self::Retired],
            Self::Retired => &[],
        }
    }

    /// Says whether the agent does the work it was made for.
    pub fn is_working(self) -> bool {
        matches!(self, Self::Operating | Self::Updated)
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step that no life takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForbiddenStep {
    /// Where it is.
    pub from: Lifecycle,
    /// Where it was to go.
    pub to: Lifecycle,
}

impl std::error::Error for ForbiddenStep {}

impl fmt::Display for ForbiddenStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "an agent does not go from {from} to {to}")?;
        if from.next().is_empty() {
            return write!(f, ": a {from} one never comes back");
        }
        let next: Vec<_> = from.next().iter().map(|state| state.as_str()).collect();
        write!(f, ": from {from} it goes to {}", next.join(", "))
    }
}

/// Takes a step, or stays.
///
/// # Errors
///
/// [`ForbiddenStep`] when no arrow leads there.
pub fn step(from: Lifecycle, to: Lifecycle) -> Result<Lifecycle, ForbiddenStep> {
    if from == to || from.next().contains(&to) { Ok(to) } else { Err(ForbiddenStep { from, to }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Lifecycle::{Built, Operating, Promoted, Quarantined, Retired, Tested, Updated};

    /// Every step that is allowed, written out once more by hand.
    const ALLOWED: &[(Lifecycle, Lifecycle)] = &[
        (Built, Tested),
        (Built, Quarantined),
        (Built, Retired),
        (Tested, Built),
        (Tested, Promoted),
        (Tested, Quarantined),
        (Tested, Retired),
        (Promoted, Tested),
        (Promoted, Operating),
        (Promoted, Quarantined),
        (Promoted, Retired),
        (Operating, Updated),
        (Operating, Quarantined),
        (Operating, Retired),
        (Updated, Tested),
        (Updated, Operating),
        (Updated, Quarantined),
        (Updated, Retired),
        (Quarantined, Tested),
        (Quarantined, Retired),
    ];

    #[test]
    fn every_pair_of_states_is_decided_as_written() {
        let mut seen = 0;
        for from in Lifecycle::ALL {
            for to in Lifecycle::ALL {
                let allowed = from == to || ALLOWED.contains(&(*from, *to));
                assert_eq!(step(*from, *to).is_ok(), allowed, "{from} to {to}");
                seen += 1;
            }
        }
        assert_eq!(seen, 49);
    }

    #[test]
    fn nothing_comes_back_from_retirement_and_nothing_skips_its_tests() {
        for to in Lifecycle::ALL {
            assert_eq!(step(Retired, *to).is_ok(), *to == Retired);
        }
        let refused = step(Built, Operating).expect_err("untested");
        let text = "an agent does not go from built to operating: from built it goes to tested, quarantined, retired";
        assert_eq!(refused.to_string(), text);
        let refused = step(Retired, Operating).expect_err("over").to_string();
        assert!(refused.ends_with("a retired one never comes back"), "{refused}");
    }

    #[test]
    fn no_way_leads_from_built_to_operating_around_promotion() {
        // Everything that can be reached without ever being promoted.
        let mut reached = vec![Built];
        let mut at = 0;
        while at < reached.len() {
            for next in reached[at].next() {
                if *next != Promoted && !reached.contains(next) {
                    reached.push(*next);
                }
            }
            at += 1;
        }
        assert!(!reached.contains(&Operating) && !reached.contains(&Updated), "{reached:?}");
    }
}
