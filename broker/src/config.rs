//! The configuration: one TOML file, one struct, strict defaults. The only place that looks at the environment, through the
//! identity room, when the file names no Workload API.

use crate::{
    drift::Rules,
    notify::{Webhook, Webhooks},
};
use crumb_attestors::subject_token::Issuer;
use crumb_identity::{Endpoint, InvalidEndpoint};
use crumb_token::Environment;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not TOML, or not this shape.
    #[error("the configuration is not well-formed")]
    Shape(#[from] toml::de::Error),
    /// A value out of its range.
    #[error("{field} is from {min} to {max}")]
    Range {
        /// Which.
        field: &'static str,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// No Workload API to get an identity from.
    #[error("no usable Workload API is named, in `workload_api` or in SPIFFE_ENDPOINT_SOCKET")]
    WorkloadApi(#[from] InvalidEndpoint),
    /// Not a word for an environment.
    #[error("environment is 1 to 32 of a-z and -, such as production")]
    Environment,
    /// A token that opens sessions would approve as well.
    #[error(
        "audience `{0}` is one of a subject issuer and of an approver issuer: what agents hold must approve nothing"
    )]
    SharedAudience(String),
    /// Too many webhooks, or two of one name.
    #[error("there are at most {} webhooks, each with a name of its own", Webhooks::LEN_MAX)]
    Webhooks,
    /// A path that depends on where the broker was started.
    #[error("{field} is an absolute path")]
    RelativePath {
        /// Which.
        field: &'static str,
    },
}

/// Who is expected to vouch for workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Provider {
    /// Whoever serves the Workload API.
    #[default]
    Auto,
    /// SPIRE. The broker does not start with the development provider.
    Spire,
    /// The development provider. The broker does not start with another.
    EmbeddedDev,
}

impl Provider {
    /// Says whether `found` is who is expected.
    pub fn accepts(self, found: &str) -> bool {
        match self {
            Self::Auto => true,
            Self::Spire => found == "spire",
            Self::EmbeddedDev => found == "embedded-dev",
        }
    }
}

/// How much the broker takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests that are worked on at once, over all connections; 1 to 65536. Default 1024: as many as the store's queue
    /// holds.
    pub in_flight: usize,
    /// Listeners to the feed; 1 to 65536. Default 1000.
    pub watchers: usize,
    /// Open sessions per agent; 1 to 1000. Default 1000.
    pub sessions_per_agent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 1024, watchers: 1000, sessions_per_agent: 1000 }
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    listen: SocketAddr,
    admin_socket: PathBuf,
    data_dir: PathBuf,
    registry_dir: Option<PathBuf>,
    workload_api: Option<String>,
    #[serde(default)]
    identity_provider: Provider,
    #[serde(default = "default_identity_wait_s")]
    identity_wait_s: u64,
    #[serde(default = "default_key_rotation_s")]
    key_rotation_s: u64,
    #[serde(default = "default_environment")]
    environment: String,
    #[serde(default)]
    subject_issuers: Vec<Issuer>,
    #[serde(default)]
    approver_issuers: Vec<Issuer>,
    #[serde(default)]
    webhooks: Vec<Webhook>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    drift: Rules,
}

fn default_environment() -> String {
    "development".to_owned()
}

fn default_identity_wait_s() -> u64 {
    60
}

fn default_key_rotation_s() -> u64 {
    3600
}

