//! What the sidecar wants of the broker. The SDK's client stands behind it; unit tests bring a broker of their own.

use crumb_proto::{
    from_status,
    wire::{ListAgentsRequest, registry_service_client::RegistryServiceClient},
};
use crumb_sdk::broker::{BrokerClient, DEADLINE, Exchange, OpenSession, Session, TaskToken, ToolServer};
use crumb_token::{AgentName, Denial, Reason, SessionId, SpiffeId};
use futures::future::BoxFuture;
use tokio::time::timeout;

/// The broker, as far as a sidecar needs it. A refusal is the broker's own denial, handed on as it is.
pub(crate) trait Broker: Send + Sync + 'static {
    /// Opens a session.
    fn open(&self, open: OpenSession) -> BoxFuture<'_, Result<Session, Denial>>;
    /// Closes a session; one that is closed already is no error.
    fn close(&self, session: SessionId) -> BoxFuture<'_, Result<(), Denial>>;
    /// Exchanges our SVID for a task token.
    fn exchange(&self, exchange: Exchange) -> BoxFuture<'_, Result<TaskToken, Denial>>;
    /// Returns the registered tool servers.
    fn tool_servers(&self) -> BoxFuture<'_, Result<Vec<ToolServer>, Denial>>;
    /// Returns the SPIFFE ID that an agent is registered with.
    fn agent_id(&self, agent: AgentName) -> BoxFuture<'_, Result<SpiffeId, Denial>>;
}

impl Broker for BrokerClient {
    fn open(&self, open: OpenSession) -> BoxFuture<'_, Result<Session, Denial>> {
        Box::pin(async move { self.open_session(&open).await.map_err(|e| e.to_denial()) })
    }

    fn close(&self, session: SessionId) -> BoxFuture<'_, Result<(), Denial>> {
        Box::pin(async move { self.close_session(session).await.map(drop).map_err(|e| e.to_denial()) })
    }

    fn exchange(&self, exchange: Exchange) -> BoxFuture<'_, Result<TaskToken, Denial>> {
        Box::pin(async move { Self::exchange(self, &exchange).await.map_err(|e| e.to_denial()) })
    }

    fn tool_servers(&self) -> BoxFuture<'_, Result<Vec<ToolServer>, Denial>> {
        Box::pin(async move { self.list_tool_servers().await.map_err(|e| e.to_denial()) })
    }

    fn agent_id(&self, agent: AgentName) -> BoxFuture<'_, Result<SpiffeId, Denial>> {
        Box::pin(async move {
            let mut registry = RegistryServiceClient::new(self.channel());
            let answer = timeout(DEADLINE, registry.list_agents(ListAgentsRequest {})).await;
            let agents = match answer {
                Ok(Ok(answer)) => answer.into_inner().agents,
                Ok(Err(status)) => {
                    return Err(from_status(&status).unwrap_or_else(|| Denial::new(Reason::BrokerUnreachable)));
                }
                Err(_) => return Err(Denial::new(Reason::BrokerUnreachable)),
            };
            let found = agents.iter().find(|a| a.name == agent.as_str()).and_then(|a| a.spiffe_id.parse().ok());
            found.ok_or_else(|| Denial::new(Reason::AgentUnknown).asked(agent))
        })
    }
}
