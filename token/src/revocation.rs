//! What a revocation is about.

use crate::{
    AgentName, Audience, Claims, KeyId, SessionId, TokenId, Version,
    handover::{Delegate, Hop},
    origin::Principal,
};
use std::fmt;

/// The tokens that one revocation ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One token, and every call token made from it.
    Token(TokenId),
    /// A session and all its tokens, and all tokens of the sessions below it.
    Session(SessionId),
    /// An agent and all its tokens.
    Agent(AgentName),
    /// One version of an agent, and the tokens of that version.
    Version(AgentName, Version),
    /// A tool server, and all tokens for it.
    ToolServer(Audience),
    /// A person, and all tokens on that person's behalf.
    Subject(Principal),
    /// A signing key and all it signed.
    Key(KeyId),
}

impl Target {
    /// Returns the word for its kind, such as `tool_server`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Session(_) => "session",
            Self::Agent(_) => "agent",
            Self::Version(..) => "version",
            Self::ToolServer(_) => "tool_server",
            Self::Subject(_) => "subject",
            Self::Key(_) => "key",
        }
    }

    /// Returns which one, as text. A version is `agent@version`.
    pub fn name(&self) -> String {
        match self {
            Self::Token(id) => id.to_string(),
            Self::Session(id) => id.to_string(),
            Self::Agent(name) => name.to_string(),
            Self::Version(agent, version) => format!("{agent}@{version}"),
            Self::ToolServer(audience) => audience.to_string(),
            Self::Subject(name) => name.to_string(),
            Self::Key(id) => id.0.to_string(),
        }
    }

    /// Reads a target back from its two words.
    pub fn from_words(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "token" => name.parse().ok().map(Self::Token),
            "session" => name.parse().ok().map(Self::Session),
            "agent" => name.parse().ok().map(Self::Agent),
            "version" => {
                let (agent, version) = name.split_once('@')?;
                Some(Self::Version(agent.parse().ok()?, version.parse().ok()?))
            }
            "tool_server" => name.parse().ok().map(Self::ToolServer),
            "subject" => name.parse().ok().map(Self::Subject),
            "key" => name.parse().ok().map(|id| Self::Key(KeyId(id))),
            _ => None,
        }
    }

    /// Says whether it is of something that goes on afterwards, so that only what was issued until then is ended. What
    /// cannot come back is ended whenever it says it was issued.
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Agent(_) | Self::Version(..) | Self::ToolServer(_) | Self::Subject(_))
    }
}

/// Walks everything that ends a token of these claims when it is revoked, but for the key that signed it: the token itself,
/// its session and those above, the agent of each and that version of it, its tool server, and on whose behalf it is.
pub fn targets(claims: &Claims) -> impl Iterator<Item = Target> + '_ {
    let own = (claims.session, &claims.agent, &claims.version);
    let above = claims.ancestors.iter().map(|above| (above.session, &above.agent, &above.version));
    let steps = above.chain([own]).flat_map(|(session, agent, version)| {
        [Target::Session(session), Target::Agent(agent.clone()), Target::Version(agent.clone(), version.clone())]
    });
    let subject = claims.subject.iter().map(|subject| Target::Subject(subject.name.clone()));
    std::iter::once(Target::Token(claims.token))
        .chain(steps)
        .chain([Target::ToolServer(claims.audience.clone())])
        .chain(subject)
}

/// Walks what ends a token that made this hop, when it is revoked: the agent that it went to, and that version of it.
pub fn hop_targets(hop: &Hop) -> [Target; 2] {
    let Delegate { agent, version, .. } = &hop.to;
    [Target::Agent(agent.clone()), Target::Version(agent.clone(), version.clone())]
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_from_its_words() {
        for (kind, name) in [
            ("token", "tok_01983f00000070008000000000000001"),
            ("session", "ses_01983f00000070008000000000000001"),
            ("agent", "research-bot"),
            ("version", "research-bot@1.4.0"),
            ("tool_server", "https://mail.acme.example/mcp"),
            ("subject", "bob@acme.example"),
            ("key", "7"),
        ] {
            let target = Target::from_words(kind, name).expect(kind);
            assert_eq!((target.kind(), target.name().as_str()), (kind, name));
        }
    }

    #[test]
    fn refuses_words_that_name_nothing() {
        for (kind, name) in
            [("agent", ""), ("agent", "*"), ("version", "research-bot"), ("key", "x"), ("owner", "a@b.c"), ("", "")]
        {
            assert_eq!(Target::from_words(kind, name), None, "{kind}:{name}");
        }
    }
}
