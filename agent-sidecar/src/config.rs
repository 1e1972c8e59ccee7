//! What the sidecar is told at its start: one TOML file, strict where it says nothing.
//!
//! ```
//! let config = crumb_agent_sidecar::Config::from_toml(
//!     r#"
//!     socket = "/run/crumb/sidecar.sock"
//!
//!     [broker]
//!     address = "broker.internal:8443"
//!     spiffe_id = "spiffe://acme.example/crumb/broker"
//!     "#,
//! );
//! assert!(config.is_ok());
//! ```

use crumb_identity::Endpoint;
use crumb_token::SpiffeId;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{collections::BTreeSet, fmt, io, path::PathBuf, str::FromStr, time::Duration};

/// The largest configuration file, in bytes. A real one has a few hundred.
const FILE_LEN_MAX: u64 = 64 * 1024;
/// The most users that one sidecar serves. Connections are shared out per user, so more would starve each other.
const UIDS_MAX: usize = 32;
/// The longest wait for an identity, in seconds. A service manager's start timeout is shorter in practice.
const IDENTITY_WAIT_MAX_S: u64 = 3600;

/// Everything that the sidecar can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The Unix socket that agents connect to: an absolute path, in a directory that belongs to the sidecar's user.
    pub socket: PathBuf,
    /// The group that may open the socket, by name; only with `socket_mode = "0660"`. Default: the sidecar's own.
    #[serde(default)]
    pub socket_group: Option<String>,
    /// Which users can open the socket at all. Default: `"0600"`, the sidecar's own.
    #[serde(default)]
    pub socket_mode: SocketMode,
    /// The users whose processes are served, by number, at most 32. Default: only the sidecar's own.
    #[serde(default)]
    pub allow_uids: BTreeSet<u32>,
    /// The SPIFFE Workload API, such as `unix:///run/spire/agent/api.sock`. Default: `SPIFFE_ENDPOINT_SOCKET`.
    #[serde(default, deserialize_with = "optional_from_text")]
    pub workload_api: Option<Endpoint>,
    /// How long to wait for the first SVID, in seconds, 1 to 3600. Default: 60.
    #[serde(default = "default_identity_wait_s")]
    pub identity_wait_s: u64,
    /// Whether the whole process is closed to debuggers and core dumps, and kept out of swap. Default: true, but for an
    /// ordinary user's sidecar with the embedded development identity: see [`crate::hygiene`].
    #[serde(default)]
    pub protect_process: Option<bool>,
    /// The broker.
    pub broker: BrokerConfig,
}

/// Where the broker is, and who it has to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// `host:port`.
    #[serde(deserialize_with = "from_text")]
    pub address: Address,
    /// The only SPIFFE ID that is accepted as the broker.
    #[serde(deserialize_with = "from_text")]
    pub spiffe_id: SpiffeId,
}

/// Who can open the socket. Who is served is a second question: [`Config::allow_uids`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SocketMode {
    /// The sidecar's user. The directory is 0700.
    #[default]
    #[serde(rename = "0600")]
    Owner,
    /// The sidecar's user, and a group. The directory is 0750.
    #[serde(rename = "0660")]
    Group,
    /// Every user of the host. The directory is 0755.
    #[serde(rename = "0666")]
    AnyUser,
}

impl SocketMode {
    /// Returns the permissions of the socket.
    pub fn socket_bits(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
            Self::AnyUser => 0o666,
        }
    }

    /// Returns the most permissions that the socket's directory may have.
    pub fn directory_bits(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Group => 0o750,
            Self::AnyUser => 0o755,
        }
    }
}

/// A text that is not `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address is host:port, with a port from 1 to 65535")]
pub struct InvalidAddress;

/// A host and a port to dial. Resolved anew at each dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Box<str>);

