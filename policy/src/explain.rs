//! Which rules matched for one input, and which did not.

use crate::{defect::Place, said::Voice, verdict::Verdict};
use serde::Serialize;

/// One head of a rule, for one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleTrace {
    /// Where it stands.
    pub place: Place,
    /// What it defines.
    pub name: Box<str>,
    /// What it speaks for; `None` for a rule that others use.
    pub voice: Option<Voice>,
    /// Whether it matched. A rule that nothing needed was not tried, and so did not match.
    pub matched: bool,
}

/// A verdict, with every rule of the policy in the order of files and lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// The rules.
    pub rules: Vec<RuleTrace>,
}
