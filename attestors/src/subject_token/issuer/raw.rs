//! An issuer's entry as it is written, and the one way from there to an [`Issuer`].

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{HttpsUrl, InvalidIssuer, Issuer, IssuerKind, KeySource, Kind};
use crate::subject_token::person::{NameClaim, PersonRules, TokenUse};

/// The most audiences that are ours. One, and a second while a name changes.
const AUDIENCES_MAX: usize = 8;

/// The longest audience, issuer or name of a claim, in bytes.
const TEXT_LEN_MAX: usize = 255;

/// Claims that mean something else than groups, whatever an entry says.
const NOT_GROUPS: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "email", "preferred_username", "scope"];

/// The entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {
    name: String,
    kind: IssuerKind,
    /// The exact `iss`. Needed but for `jwt-svid`, where the trust domain takes its place.
    iss: Option<String>,
    audiences: Vec<String>,
    /// `jwt-svid` only: whose workloads.
    trust_domain: Option<String>,
    /// `oidc` only: the claim that names the person.
    principal: Option<NameClaim>,
    /// `oidc` only: `id` tokens or `access` tokens. Default `id`.
    token: Option<TokenUse>,
    /// `oidc` by `email` only: whether the provider has to have verified the address. Default true.
    email_verified: Option<bool>,
    /// `oidc` only: the claim that lists groups. Default none.
    groups: Option<String>,
    jwks: Option<String>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    /// `jwks_url` only: PEM. Default the authorities of the machine.
    jwks_ca_file: Option<PathBuf>,
    /// `jwks_url` only: how often to fetch; 60 to 86400. Default 300: what SPIFFE gives a bundle that does not say.
    jwks_refresh_s: Option<u64>,
    /// `jwks_url` only: how long keys count while fetching fails; from `jwks_refresh_s` to 604800. Default 86400.
    jwks_age_max_s: Option<u64>,
    /// How far the issuer's clock may be off; 0 to 60. Default 5.
    #[serde(default = "default_clock_skew_s")]
    clock_skew_s: u64,
    /// How long its tokens may live; 1 to 86400. Default 3600.
    #[serde(default = "default_lifetime_max_s")]
    lifetime_max_s: u64,
}

fn default_clock_skew_s() -> u64 {
    5
}

fn default_lifetime_max_s() -> u64 {
    3600
}

impl TryFrom<RawIssuer> for Issuer {
    type Error = InvalidIssuer;

    fn try_from(raw: RawIssuer) -> Result<Self, InvalidIssuer> {
        within("clock_skew_s", raw.clock_skew_s, 0, 60)?;
        within("lifetime_max_s", raw.lifetime_max_s, 1, 24 * 3600)?;
        let keys = raw.key_source()?;
        let (refresh_s, age_max_s) = raw.key_times(&keys)?;
        let audiences = raw.audiences.iter().filter(|name| is_exact(name)).map(|name| name.as_str().into());
        let audiences: Vec<Box<str>> = audiences.collect();
        if audiences.len() != raw.audiences.len() || !(1..=AUDIENCES_MAX).contains(&audiences.len()) {
            return Err(InvalidIssuer::Audiences);
        }
        Ok(Self {
            kind: raw.kind()?,
            iss: raw.iss()?,
            audiences,
            clock_skew: Duration::from_secs(raw.clock_skew_s),
            lifetime_max: Duration::from_secs(raw.lifetime_max_s),
            keys,
            keys_ca_file: raw.jwks_ca_file,
            keys_refresh: Duration::from_secs(refresh_s),
            keys_age_max: Duration::from_secs(age_max_s),
            name: raw.name.parse().map_err(|_| InvalidIssuer::Name)?,
        })
    }
}

