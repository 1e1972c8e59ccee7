//! The kill switch: what operators have stopped, so that nothing of it is issued until they lift it.
//!
//! Apart from the registry because a stop is an act of the moment and not of a manifest: it holds whatever is applied
//! meanwhile. Revoking what was issued before is done together with it; this is only about what would come next.

mod switch;

pub use switch::{Pull, Switch};

use crumb_token::{AgentName, Audience, Denial, Owner, Reason, Timestamp, origin::Principal};
use std::{collections::BTreeMap, fmt};

/// What can be stopped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One agent.
    Agent(AgentName),
    /// All agents of one person.
    Owner(Owner),
    /// All tokens for one tool server.
    ToolServer(Audience),
    /// Everything on behalf of one person.
    Subject(Principal),
    /// All.
    Everything,
}

impl Scope {
    /// Reads a scope from its two words; `None` when it is none.
    pub fn from_words(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "agent" => name.parse().ok().map(Self::Agent),
            "owner" => name.to_ascii_lowercase().parse().ok().map(Self::Owner),
            "tool_server" => name.parse().ok().map(Self::ToolServer),
            "subject" => name.parse().ok().map(Principal::in_one_spelling).map(Self::Subject),
            "everything" => name.is_empty().then_some(Self::Everything),
            _ => None,
        }
    }

    /// Returns the word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Owner(_) => "owner",
            Self::ToolServer(_) => "tool_server",
            Self::Subject(_) => "subject",
            Self::Everything => "everything",
        }
    }

    /// Returns which one; empty for everything.
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(name) => name.as_str(),
            Self::Owner(owner) => owner.as_str(),
            Self::ToolServer(audience) => audience.as_str(),
            Self::Subject(name) => name.as_str(),
            Self::Everything => "",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            other => write!(f, "{}:{}", other.kind(), other.name()),
        }
    }
}

/// Who stopped something, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Since when.
    pub since: Timestamp,
    /// Which operator.
    pub by: String,
    /// In one sentence.
    pub why: String,
}

/// Everything that is stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stops(BTreeMap<Scope, Stop>);

impl FromIterator<(Scope, Stop)> for Stops {
    fn from_iter<I: IntoIterator<Item = (Scope, Stop)>>(stops: I) -> Self {
        Self(stops.into_iter().collect())
    }
}

impl Stops {
    /// The most stops at once.
    pub const LEN_MAX: usize = 1_000;

    /// Returns the stop of exactly this.
    pub fn get(&self, scope: &Scope) -> Option<&Stop> {
        self.0.get(scope)
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether nothing is stopped.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns these with another stop of `scope`, or with none.
    #[must_use]
    pub fn with(&self, scope: &Scope, stop: Option<Stop>) -> Self {
        let mut next = self.0.clone();
        match stop {
            Some(stop) => next.insert(scope.clone(), stop),
            None => next.remove(scope),
        };
        Self(next)
    }

    /// Walks them.
    pub fn iter(&self) -> impl Iterator<Item = (&Scope, &Stop)> {
        self.0.iter()
    }

    /// Refuses whatever an agent asks for while it, its owner, or the person behind it is stopped.
    ///
    /// # Errors
    ///
    /// `stopped`.
    pub fn check_agent(
        &self,
        agent: &AgentName,
        owner: Option<&Owner>,
        subject: Option<&Principal>,
    ) -> Result<(), Denial> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.check(Scope::Everything)?;
        self.check(Scope::Agent(agent.clone()))?;
        owner.map_or(Ok(()), |owner| self.check(owner_scope(owner)))?;
        subject.map_or(Ok(()), |name| self.check(Scope::Subject(name.clone())))
    }

    /// Refuses tokens for a tool server that is stopped.
    ///
    /// # Errors
    ///
    /// `stopped`.
    pub fn check_tool_server(&self, audience: &Audience) -> Result<(), Denial> {
        if self.0.is_empty() { Ok(()) } else { self.check(Scope::ToolServer(audience.clone())) }
    }

    fn check(&self, scope: Scope) -> Result<(), Denial> {
        let Some(stop) = self.0.get(&scope) else { return Ok(()) };
        Err(Denial::new(Reason::Stopped).asked(&scope).by(format!("kill switch: {}", stop.why), &stop.by))
    }
}

/// People are stopped whatever the case of their address is.
fn owner_scope(owner: &Owner) -> Scope {
    Scope::Owner(owner.as_str().to_ascii_lowercase().parse().unwrap_or_else(|_| owner.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(kind: &str, name: &str) -> Stops {
        let stop = Stop { since: Timestamp::from_unix_s(1), by: "uid:0".into(), why: "it went astray".into() };
        [(Scope::from_words(kind, name).expect("a scope"), stop)].into_iter().collect()
    }

    #[test]
    fn refuses_what_is_stopped_and_says_who_did_it() {
        let audience = "spiffe://td/tool".parse().expect("an audience");
        let denial = stops("tool_server", "spiffe://td/tool").check_tool_server(&audience).expect_err("stopped");
        assert_eq!((denial.reason, denial.author.as_str()), (Reason::Stopped, "uid:0"));
        assert!(stops("tool_server", "spiffe://td/tool-2").check_tool_server(&audience).is_ok());
    }

    #[test]
    fn refuses_words_that_name_nothing() {
        for (kind, name) in [("agent", "*"), ("everything", "x"), ("session", "ses_1"), ("", ""), ("owner", "")] {
            assert_eq!(Scope::from_words(kind, name), None, "{kind}:{name}");
        }
    }
}
