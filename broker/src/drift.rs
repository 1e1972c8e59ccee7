//! Drift: a session that behaves unlike its kind is contracted, or halted for review.
//!
//! Apart from the flows because it is counting and comparing: what a session did ([`Behaviour`]) against what other sessions
//! of its kind did ([`Baseline`]), by three rules that a person can check with a pencil. There is no model, and every number
//! of a finding is told with it.
//!
//! # Invariants
//!
//! - Pure: no clock, no store. What counts at all is decided in [`Event`], what follows from it in [`judge`].
//! - A session is never part of the baseline that it is held against.
//!
//! It does not look at what was called with which arguments, and it does not watch an agent across sessions: that is what
//! baselines, and people, are for.

mod behaviour;
mod contraction;
mod event;
mod review;
mod rules;

pub use behaviour::{Baseline, Behaviour, Finding, RuleName, judge};
pub use contraction::inside_contraction;
pub use event::{Event, Kin, Told, What};
pub use review::{Held, Review};
pub use rules::{Action, CallsPerMinute, DenialsInARow, NewTool, Rules};

#[cfg(test)]
mod tests;
