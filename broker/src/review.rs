//! Access reviews: what an agent was given beside what it used, the narrower manifest that would do, and what a named person
//! decided.
//!
//! Apart from the registry because it reads the trail, and from the trail because it ends in a manifest. Counting
//! ([`usage`]), what is left of the rights ([`touched`]) and the text of a narrower manifest ([`draft`]) are plain code; only
//! the flow reads and writes.
//!
//! # Invariants
//!
//! - A proposal gives nothing that the manifest in force does not, and covers every call that was counted.
//! - A review is somebody's: a person of a group of approvers, proven by a token, who does not answer for the agent.
//! - Reading is in pages with a limit in all, newest first, and what was left out is said.

pub mod draft;
mod flow;
pub mod reviewer;
pub mod touched;
pub mod usage;
mod verdict;

pub use flow::{AgentReview, Proposal, Window};
pub use verdict::Reviewed;

use crumb_token::Timestamp;
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339};

/// Writes a moment as people and programs read it.
pub(crate) fn moment(at_unix_ms: u64) -> String {
    let at = i64::try_from(at_unix_ms / 1000).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| "a moment that cannot be written".to_owned())
}

/// Returns the day of a moment, in UTC.
fn day(at: Timestamp) -> Option<Date> {
    let seconds = i64::try_from(at.as_unix_s()).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds).ok().map(OffsetDateTime::date)
}
