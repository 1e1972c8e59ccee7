//! Who may approve: somebody of a group that is asked, and nobody who has a part in the ask.

use super::Approval;
use crate::{
    registry::{ApprovalRule, Member, Registry},
    session::Session,
};
use crumb_token::{Denial, Owner, Reason, SpiffeId};
use std::fmt;

/// Who votes, proven: by the SVID of the connection, or by an identity provider's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approver {
    /// A person.
    Person(Owner),
    /// A workload.
    Workload(SpiffeId),
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => person.fmt(f),
            Self::Workload(id) => id.fmt(f),
        }
    }
}

impl Approver {
    fn is(&self, member: &Member) -> bool {
        match (self, member) {
            (Self::Person(a), Member::Person(b)) => same_person(a.as_str(), b.as_str()),
            (Self::Workload(a), Member::Workload(b)) => a == b,
            _ => false,
        }
    }

    fn is_person(&self, name: &str) -> bool {
        matches!(self, Self::Person(person) if same_person(person.as_str(), name))
    }
}

/// Letters of a mail address count the same in both cases, so that nobody approves his own as `Bob@`.
fn same_person(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Returns the groups of the request that `approver` votes for.
///
/// # Errors
///
/// `not_an_approver`, for somebody of none of the groups, and for whoever has a part in the ask.
pub fn eligible(
    approval: &Approval,
    session: &Session,
    approver: &Approver,
    registry: &Registry,
) -> Result<Vec<String>, Denial> {
    let refuse = |rule: String| Err(Denial::new(Reason::NotAnApprover).asked(approval.id).by(rule, "the broker"));
    let groups = groups_of(approval, approver, registry);
    if groups.is_empty() {
        let wanted: Vec<&str> = approval.needs.iter().map(|need| need.group.as_str()).collect();
        return refuse(format!("somebody of {}", wanted.join(", ")));
    }
    match part_in(session, approver, registry) {
        None => Ok(groups),
        Some(part) => refuse(format!("not {part}")),
    }
}

/// Returns the groups of the request that `approver` is in. Whoever has left is in none.
pub fn groups_of(approval: &Approval, approver: &Approver, registry: &Registry) -> Vec<String> {
    let of = |rule: &&ApprovalRule| registry.approvers(rule).any(|member| approver.is(member));
    let rule_of = |group: &String| group.parse().ok().and_then(|name| registry.approval_rule(&name));
    let needed = approval.needs.iter().filter_map(|need| rule_of(&need.group));
    needed.filter(of).map(|rule| rule.name.to_string()).collect()
}

/// Returns which part `approver` has in what is asked, in words.
fn part_in(session: &Session, approver: &Approver, registry: &Registry) -> Option<&'static str> {
    let lineage = &session.lineage;
    if lineage.subject().is_some_and(|subject| approver.is_person(subject.name.as_str())) {
        return Some("whoever it is done for");
    }
    let agents = lineage.ancestors.iter().map(|above| &above.agent).chain([&session.agent]);
    let owners = agents.filter_map(|name| registry.agent(name)).map(|agent| &agent.owner).chain([&session.owner]);
    if owners.into_iter().any(|owner| approver.is_person(owner.as_str())) {
        return Some("the owner of an agent in the chain");
    }
    let Approver::Workload(id) = approver else { return None };
    let acts = *id == session.peer || lineage.actors.contains(id);
    let is_agent = registry.agents().any(|agent| agent.is_spoken_for_by(id));
    (acts || is_agent).then_some("a workload that acts as an agent")
}
