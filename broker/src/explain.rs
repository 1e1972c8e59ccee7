//! Why: one answer for what was decided, and for what would be.
//!
//! Apart from the trail because an answer puts together what several records, the registry and the revocations say; apart from
//! the decision because it decides nothing: an ask that was never made goes through [`exchange`](crate::exchange) and
//! [`ruling`](crate::ruling) like any other, and only what they answer is told.
//!
//! # Invariants
//!
//! - Nothing is issued, counted or written here.
//! - A refusal is told by the same `Denial` that the asker got.
//! - No token, no key, no value of an argument and no Datalog is in an answer: there is none on record to begin with.

mod by_number;
mod clue;
mod dry_run;
mod handed;
mod hypothetical;
mod now;
mod steps;

pub use clue::{InvalidNumber, Number};
pub use hypothetical::Hypothetical;
pub(crate) use hypothetical::read;
pub use steps::{Outcome, Step};

use crate::audit::Record;
use crumb_token::Denial;

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A request, by the number that its caller gave.
    Request,
    /// A token.
    Token,
    /// A request for approval.
    Approval,
    /// A session.
    Session,
    /// One record.
    Record,
    /// An ask that was never made.
    Ask,
}

impl About {
    /// Returns the word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Token => "token",
            Self::Approval => "approval",
            Self::Session => "session",
            Self::Record => "record",
            Self::Ask => "ask",
        }
    }
}

/// What was decided, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed,
    /// No.
    Denied,
    /// Not before people have agreed.
    Waiting,
    /// Nothing is known by this number.
    Unknown,
}

impl Decision {
    /// Returns the word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the decision that a denial stands for; yes without one.
    fn of(denial: Option<&Denial>) -> Self {
        match denial.map(|denial| denial.reason) {
            None => Self::Allowed,
            Some(crumb_token::Reason::ApprovalNeeded) => Self::Waiting,
            Some(_) => Self::Denied,
        }
    }
}

/// The one answer.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What was asked about, as it was written; empty for an ask that was never made.
    pub id: String,
    /// What that is.
    pub about: About,
    /// What was decided.
    pub decision: Decision,
    /// What holds now, in a word; empty when nothing can have changed.
    pub state: &'static str,
    /// Who asked for what: a record of the trail with its number, or with 0 one that is not on it.
    pub record: Option<(u64, Record)>,
    /// Why not.
    pub denial: Option<Denial>,
    /// What was looked at, in order.
    pub steps: Vec<Step>,
    /// What an ask that was never made takes for granted.
    pub assumed: Vec<String>,
    /// What to do next.
    pub next: String,
}

impl Explanation {
    /// Says that nothing is known by a number, and how to find one that is.
    fn unknown(id: String, about: About, next: &str) -> Self {
        Self {
            id,
            about,
            decision: Decision::Unknown,
            state: "",
            record: None,
            denial: None,
            steps: Vec::new(),
            assumed: Vec::new(),
            next: next.to_owned(),
        }
    }
}
