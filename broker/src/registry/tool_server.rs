//! A registered tool server and its tools.

use super::{ManifestName, Sha256Digest};
use crumb_token::{Audience, Operation, Owner, Resource, SpiffeId, ToolName, bounded_text};
use serde::Deserialize;
use std::{collections::BTreeSet, fmt, str::FromStr};

bounded_text! {
    /// The registered name of a tool server, such as `files`: the key of its manifest, which agents' scopes refer to.
    ToolServerName, 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

/// An address that is not `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address is host:port, with a port from 1 to 65535")]
pub struct InvalidHostPort;

/// Where a tool server listens: a name or an IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort(Box<str>);

impl HostPort {
    /// The longest host, in bytes: the longest DNS name.
    const HOST_LEN_MAX: usize = 253;
}

impl FromStr for HostPort {
    type Err = InvalidHostPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidHostPort)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let bracketed = bare.len() != host.len();
        let host_ok = !bare.is_empty()
            && bare.len() <= Self::HOST_LEN_MAX
            && bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || (bracketed && b == b':'));
        let port_ok = port.parse::<u16>().is_ok_and(|n| n != 0 && n.to_string() == port);
        if host_ok && port_ok { Ok(Self(text.into())) } else { Err(InvalidHostPort) }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much harm a tool can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Reads what is not secret.
    Low,
    /// Changes what can be changed back.
    Medium,
    /// Cannot be undone, or reaches outside.
    High,
}

impl Risk {
    /// Returns the word of the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

bounded_text! {
    /// The name of an argument of a tool: dots lead into objects.
    ArgumentName, 128, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

bounded_text! {
    /// What stands before an argument's value in the name of a resource, such as `file://`.
    Prefix, 256, |c| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '_' | '-' | '.')
}

/// How the resource of a call is read out of its arguments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceFrom {
    /// It is the value of this argument, behind a prefix.
    Argument {
        /// Which argument.
        name: ArgumentName,
        /// What stands before its value.
        prefix: Option<Prefix>,
    },
    /// It is always this one.
    Always(Resource),
}

/// One tool of a tool server, with one thing that it does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tool {
    /// Its name.
    pub name: ToolName,
    /// What it does.
    pub operation: Operation,
    /// How much harm that can do.
    pub risk: Risk,
    /// How the resource of a call is found; the tool server knows by itself when nobody says.
    pub resource_from: Option<ResourceFrom>,
}

/// What an agent can call, as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolServer {
    /// The registered name.
    pub name: ToolServerName,
    /// What a token for it names.
    pub audience: Audience,
    /// The identity of its workload; decisions in its name come from this peer only.
    pub spiffe_id: SpiffeId,
    /// The person who answers for it.
    pub owner: Owner,
    /// Where it listens.
    pub address: HostPort,
    /// Its tools.
    pub tools: BTreeSet<Tool>,
    /// SHA-256 of the list of tools as it was reviewed; what the server offers has to be that.
    pub tools_digest: Option<Sha256Digest>,
    /// Who reviews it: an approval rule.
    pub reviewers: Option<ManifestName>,
}

impl ToolServer {
    /// The most tools of one server.
    pub const TOOLS_MAX: usize = 512;

    /// Says whether it has `tool` with `operation`.
    pub fn has(&self, tool: &ToolName, operation: &Operation) -> bool {
        self.risk(tool, operation).is_some()
    }

    /// Returns how much harm `tool` can do with `operation`; `None` when the server has no such tool.
    pub fn risk(&self, tool: &ToolName, operation: &Operation) -> Option<Risk> {
        self.tools.iter().find(|t| t.name == *tool && t.operation == *operation).map(|t| t.risk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_addresses_with_a_port() {
        for good in ["127.0.0.1:9443", "files.acme.example:1", "[::1]:65535"] {
            assert!(good.parse::<HostPort>().is_ok(), "{good}");
        }
        for bad in
            ["", "host", "host:", ":1", "host:0", "host:65536", "host:080", "::1:80", "a b:1", "http://a:1", "[]:1"]
        {
            assert!(bad.parse::<HostPort>().is_err(), "{bad:?}");
        }
    }
}
