//! Making a call for an agent: the agent never sees a token.

use crate::{narrow::CallToken, tool_servers::ToolServers};
use bytes::Bytes;
use crumb_identity::Workload;
use crumb_sdk::{
    CallFailed,
    broker::ToolServer,
    call::{ToolAnswer, ToolClient},
};
use crumb_token::{Audience, Denial, ToolName};
use futures::future::BoxFuture;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The most tool servers that are kept connected. Beyond it the others are dialled anew, which costs a handshake.
const CLIENTS_MAX: usize = 256;

/// Whoever can call tool servers with our identity.
pub(crate) trait Tools: Send + Sync + 'static {
    /// Calls `tool` at the server of `audience`, presenting `token`. A refusal of the tool server is an answer.
    fn call(
        &self,
        audience: Audience,
        token: CallToken,
        tool: ToolName,
        arguments: Bytes,
    ) -> BoxFuture<'_, Result<ToolAnswer, Denial>>;
}

/// Calls over mutual TLS, with our own SVID.
#[derive(Debug)]
pub(crate) struct MtlsTools {
    workload: Workload,
    servers: Arc<ToolServers>,
    clients: Mutex<HashMap<Audience, (ToolServer, ToolClient)>>,
}

impl MtlsTools {
    /// Calls as `workload`, the servers that `servers` lists.
    pub(crate) fn new(workload: Workload, servers: Arc<ToolServers>) -> Self {
        Self { workload, servers, clients: Mutex::default() }
    }

    /// Returns the client for a server as the registry has it now.
    fn client(&self, server: ToolServer) -> ToolClient {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = clients.get(&server.audience)
            && (&known.address, &known.spiffe_id) == (&server.address, &server.spiffe_id)
        {
            return client.clone();
        }
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        let client = ToolClient::new(self.workload.clone(), server.address.clone(), server.spiffe_id.clone());
        clients.insert(server.audience.clone(), (server, client.clone()));
        client
    }
}

impl Tools for MtlsTools {
    fn call(
        &self,
        audience: Audience,
        token: CallToken,
        tool: ToolName,
        arguments: Bytes,
    ) -> BoxFuture<'_, Result<ToolAnswer, Denial>> {
        Box::pin(async move {
            let client = self.client(self.servers.find(&audience).await?);
            match client.call(&token.token, &tool, arguments).await {
                Ok(answer) => Ok(answer),
                Err(failed) => {
                    if matches!(failed, CallFailed::Unreachable { .. }) {
                        self.servers.doubt().await;
                    }
                    Err(failed.to_denial())
                }
            }
        })
    }
}
