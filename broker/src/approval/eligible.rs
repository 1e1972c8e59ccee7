//! Who may approve: somebody of a group that is asked, and nobody who has a part in the ask.

use super::{Need, Presented, Presenter, Said, Vote};
use crate::{
    registry::{ApprovalRule, Member, Registry},
    session::Session,
};
use crumb_token::{Denial, Owner, Reason, SpiffeId};
use std::{fmt, str::FromStr};

/// A text that names neither a person nor a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an approver is a person's name or a SPIFFE ID")]
pub struct InvalidApprover;

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

impl FromStr for Approver {
    type Err = InvalidApprover;

    fn from_str(text: &str) -> Result<Self, InvalidApprover> {
        if text.starts_with("spiffe://") {
            return text.parse().map(Self::Workload).map_err(|_| InvalidApprover);
        }
        text.to_ascii_lowercase().parse().map(Self::Person).map_err(|_| InvalidApprover)
    }
}

impl Approver {
    /// Says whether both are one and the same, however a person's name is written.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Person(a), Self::Person(b)) => same_person(a.as_str(), b.as_str()),
            (Self::Workload(a), Self::Workload(b)) => a == b,
            _ => false,
        }
    }

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

/// Who may vote on an ask, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Electorate<'a> {
    /// How many of which groups have to agree.
    pub needs: &'a [Need],
    /// For which session.
    pub session: &'a Session,
    /// Who is in the groups, and whose agents there are.
    pub registry: &'a Registry,
}

impl Electorate<'_> {
    /// Returns the groups that `approver` votes for. For a person, whoever brought the token counts as well.
    ///
    /// # Errors
    ///
    /// `not_an_approver`, for somebody of none of the groups, and for whoever has a part in the ask.
    pub fn admit(&self, approver: &Approver, presented: Option<&Presented>) -> Result<Vec<String>, Denial> {
        let refuse = |rule: String| Err(Denial::new(Reason::NotAnApprover).asked(approver).by(rule, "the broker"));
        let groups = groups_of(self.needs, approver, self.registry);
        if groups.is_empty() {
            let wanted: Vec<&str> = self.needs.iter().map(|need| need.group.as_str()).collect();
            return refuse(format!("somebody of {}", wanted.join(", ")));
        }
        if let Some(part) = self.part_of(approver) {
            return refuse(format!("not {part}"));
        }
        let Some(Presenter::Workload(id)) = presented.map(|token| &token.through) else { return Ok(groups) };
        match self.part_of(&Approver::Workload(id.clone())) {
            None => Ok(groups),
            Some(part) => refuse(format!("a person's word is not brought by {part}")),
        }
    }

    /// Says whether these votes are enough, counting those alone who may vote now.
    pub fn is_satisfied_by(&self, votes: &[Vote]) -> bool {
        let yes = || votes.iter().filter(|vote| matches!(vote.said, Said::Yes { .. }));
        let now: Vec<Vec<String>> =
            yes().filter_map(|vote| self.admit(&vote.approver, vote.presented.as_ref()).ok()).collect();
        let agreed = |need: &Need| now.iter().filter(|groups| groups.contains(&need.group)).count();
        self.needs.iter().all(|need| u32::try_from(agreed(need)).is_ok_and(|agreed| agreed >= need.count))
    }

    /// Returns which part `approver` has in what is asked, in words.
    fn part_of(&self, approver: &Approver) -> Option<&'static str> {
        let Self { session, registry, .. } = self;
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
}

/// Returns the groups of `needs` that `approver` is in. Whoever has left is in none.
pub fn groups_of(needs: &[Need], approver: &Approver, registry: &Registry) -> Vec<String> {
    let of = |rule: &&ApprovalRule| registry.approvers(rule).any(|member| approver.is(member));
    let rule_of = |group: &String| group.parse().ok().and_then(|name| registry.approval_rule(&name));
    let needed = needs.iter().filter_map(|need| rule_of(&need.group));
    needed.filter(of).map(|rule| rule.name.to_string()).collect()
}