/// What a broker is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where mTLS is served; port 0 for any.
    pub listen: SocketAddr,
    /// The Unix socket for operators. Its directory is made for the broker's user alone when it is not there.
    pub admin_socket: PathBuf,
    /// Where the store is. Made for the broker's user alone when it is not there.
    pub data_dir: PathBuf,
    /// Where manifests are that are applied at each start. Without it, those in force are the ones that operators applied.
    pub registry_dir: Option<PathBuf>,
    /// Where the broker gets its own identity.
    pub workload_api: Endpoint,
    /// Who is expected to vouch for workloads.
    pub identity_provider: Provider,
    /// How long to wait for an identity at the start. Default one minute.
    pub identity_wait: Duration,
    /// How long a key signs. Default one hour, 12 seconds at least: the next key is published one rotation ahead, and that
    /// has to be longer than verifiers go without hearing.
    pub key_rotation: Duration,
    /// Where the broker runs, which policies see: `development` when nobody says.
    pub environment: Environment,
    /// Whose tokens prove on whose behalf an agent acts.
    pub subject_issuers: Vec<Issuer>,
    /// Whose tokens prove who approves: written as the others, and with an audience that theirs do not have. What a session
    /// can be opened with approves nothing. Default nobody: then workloads alone approve.
    pub approver_issuers: Vec<Issuer>,
    /// Who is told of events, besides the log. Default nobody.
    pub webhooks: Vec<Webhook>,
    /// How much the broker takes.
    pub limits: Limits,
    /// When a session behaves unlike its kind, and what follows.
    pub drift: Rules,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`].
    pub fn load(path: &Path) -> Result<Self, InvalidConfig> {
        let text = fs::read_to_string(path);
        Self::from_toml(&text.map_err(|source| InvalidConfig::Unreadable { path: path.to_owned(), source })?)
    }

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`].
    pub fn from_toml(text: &str) -> Result<Self, InvalidConfig> {
        let config = toml::from_str::<RawConfig>(text)?.try_into()?;
        toml::from_str::<Audiences>(text)?.check()?;
        Ok(config)
    }
}

/// For whom the tokens of both lists are made.
#[derive(Debug, Deserialize)]
struct Audiences {
    #[serde(default)]
    subject_issuers: Vec<Audience>,
    #[serde(default)]
    approver_issuers: Vec<Audience>,
}

#[derive(Debug, Deserialize)]
struct Audience {
    audiences: Vec<String>,
}

impl Audiences {
    fn check(&self) -> Result<(), InvalidConfig> {
        let of_subjects: Vec<&String> = self.subject_issuers.iter().flat_map(|issuer| &issuer.audiences).collect();
        let mut of_approvers = self.approver_issuers.iter().flat_map(|issuer| &issuer.audiences);
        match of_approvers.find(|audience| of_subjects.contains(audience)) {
            Some(shared) => Err(InvalidConfig::SharedAudience(shared.clone())),
            None => Ok(()),
        }
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = InvalidConfig;

    fn try_from(raw: RawConfig) -> Result<Self, InvalidConfig> {
        let limits = &raw.limits;
        within("limits.in_flight", limits.in_flight as u64, 1, 65_536)?;
        within("limits.watchers", limits.watchers as u64, 1, 65_536)?;
        within("limits.sessions_per_agent", limits.sessions_per_agent.into(), 1, 1000)?;
        within("key_rotation_s", raw.key_rotation_s, 12, 24 * 3600)?;
        within("identity_wait_s", raw.identity_wait_s, 1, 3600)?;
        for (field, value, min, max) in raw.drift.ranges() {
            within(field, value, min, max)?;
        }
        let names: BTreeSet<&str> = raw.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        if names.len() != raw.webhooks.len() || names.len() > Webhooks::LEN_MAX {
            return Err(InvalidConfig::Webhooks);
        }
        absolute("admin_socket", &raw.admin_socket)?;
        absolute("data_dir", &raw.data_dir)?;
        if let Some(directory) = &raw.registry_dir {
            absolute("registry_dir", directory)?;
        }
        let workload_api = match &raw.workload_api {
            Some(text) => text.parse()?,
            None => Endpoint::from_env()?,
        };
        Ok(Self {
            listen: raw.listen,
            admin_socket: raw.admin_socket,
            data_dir: raw.data_dir,
            registry_dir: raw.registry_dir,
            workload_api,
            identity_provider: raw.identity_provider,
            identity_wait: Duration::from_secs(raw.identity_wait_s),
            key_rotation: Duration::from_secs(raw.key_rotation_s),
            environment: raw.environment.parse().map_err(|_| InvalidConfig::Environment)?,
            subject_issuers: raw.subject_issuers,
            approver_issuers: raw.approver_issuers,
            webhooks: raw.webhooks,
            limits: raw.limits,
            drift: raw.drift,
        })
    }
}

fn within(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), InvalidConfig> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(InvalidConfig::Range { field, min, max }) }
}

