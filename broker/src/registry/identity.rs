//! The SPIFFE IDs that an agent's own workloads have: one, or one per instance.

use crumb_token::SpiffeId;
use std::{fmt, str::FromStr};

/// A text that is no pattern of SPIFFE IDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern is a SPIFFE ID and one last segment `/*`, such as spiffe://acme.example/agent/research-bot/*")]
pub struct InvalidPattern;

/// The SPIFFE IDs of all instances of one agent: an ID, and any one segment below it.
///
/// At least one segment is spelled out, so that no pattern takes in a whole trust domain, and the wildcard is one whole
/// segment, so that two patterns overlap only when they are the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpiffeIdPattern {
    above: SpiffeId,
}

impl SpiffeIdPattern {
    /// Says whether `id` is the identity of an instance.
    pub fn covers(&self, id: &SpiffeId) -> bool {
        let rest = id.as_str().strip_prefix(self.above.as_str()).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|segment| !segment.contains('/'))
    }
}

impl FromStr for SpiffeIdPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let above = text.strip_suffix("/*").ok_or(InvalidPattern)?;
        above.parse().map(|above| Self { above }).map_err(|_| InvalidPattern)
    }
}

impl fmt::Display for SpiffeIdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/*", self.above)
    }
}

impl fmt::Debug for SpiffeIdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who an agent's own workloads are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentIdentity {
    /// One identity.
    One(SpiffeId),
    /// An identity per instance; an instance needs no registration of its own.
    PerInstance(SpiffeIdPattern),
}

impl AgentIdentity {
    /// Says whether `id` is the agent's own.
    pub fn is(&self, id: &SpiffeId) -> bool {
        match self {
            Self::One(one) => one == id,
            Self::PerInstance(pattern) => pattern.covers(id),
        }
    }

    /// Says whether some ID would be both this agent's and the other's.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(id), identity) | (identity, Self::One(id)) => identity.is(id),
            (Self::PerInstance(a), Self::PerInstance(b)) => a == b,
        }
    }

    /// Says whether instances have identities of their own.
    pub fn is_per_instance(&self) -> bool {
        matches!(self, Self::PerInstance(_))
    }
}

impl fmt::Display for AgentIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(id) => id.fmt(f),
            Self::PerInstance(pattern) => pattern.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> AgentIdentity {
        AgentIdentity::One(text.parse().expect("an id"))
    }

    fn many(text: &str) -> AgentIdentity {
        AgentIdentity::PerInstance(text.parse().expect("a pattern"))
    }

    #[test]
    fn a_pattern_covers_one_segment_and_nothing_else() {
        let bots = many("spiffe://td/agent/bot/*");
        for (id, covered) in [
            ("spiffe://td/agent/bot/7f3a", true),
            ("spiffe://td/agent/bot", false),
            ("spiffe://td/agent/bot/7f3a/x", false),
            ("spiffe://td/agent/bots/7f3a", false),
            ("spiffe://td/agent/bot2", false),
            ("spiffe://other/agent/bot/7f3a", false),
        ] {
            assert_eq!(bots.is(&id.parse().expect("an id")), covered, "{id}");
        }
    }

    #[test]
    fn refuses_every_other_wildcard() {
        for bad in [
            "",
            "*",
            "spiffe://td/*",
            "spiffe://*/agent/*",
            "spiffe://td/agent/bot-*",
            "spiffe://td/*/bot/*",
            "spiffe://td/agent/**",
            "spiffe://td/agent/*/",
            "spiffe://td/agent/bot",
            "spiffe://td/agent//*",
            "spiffe://td/../*",
            "spiffe://TD/agent/*",
        ] {
            assert!(bad.parse::<SpiffeIdPattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identities_overlap_when_one_id_would_be_both() {
        let (bots, bot) = (many("spiffe://td/agent/bot/*"), one("spiffe://td/agent/bot/1"));
        assert!(bots.overlaps(&bot) && bot.overlaps(&bots) && bots.overlaps(&bots) && bot.overlaps(&bot));
        assert!(!bots.overlaps(&one("spiffe://td/agent/bot")));
        assert!(!bots.overlaps(&many("spiffe://td/agent/other/*")));
        assert!(!bots.overlaps(&many("spiffe://td/agent/bot/1/*")));
    }
}
