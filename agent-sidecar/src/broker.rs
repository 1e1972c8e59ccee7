//! What the sidecar wants of the broker. The SDK's client stands behind it; unit tests bring a broker of their own.

use crumb_proto::{
    from_status,
    wire::{ListAgentsRequest, registry_service_client::RegistryServiceClient},
};
use crumb_sdk::broker::{
    BrokerClient, DEADLINE, Delegate, Exchange, OpenSession, Session, SessionDescription, TaskToken, ToolServer,
};
use crumb_token::{AgentName, ApprovalId, Denial, Reason, SessionId, SpiffeId};
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::time::timeout;

/// The broker, as far as a sidecar needs it. A refusal is the broker's own denial, handed on as it is.
pub(crate) trait Broker: Send + Sync + 'static {
    /// Opens a session.
    fn open(&self, open: OpenSession) -> BoxFuture<'_, Result<Session, Denial>>;
    /// Closes a session; one that is closed already is no error.
    fn close(&self, session: SessionId) -> BoxFuture<'_, Result<(), Denial>>;
    /// Opens a session for another agent inside one of ours.
    fn delegate(&self, delegate: Delegate) -> BoxFuture<'_, Result<Session, Denial>>;
    /// Tells what a session is, when it is ours.
    fn describe(&self, session: SessionId) -> BoxFuture<'_, Result<SessionDescription, Denial>>;
    /// Waits until our request is approved, at most `wait`; `false` when the time was up first.
    fn await_approval(&self, approval: ApprovalId, wait: Duration) -> BoxFuture<'_, Result<bool, Denial>>;
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

    fn delegate(&self, delegate: Delegate) -> BoxFuture<'_, Result<Session, Denial>> {
        Box::pin(async move { Self::delegate(self, &delegate).await.map_err(|e| e.to_denial()) })
    }

    fn describe(&self, session: SessionId) -> BoxFuture<'_, Result<SessionDescription, Denial>> {
        Box::pin(async move { self.describe_session(session).await.map_err(|e| e.to_denial()) })
    }

    fn await_approval(&self, approval: ApprovalId, wait: Duration) -> BoxFuture<'_, Result<bool, Denial>> {
        Box::pin(async move {
            let approved = Self::await_approval(self, approval, wait).await;
            approved.map(|approval| approval.is_some()).map_err(|e| e.to_denial())
        })
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
