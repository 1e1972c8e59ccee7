//! The registry: who may act, and what may be called, as manifests in a directory.
//!
//! Apart because it is the only thing an exchange is held against that people write. A [`Registry`] is one immutable
//! snapshot; [`load`](Registry::load) makes it whole or not at all.
//!
//! # Invariants
//!
//! - Every scope of an agent names a registered tool server, and tools and operations that the server has.
//! - Names are unique per kind, SPIFFE IDs unique per agent, audiences unique per tool server.
//! - Every agent and tool server is owned by a named human.
//! - A registry with one wrong manifest is no registry; all errors are told at once.

mod agent;
mod check;
mod line;
mod load;
mod manifest;
mod owner;
mod parsed;
mod process;
#[cfg(test)]
mod tests;
mod tool_server;

pub use agent::{Agent, Purpose};
pub use load::{Defect, UnusableRegistry};
pub use owner::NotAPerson;
pub use process::{Executable, InvalidExecutable, InvalidSha256, ProcessRule, Sha256Digest};
pub use tool_server::{HostPort, InvalidHostPort, Risk, Tool, ToolServer, ToolServerName};

use crumb_token::{AgentName, Audience};
use std::{collections::BTreeMap, path::Path};

/// One snapshot of all manifests.
#[derive(Debug)]
pub struct Registry {
    agents: BTreeMap<AgentName, Agent>,
    tool_servers: BTreeMap<Audience, ToolServer>,
    version: Box<str>,
}

impl Registry {
    /// The most manifests in one registry; the snapshot is held in memory and listed in one answer.
    pub const LEN_MAX: usize = 1_000;

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

    /// Walks the agents, by name.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// Walks the tool servers, by audience.
    pub fn tool_servers(&self) -> impl Iterator<Item = &ToolServer> {
        self.tool_servers.values()
    }

    /// Returns SHA-256 over names and contents of all files, in hexadecimal: what every audit record names.
    pub fn version(&self) -> &str {
        &self.version
    }
}