fn absolute(field: &'static str, path: &Path) -> Result<(), InvalidConfig> {
    if path.is_absolute() { Ok(()) } else { Err(InvalidConfig::RelativePath { field }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::Action;

    const LEAST: &str = r#"
        listen = "127.0.0.1:0"
        admin_socket = "/run/crumb/admin.sock"
        data_dir = "/var/lib/crumb"
        registry_dir = "/etc/crumb"
        workload_api = "unix:///run/agent.sock"
    "#;

    #[test]
    fn defaults_are_strict() {
        let config = Config::from_toml(LEAST).expect("the least that is needed");
        assert_eq!(config.limits, Limits { in_flight: 1024, watchers: 1000, sessions_per_agent: 1000 });
        assert_eq!(config.key_rotation, Duration::from_secs(3600));
        assert_eq!(config.identity_provider, Provider::Auto);
        assert_eq!(config.drift, Rules::default());
    }

    #[test]
    fn a_rule_of_drift_keeps_what_is_not_said() {
        let config = Config::from_toml(&format!("{LEAST}\n[drift.denials_in_a_row]\nthreshold = 5")).expect("good");
        assert_eq!((config.drift.denials_in_a_row.threshold, config.drift.denials_in_a_row.action), (5, Action::Halt));
        assert_eq!(config.drift.new_tool, Rules::default().new_tool);
    }

    #[test]
    fn refuses_unknown_fields_and_values_out_of_range() {
        for more in [
            "colour = 1",
            "key_rotation_s = 11",
            "identity_wait_s = 0",
            "identity_provider = \"none\"",
            "[limits]\nin_flight = 0",
            "[limits]\nsessions_per_agent = 1001",
            "[limits]\nother = 1",
            "[drift.denials_in_a_row]\nthreshold = 1",
            "[drift.denials_in_a_row]\naction = \"stop\"",
            "[drift.new_tool]\nthreshold = 0",
            "[drift.calls_per_minute]\ntimes = 1",
            "[drift.calls_per_minute]\nsessions = 0",
            "[drift]\nmodel = 1",
        ] {
            assert!(Config::from_toml(&format!("{LEAST}\n{more}")).is_err(), "{more}");
        }
        assert!(Config::from_toml(&LEAST.replace("/var/lib", "var/lib")).is_err());
        assert!(Config::from_toml(&LEAST.replace("unix:///run/agent.sock", "tcp://1.2.3.4:80")).is_err());
    }

    #[test]
    fn what_opens_sessions_and_what_approves_share_no_audience() {
        let issuer = |list: &str, audience: &str| {
            format!(
                "[[{list}]]\nname = \"corp\"\nkind = \"oidc\"\niss = \"https://login.a.test\"\n\
                 audiences = [\"{audience}\"]\nprincipal = \"email\"\njwks = '{{\"keys\": []}}'\n"
            )
        };
        let with = |approvers| {
            let lists = issuer("subject_issuers", "crumb") + &issuer("approver_issuers", approvers);
            Config::from_toml(&format!("{LEAST}\n{lists}"))
        };
        let config = with("crumb-approvals").expect("two audiences");
        assert_eq!((config.subject_issuers.len(), config.approver_issuers.len()), (1, 1));
        assert!(matches!(with("crumb"), Err(InvalidConfig::SharedAudience(shared)) if shared == "crumb"));
    }

    #[test]
    fn no_two_webhooks_have_one_name() {
        let webhook = |name: &str| {
            format!("[[webhooks]]\nname = \"{name}\"\nurl = \"https://hooks.a.test/\"\nsecret_files = [\"/k\"]\n")
        };
        let with = |names: &[&str]| {
            let lists: String = names.iter().map(|name| webhook(name)).collect();
            Config::from_toml(&format!("{LEAST}\n{lists}"))
        };
        assert_eq!(with(&["ops", "chat"]).expect("two names").webhooks.len(), 2);
        assert!(matches!(with(&["ops", "ops"]), Err(InvalidConfig::Webhooks)));
    }

    #[test]
    fn a_named_provider_is_held_to() {
        assert!(Provider::Spire.accepts("spire") && !Provider::Spire.accepts("embedded-dev"));
        assert!(Provider::EmbeddedDev.accepts("embedded-dev") && !Provider::EmbeddedDev.accepts("spire"));
        assert!(Provider::Auto.accepts("embedded-dev"));
    }
}
