//! The registry: who may act, and what may be called, as manifests.
//!
//! Apart because it is the only thing an exchange is held against that people write. A [`Registry`] is one immutable
//! snapshot; it is made whole or not at all, from a [directory](Registry::load) or by a [plan] from what the
//! store keeps and what somebody applies.
//!
//! # Invariants
//!
//! - Every scope of an agent names a registered tool server, and tools and operations that the server has.
//! - Names are unique per kind, audiences per tool server, and no SPIFFE ID is two agents'.
//! - Every manifest is owned by a named human.
//! - An agent's rights are never above the ceiling of its persona.
//! - A registry with one wrong manifest is no registry; all errors are told at once.

mod agent;
pub(crate) mod amend;
mod approval_rule;
mod catalogue;
mod check;
mod directory;
mod document;
mod identity;
mod key;
pub mod lifecycle;
mod line;
mod load;
mod manifest;
mod moment;
mod owner;
mod parsed;
pub mod plan;
mod policy;
mod process;
mod resource_version;
mod shelf;
mod standing;
#[cfg(test)]
mod tests;
mod tool_server;
pub mod widening;

pub use agent::{Agent, Model, Purpose};
pub use approval_rule::{ApprovalRule, InvalidMember, Member};
pub use catalogue::{Persona, Scopes, ToolBundle};
pub use directory::Directory;
pub use identity::{AgentIdentity, InvalidPattern, SpiffeIdPattern};
pub use key::{Key, Kind, ManifestName, UnknownKind};
pub use lifecycle::Lifecycle;
pub use load::{Defect, ManifestFile, UnusableRegistry};
pub use owner::NotAPerson;
pub use policy::Policy;
pub use process::{Executable, InvalidExecutable, InvalidSha256, ProcessRule, Sha256Digest};
pub use shelf::{Author, Edit, Edits, Kept, Shelf};
pub use standing::Flag;
pub use tool_server::{
    ArgumentName, HostPort, InvalidHostPort, Prefix, ResourceFrom, Risk, Tool, ToolServer, ToolServerName,
};

use crumb_token::{AgentName, Audience};
use std::{collections::BTreeMap, path::Path};

/// One snapshot of all manifests.
#[derive(Debug)]
pub struct Registry {
    agents: BTreeMap<AgentName, Agent>,
    tool_servers: BTreeMap<Audience, ToolServer>,
    personas: BTreeMap<ManifestName, Persona>,
    bundles: BTreeMap<ManifestName, ToolBundle>,
    policies: BTreeMap<ManifestName, Policy>,
    approval_rules: BTreeMap<ManifestName, ApprovalRule>,
    directories: BTreeMap<ManifestName, Directory>,
    version: Box<str>,
    /// The number of the newest version of any manifest that is in it.
    revision: u64,
}

impl Registry {
    /// The most manifests in one registry; the snapshot is held in memory and listed in one answer.
    pub const LEN_MAX: usize = 1_000;

    /// The most text of all manifests together, in bytes; they are exported in one answer.
    pub const TEXT_LEN_MAX: usize = 2 * 1024 * 1024;

    /// Returns the number of the newest version of any manifest that is in it, as the store counts them; 0 for a registry that
    /// the store does not have.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Reads every `*.yaml` and `*.yml` file of `directory`, not of the directories in it, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`UnusableRegistry`] with every defect found: file, line and reason.
    pub fn load(directory: &Path) -> Result<Self, UnusableRegistry> {
        load::directory(directory)
    }

    /// Returns an agent by its registered name.
    pub fn agent(&self, name: &AgentName) -> Option<&Agent> {
        self.agents.get(name)
    }

    /// Returns a tool server by its audience.
    pub fn tool_server(&self, audience: &Audience) -> Option<&ToolServer> {
        self.tool_servers.get(audience)
    }

    /// Returns a persona by its name.
    pub fn persona(&self, name: &ManifestName) -> Option<&Persona> {
        self.personas.get(name)
    }

    /// Returns a tool bundle by its name.
    pub fn bundle(&self, name: &ManifestName) -> Option<&ToolBundle> {
        self.bundles.get(name)
    }

    /// Returns a policy by its name.
    pub fn policy(&self, name: &ManifestName) -> Option<&Policy> {
        self.policies.get(name)
    }

    /// Returns a group of approvers by its name.
    pub fn approval_rule(&self, name: &ManifestName) -> Option<&ApprovalRule> {
        self.approval_rules.get(name)
    }

    /// Returns a list of people who have left by its name.
    pub fn directory(&self, name: &ManifestName) -> Option<&Directory> {
        self.directories.get(name)
    }

    /// Walks everybody who has left: mail addresses in lower case.
    pub fn departed(&self) -> impl Iterator<Item = &str> {
        self.directories.values().flat_map(|directory| directory.departed.iter().map(String::as_str))
    }

    /// Returns those of a group who may approve now: its members without those who have left.
    pub fn approvers<'r>(&'r self, rule: &'r ApprovalRule) -> impl Iterator<Item = &'r Member> {
        rule.members.iter().filter(|member| match member {
            Member::Person(person) => !self.has_departed(person),
            Member::Workload(_) => true,
        })
    }

    /// Walks the agents, by name.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// Walks the tool servers, by audience.
    pub fn tool_servers(&self) -> impl Iterator<Item = &ToolServer> {
        self.tool_servers.values()
    }

    /// Walks the policies, by name.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    /// Walks the groups of approvers, by name.
    pub fn approval_rules(&self) -> impl Iterator<Item = &ApprovalRule> {
        self.approval_rules.values()
    }

    /// Walks the personas, by name.
    pub fn personas(&self) -> impl Iterator<Item = &Persona> {
        self.personas.values()
    }

    /// Walks the tool bundles, by name.
    pub fn bundles(&self) -> impl Iterator<Item = &ToolBundle> {
        self.bundles.values()
    }

    /// Returns SHA-256 over keys and texts of all manifests, in hexadecimal: what every audit record names.
    pub fn version(&self) -> &str {
        &self.version
    }
}
