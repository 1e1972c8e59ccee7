//! A webhook of the configuration: where events go, which, and the secrets that sign them.
//!
//! ```toml
//! [[webhooks]]
//! name = "ops"
//! url = "https://hooks.acme.example/crumb"       # https, or http on this machine
//! secret_files = ["/etc/crumb/ops.whsec"]        # two while one is replaced
//! kinds = ["approval.*", "killswitch.pulled"]    # default all
//! ca_file = "/etc/crumb/acme-ca.pem"             # default the machine's authorities
//! ```

use super::{InvalidSecret, Kind, SigningSecret};
use crate::outbound::{Authorities, Destination, InvalidDestination, Outbound, UnusableAuthorities};
use crumb_token::bounded_text;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The most secrets of one webhook: one, and others while it is replaced.
const SECRETS_MAX: usize = 4;

/// The longest file with a secret, in bytes.
const SECRET_FILE_LEN_MAX: u64 = 1024;

bounded_text! {
    /// A webhook's name in the configuration: what logs call it.
    WebhookName, 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
}

/// An entry that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWebhook {
    /// `name` has other characters, or too many.
    #[error("a webhook's name has 1 to 64 characters of a-z, 0-9, -, _ and .")]
    Name,
    /// `url` is none.
    #[error("a webhook's `url` cannot be used")]
    Url(#[source] InvalidDestination),
    /// None, or too many, or a path that depends on where the program was started.
    #[error("`secret_files` are 1 to 4 absolute paths")]
    SecretFiles,
    /// A word that is no kind, or none at all.
    #[error("`kinds` are words such as `agent.orphaned`, or `agent.*`")]
    Kinds,
    /// A path that depends on where the program was started.
    #[error("`ca_file` is an absolute path")]
    RelativePath,
    /// Out of its range.
    #[error("`waiting_max` is from 10 to 100000")]
    WaitingMax,
}

/// The entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    name: String,
    url: String,
    secret_files: Vec<PathBuf>,
    kinds: Option<Vec<String>>,
    ca_file: Option<PathBuf>,
    #[serde(default = "default_waiting_max")]
    waiting_max: u32,
}

fn default_waiting_max() -> u32 {
    10_000
}

/// A webhook.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawWebhook")]
pub struct Webhook {
    /// What logs call it.
    pub name: WebhookName,
    /// Where events go.
    pub to: Destination,
    /// Which events.
    pub kinds: BTreeSet<Kind>,
    /// How many events may wait for it; 10 to 100000. Default 10000. Past it the oldest is dropped.
    pub waiting_max: u32,
    secret_files: Vec<PathBuf>,
    ca_file: Option<PathBuf>,
}

impl TryFrom<RawWebhook> for Webhook {
    type Error = InvalidWebhook;

    fn try_from(raw: RawWebhook) -> Result<Self, InvalidWebhook> {
        let are_absolute = raw.secret_files.iter().all(|path| path.is_absolute());
        if !(1..=SECRETS_MAX).contains(&raw.secret_files.len()) || !are_absolute {
            return Err(InvalidWebhook::SecretFiles);
        }
        if raw.ca_file.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(InvalidWebhook::RelativePath);
        }
        if !(10..=100_000).contains(&raw.waiting_max) {
            return Err(InvalidWebhook::WaitingMax);
        }
        Ok(Self {
            name: raw.name.parse().map_err(|_| InvalidWebhook::Name)?,
            to: raw.url.parse().map_err(InvalidWebhook::Url)?,
            kinds: kinds(raw.kinds.as_deref())?,
            waiting_max: raw.waiting_max,
            secret_files: raw.secret_files,
            ca_file: raw.ca_file,
        })
    }
}

fn kinds(words: Option<&[String]>) -> Result<BTreeSet<Kind>, InvalidWebhook> {
    let Some(words) = words else { return Ok(Kind::ALL.iter().copied().collect()) };
    let mut kinds = BTreeSet::new();
    for word in words {
        let group = word.strip_suffix('*').filter(|group| group.ends_with('.'));
        let is_meant = |kind: &&Kind| match group {
            Some(group) => kind.as_str().starts_with(group),
            None => kind.as_str() == word,
        };
        let meant: Vec<Kind> = Kind::ALL.iter().filter(is_meant).copied().collect();
        if meant.is_empty() {
            return Err(InvalidWebhook::Kinds);
        }
        kinds.extend(meant);
    }
    if kinds.is_empty() { Err(InvalidWebhook::Kinds) } else { Ok(kinds) }
}

