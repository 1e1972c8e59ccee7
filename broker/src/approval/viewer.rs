//! Who looks at requests for approval, or acts on them: what the door proves, and what a person's token adds.
//!
//! A person never comes alone: an operator or a workload brings the token. The record names both, since a token in the
//! wrong hands is the one way to vote in somebody's name.

use super::Approver;
use crumb_token::{Owner, SpiffeId};
use std::{fmt, str::FromStr};

/// A text that is no SPIFFE ID, though it begins like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is neither an operator nor a SPIFFE ID")]
pub struct InvalidPresenter;

/// Who came through the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presenter {
    /// An operator, as the trail names one: `uid:0`.
    Operator(String),
    /// The mTLS peer.
    Workload(SpiffeId),
}

impl fmt::Display for Presenter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(name) => f.write_str(name),
            Self::Workload(id) => id.fmt(f),
        }
    }
}

impl FromStr for Presenter {
    type Err = InvalidPresenter;

    fn from_str(text: &str) -> Result<Self, InvalidPresenter> {
        if text.starts_with("spiffe://") {
            return text.parse().map(Self::Workload).map_err(|_| InvalidPresenter);
        }
        Ok(Self::Operator(text.to_owned()))
    }
}

/// A person's token as it was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Whose word it is, by the name in the broker's configuration.
    pub issuer: Box<str>,
    /// Who brought it.
    pub through: Presenter,
}

/// Who looks at requests for approval, or acts on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// An operator: sees all, and approves nothing.
    Operator(String),
    /// A workload, which may be a requester, an approver, or neither.
    Workload(SpiffeId),
    /// A person, by a token of an issuer of approvers.
    Person {
        /// Who, in lower case.
        person: Owner,
        /// How that is known.
        presented: Presented,
    },
}

impl From<Presenter> for Viewer {
    fn from(presenter: Presenter) -> Self {
        match presenter {
            Presenter::Operator(name) => Self::Operator(name),
            Presenter::Workload(id) => Self::Workload(id),
        }
    }
}

impl Viewer {
    /// Returns who votes; nobody for an operator.
    pub fn approver(&self) -> Option<Approver> {
        match self {
            Self::Operator(_) => None,
            Self::Workload(id) => Some(Approver::Workload(id.clone())),
            Self::Person { person, .. } => Some(Approver::Person(person.clone())),
        }
    }

    /// Returns how a person is known.
    pub fn presented(&self) -> Option<&Presented> {
        match self {
            Self::Person { presented, .. } => Some(presented),
            Self::Operator(_) | Self::Workload(_) => None,
        }
    }

    /// Returns who came through the door, as records name it.
    pub fn presenter(&self) -> String {
        match self {
            Self::Operator(name) => name.clone(),
            Self::Workload(id) => id.to_string(),
            Self::Person { presented, .. } => presented.through.to_string(),
        }
    }

    /// Says on whose word, for a record; nothing for whoever came himself.
    pub fn word(&self) -> String {
        match self {
            Self::Person { person, presented } => format!(" by {person} (token of {})", presented.issuer),
            Self::Operator(_) | Self::Workload(_) => String::new(),
        }
    }
}