impl Address {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(s: &str) -> Result<Self, InvalidAddress> {
        let (host, port) = s.rsplit_once(':').ok_or(InvalidAddress)?;
        // 253 is the longest name that DNS has.
        let host_ok = (1..=253).contains(&host.len())
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'));
        let port_ok = port.parse::<u16>().is_ok_and(|n| n != 0);
        if host_ok && port_ok { Ok(Self(s.into())) } else { Err(InvalidAddress) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The file cannot be read.
    #[error("the configuration file cannot be read")]
    Unreadable(#[source] io::Error),
    /// The file is larger than 64 KiB.
    #[error("the configuration file is larger than 65536 bytes")]
    TooLarge,
    /// Not TOML, a field that is not known, or one with a value that it cannot have.
    #[error("the configuration is not as documented")]
    Toml(#[source] Box<toml::de::Error>),
    /// A relative path would depend on who starts the sidecar.
    #[error("the socket path is not absolute")]
    RelativeSocket,
    /// A group that would have no right.
    #[error("socket_group needs socket_mode = \"0660\"")]
    GroupWithoutMode,
    /// More users than one sidecar serves.
    #[error("allow_uids has more than {UIDS_MAX} entries")]
    TooManyUids,
    /// Too long or too short a wait.
    #[error("identity_wait_s is 1 to {IDENTITY_WAIT_MAX_S}")]
    IdentityWait,
}

impl Config {
    /// Reads a configuration from TOML text.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`], but for its first two variants.
    pub fn from_toml(text: &str) -> Result<Self, InvalidConfig> {
        let config: Self = toml::from_str(text).map_err(|e| InvalidConfig::Toml(Box::new(e)))?;
        if !config.socket.is_absolute() {
            return Err(InvalidConfig::RelativeSocket);
        }
        if config.socket_group.is_some() && config.socket_mode != SocketMode::Group {
            return Err(InvalidConfig::GroupWithoutMode);
        }
        if config.allow_uids.len() > UIDS_MAX {
            return Err(InvalidConfig::TooManyUids);
        }
        if !(1..=IDENTITY_WAIT_MAX_S).contains(&config.identity_wait_s) {
            return Err(InvalidConfig::IdentityWait);
        }
        Ok(config)
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// Every variant of [`InvalidConfig`].
    pub fn load(path: &std::path::Path) -> Result<Self, InvalidConfig> {
        let len = std::fs::metadata(path).map_err(InvalidConfig::Unreadable)?.len();
        if len > FILE_LEN_MAX {
            return Err(InvalidConfig::TooLarge);
        }
        Self::from_toml(&std::fs::read_to_string(path).map_err(InvalidConfig::Unreadable)?)
    }

    /// Returns how long to wait for the first SVID.
    pub fn identity_wait(&self) -> Duration {
        Duration::from_secs(self.identity_wait_s)
    }
}

fn default_identity_wait_s() -> u64 {
    60
}

fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn optional_from_text<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(d: D) -> Result<Option<T>, D::Error> {
    from_text(d).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: &str = "[broker]\naddress = \"127.0.0.1:8443\"\nspiffe_id = \"spiffe://td/crumb/broker\"\n";

    fn with(lines: &str) -> Result<Config, InvalidConfig> {
        Config::from_toml(&format!("socket = \"/run/crumb/s.sock\"\n{lines}\n{BROKER}"))
    }

    #[test]
    fn says_nothing_and_gets_the_strict_answer() {
        let config = with("").expect("the required fields are there");
        assert_eq!(config.socket_mode, SocketMode::Owner);
        assert!(config.allow_uids.is_empty() && config.protect_process.is_none() && config.workload_api.is_none());
        assert_eq!(config.identity_wait(), Duration::from_secs(60));
    }

    #[test]
    fn takes_every_field() {
        let text = "socket_mode = \"0660\"\nsocket_group = \"agents\"\nallow_uids = [1000, 1001]\n\
                    workload_api = \"unix:///run/spire/api.sock\"\nidentity_wait_s = 5\nprotect_process = false";
        let config = with(text).expect("all documented");
        assert_eq!(config.socket_mode.socket_bits(), 0o660);
        assert_eq!(config.allow_uids, BTreeSet::from([1000, 1001]));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for bad in [
            "sockt_mode = \"0600\"",
            "socket_mode = \"0777\"",
            "socket_group = \"agents\"",
            "allow_uids = [-1]",
            "workload_api = \"tcp://10.0.0.1:80\"",
            "identity_wait_s = 0",
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
        assert!(Config::from_toml(&format!("socket = \"run/s.sock\"\n{BROKER}")).is_err());
        let uids: Vec<_> = (0..=UIDS_MAX).map(|n| n.to_string()).collect();
        assert!(with(&format!("allow_uids = [{}]", uids.join(","))).is_err());
    }

    #[test]
    fn refuses_addresses_that_cannot_be_dialled() {
        for bad in ["", "broker", ":1", "broker:0", "broker:65536", "bro ker:1", "http://b:1/"] {
            assert_eq!(bad.parse::<Address>(), Err(InvalidAddress), "{bad:?}");
        }
        assert!("[::1]:8443".parse::<Address>().is_ok());
    }
}
