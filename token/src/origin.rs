//! What set a session off: a user's request, a schedule, or another agent.

use crate::{SessionId, bounded_text};
use std::fmt;

bounded_text! {
    /// Who asked: a user's name at their identity provider, or the name of a schedule.
    Principal, 254, |c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')
}

impl Principal {
    /// Returns the one spelling of it: letters of a mail address count the same in both cases. Others are as they are.
    #[must_use]
    pub fn in_one_spelling(self) -> Self {
        let is_mail = self.as_str().contains('@') && !self.as_str().contains("://");
        // Lower case has the same bytes otherwise, so it stays within the rules.
        if is_mail { self.as_str().to_ascii_lowercase().parse().unwrap_or(self) } else { self }
    }
}

/// How far an origin can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assurance {
    /// The agent said so.
    Asserted,
    /// The broker saw proof: a subject token, or the parent session itself.
    Verified,
}

impl Assurance {
    /// Returns the word that token and audit carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asserted => "asserted",
            Self::Verified => "verified",
        }
    }
}

/// Who or what set a session off.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A person asked.
    User {
        /// Who.
        name: Principal,
        /// How the broker knows.
        assurance: Assurance,
    },
    /// A timer or an event asked.
    Schedule {
        /// Which.
        name: Principal,
    },
    /// Another agent asked, from inside its own session.
    Agent {
        /// The parent session.
        session: SessionId,
    },
}

impl Origin {
    /// Returns the kind: `user`, `schedule` or `agent`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Schedule { .. } => "schedule",
            Self::Agent { .. } => "agent",
        }
    }

    /// Returns who or what, as text.
    pub fn name(&self) -> String {
        match self {
            Self::User { name, .. } | Self::Schedule { name } => name.to_string(),
            Self::Agent { session } => session.to_string(),
        }
    }

    /// Returns how far it can be believed. A schedule is what the agent says; a parent session is known to the broker.
    pub fn assurance(&self) -> Assurance {
        match self {
            Self::User { assurance, .. } => *assurance,
            Self::Schedule { .. } => Assurance::Asserted,
            Self::Agent { .. } => Assurance::Verified,
        }
    }

    /// Reads an origin back from its three words.
    pub fn from_words(kind: &str, name: &str, assurance: &str) -> Option<Self> {
        let origin = match (kind, assurance) {
            ("user", "asserted") => Self::User { name: name.parse().ok()?, assurance: Assurance::Asserted },
            ("user", "verified") => Self::User { name: name.parse().ok()?, assurance: Assurance::Verified },
            ("schedule", "asserted") => Self::Schedule { name: name.parse().ok()? },
            ("agent", "verified") => Self::Agent { session: name.parse().ok()? },
            _ => return None,
        };
        Some(origin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.kind(), self.name(), self.assurance().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_address_has_one_spelling() {
        let spelled = |text: &str| text.parse::<Principal>().expect("a name").in_one_spelling().to_string();
        assert_eq!(spelled("Bob@Acme.Example"), "bob@acme.example");
        assert_eq!(spelled("spiffe://td/A@b"), "spiffe://td/A@b");
        assert_eq!(spelled("U-17"), "U-17");
    }

    #[test]
    fn refuses_words_that_claim_too_much() {
        assert_eq!(Origin::from_words("schedule", "nightly", "verified"), None);
        assert_eq!(Origin::from_words("agent", "not-a-session", "verified"), None);
        assert_eq!(Origin::from_words("root", "x", "verified"), None);
    }
}
