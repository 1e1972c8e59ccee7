//! The rules of drift, as the configuration writes them: each with its threshold and what follows.

use serde::Deserialize;

/// What follows when a rule is broken, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A record in the trail, and nothing else.
    Note,
    /// Only rights of low risk, until somebody resumes the session.
    Contract,
    /// No tokens at all, until somebody resumes the session.
    Halt,
}

impl Action {
    /// Returns the word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Contract => "contract",
            Self::Halt => "halt",
        }
    }

    /// Reads it back.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Note, Self::Contract, Self::Halt].into_iter().find(|action| action.as_str() == word)
    }
}

/// All rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Refusals one after another.
    pub denials_in_a_row: DenialsInARow,
    /// A tool that no session of this kind has used.
    pub new_tool: NewTool,
    /// Many more calls than usual.
    pub calls_per_minute: CallsPerMinute,
}

/// Refusals without an allowed call between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenialsInARow {
    /// How many are too many; 2 to 10000. Default 20.
    pub threshold: u32,
    /// What follows. Default halt.
    pub action: Action,
}

impl Default for DenialsInARow {
    fn default() -> Self {
        Self { threshold: 20, action: Action::Halt }
    }
}

/// The first use of a tool that no other session of this kind has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewTool {
    /// How many other sessions there must have been, so that "never" means something; 1 to 1000000. Default 50.
    pub threshold: u32,
    /// What follows. Default contract.
    pub action: Action,
}

impl Default for NewTool {
    fn default() -> Self {
        Self { threshold: 50, action: Action::Contract }
    }
}

/// More calls in one minute than so many, and than so many times the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallsPerMinute {
    /// Up to this it is never too many, whatever is usual; 1 to 1000000. Default 300.
    pub threshold: u32,
    /// How many times the baseline is still usual; 2 to 1000. Default 10.
    pub times: u32,
    /// How many other sessions the baseline must come from; 1 to 1000000. Default 50.
    pub sessions: u32,
    /// What follows. Default contract.
    pub action: Action,
}

impl Default for CallsPerMinute {
    fn default() -> Self {
        Self { threshold: 300, times: 10, sessions: 50, action: Action::Contract }
    }
}

impl Rules {
    /// Walks every number with its name and the range that it has to be in.
    pub fn ranges(&self) -> [(&'static str, u64, u64, u64); 5] {
        let Self { denials_in_a_row: denials, new_tool, calls_per_minute: calls } = self;
        [
            ("drift.denials_in_a_row.threshold", denials.threshold.into(), 2, 10_000),
            ("drift.new_tool.threshold", new_tool.threshold.into(), 1, 1_000_000),
            ("drift.calls_per_minute.threshold", calls.threshold.into(), 1, 1_000_000),
            ("drift.calls_per_minute.times", calls.times.into(), 2, 1_000),
            ("drift.calls_per_minute.sessions", calls.sessions.into(), 1, 1_000_000),
        ]
    }
}
