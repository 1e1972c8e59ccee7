//! An issuer that the operator listed: whose tokens are taken, with which keys, and by which rules.
//!
//! Read from the configuration, strictly: a field that is unknown or not of this kind of issuer, a missing audience, an
//! address without TLS or with a wildcard make the configuration invalid.
//!
//! ```toml
//! name = "corp"                          # how records call it
//! kind = "oidc"                          # or "jwt-svid", "kubernetes"
//! iss = "https://login.acme.example/"    # to the byte
//! audiences = ["crumb"]                  # ours
//! principal = "email"                    # or "preferred_username", "sub"
//! groups = "groups"
//! jwks_url = "https://login.acme.example/keys"   # or jwks_file, or jwks
//! jwks_ca_file = "/etc/crumb/corp-ca.pem"        # who vouches for that server; without it the machine's authorities
//! ```

mod raw;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crumb_token::{TrustDomain, bounded_text};
use serde::Deserialize;

use super::{HttpsUrl, InvalidHttpsUrl, person::PersonRules};
use crate::jwks::KeyUse;

bounded_text! {
    /// An issuer's name in the configuration: what records and refusals call it.
    IssuerName, 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
}

/// What kind of issuer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IssuerKind {
    /// An OpenID Connect provider, which names people.
    Oidc,
    /// A SPIFFE trust domain, which names workloads.
    JwtSvid,
    /// A Kubernetes cluster, which names service accounts.
    Kubernetes,
}

impl IssuerKind {
    /// Returns the word that the configuration has.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::JwtSvid => "jwt-svid",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// A kind, with the rules that it alone has.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Person(PersonRules),
    Workload { trust_domain: TrustDomain },
    Kubernetes,
}

impl Kind {
    pub(super) fn word(&self) -> IssuerKind {
        match self {
            Self::Person(_) => IssuerKind::Oidc,
            Self::Workload { .. } => IssuerKind::JwtSvid,
            Self::Kubernetes => IssuerKind::Kubernetes,
        }
    }

    pub(super) fn key_use(&self) -> KeyUse {
        if matches!(self, Self::Workload { .. }) { KeyUse::JwtSvid } else { KeyUse::Signature }
    }

    pub(super) fn is_access_token(&self) -> bool {
        matches!(self, Self::Person(rules) if rules.is_access_token())
    }
}

/// Where an issuer's keys come from. Never from a token, and never from what `iss` serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// A document in the configuration itself.
    Inline(Box<str>),
    /// A file with the document.
    File(PathBuf),
    /// An address with the document, fetched again and again.
    Url(HttpsUrl),
}

/// An entry that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIssuer {
    /// `name` has other characters than `a-z 0-9 - _ .`, or too many.
    #[error("an issuer's name has 1 to 64 characters of a-z, 0-9, -, _ and .")]
    Name,
    /// `iss` is missing.
    #[error("the issuer has no `iss`")]
    IssMissing,
    /// `iss` is not a plain https address.
    #[error("an issuer's `iss` is a plain https address, without user name, wildcard or fragment")]
    Iss(#[source] InvalidHttpsUrl),
    /// `iss` of a trust domain has a wildcard, a space or a control character, or is too long.
    #[error("a trust domain's `iss` is written out, without wildcard or space")]
    IssText,
    /// `audiences` is empty, too long, or has one with a wildcard or a character that is not printable.
    #[error("an issuer has 1 to 8 audiences, each written out")]
    Audiences,
    /// None or several of `jwks`, `jwks_file` and `jwks_url`.
    #[error("an issuer has exactly one of `jwks`, `jwks_file` and `jwks_url`")]
    KeySource,
    /// `jwks_file` or `jwks_ca_file` depends on where the program was started.
    #[error("`jwks_file` and `jwks_ca_file` are absolute paths")]
    RelativePath,
    /// `jwks_url` is not a plain https address.
    #[error("`jwks_url` is a plain https address, without user name, wildcard or fragment")]
    Url(#[source] InvalidHttpsUrl),
    /// A number out of its range.
    #[error("{field} is from {min} to {max}")]
    Range {
        /// Which.
        field: &'static str,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A field that this kind needs.
    #[error("this kind of issuer needs `{field}`")]
    FieldMissing {
        /// Which.
        field: &'static str,
    },
    /// A field that this kind does not have.
    #[error("this kind of issuer has no `{field}`")]
    FieldOutOfPlace {
        /// Which.
        field: &'static str,
    },
    /// `trust_domain` is not one.
    #[error("`trust_domain` is not a trust domain")]
    TrustDomain,
    /// `groups` is empty, too long, or the name of a claim that means something else.
    #[error("`groups` cannot be the name of that claim")]
    GroupsClaim,
}

/// An issuer on the list.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "raw::RawIssuer")]
pub struct Issuer {
    name: IssuerName,
    kind: Kind,
    iss: Option<Box<str>>,
    audiences: Vec<Box<str>>,
    clock_skew: Duration,
    lifetime_max: Duration,
    keys: KeySource,
    keys_ca_file: Option<PathBuf>,
    keys_refresh: Duration,
    keys_age_max: Duration,
}

impl Issuer {
    /// Returns the name that records call it by.
    pub fn name(&self) -> &IssuerName {
        &self.name
    }

    /// Returns where its keys come from.
    pub fn keys(&self) -> &KeySource {
        &self.keys
    }

    /// Returns the file with the authorities that may vouch for the server of its keys; `None` for those of the machine.
    pub fn keys_ca_file(&self) -> Option<&Path> {
        self.keys_ca_file.as_deref()
    }

    /// Returns how often its keys are fetched, when they come from an address.
    pub fn keys_refresh(&self) -> Duration {
        self.keys_refresh
    }

    /// Returns how old fetched keys may be. Past that its tokens are refused.
    pub fn keys_age_max(&self) -> Duration {
        self.keys_age_max
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(super) fn iss(&self) -> Option<&str> {
        self.iss.as_deref()
    }

    pub(super) fn clock_skew(&self) -> Duration {
        self.clock_skew
    }

    pub(super) fn lifetime_max(&self) -> Duration {
        self.lifetime_max
    }

    /// Says whether an audience is ours: the same bytes, nothing else.
    pub(super) fn is_audience(&self, name: &str) -> bool {
        self.audiences.iter().any(|ours| **ours == *name)
    }
}
