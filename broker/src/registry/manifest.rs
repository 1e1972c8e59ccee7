//! The shape of a manifest: `apiVersion: crumb.dev/v1`, a kind, a name and a spec, and nothing else.

use super::{
    Executable, HostPort, Purpose, Risk, Sha256Digest, ToolServerName, owner::Person, parsed::Parsed,
    process::ProcessRule,
};
use crumb_token::{
    AgentName, Audience, Environment, Operation, ResourcePattern, SpiffeId, Timestamp, ToolName, Version,
};
use serde::Deserialize;
use std::{str::FromStr, time::Duration};
use time::{Date, format_description::well_known::Iso8601};

/// The kinds of manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    Agent,
    ToolServer,
}

/// As much of a manifest as tells which shape the rest has.
#[derive(Debug, Deserialize)]
pub(super) struct Peek {
    pub(super) kind: Kind,
}

/// A manifest with a spec of a known kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, bound = "N: FromStr<Err: std::fmt::Display>, S: Deserialize<'de>")]
pub(super) struct Manifest<N, S> {
    #[serde(rename = "apiVersion")]
    _api_version: Parsed<ApiVersion>,
    #[serde(rename = "kind")]
    _kind: Kind,
    pub(super) metadata: Metadata<N>,
    pub(super) spec: S,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, bound = "N: FromStr<Err: std::fmt::Display>")]
pub(super) struct Metadata<N> {
    pub(super) name: Parsed<N>,
}

/// The one version there is.
#[derive(Debug)]
struct ApiVersion;

#[derive(Debug, thiserror::Error)]
#[error("apiVersion is crumb.dev/v1")]
struct UnknownApiVersion;

impl FromStr for ApiVersion {
    type Err = UnknownApiVersion;

    fn from_str(text: &str) -> Result<Self, UnknownApiVersion> {
        if text == "crumb.dev/v1" { Ok(Self) } else { Err(UnknownApiVersion) }
    }
}

pub(super) type AgentManifest = Manifest<AgentName, AgentSpec>;
pub(super) type ToolServerManifest = Manifest<ToolServerName, ToolServerSpec>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AgentSpec {
    pub(super) spiffe_id: Parsed<SpiffeId>,
    pub(super) owner: Parsed<Person>,
    pub(super) purpose: Parsed<Purpose>,
    pub(super) version: Parsed<Version>,
    pub(super) environment: Parsed<Environment>,
    pub(super) scopes: Vec<ScopeSpec>,
    #[serde(default)]
    pub(super) sidecars: Vec<Parsed<SpiffeId>>,
    pub(super) process: Option<ProcessSpec>,
    pub(super) valid_until: Option<Parsed<LastDay>>,
    pub(super) max_ttl_seconds: Option<Parsed<Ttl>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ScopeSpec {
    pub(super) tool_server: Parsed<ToolServerName>,
    pub(super) tools: Vec<RightSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RightSpec {
    pub(super) tool: Parsed<ToolName>,
    pub(super) operation: Parsed<Operation>,
    pub(super) resources: Vec<Parsed<ResourcePattern>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ProcessSpec {
    uid: Option<u32>,
    exe: Option<Parsed<Executable>>,
    exe_sha256: Option<Parsed<Sha256Digest>>,
}

impl ProcessSpec {
    /// Says whether nothing is demanded.
    pub(super) fn is_empty(&self) -> bool {
        self.uid.is_none() && self.exe.is_none() && self.exe_sha256.is_none()
    }

    pub(super) fn into_rule(self) -> ProcessRule {
        ProcessRule { uid: self.uid, exe: self.exe.map(|p| p.0), exe_sha256: self.exe_sha256.map(|p| p.0) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ToolServerSpec {
    pub(super) audience: Parsed<Audience>,
    pub(super) spiffe_id: Parsed<SpiffeId>,
    pub(super) owner: Parsed<Person>,
    pub(super) address: Parsed<HostPort>,
    pub(super) tools: Vec<ToolSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolSpec {
    pub(super) name: Parsed<ToolName>,
    pub(super) operation: Parsed<Operation>,
    pub(super) risk: Risk,
}

/// The last day of a registration, in UTC, as the moment when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastDay(pub(super) Timestamp);

#[derive(Debug, thiserror::Error)]
#[error("a date is written 2027-01-31")]
pub(super) struct InvalidDay;

impl FromStr for LastDay {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        // The parser also takes week dates and dates without dashes; one spelling is enough.
        let date = Date::parse(text, &Iso8601::DATE).ok().filter(|date| date.to_string() == text).ok_or(InvalidDay)?;
        let end = date.next_day().ok_or(InvalidDay)?.midnight().assume_utc().unix_timestamp();
        u64::try_from(end).map(|s| Self(Timestamp::from_unix_s(s))).map_err(|_| InvalidDay)
    }
}

/// The longest life of an agent's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ttl(pub(super) Duration);

#[derive(Debug, thiserror::Error)]
#[error("maxTtlSeconds is from {} to {}", crate::clamp::TTL_MIN.as_secs(), crate::clamp::TTL_MAX.as_secs())]
pub(super) struct InvalidTtl;

impl FromStr for Ttl {
    type Err = InvalidTtl;

    fn from_str(text: &str) -> Result<Self, InvalidTtl> {
        let ttl = text.parse().map(Duration::from_secs).map_err(|_| InvalidTtl)?;
        if (crate::clamp::TTL_MIN..=crate::clamp::TTL_MAX).contains(&ttl) { Ok(Self(ttl)) } else { Err(InvalidTtl) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_included() {
        let LastDay(end) = "1970-01-01".parse().expect("a date");
        assert_eq!(end, Timestamp::from_unix_s(86_400));
        for bad in ["", "1970-1-1", "19700101", "1970-W01-1", "1970-02-30", "1970-01-01T00:00:00Z", "1969-01-01"] {
            assert!(bad.parse::<LastDay>().is_err(), "{bad:?}");
        }
    }
}
