//! What a contracted session may still have: of its envelope, the rights whose risk is low.
//!
//! The envelope itself stays as it was declared. What is low is looked up each time, in the registry of the moment.

use super::Held;
use crate::registry::{Risk, ToolServer};
use crumb_token::{Denial, Grant, Grants, Reason};

/// Refuses rights that are not of low risk while `contraction` lasts.
///
/// # Errors
///
/// `outside_envelope`, naming each, the rule that contracted the session, and what would pass.
pub fn inside_contraction(wanted: &Grants, server: &ToolServer, contraction: Option<&Held>) -> Result<(), Denial> {
    let Some(Held { session, finding, .. }) = contraction else { return Ok(()) };
    let is_low = |right: &&Grant| server.risk(&right.tool, &right.operation) == Some(Risk::Low);
    let (low, outside): (Vec<_>, Vec<_>) = wanted.iter().partition(is_low);
    if outside.is_empty() {
        return Ok(());
    }
    let rule = format!("envelope of {session}, contracted to low risk by {finding}");
    let denial = Denial::new(Reason::OutsideEnvelope)
        .asked(format!("{} at {}", listed(&outside), server.audience))
        .by(rule, "the broker's configuration");
    let resume = format!("have an operator resume it: `crumb session resume {session} --why …`");
    Err(denial.next(if low.is_empty() { resume } else { format!("this would pass: {}; or {resume}", listed(&low)) }))
}

fn listed(rights: &[&Grant]) -> String {
    rights.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
