//! The broker, as its clients call it: sessions, delegation, the exchange, approvals, the registry, decision records.
//!
//! Every call has one deadline for all its attempts. An attempt that did not arrive is made again with the same request
//! id, so the broker does the work once however often it is asked.

pub mod approval;
mod delegation;
mod exchange;
mod process;
mod session;
mod subject_token;
mod tool_servers;

pub use delegation::{Delegate, SessionAbove, SessionDescription};
pub use exchange::{Exchange, Handing, TaskToken};
pub use process::LocalProcess;
pub use session::{OpenSession, Session};
pub use subject_token::{InvalidSubjectToken, SubjectToken};

pub(crate) use session::whole_seconds;
pub use tool_servers::{OfferedTool, ToolServer};

use crate::{
    backoff::Backoff,
    failure::{CallFailed, Party, is_passing},
};
use approval::{Approval, Approve, ListApprovals, Refuse};
use crumb_identity::{Channel, Workload};
use crumb_proto::wire::{
    self, approval_service_client::ApprovalServiceClient, audit_service_client::AuditServiceClient,
    registry_service_client::RegistryServiceClient, session_service_client::SessionServiceClient,
    token_service_client::TokenServiceClient,
};
use crumb_token::{ApprovalId, RequestId, SessionId, SpiffeId};
use std::{future::Future, time::Duration};
use tonic::{Response, Status};
use uuid::Uuid;

/// How long one call may take, all attempts together: the time that a person is willing to look at a prompt.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// The most attempts of one call. With the pauses below, a broker that restarts within a second is not noticed.
const ATTEMPTS_MAX: u32 = 5;

/// The first and the longest pause between two attempts.
pub(crate) const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The longest listing of requests for approval, in bytes: as many as the broker lists, each with all it can hold.
const LISTING_LEN_MAX: usize = 16 * 1024 * 1024;

/// Makes a new request id. The same one is used for every attempt at one request.
pub fn new_request_id() -> RequestId {
    RequestId::from_uuid(Uuid::now_v7())
}

/// A client of the broker. Cheap to clone; all clones share one connection.
#[derive(Clone, Debug)]
pub struct BrokerClient {
    channel: Channel,
    deadline: Duration,
}

impl BrokerClient {
    /// Makes a client of whoever proves to be `broker` at `address`, a `host:port`. Dials at the first call.
    pub fn new(workload: &Workload, address: &str, broker: SpiffeId) -> Self {
        Self::over(crumb_identity::channel(workload, address, broker))
    }

    /// Makes a client over a channel that is there already.
    pub fn over(channel: Channel) -> Self {
        Self { channel, deadline: DEADLINE }
    }

