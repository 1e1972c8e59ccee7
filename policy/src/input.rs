//! What a policy decides on: who asks, in which session, for whom, for what, and when.
//!
//! The fields are the words of `crumb-token`, so that a value of this type is well-formed; as JSON they are what rules see
//! under `input`. `docs/policy.md` has the table of them. Adding a field is compatible; a rule that names a field which is
//! not here is refused when its bundle is checked.

mod example;
mod moment;
mod words;

pub use moment::Moment;

use crate::verdict::GroupName;
use crumb_token::{
    AgentName, Audience, Environment, Grants, Intent, Operation, Origin, Owner, ResourcePattern, SessionId, SpiffeId,
    ToolName, Version, bounded_text,
    claims::Claims,
    origin::{Assurance, Principal},
    text::is_printable,
};
use serde::{Deserialize, Serialize};

bounded_text! {
    /// What an agent is for, in one sentence, as its manifest says.
    Purpose, 500, is_printable
}

bounded_text! {
    /// The name of a persona: the kind of work that an agent was approved for.
    PersonaName, 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

bounded_text! {
    /// The model that an agent runs on, as its manifest says.
    Model, 128, |c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')
}

bounded_text! {
    /// The path of the program that a process runs, as the kernel told it.
    Exe, 1024, is_printable
}

bounded_text! {
    /// The name that the broker's configuration gives to who vouched for a subject.
    IssuerName, 64, |c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')
}

/// How much harm a tool can do, as its tool server is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Reads what is not secret.
    Low,
    /// Changes what can be changed back.
    Medium,
    /// Cannot be undone, or reaches outside.
    High,
}

/// The agent, as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFacts {
    /// Its registered name.
    #[serde(with = "words")]
    pub name: AgentName,
    /// Its registered version.
    #[serde(with = "words")]
    pub version: Version,
    /// The person who answers for it.
    #[serde(with = "words")]
    pub owner: Owner,
    /// Where it is registered to run.
    #[serde(with = "words")]
    pub environment: Environment,
    /// What it is for.
    #[serde(with = "words")]
    pub purpose: Purpose,
    /// The persona it was approved for, if any.
    #[serde(with = "words::option")]
    pub persona: Option<PersonaName>,
    /// The model it runs on, if registered.
    #[serde(with = "words::option")]
    pub model: Option<Model>,
}

/// The process that asks, as the kernel and its SVID say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceFacts {
    /// The SPIFFE ID that the token will be bound to.
    #[serde(with = "words")]
    pub spiffe_id: SpiffeId,
    /// Its process, when a sidecar saw it.
    pub process: Option<ProcessFacts>,
}

/// A process, as the kernel of its host told the sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessFacts {
    /// The user it runs as.
    pub uid: u32,
    /// The program it runs, when the kernel would tell.
    #[serde(with = "words::option")]
    pub exe: Option<Exe>,
}

/// The session in which it asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFacts {
    /// Its id.
    #[serde(with = "words")]
    pub id: SessionId,
    /// What it said it will do. Written by the agent: a text to show, not one to decide by.
    #[serde(with = "words")]
    pub intent: Intent,
    /// How many sessions stand above it; 0 when no other agent opened it.
    pub depth: u8,
    /// Seconds since it was opened.
    pub opened_s_ago: u64,
    /// How long it said it will take, in seconds.
    pub expected_duration_s: u64,
    /// The highest risk of what its envelope holds.
    pub risk: Risk,
}

/// On whose behalf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectFacts {
    /// Who.
    #[serde(with = "words")]
    pub name: Principal,
    /// Who vouched for them.
    #[serde(with = "words")]
    pub issuer: IssuerName,
    /// How far that can be believed.
    #[serde(with = "words::assurance")]
    pub assurance: Assurance,
}

/// One right that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedGrant {
    /// The tool.
    #[serde(with = "words")]
    pub tool: ToolName,
    /// What it may do.
    #[serde(with = "words")]
    pub operation: Operation,
    /// What it may do it to: one resource, or those under a prefix.
    #[serde(with = "words")]
    pub resource: ResourcePattern,
    /// The tool's risk, as its tool server is registered.
    pub risk: Risk,
}

/// What is asked for. The rights are those that manifest and envelope already cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskFacts {
    /// The tool server.
    #[serde(with = "words")]
    pub audience: Audience,
    /// The group that reviews what this tool server does, if it has one.
    pub reviewers: Option<GroupName>,
    /// The rights, at most [`Grants::LEN_MAX`].
    pub grants: Vec<AskedGrant>,
    /// The lifetime, in seconds.
    pub ttl_s: u32,
    /// SHA-256 of the arguments, in hex, when the ask names one call.
    #[serde(with = "words::digest")]
    pub args_digest: Option<[u8; 32]>,
}

/// What this agent was given before. Counted by the broker that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Tokens in the last minute.
    pub issued_last_minute: u32,
    /// Tokens in the last hour.
    pub issued_last_hour: u32,
    /// Denials in the last hour.
    pub denied_last_hour: u32,
    /// Tokens in this session.
    pub tokens_in_session: u32,
}

/// One ask and its circumstances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Who is registered.
    pub agent: AgentFacts,
    /// Which process asks.
    pub instance: InstanceFacts,
    /// In which session.
    pub session: SessionFacts,
    /// What set the session off.
    #[serde(with = "words::origin")]
    pub origin: Origin,
    /// On whose behalf, when somebody's.
    pub subject: Option<SubjectFacts>,
    /// Those who acted before, nearest first, at most [`Claims::ACTORS_MAX`].
    #[serde(with = "words::list")]
    pub actors: Vec<SpiffeId>,
    /// What is asked for.
    pub ask: AskFacts,
    /// When.
    pub time: Moment,
    /// Where the broker runs.
    #[serde(with = "words")]
    pub environment: Environment,
    /// What went before.
    pub history: History,
}

impl Input {
    /// Returns what rules see.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        // Strings, numbers and arrays of them; there is nothing in it that JSON cannot hold.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Says whether there is no more of anything than one token can hold, which also bounds what an evaluation costs.
    pub(crate) fn is_within_limits(&self) -> bool {
        self.ask.grants.len() <= Grants::LEN_MAX && self.actors.len() <= Claims::ACTORS_MAX
    }
}
