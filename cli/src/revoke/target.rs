//! What can be revoked or stopped, in the words of the command line.

use crate::scope::audience;
use crumb_proto::wire;
use crumb_token::{Owner, revocation};
use std::fmt;

/// What kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// One task token, and every call token made from it.
    Token,
    /// A session, and all below it.
    Session,
    /// An agent.
    Agent,
    /// One version of an agent, as agent@version.
    Version,
    /// All agents of one person.
    Owner,
    /// All tokens for one tool server: its SPIFFE ID or https URI, or a name of `crumb dev`'s.
    #[value(alias = "tool")]
    ToolServer,
    /// A signing key, by its number.
    Key,
    /// Everything on behalf of one person.
    Subject,
    /// All.
    Everything,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Agent => "agent",
            Self::Version => "version",
            Self::Owner => "owner",
            Self::ToolServer => "tool_server",
            Self::Key => "key",
            Self::Subject => "subject",
            Self::Everything => "everything",
        }
    }
}

/// One thing that can be revoked, well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    kind: Kind,
    name: String,
}

impl Target {
    /// Reads a target from its two words.
    pub(super) fn read(kind: Kind, name: Option<&str>) -> Result<Self, String> {
        let name = match (kind, name) {
            (Kind::Everything, None) => String::new(),
            (Kind::Everything, Some(_)) => return Err("everything has no name".into()),
            (_, None) => return Err(format!("which {}? name it", kind.word().replace('_', " "))),
            (Kind::Owner, Some(name)) => name.parse::<Owner>().map_err(|e| format!("owner: {e}"))?.to_string(),
            (Kind::ToolServer, Some(name)) => audience(name)?.to_string(),
            (_, Some(name)) => revocation::Target::from_words(kind.word(), name)
                .ok_or_else(|| format!("{name} is no {}", kind.word()))?
                .name(),
        };
        Ok(Self { kind, name })
    }

    /// Reads a target that can be stopped: of those things that go on.
    pub(super) fn read_stop(kind: Kind, name: Option<&str>) -> Result<Self, String> {
        match Self::read(kind, name)? {
            target if target.can_be_stopped() => Ok(target),
            _ => Err(format!(
                "a {} is ended by `crumb revoke`; agent, owner, tool, subject and everything are stopped",
                kind.word()
            )),
        }
    }

    /// Says whether it would go on after it was revoked, and can be stopped.
    pub(super) fn goes_on(&self) -> bool {
        self.can_be_stopped()
    }

    fn can_be_stopped(&self) -> bool {
        matches!(self.kind, Kind::Agent | Kind::Owner | Kind::ToolServer | Kind::Subject | Kind::Everything)
    }

    pub(super) fn revocation(&self, why: &str, stop: bool) -> wire::RevokeRequest {
        wire::RevokeRequest {
            kind: self.kind.word().to_owned(),
            name: self.name.clone(),
            why: why.to_owned(),
            dry_run: false,
            stop,
        }
    }

    pub(super) fn lifting(&self, why: &str) -> wire::LiftRequest {
        wire::LiftRequest { kind: self.kind.word().to_owned(), name: self.name.clone(), why: why.to_owned() }
    }
}

/// As the command line takes it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.word().replace('_', "-");
        if self.name.is_empty() { f.write_str(&kind) } else { write!(f, "{kind} {}", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_kind_and_writes_it_as_it_is_taken() {
        for (kind, name, text) in [
            (Kind::Agent, Some("bot"), "agent bot"),
            (Kind::Version, Some("bot@1.4.0"), "version bot@1.4.0"),
            (Kind::Owner, Some("bob@acme.example"), "owner bob@acme.example"),
            (Kind::ToolServer, Some("https://mail.acme.example/mcp"), "tool-server https://mail.acme.example/mcp"),
            (Kind::Key, Some("7"), "key 7"),
            (Kind::Everything, None, "everything"),
        ] {
            assert_eq!(Target::read(kind, name).expect(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_words_that_name_nothing() {
        for (kind, name) in [
            (Kind::Agent, None),
            (Kind::Agent, Some("*")),
            (Kind::Version, Some("bot")),
            (Kind::Session, Some("tok_01983f00000070008000000000000001")),
            (Kind::Owner, Some("")),
            (Kind::Key, Some("x")),
            (Kind::ToolServer, Some("http://plain.example")),
            (Kind::Everything, Some("x")),
        ] {
            assert!(Target::read(kind, name).is_err(), "{kind:?} {name:?}");
        }
    }

    #[test]
    fn only_what_goes_on_can_be_stopped() {
        assert!(Target::read_stop(Kind::Everything, None).is_ok());
        assert!(Target::read_stop(Kind::Agent, Some("bot")).is_ok());
        for (kind, name) in
            [(Kind::Key, "7"), (Kind::Version, "bot@1"), (Kind::Token, "tok_01983f00000070008000000000000001")]
        {
            assert!(Target::read_stop(kind, Some(name)).is_err(), "{kind:?}");
        }
    }
}
