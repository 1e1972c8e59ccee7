//! `RegistryService`.

use super::{Door, Services};
use crate::{caller, registry};
use crumb_proto::{
    convert, status,
    wire::{
        Agent, ListAgentsRequest, ListAgentsResponse, ListToolServersRequest, ListToolServersResponse, Tool,
        ToolServer, registry_service_server::RegistryService,
    },
};
use tonic::{Extensions, Request, Response, Status, async_trait};

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
        let agents = self.broker.registry.agents().map(to_agent).collect();
        Ok(Response::new(ListAgentsResponse { agents }))
    }

    async fn list_tool_servers(
        &self,
        request: Request<ListToolServersRequest>,
    ) -> Result<Response<ListToolServersResponse>, Status> {
        self.admit_reader(request.extensions())?;
        let tool_servers = self.broker.registry.tool_servers().map(to_tool_server).collect();
        Ok(Response::new(ListToolServersResponse { tool_servers }))
    }
}

fn to_agent(agent: &registry::Agent) -> Agent {
    Agent {
        name: agent.name.to_string(),
        spiffe_id: agent.spiffe_id.to_string(),
        owner: agent.owner.to_string(),
        purpose: agent.purpose.to_string(),
        version: agent.version.to_string(),
        environment: agent.environment.to_string(),
        scopes: agent.scopes.iter().map(|(audience, grants)| convert::to_scope(audience, grants)).collect(),
        sidecars: agent.sidecars.iter().map(ToString::to_string).collect(),
        valid_until: agent.valid_until.map(|end| end.as_unix_s()).unwrap_or_default(),
    }
}

fn to_tool_server(server: &registry::ToolServer) -> ToolServer {
    let to_tool = |tool: &registry::Tool| Tool {
        name: tool.name.to_string(),
        operation: tool.operation.to_string(),
        risk: tool.risk.as_str().to_owned(),
    };
    ToolServer {
        name: server.name.to_string(),
        audience: server.audience.to_string(),
        spiffe_id: server.spiffe_id.to_string(),
        owner: server.owner.to_string(),
        address: server.address.to_string(),
        tools: server.tools.iter().map(to_tool).collect(),
    }
}