/// A webhook whose files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableWebhook {
    /// A file with a secret cannot be read.
    #[error("the secret of webhook {name} in {} cannot be read", path.display())]
    Unreadable {
        /// Which.
        name: WebhookName,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no secret.
    #[error("the secret of webhook {name} in {} is refused", path.display())]
    Secret {
        /// Which.
        name: WebhookName,
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidSecret,
    },
    /// The authorities for its server.
    #[error("nobody can vouch for the server of webhook {name}")]
    Authorities {
        /// Which.
        name: WebhookName,
        /// Why.
        source: UnusableAuthorities,
    },
}

/// A webhook with its way and its secrets.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) webhook: Webhook,
    pub(super) way: Outbound,
    pub(super) secrets: Vec<SigningSecret>,
}

/// All webhooks, ready to be sent to.
#[derive(Debug, Default)]
pub struct Webhooks(pub(super) Vec<Line>);

impl Webhooks {
    /// The most webhooks.
    pub const LEN_MAX: usize = 16;

    /// Reads secrets and authorities.
    ///
    /// # Errors
    ///
    /// [`UnusableWebhook`], by the first that cannot be used.
    pub fn load(webhooks: Vec<Webhook>) -> Result<Self, UnusableWebhook> {
        webhooks.into_iter().map(Line::load).collect::<Result<_, _>>().map(Self)
    }
}

impl Line {
    fn load(webhook: Webhook) -> Result<Self, UnusableWebhook> {
        let name = || webhook.name.clone();
        let secret = |path: &PathBuf| {
            let unreadable = |source| UnusableWebhook::Unreadable { name: name(), path: path.clone(), source };
            let text = read(path).map_err(unreadable)?;
            let refused = |source| UnusableWebhook::Secret { name: name(), path: path.clone(), source };
            text.trim().parse().map_err(refused)
        };
        let secrets = webhook.secret_files.iter().map(secret).collect::<Result<_, _>>()?;
        let way = Outbound::new(webhook.to.clone(), &Authorities::of(webhook.ca_file.as_deref()));
        let way = way.map_err(|source| UnusableWebhook::Authorities { name: name(), source })?;
        Ok(Self { way, secrets, webhook })
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    if fs::metadata(path)?.len() > SECRET_FILE_LEN_MAX {
        return Err(io::Error::other(format!("is longer than {SECRET_FILE_LEN_MAX} bytes")));
    }
    fs::read_to_string(path).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"ops\"\nurl = \"https://hooks.acme.example/crumb\"\nsecret_files = [\"/k\"]\n";

    fn read(lines: &str) -> Result<Webhook, toml::de::Error> {
        toml::from_str(lines)
    }

    #[test]
    fn takes_single_kinds_and_groups_and_all_when_nobody_says() {
        assert_eq!(read(GOOD).expect("good").kinds.len(), Kind::ALL.len());
        let some = read(&format!("{GOOD}kinds = [\"session.*\", \"killswitch.pulled\", \"session.halted\"]"));
        let words: Vec<&str> = some.expect("good").kinds.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words, ["session.contracted", "session.halted", "session.resumed", "killswitch.pulled"]);
    }

    #[test]
    fn refuses_entries_that_make_no_sense() {
        for (from, to) in [
            ("\"ops\"", "\"Ops team\""),
            ("https:", "http:"),
            ("[\"/k\"]", "[]"),
            ("[\"/k\"]", "[\"k\"]"),
            ("[\"/k\"]", "[\"/1\", \"/2\", \"/3\", \"/4\", \"/5\"]"),
            ("secret_files", "kinds = []\nsecret_files"),
            ("secret_files", "kinds = [\"*\"]\nsecret_files"),
            ("secret_files", "kinds = [\"approval\"]\nsecret_files"),
            ("secret_files", "kinds = [\"approval.requested\", \"approval.*.x\"]\nsecret_files"),
            ("secret_files", "ca_file = \"ca.pem\"\nsecret_files"),
            ("secret_files", "waiting_max = 9\nsecret_files"),
            ("secret_files", "follow_redirects = true\nsecret_files"),
        ] {
            assert!(read(&GOOD.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    #[test]
    fn refuses_files_without_a_secret_and_repeats_nothing_of_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        let load = || {
            let lines =
                GOOD.replace("/k", &path.display().to_string()).replace("https://hooks.acme.example", "http://[::1]");
            Webhooks::load(vec![read(&lines).expect("good")])
        };
        assert!(matches!(load(), Err(UnusableWebhook::Unreadable { .. })));
        fs::write(&path, "canary").expect("a file of our own");
        let refused = load().expect_err("no secret");
        assert!(matches!(refused, UnusableWebhook::Secret { .. }) && !format!("{refused:?}").contains("canary"));
        fs::write(&path, format!("whsec_{}\n", "Y2Fu".repeat(8))).expect("a file of our own");
        let loaded = load().expect("a secret");
        assert!(!format!("{loaded:?}").contains("Y2Fu"), "{loaded:?}");
    }
}
