//! `RegistryService`: any workload of the trust domain may list, operators read and apply manifests.

mod manifests;

pub(super) use manifests::to_change;

use super::{Door, Services, operator};
use crate::{
    broker::Outcome,
    caller,
    registry::{self, AgentIdentity, Author, Key, Kind, ManifestFile, Registry, ResourceFrom, plan::Wanted},
};
use crumb_proto::{
    Violations, convert, status,
    wire::{
        Agent, ApplyRequest, ApplyResponse, ExpectedVersion, GetManifestsRequest, GetManifestsResponse,
        ListAgentsRequest, ListAgentsResponse, ListToolServersRequest, ListToolServersResponse, ListUnknownRequest,
        ListUnknownResponse, RenewLeaseRequest, RenewLeaseResponse, Tool, ToolServer, UnknownAgent,
        registry_service_server::RegistryService,
    },
};
use crumb_token::{Denial, Reason, Timestamp};
use std::collections::BTreeMap;
use tonic::{Extensions, Request, Response, Status, async_trait};

/// The longest name of a file, in bytes. It is only said back, in defects.
const FILE_NAME_LEN_MAX: usize = 512;

impl Services {
    /// Any workload of the trust domain may read the registry, as long as its SVID holds.
    fn admit_reader(&self, extensions: &Extensions) -> Result<(), Status> {
        let now = self.broker.clock.now().wall;
        match self.door {
            Door::Admin => Ok(()),
            Door::Network => caller::attest(&self.broker.workload, extensions, now)
                .map(|_| ())
                .map_err(|denial| status::to_status(&denial)),
        }
    }
}

#[async_trait]
impl RegistryService for Services {
    async fn list_agents(&self, request: Request<ListAgentsRequest>) -> Result<Response<ListAgentsResponse>, Status> {
        self.admit_reader(request.extensions())?;
        let (registry, now) = (self.broker.registry(), self.broker.clock.now().wall);
        let agents = registry.agents().map(|agent| to_agent(&registry, agent, now)).collect();
        Ok(Response::new(ListAgentsResponse { agents }))
    }

    async fn list_tool_servers(
        &self,
        request: Request<ListToolServersRequest>,
    ) -> Result<Response<ListToolServersResponse>, Status> {
        self.admit_reader(request.extensions())?;
        let tool_servers = self.broker.registry().tool_servers().map(to_tool_server).collect();
        Ok(Response::new(ListToolServersResponse { tool_servers }))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let by = operator::of(self.door, request.extensions())?;
        let message = request.into_inner();
        let dry_run = message.dry_run;
        let wanted = wanted(message, by).map_err(|v| status::invalid(&v))?;
        // Whoever asked may leave: what was begun comes to its end all the same.
        let broker = std::sync::Arc::clone(&self.broker);
        let applied = tokio::spawn(async move { broker.apply(wanted, dry_run).await }).await;
        let applied = applied.map_err(|_| status::to_status(&Denial::new(Reason::Unforeseen)))?;
        let response = match applied? {
            Outcome::Applied { changes, before, after } => ApplyResponse {
                changes: changes.into_iter().map(to_change).collect(),
                defects: Vec::new(),
                registry_before: before,
                registry_after: after,
            },
            Outcome::Defects(defects) => {
                let version = self.broker.registry().version().to_owned();
                ApplyResponse {
                    changes: Vec::new(),
                    defects: defects.into_iter().map(manifests::to_defect).collect(),
                    registry_before: version.clone(),
                    registry_after: version,
                }
            }
        };
        Ok(Response::new(response))
    }

    async fn renew_lease(&self, request: Request<RenewLeaseRequest>) -> Result<Response<RenewLeaseResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let until = self.broker.renew_lease(&message, &extensions).await?;
        Ok(Response::new(RenewLeaseResponse { until: until.as_unix_s() }))
    }

    async fn list_unknown(
        &self,
        request: Request<ListUnknownRequest>,
    ) -> Result<Response<ListUnknownResponse>, Status> {
        operator::of(self.door, request.extensions())?;
        let unknown = self.broker.strangers.list().into_iter().map(|stranger| UnknownAgent {
            peer: stranger.peer.to_string(),
            agent: stranger.agent,
            first_seen: stranger.first_seen.as_unix_s(),
            last_seen: stranger.last_seen.as_unix_s(),
            times: stranger.times,
        });
        Ok(Response::new(ListUnknownResponse { unknown: unknown.collect() }))
    }

    async fn get_manifests(
        &self,
        request: Request<GetManifestsRequest>,
    ) -> Result<Response<GetManifestsResponse>, Status> {
        operator::of(self.door, request.extensions())?;
        let GetManifestsRequest { kind, name } = request.into_inner();
        let mut v = Violations::default();
        let kind: Option<Kind> = (!kind.is_empty()).then(|| v.parse("kind", &kind)).flatten();
        if !v.is_empty() {
            return Err(status::invalid(&v));
        }
        let shelf = self.broker.shelf().await.map_err(|denial| status::to_status(&denial))?;
        let (registry, now) = (self.broker.registry(), self.broker.clock.now().wall);
        let wanted = |key: &Key| kind.is_none_or(|k| k == key.kind) && (name.is_empty() || key.name.as_str() == name);
        let found = shelf.manifests.into_iter().filter(|kept| wanted(&kept.key));
        let manifests = found.map(|kept| manifests::to_manifest(&registry, kept, now)).collect();
        Ok(Response::new(GetManifestsResponse { manifests, registry_version: registry.version().to_owned() }))
    }
}

