//! Handing a task's token on to another agent, offline, through the sidecars of both.

use super::{BeginTask, DEADLINE, SidecarClient, Task, within};
use crate::{
    broker::whole_seconds,
    failure::{CallFailed, Party},
};
use crumb_proto::{Violations, wire};
use crumb_token::{
    AgentName, Operation, ResourcePattern, SpiffeId, TaskId, Timestamp, TokenText, ToolName, handover::DelegationKey,
};
use std::time::Duration;

/// A token that is to be handed on, and what it may do at most where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The task whose token it is.
    pub task: TaskId,
    /// The next holder: one that the task was begun for.
    pub to: SpiffeId,
    /// Only these tools; all of the token's when empty.
    pub tools: Vec<ToolName>,
    /// Only this operation.
    pub operation: Option<Operation>,
    /// Only these resources.
    pub resource: Option<ResourcePattern>,
    /// At most so long, in whole seconds.
    pub ttl: Option<Duration>,
    /// The next holder's own key, when it may hand the token on once more.
    pub onward: Option<DelegationKey>,
}

/// A token as it was handed on: good in the next holder's hands alone.
#[derive(Clone, Debug)]
pub struct HandedToken {
    /// The token.
    pub token: TokenText,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl SidecarClient {
    /// Begins a task whose token may be handed on, offline, to the agents in `may_act`, each at its own SPIFFE ID.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `delegation_refused` when the owner did not name one of them, or what is asked cannot be granted
    /// offline.
    pub async fn begin_task_to_hand_on(
        &self,
        begin: &BeginTask,
        may_act: &[(AgentName, SpiffeId)],
    ) -> Result<Task, CallFailed> {
        let entry =
            |(agent, peer): &(AgentName, SpiffeId)| wire::MayAct { agent: agent.to_string(), peer: peer.to_string() };
        let message = wire::BeginTaskRequest { may_act: may_act.iter().map(entry).collect(), ..begin.to_wire() };
        Task::read(&within(DEADLINE, self.wire().begin_task(message)).await?)
    }

    /// Hands a task's token on. The broker is not asked.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `delegation_refused` when the task was not begun for that workload.
    pub async fn hand_over(&self, wanted: &HandOver) -> Result<HandedToken, CallFailed> {
        let message = wire::HandOverRequest {
            task_id: wanted.task.to_string(),
            to: wanted.to.to_string(),
            tools: wanted.tools.iter().map(ToString::to_string).collect(),
            operation: wanted.operation.as_ref().map(ToString::to_string).unwrap_or_default(),
            resource: wanted.resource.as_ref().map(ToString::to_string).unwrap_or_default(),
            ttl_s: whole_seconds(wanted.ttl),
            onward_key: wanted.onward.map(|key| key.as_bytes().to_vec()).unwrap_or_default(),
        };
        let answer = within(DEADLINE, self.wire().hand_over(message)).await?;
        // Taken out first, so that nothing below can show it.
        let token = zeroize::Zeroizing::new(answer.token);
        let mut v = Violations::default();
        let token = v.keep("token", TokenText::from_presented(&token));
        let token = token.ok_or_else(|| CallFailed::unreadable(Party::Sidecar, &v))?;
        Ok(HandedToken { token, expires_at: Timestamp::from_unix_s(answer.expires_at) })
    }

    /// Takes a token that another agent handed to our workload. The task that comes back is used like any other, and is not
    /// renewed.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `holder_mismatch` when it was handed to somebody else.
    pub async fn accept(&self, token: &TokenText) -> Result<Task, CallFailed> {
        let message = wire::AcceptRequest { token: token.expose().to_owned() };
        Task::read(&within(DEADLINE, self.wire().accept(message)).await?)
    }
}
