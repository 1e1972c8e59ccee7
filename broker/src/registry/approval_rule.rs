//! A group of people by name, and how many of them have to agree.

use super::{ManifestName, owner::Person};
use crumb_token::{Owner, SpiffeId};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// Somebody who is no person by mail address and no workload by SPIFFE ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a member is the mail address of one person, or a SPIFFE ID")]
pub struct InvalidMember;

/// One who may approve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// A person.
    Person(Owner),
    /// A workload, such as the portal that people approve in.
    Workload(SpiffeId),
}

impl FromStr for Member {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Self, InvalidMember> {
        if text.starts_with("spiffe://") {
            return text.parse().map(Self::Workload).map_err(|_| InvalidMember);
        }
        text.parse().map(|Person(owner)| Self::Person(owner)).map_err(|_| InvalidMember)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(owner) => owner.fmt(f),
            Self::Workload(id) => id.fmt(f),
        }
    }
}

/// A group of approvers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRule {
    /// The group's name: what policies and tool servers refer to.
    pub name: ManifestName,
    /// The person who answers for it.
    pub owner: Owner,
    /// Who may approve. Whoever has left is in it no more, whatever the manifest says.
    pub members: BTreeSet<Member>,
    /// How many of them have to.
    pub count: u32,
}

impl ApprovalRule {
    /// The most members of one group.
    pub const MEMBERS_MAX: usize = 256;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_one_person_or_one_workload() {
        assert!(matches!("ada@acme.example".parse(), Ok(Member::Person(_))));
        assert!(matches!("spiffe://acme.example/portal".parse(), Ok(Member::Workload(_))));
        for bad in ["", "ada", "security@acme.example", "spiffe://acme.example", "spiffe://acme.example/*", "a b@c.d"] {
            assert!(bad.parse::<Member>().is_err(), "{bad:?}");
        }
    }
}