fn wanted(message: ApplyRequest, by: String) -> Result<Wanted, Violations> {
    let mut v = Violations::default();
    let mut files = Vec::with_capacity(message.documents.len());
    for (i, document) in message.documents.into_iter().enumerate() {
        let name = crumb_token::text::bounded(&document.file, FILE_NAME_LEN_MAX, crumb_token::text::is_printable);
        if let Some(file) = v.keep(format!("documents[{i}].file"), name) {
            files.push(ManifestFile { file: file.into_string().into(), text: document.text });
        }
    }
    if files.len() > Registry::LEN_MAX {
        v.add("documents", format!("has at most {}", Registry::LEN_MAX));
    }
    let mut expected = BTreeMap::new();
    for (i, ExpectedVersion { kind, name, version }) in message.expected_versions.into_iter().enumerate() {
        let kind: Option<Kind> = v.parse(format!("expected_versions[{i}].kind"), &kind);
        let name = v.parse(format!("expected_versions[{i}].name"), &name);
        if let (Some(kind), Some(name)) = (kind, name) {
            expected.insert(Key { kind, name }, version);
        }
    }
    let wanted = Wanted { author: Author::Operator(by), files, prune: message.prune, expected };
    if v.is_empty() { Ok(wanted) } else { Err(v) }
}

fn to_agent(registry: &Registry, agent: &registry::Agent, now: Timestamp) -> Agent {
    let (one, pattern) = match &agent.identity {
        AgentIdentity::One(id) => (id.to_string(), String::new()),
        AgentIdentity::PerInstance(pattern) => (String::new(), pattern.to_string()),
    };
    let seconds = |end: Option<Timestamp>| end.map(|end| end.as_unix_s()).unwrap_or_default();
    Agent {
        name: agent.name.to_string(),
        spiffe_id: one,
        owner: agent.owner.to_string(),
        purpose: agent.purpose.to_string(),
        version: agent.version.to_string(),
        environment: agent.environment.to_string(),
        scopes: agent.scopes.iter().map(|(audience, grants)| convert::to_scope(audience, grants)).collect(),
        sidecars: agent.sidecars.iter().map(ToString::to_string).collect(),
        valid_until: seconds(agent.valid_until),
        spiffe_id_pattern: pattern,
        model: agent.model.as_ref().map(ToString::to_string).unwrap_or_default(),
        persona: agent.persona.as_ref().map(ToString::to_string).unwrap_or_default(),
        bundles: agent.bundles.iter().map(ToString::to_string).collect(),
        lifecycle: agent.lifecycle.to_string(),
        review_by: seconds(agent.review_by),
        flags: registry.flags(agent, now).iter().map(ToString::to_string).collect(),
        refused: registry.standing(agent, now).err().map(|reason| reason.code().to_owned()).unwrap_or_default(),
    }
}

fn to_tool_server(server: &registry::ToolServer) -> ToolServer {
    ToolServer {
        name: server.name.to_string(),
        audience: server.audience.to_string(),
        spiffe_id: server.spiffe_id.to_string(),
        owner: server.owner.to_string(),
        address: server.address.to_string(),
        tools: server.tools.iter().map(to_tool).collect(),
        tools_digest: server.tools_digest.map(|digest| digest.as_bytes().to_vec()).unwrap_or_default(),
        reviewers: server.reviewers.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn to_tool(tool: &registry::Tool) -> Tool {
    let (argument, prefix, always) = match &tool.resource_from {
        Some(ResourceFrom::Argument { name, prefix }) => {
            (name.to_string(), prefix.as_ref().map(ToString::to_string).unwrap_or_default(), String::new())
        }
        Some(ResourceFrom::Always(resource)) => (String::new(), String::new(), resource.to_string()),
        None => Default::default(),
    };
    Tool {
        name: tool.name.to_string(),
        operation: tool.operation.to_string(),
        risk: tool.risk.as_str().to_owned(),
        resource_argument: argument,
        resource_prefix: prefix,
        resource_always: always,
    }
}
