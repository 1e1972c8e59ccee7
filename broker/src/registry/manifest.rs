//! The shape of a manifest: `apiVersion: crumb.dev/v1`, a kind, a name and a spec, and nothing else.

use super::{
    Executable, HostPort, Kind, Lifecycle, ManifestName, Model, Purpose, Risk, Sha256Digest, SpiffeIdPattern,
    ToolServerName,
    approval_rule::Member,
    moment::{DefaultTtl, LastDay, Lease, SessionLife, Ttl},
    owner::Person,
    parsed::Parsed,
    process::ProcessRule,
    tool_server::{ArgumentName, Prefix},
};
use crumb_token::{
    AgentName, Audience, Environment, Operation, Resource, ResourcePattern, SpiffeId, ToolName, Version,
};
use serde::Deserialize;
use std::{collections::BTreeMap, str::FromStr};

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
#[serde(deny_unknown_fields, rename_all = "camelCase", bound = "N: FromStr<Err: std::fmt::Display>")]
pub(super) struct Metadata<N> {
    pub(super) name: Parsed<N>,
    pub(super) resource_version: Option<u64>,
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
pub(super) type PersonaManifest = Manifest<ManifestName, PersonaSpec>;
pub(super) type ToolBundleManifest = Manifest<ManifestName, ToolBundleSpec>;
pub(super) type PolicyManifest = Manifest<ManifestName, PolicySpec>;
pub(super) type ApprovalRuleManifest = Manifest<ManifestName, ApprovalRuleSpec>;
pub(super) type DirectoryManifest = Manifest<ManifestName, DirectorySpec>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AgentSpec {
    pub(super) spiffe_id: Option<Parsed<SpiffeId>>,
    pub(super) spiffe_id_pattern: Option<Parsed<SpiffeIdPattern>>,
    pub(super) instances: Option<Instances>,
    pub(super) owner: Parsed<Person>,
    pub(super) purpose: Parsed<Purpose>,
    pub(super) version: Parsed<Version>,
    pub(super) model: Option<Parsed<Model>>,
    pub(super) environment: Parsed<Environment>,
    #[serde(default)]
    pub(super) lifecycle: Lifecycle,
    pub(super) persona: Option<Parsed<ManifestName>>,
    #[serde(default)]
    pub(super) bundles: Vec<Parsed<ManifestName>>,
    #[serde(default)]
    pub(super) scopes: Vec<ScopeSpec>,
    #[serde(default)]
    pub(super) sidecars: Vec<Parsed<SpiffeId>>,
    #[serde(default)]
    pub(super) may_hand_to: Vec<Parsed<AgentName>>,
    pub(super) process: Option<ProcessSpec>,
    pub(super) valid_until: Option<Parsed<LastDay>>,
    pub(super) review_by: Option<Parsed<LastDay>>,
    pub(super) max_ttl_seconds: Option<Parsed<Ttl>>,
    pub(super) deployment: Option<DeploymentSpec>,
}

/// How many of an agent run under its registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Instances {
    Single,
    Many,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeploymentSpec {
    pub(super) lease: Parsed<Lease>,
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

    pub(super) fn to_rule(&self) -> ProcessRule {
        let exe = self.exe.as_ref().map(|p| p.0.clone());
        ProcessRule { uid: self.uid, exe, exe_sha256: self.exe_sha256.as_ref().map(|p| p.0) }
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
    pub(super) tools_digest: Option<Parsed<Sha256Digest>>,
    pub(super) reviewers: Option<Parsed<ManifestName>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ToolSpec {
    pub(super) name: Parsed<ToolName>,
    pub(super) operation: Parsed<Operation>,
    pub(super) risk: Risk,
    pub(super) resource_from: Option<ResourceFromSpec>,
}

/// One of the two: the argument that names the resource, or the one resource that the tool has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceFromSpec {
    pub(super) argument: Option<Parsed<ArgumentName>>,
    pub(super) prefix: Option<Parsed<Prefix>>,
    pub(super) always: Option<Parsed<Resource>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PersonaSpec {
    pub(super) owner: Parsed<Person>,
    pub(super) purpose: Parsed<Purpose>,
    pub(super) extends: Option<Parsed<ManifestName>>,
    #[serde(default)]
    pub(super) bundles: Vec<Parsed<ManifestName>>,
    pub(super) risk_ceiling: Risk,
    pub(super) default_ttl_seconds: Option<Parsed<DefaultTtl>>,
    pub(super) max_ttl_seconds: Option<Parsed<Ttl>>,
    pub(super) session_seconds: Option<Parsed<SessionLife>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolBundleSpec {
    pub(super) owner: Parsed<Person>,
    pub(super) purpose: Parsed<Purpose>,
    #[serde(default)]
    pub(super) includes: Vec<Parsed<ManifestName>>,
    #[serde(default)]
    pub(super) scopes: Vec<ScopeSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicySpec {
    pub(super) owner: Parsed<Person>,
    pub(super) digest: Option<Parsed<Sha256Digest>>,
    pub(super) files: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalRuleSpec {
    pub(super) owner: Parsed<Person>,
    pub(super) members: Vec<Parsed<Member>>,
    pub(super) count: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DirectorySpec {
    pub(super) owner: Parsed<Person>,
    pub(super) departed: Vec<Parsed<Person>>,
}