impl RawIssuer {
    fn kind(&self) -> Result<Kind, InvalidIssuer> {
        if self.kind != IssuerKind::Oidc {
            out_of_place("principal", self.principal.is_some())?;
            out_of_place("token", self.token.is_some())?;
            out_of_place("email_verified", self.email_verified.is_some())?;
            out_of_place("groups", self.groups.is_some())?;
        }
        if self.kind != IssuerKind::JwtSvid {
            out_of_place("trust_domain", self.trust_domain.is_some())?;
        }
        match self.kind {
            IssuerKind::Oidc => self.person().map(Kind::Person),
            IssuerKind::JwtSvid => {
                let name = self.trust_domain.as_deref().ok_or(InvalidIssuer::FieldMissing { field: "trust_domain" })?;
                let trust_domain = name.parse().map_err(|_| InvalidIssuer::TrustDomain)?;
                Ok(Kind::Workload { trust_domain })
            }
            IssuerKind::Kubernetes => Ok(Kind::Kubernetes),
        }
    }

    fn person(&self) -> Result<PersonRules, InvalidIssuer> {
        let name = self.principal.ok_or(InvalidIssuer::FieldMissing { field: "principal" })?;
        out_of_place("email_verified", self.email_verified.is_some() && name != NameClaim::Email)?;
        let groups = self.groups.as_deref();
        if groups.is_some_and(|claim| !is_exact(claim) || NOT_GROUPS.contains(&claim)) {
            return Err(InvalidIssuer::GroupsClaim);
        }
        Ok(PersonRules {
            token_use: self.token.unwrap_or_default(),
            name,
            verified_email: self.email_verified.unwrap_or(true),
            groups: groups.map(Into::into),
        })
    }

    fn iss(&self) -> Result<Option<Box<str>>, InvalidIssuer> {
        match (&self.iss, self.kind) {
            (None, IssuerKind::JwtSvid) => return Ok(None),
            (None, _) => return Err(InvalidIssuer::IssMissing),
            (Some(iss), IssuerKind::JwtSvid) if !is_exact(iss) => return Err(InvalidIssuer::IssText),
            (Some(_), IssuerKind::JwtSvid) => {}
            (Some(iss), _) => drop(iss.parse::<HttpsUrl>().map_err(InvalidIssuer::Iss)?),
        }
        Ok(self.iss.as_deref().map(Into::into))
    }

    fn key_source(&self) -> Result<KeySource, InvalidIssuer> {
        match (&self.jwks, &self.jwks_file, &self.jwks_url) {
            (Some(text), None, None) => Ok(KeySource::Inline(text.as_str().into())),
            (None, Some(path), None) if path.is_absolute() => Ok(KeySource::File(path.clone())),
            (None, Some(_), None) => Err(InvalidIssuer::RelativePath),
            (None, None, Some(url)) => url.parse().map(KeySource::Url).map_err(InvalidIssuer::Url),
            _ => Err(InvalidIssuer::KeySource),
        }
    }

    fn key_times(&self, keys: &KeySource) -> Result<(u64, u64), InvalidIssuer> {
        if !matches!(keys, KeySource::Url(_)) {
            out_of_place("jwks_refresh_s", self.jwks_refresh_s.is_some())?;
            out_of_place("jwks_age_max_s", self.jwks_age_max_s.is_some())?;
            out_of_place("jwks_ca_file", self.jwks_ca_file.is_some())?;
        }
        if self.jwks_ca_file.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(InvalidIssuer::RelativePath);
        }
        let refresh_s = self.jwks_refresh_s.unwrap_or(300);
        within("jwks_refresh_s", refresh_s, 60, 24 * 3600)?;
        let age_max_s = self.jwks_age_max_s.unwrap_or(24 * 3600);
        within("jwks_age_max_s", age_max_s, refresh_s, 7 * 24 * 3600)?;
        Ok((refresh_s, age_max_s))
    }
}

/// Says whether a text is written out: no wildcard, no space, nothing that cannot be seen.
fn is_exact(text: &str) -> bool {
    (1..=TEXT_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
}

fn out_of_place(field: &'static str, is_there: bool) -> Result<(), InvalidIssuer> {
    if is_there { Err(InvalidIssuer::FieldOutOfPlace { field }) } else { Ok(()) }
}

fn within(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), InvalidIssuer> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(InvalidIssuer::Range { field, min, max }) }
}
