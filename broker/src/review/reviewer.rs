//! Who may review what an agent may do: the same people who may approve, and for the same reasons not its owner.
//!
//! The owner wrote the manifest; a review is the second pair of eyes on it. A workload reviews nothing, and an operator
//! brings a person's word without having one.

use crate::{
    approval::{Presented, Viewer},
    registry::{Agent, Member, Registry},
};
use crumb_token::{Denial, Owner, Reason};

/// Somebody who may review an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewer {
    /// Who.
    pub person: Owner,
    /// How that is known.
    pub presented: Presented,
}

impl Reviewer {
    /// Admits whoever looks as a reviewer of `agent`.
    ///
    /// # Errors
    ///
    /// `not_an_approver`, with what stands in the way.
    pub fn admit(viewer: &Viewer, agent: &Agent, registry: &Registry) -> Result<Self, Denial> {
        let refuse = |rule: &str, next: &str| {
            let denial = Denial::new(Reason::NotAnApprover).asked(format!("a review of agent {}", agent.name));
            Err(denial.by(rule, "the broker").next(next))
        };
        let Viewer::Person { person, presented } = viewer else {
            return refuse("a review has a named reviewer", "say who reviews, with their token: --token-file");
        };
        let is_same = |other: &Owner| other.as_str().eq_ignore_ascii_case(person.as_str());
        if is_same(&agent.owner) {
            let next = "have somebody else of a group of approvers review it";
            return refuse("not whoever answers for the agent", next);
        }
        let is_member = |member: &Member| matches!(member, Member::Person(other) if is_same(other));
        if !registry.approval_rules().any(|rule| registry.approvers(rule).any(is_member)) {
            let next = "have somebody of a registered group review it: `crumb get groups`";
            return refuse("somebody of a group of approvers", next);
        }
        Ok(Self { person: person.clone(), presented: presented.clone() })
    }
}
