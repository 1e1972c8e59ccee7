//! What the tool server is told at its start: one TOML file, strict where it says nothing.
//!
//! ```
//! let config = crumb_sample_tools::Config::from_toml(
//!     r#"
//!     listen = "127.0.0.1:9443"
//!     audience = "spiffe://acme.example/tool/files"
//!
//!     [broker]
//!     address = "broker.internal:8443"
//!     spiffe_id = "spiffe://acme.example/crumb/broker"
//!     "#,
//! );
//! assert!(config.is_ok());
//! ```

use crumb_identity::Endpoint;
use crumb_token::{Audience, Environment, SpiffeId};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{fmt::Display, fs, io, net::SocketAddr, path::Path, str::FromStr, time::Duration};

/// How long to wait for the first SVID when the file does not say, in seconds: a new entry of SPIRE takes a few.
const IDENTITY_WAIT_S: u64 = 60;

/// Everything that the tool server can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen for mTLS: IP and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What tokens have to be made out to: the audience of the `ToolServer` manifest.
    #[serde(deserialize_with = "from_text")]
    pub audience: Audience,
    /// Where this server runs, such as `production`: tokens of agents registered elsewhere are refused. Default: any.
    #[serde(default, deserialize_with = "optional_from_text")]
    pub environment: Option<Environment>,
    /// The SPIFFE Workload API, such as `unix:///run/spire/agent/api.sock`. Default: `SPIFFE_ENDPOINT_SOCKET`.
    #[serde(default, deserialize_with = "optional_from_text")]
    pub workload_api: Option<Endpoint>,
    /// How long to wait for the first SVID, in seconds. Default: 60.
    #[serde(default = "default_identity_wait_s")]
    pub identity_wait_s: u64,
    /// The broker.
    pub broker: BrokerConfig,
}

/// Where the broker is, and who it has to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// `host:port`.
    pub address: String,
    /// The only SPIFFE ID that is accepted as the broker.
    #[serde(deserialize_with = "from_text")]
    pub spiffe_id: SpiffeId,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The file cannot be read.
    #[error("the configuration cannot be read")]
    File(#[source] io::Error),
    /// It is not TOML, or a field is unknown, missing or wrong.
    #[error("the configuration is not valid")]
    Toml(#[source] toml::de::Error),
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig::Toml`].
    pub fn from_toml(text: &str) -> Result<Self, InvalidConfig> {
        toml::from_str(text).map_err(InvalidConfig::Toml)
    }

    /// Reads the configuration in the file at `path`.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`].
    pub fn load(path: &Path) -> Result<Self, InvalidConfig> {
        Self::from_toml(&fs::read_to_string(path).map_err(InvalidConfig::File)?)
    }

    /// Returns how long to wait for the first SVID.
    pub fn identity_wait(&self) -> Duration {
        Duration::from_secs(self.identity_wait_s)
    }
}

fn default_identity_wait_s() -> u64 {
    IDENTITY_WAIT_S
}

fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn optional_from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    from_text(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "listen = \"127.0.0.1:0\"\naudience = \"spiffe://td/tool\"\n[broker]\naddress = \"h:1\"\nspiffe_id = \"spiffe://td/broker\"\n";

    #[test]
    fn refuses_unknown_fields_and_wrong_names() {
        assert!(Config::from_toml(GOOD).is_ok());
        for (from, to) in [
            ("listen", "liste"),
            ("spiffe://td/tool", "spiffe://td"),
            ("spiffe://td/broker", "spiffe://TD/broker"),
            ("[broker]", "audit = false\n[broker]"),
            ("127.0.0.1:0", "localhost"),
        ] {
            assert!(Config::from_toml(&GOOD.replace(from, to)).is_err(), "{to}");
        }
    }
}