    /// Sets another deadline for each call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the connection, which the [feed](crate::feed) can share.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Opens a session.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn open_session(&self, open: &OpenSession) -> Result<Session, CallFailed> {
        let message = open.to_wire();
        let call = |channel| {
            let message = message.clone();
            async move { SessionServiceClient::new(channel).open_session(message).await }
        };
        Session::read(&self.call(call).await?)
    }

    /// Closes a session, which revokes its tokens. Closing a closed session is no error.
    ///
    /// Returns the number of the revocation in the feed.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn close_session(&self, session: SessionId) -> Result<u64, CallFailed> {
        let call = |channel| async move {
            let message = wire::CloseSessionRequest { session_id: session.to_string() };
            SessionServiceClient::new(channel).close_session(message).await
        };
        Ok(self.call(call).await?.revocation)
    }

    /// Opens a session for another agent inside our own. It is the other workload's alone: we get no token of it.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn delegate(&self, delegate: &Delegate) -> Result<Session, CallFailed> {
        let message = delegate.to_wire();
        let call = |channel| {
            let message = message.clone();
            async move { SessionServiceClient::new(channel).delegate(message).await }
        };
        Session::read(&self.call(call).await?)
    }

    /// Asks what one of our own sessions is, such as one that was delegated to us.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `session_unknown` for somebody else's.
    pub async fn describe_session(&self, session: SessionId) -> Result<SessionDescription, CallFailed> {
        let call = |channel| async move {
            let message = wire::DescribeSessionRequest { session_id: session.to_string() };
            SessionServiceClient::new(channel).describe_session(message).await
        };
        SessionDescription::read(Party::Broker, &self.call(call).await?)
    }

    /// Lists requests for approval, the newest first, at most 200: our own, and those of our groups.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn list_approvals(&self, list: &ListApprovals) -> Result<Vec<Approval>, CallFailed> {
        let message = list.to_wire();
        let call = |channel| {
            let message = message.clone();
            let mut client = ApprovalServiceClient::new(channel).max_decoding_message_size(LISTING_LEN_MAX);
            async move { client.list_approvals(message).await }
        };
        self.call(call).await?.approvals.iter().map(Approval::read).collect()
    }

    /// Approves a request, or less than it asks.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `not_an_approver` for whoever has a part in what is asked.
    pub async fn approve(&self, approve: &Approve) -> Result<Approval, CallFailed> {
        let message = approve.to_wire();
        let call = |channel| {
            let message = message.clone();
            async move { ApprovalServiceClient::new(channel).approve(message).await }
        };
        Approval::read(&self.call(call).await?)
    }

    /// Refuses a request.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn refuse(&self, refuse: &Refuse) -> Result<Approval, CallFailed> {
        let message = refuse.to_wire();
        let call = |channel| {
            let message = message.clone();
            async move { ApprovalServiceClient::new(channel).refuse(message).await }
        };
        Approval::read(&self.call(call).await?)
    }

    /// Asks again what was refused to us, with a reason. Returns the new request.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `approval_unknown` for what is not ours, or not refused.
    pub async fn appeal(&self, id: ApprovalId, why: &str) -> Result<Approval, CallFailed> {
        let message = wire::AppealRequest { approval_id: id.to_string(), why: why.to_owned() };
        let call = |channel| {
            let message = message.clone();
            async move { ApprovalServiceClient::new(channel).appeal(message).await }
        };
        Approval::read(&self.call(call).await?)
    }

    /// Exchanges our X.509-SVID for a task token.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn exchange(&self, exchange: &Exchange) -> Result<TaskToken, CallFailed> {
        let message = exchange.to_wire();
        let call = |channel| {
            let message = message.clone();
            async move { TokenServiceClient::new(channel).exchange(message).await }
        };
        TaskToken::read(self.call(call).await?)
    }

    /// Lists the tool servers of the registry.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn list_tool_servers(&self) -> Result<Vec<ToolServer>, CallFailed> {
        let call = |channel| async move {
            RegistryServiceClient::new(channel).list_tool_servers(wire::ListToolServersRequest {}).await
        };
        tool_servers::read(&self.call(call).await?)
    }

    /// Sends decision records; when this returns, the broker has committed them. The same record twice is kept once.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; then some may be committed, and all can be sent again.
    pub async fn record_decisions(&self, decisions: &[crate::decisions::Decision]) -> Result<(), CallFailed> {
        for message in crate::decisions::messages(decisions) {
            let call = |channel| {
                let message = message.clone();
                async move { AuditServiceClient::new(channel).record_decisions(message).await }
            };
            self.call(call).await?;
        }
        Ok(())
    }

    /// Makes attempts until one is answered, until the answer will not change, or until the deadline.
    async fn call<F, Sent, T>(&self, attempt: F) -> Result<T, CallFailed>
    where
        F: Fn(Channel) -> Sent,
        Sent: Future<Output = Result<Response<T>, Status>>,
    {
        let mut last = None;
        let attempts = async {
            let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
            for made in 1.. {
                match attempt(self.channel.clone()).await {
                    Ok(answer) => return Ok(answer.into_inner()),
                    Err(status) => {
                        let again = is_passing(&status) && made < ATTEMPTS_MAX;
                        last = Some(CallFailed::from_status(Party::Broker, &status));
                        if !again {
                            return Err(());
                        }
                    }
                }
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(())
        };
        let ended = tokio::time::timeout(self.deadline, attempts).await;
        match ended {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(())) | Err(_) => Err(last.unwrap_or_else(|| CallFailed::too_slow(Party::Broker, self.deadline))),
        }
    }
}
