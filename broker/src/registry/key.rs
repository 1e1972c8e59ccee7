//! The kinds of manifest, and the key that names one: its kind and its name.

use crumb_token::{bounded_text, text::InvalidText};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

bounded_text! {
    /// The name of a manifest, such as `docs-reader`. Lower-case letters, digits and `-` only: nothing that a path, a
    /// pattern, a query or another script could be read out of.
    ManifestName, 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

/// The kinds of manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// A piece of software that may act.
    Agent,
    /// What an agent can call.
    ToolServer,
    /// What agents of one sort have in common, approved beforehand.
    Persona,
    /// Rights that belong together, approved beforehand.
    ToolBundle,
    /// The texts of a policy.
    Policy,
    /// A group of people, and how many of them have to agree.
    ApprovalRule,
    /// Who has left.
    Directory,
}

/// A word that names no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a kind is one of Agent, ToolServer, Persona, ToolBundle, Policy, ApprovalRule and Directory")]
pub struct UnknownKind;

impl Kind {
    /// Every kind, in the order in which listings show them.
    pub const ALL: &[Self] = &[
        Self::Agent,
        Self::ToolServer,
        Self::Persona,
        Self::ToolBundle,
        Self::Policy,
        Self::ApprovalRule,
        Self::Directory,
    ];

    /// Returns the word of the manifest, such as `ToolServer`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::ToolServer => "ToolServer",
            Self::Persona => "Persona",
            Self::ToolBundle => "ToolBundle",
            Self::Policy => "Policy",
            Self::ApprovalRule => "ApprovalRule",
            Self::Directory => "Directory",
        }
    }

    /// Returns the word for sentences, such as `tool server`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::ToolServer => "tool server",
            Self::Persona => "persona",
            Self::ToolBundle => "tool bundle",
            Self::Policy => "policy",
            Self::ApprovalRule => "approval rule",
            Self::Directory => "directory",
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which manifest: names count per kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: ManifestName,
}

impl Key {
    /// Names a manifest.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] when no manifest can have this name.
    pub fn new(kind: Kind, name: &str) -> Result<Self, InvalidText> {
        Ok(Self { kind, name: name.parse()? })
    }

    /// Returns the name of the file that an export writes it to, such as `tool-server-files.yaml`.
    pub fn file_name(&self) -> String {
        format!("{}-{}.yaml", self.kind.noun().replace(' ', "-"), self.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_back_from_their_words() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert_eq!("agent".parse::<Kind>(), Err(UnknownKind));
    }

    #[test]
    fn a_name_is_no_path_no_pattern_no_query_and_of_one_script() {
        for bad in [
            "",
            "*",
            "research-*",
            "a/b",
            "..",
            "../../etc/passwd",
            ".hidden",
            "a\0",
            "a\nb",
            "a\u{1b}[31m",
            "a b",
            "A",
            "x\"), right($a, $b) <- agent($a)",
            "allow if true",
            "input.agent",
            "a;drop",
            "p\u{430}ypal",
            "\u{430}dmin",
            "re\u{455}earch-bot",
            "\u{ff41}gent",
            "a\u{200b}b",
            "a\u{202e}b",
            &"a".repeat(65),
        ] {
            assert!(Key::new(Kind::Persona, bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            Key::new(Kind::ToolServer, "files").map(|key| key.file_name()).as_deref(),
            Ok("tool-server-files.yaml")
        );
    }
}
