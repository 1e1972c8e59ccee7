//! What no manifest can say about itself: names that are taken, and scopes that have to exist.

use super::{
    Agent, Registry, Tool, ToolServer, ToolServerName,
    line::Step::{self, At, Key},
    load::{Content, Defect, Document},
    manifest::{AgentSpec, ProcessSpec, ScopeSpec, ToolServerSpec},
};
use crumb_token::{AgentName, Audience, Grant, Grants, SpiffeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Makes the snapshot, unless there is a defect among `found` or a new one.
pub(super) fn registry(documents: Vec<Document>, found: Vec<Defect>, version: String) -> Result<Registry, Vec<Defect>> {
    let mut building = Building { defects: found, ..Building::default() };
    if documents.len() > Registry::LEN_MAX {
        let document = &documents[Registry::LEN_MAX];
        building.defects.push(document.defect(&[], format!("more than {} manifests", Registry::LEN_MAX)));
    }
    // Tool servers first, in whatever file they are: agents refer to them.
    for document in &documents {
        if let Content::ToolServer(manifest) = &document.content {
            building.tool_server(document, &manifest.metadata.name.0, &manifest.spec);
        }
    }
    for document in documents {
        building.agent(document);
    }
    building.finish(version)
}

#[derive(Default)]
struct Building {
    defects: Vec<Defect>,
    agents: BTreeMap<AgentName, Agent>,
    identities: BTreeSet<SpiffeId>,
    audiences: HashMap<ToolServerName, Audience>,
    tool_servers: BTreeMap<Audience, ToolServer>,
}

const NAME: &[Step] = &[Key("metadata"), Key("name")];

impl Building {
    fn finish(mut self, version: String) -> Result<Registry, Vec<Defect>> {
        if self.defects.is_empty() {
            return Ok(Registry { agents: self.agents, tool_servers: self.tool_servers, version: version.into() });
        }
        self.defects.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Err(self.defects)
    }

    fn tool_server(&mut self, document: &Document, name: &ToolServerName, spec: &ToolServerSpec) {
        let audience = &spec.audience.0;
        if self.audiences.insert(name.clone(), audience.clone()).is_some() {
            self.defects.push(document.defect(NAME, format!("tool server {name} is registered twice")));
        }
        if spec.tools.is_empty() || spec.tools.len() > ToolServer::TOOLS_MAX {
            let reason = format!("a tool server has 1 to {} tools", ToolServer::TOOLS_MAX);
            self.defects.push(document.defect(&[Key("spec"), Key("tools")], reason));
        }
        let server = ToolServer {
            name: name.clone(),
            audience: audience.clone(),
            spiffe_id: spec.spiffe_id.0.clone(),
            owner: spec.owner.0.0.clone(),
            address: spec.address.0.clone(),
            tools: self.tools(document, spec),
        };
        if self.tool_servers.insert(audience.clone(), server).is_some() {
            let reason = format!("audience {audience} is registered twice");
            self.defects.push(document.defect(&[Key("spec"), Key("audience")], reason));
        }
    }

    fn tools(&mut self, document: &Document, spec: &ToolServerSpec) -> BTreeSet<Tool> {
        let mut seen = BTreeSet::new();
        let mut tools = BTreeSet::new();
        for (i, tool) in spec.tools.iter().enumerate() {
            if !seen.insert((&tool.name.0, &tool.operation.0)) {
                let reason = format!("{} {} is listed twice", tool.name.0, tool.operation.0);
                self.defects.push(document.defect(&[Key("spec"), Key("tools"), At(i), Key("name")], reason));
            }
            tools.insert(Tool { name: tool.name.0.clone(), operation: tool.operation.0.clone(), risk: tool.risk });
        }
        tools
    }

    fn agent(&mut self, document: Document) {
        let Content::Agent(manifest) = &document.content else { return };
        let (name, spec) = (manifest.metadata.name.0.clone(), &manifest.spec);
        if self.agents.contains_key(&name) {
            self.defects.push(document.defect(NAME, format!("agent {name} is registered twice")));
        }
        if !self.identities.insert(spec.spiffe_id.0.clone()) {
            let reason = format!("{} is the identity of another agent", spec.spiffe_id.0);
            self.defects.push(document.defect(&[Key("spec"), Key("spiffeId")], reason));
        }
        self.speakers(&document, spec);
        let scopes = self.scopes(&document, spec);
        let Content::Agent(manifest) = document.content else { return };
        let spec = manifest.spec;
        let agent = Agent {
            name: name.clone(),
            spiffe_id: spec.spiffe_id.0,
            owner: spec.owner.0.0,
            purpose: spec.purpose.0,
            version: spec.version.0,
            environment: spec.environment.0,
            scopes,
            sidecars: spec.sidecars.into_iter().map(|id| id.0).collect(),
            process: spec.process.map(ProcessSpec::into_rule),
            valid_until: spec.valid_until.map(|day| day.0.0),
            ttl_max: spec.max_ttl_seconds.map(|ttl| ttl.0.0),
        };
        self.agents.insert(name, agent);
    }

    /// A sidecar on a shared host vouches for a local process, so the manifest has to say which process that is.
    fn speakers(&mut self, document: &Document, spec: &AgentSpec) {
        if spec.sidecars.len() > Agent::SIDECARS_MAX {
            let reason = format!("at most {} sidecars may speak for one agent", Agent::SIDECARS_MAX);
            self.defects.push(document.defect(&[Key("spec"), Key("sidecars")], reason));
        }
        let vague = spec.process.as_ref().is_none_or(ProcessSpec::is_empty);
        if vague && !spec.sidecars.is_empty() {
            let reason = "an agent that sidecars speak for says which process it is: uid, exe or exeSha256";
            self.defects.push(document.defect(&[Key("spec"), Key("sidecars")], reason));
        } else if vague && spec.process.is_some() {
            let reason = "a process is named by at least one of uid, exe and exeSha256";
            self.defects.push(document.defect(&[Key("spec"), Key("process")], reason));
        }
    }

    fn scopes(&mut self, document: &Document, spec: &AgentSpec) -> BTreeMap<Audience, Grants> {
        let mut scopes = BTreeMap::new();
        if spec.scopes.is_empty() {
            let reason = "an agent without scopes can do nothing";
            self.defects.push(document.defect(&[Key("spec"), Key("scopes")], reason));
        }
        for (i, scope) in spec.scopes.iter().enumerate() {
            let at = [Key("spec"), Key("scopes"), At(i), Key("toolServer")];
            let Some(audience) = self.audiences.get(&scope.tool_server.0).cloned() else {
                let reason = format!("no tool server is registered as {}", scope.tool_server.0);
                self.defects.push(document.defect(&at, reason));
                continue;
            };
            let grants = self.grants(document, i, scope, &audience);
            if scopes.insert(audience, grants).is_some() {
                self.defects.push(document.defect(&at, format!("{} is listed twice", scope.tool_server.0)));
            }
        }
        scopes
    }

    fn grants(&mut self, document: &Document, scope_at: usize, scope: &ScopeSpec, audience: &Audience) -> Grants {
        let tools_at = [Key("spec"), Key("scopes"), At(scope_at), Key("tools")];
        let mut grants = Vec::new();
        for (i, right) in scope.tools.iter().enumerate() {
            let [a, b, c, d] = tools_at;
            let known = self.tool_servers.get(audience).is_some_and(|s| s.has(&right.tool.0, &right.operation.0));
            if !known {
                let reason =
                    format!("{} has no tool {} that does {}", scope.tool_server.0, right.tool.0, right.operation.0);
                self.defects.push(document.defect(&[a, b, c, d, At(i), Key("tool")], reason));
            }
            if right.resources.is_empty() {
                let reason = "a right without resources allows nothing";
                self.defects.push(document.defect(&[a, b, c, d, At(i), Key("resources")], reason));
            }
            grants.extend(right.resources.iter().map(|resource| Grant {
                tool: right.tool.0.clone(),
                operation: right.operation.0.clone(),
                resource: resource.0.clone(),
            }));
        }
        if grants.is_empty() && scope.tools.is_empty() {
            self.defects.push(document.defect(&tools_at, "a scope without tools allows nothing"));
        }
        Grants::try_new(grants).unwrap_or_else(|error| {
            self.defects.push(document.defect(&tools_at, error));
            Grants::default()
        })
    }
}
