//! An agent's calls to the sidecar beside it, over the sidecar's Unix socket.
//!
//! The kernel tells the sidecar who calls; nothing here is proof of anything. Calls are not made twice: a request that
//! got lost may have been done.

mod delegation;
mod handover;
mod task;

pub use delegation::DelegateWithin;
pub use handover::{HandOver, HandedToken};
pub use task::{BeginTask, Call, CallToken, NarrowedToken, Presenter, Task};

use crate::{
    broker::{Session, SessionDescription, SubjectToken, whole_seconds},
    call::{ANSWER_LEN_MAX, ToolAnswer},
    failure::{CallFailed, Party},
};
use crumb_proto::{
    Violations,
    convert::{to_origin, to_scope},
    wire::{self, sidecar_service_client::SidecarServiceClient},
};
use crumb_token::{
    AgentName, Audience, Grants, Intent, Origin, SessionId, SpiffeId, Timestamp, handover::DelegationKey,
};
use hyper_util::rt::TokioIo;
use std::{
    env,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UnixStream, time::timeout};
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

/// The environment variable that names the sidecar's socket.
pub const SOCKET_VARIABLE: &str = "CRUMB_SOCKET";

/// How long a call may take that makes the sidecar ask the broker: the broker's own limit, and room for the way.
const DEADLINE: Duration = Duration::from_secs(8);

/// How long a tool call may take: the sidecar's own limit, and room for the way.
const CALL_DEADLINE: Duration = Duration::from_secs(35);

/// The longest that the sidecar waits for an approval.
pub const WAIT_MAX: Duration = Duration::from_secs(300);

/// The longest answer of the sidecar, in bytes: a tool's answer with its wrapping.
const MESSAGE_LEN_MAX: usize = ANSWER_LEN_MAX + 16 * 1024;

/// The path of the sidecar's socket is not there, or is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoSocket {
    /// The environment does not name one.
    #[error("{SOCKET_VARIABLE} is not set")]
    NotSet,
    /// A relative path would be another socket in another folder.
    #[error("the sidecar's socket is named by an absolute path")]
    NotAbsolute,
}

/// What a session declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The registered name of the agent.
    pub agent: AgentName,
    /// What the session will do.
    pub intent: Intent,
    /// Who or what set it off.
    pub origin: Origin,
    /// What it may need, at most: one set of rights for each tool server.
    pub envelope: Vec<(Audience, Grants)>,
    /// How long it will take, in whole seconds; `None` leaves it to the broker.
    pub lifetime: Option<Duration>,
}

/// How the sidecar is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarStatus {
    /// Who it is.
    pub spiffe_id: SpiffeId,
    /// Who vouches for that: `spire`, or `embedded-dev`.
    pub identity_provider: String,
    /// When its SVID ends; `None` when it has none.
    pub svid_expires_at: Option<Timestamp>,
    /// Whether its memory is kept out of swap.
    pub memory_locked: bool,
    /// How many sessions it holds.
    pub sessions: u32,
    /// How many task tokens it holds.
    pub task_tokens: u32,
    /// How many tokens it holds that others handed to it.
    pub handed_tokens: u32,
    /// The key with which it hands tokens on.
    pub delegation_key: Option<DelegationKey>,
}

/// A client of the sidecar. Cheap to clone; all clones share one connection.
#[derive(Clone, Debug)]
pub struct SidecarClient {
    channel: Channel,
}

impl SidecarClient {
    /// Makes a client of the sidecar whose socket [`SOCKET_VARIABLE`] names.
    ///
    /// # Errors
    ///
    /// [`NoSocket`].
    pub fn from_env() -> Result<Self, NoSocket> {
        let path = env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty()).ok_or(NoSocket::NotSet)?;
        Self::at(Path::new(&path))
    }

    /// Makes a client of the sidecar at `socket`. Connects at the first call.
    ///
    /// # Errors
    ///
    /// [`NoSocket::NotAbsolute`].
    pub fn at(socket: &Path) -> Result<Self, NoSocket> {
        if !socket.is_absolute() {
            return Err(NoSocket::NotAbsolute);
        }
        let path: PathBuf = socket.to_owned();
        let connect = service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The name is needed for a URI, and means nothing on a Unix socket.
        let channel = Endpoint::from_static("http://sidecar.invalid").connect_with_connector_lazy(connect);
        Ok(Self { channel })
    }

    /// Opens a session.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn open(&self, open: &Open) -> Result<Session, CallFailed> {
        read_session(&within(DEADLINE, self.wire().open(open.to_wire())).await?)
    }

    /// Opens a session whose origin is a user, proven by `token`. The sidecar passes the token on and keeps nothing of it.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `subject_invalid` when the token does not prove that very user.
    pub async fn open_proven(&self, open: &Open, token: &SubjectToken) -> Result<Session, CallFailed> {
        let message = wire::OpenRequest { subject_token: token.expose().to_owned(), ..open.to_wire() };
        read_session(&within(DEADLINE, self.wire().open(message)).await?)
    }

    /// Opens a session for another agent inside one of our own. It is the other's alone.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn delegate(&self, delegate: &DelegateWithin) -> Result<Session, CallFailed> {
        read_session(&within(DEADLINE, self.wire().delegate(delegate.to_wire())).await?)
    }

    /// Takes over a session that another agent delegated to our agent. Taking it twice is no error.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `session_unknown` when it was not delegated to this workload, or another local caller has it.
    pub async fn adopt(&self, session: SessionId) -> Result<SessionDescription, CallFailed> {
        let message = wire::AdoptRequest { session_id: session.to_string() };
        SessionDescription::read(Party::Sidecar, &within(DEADLINE, self.wire().adopt(message)).await?)
    }

    /// Asks what one of our own sessions is.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn describe_session(&self, session: SessionId) -> Result<SessionDescription, CallFailed> {
        let message = wire::DescribeSessionRequest { session_id: session.to_string() };
        SessionDescription::read(Party::Sidecar, &within(DEADLINE, self.wire().describe_session(message)).await?)
    }

    /// Closes a session.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn close(&self, session: SessionId) -> Result<(), CallFailed> {
        let message = wire::CloseRequest { session_id: session.to_string() };
        within(DEADLINE, self.wire().close(message)).await.map(drop)
    }

    /// Begins a task: the sidecar gets a task token, keeps it, and renews it.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn begin_task(&self, begin: &BeginTask) -> Result<Task, CallFailed> {
        Task::read(&within(DEADLINE, self.wire().begin_task(begin.to_wire())).await?)
    }

    /// Begins a task, and waits for an approval when one is needed: at most `wait`, and at most [`WAIT_MAX`].
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `approval_needed`, with the request's id as what was asked, when the time was up first.
    pub async fn begin_task_waiting(&self, begin: &BeginTask, wait: Duration) -> Result<Task, CallFailed> {
        let wait = wait.min(WAIT_MAX);
        let message = wire::BeginTaskRequest { wait_s: whole_seconds(Some(wait)), ..begin.to_wire() };
        // The broker is asked before the wait and after it.
        Task::read(&within(wait + 2 * DEADLINE, self.wire().begin_task(message)).await?)
    }

    /// Breaks a call token off a task token, for an agent that presents it itself.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn call_token(&self, wanted: &CallToken) -> Result<NarrowedToken, CallFailed> {
        NarrowedToken::read(within(DEADLINE, self.wire().call_token(wanted.to_wire())).await?)
    }

    /// Makes a call through the sidecar. A tool server that refuses is an answer, not an error.
    ///
    /// # Errors
    ///
    /// [`CallFailed`], when the sidecar refuses or the call could not be made.
    pub async fn call(&self, call: &Call) -> Result<ToolAnswer, CallFailed> {
        let answer = within(CALL_DEADLINE, self.wire().call(call.to_wire())).await?;
        task::read_answer(answer)
    }

    /// Asks the sidecar how it is.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn status(&self) -> Result<SidecarStatus, CallFailed> {
        let answer = within(DEADLINE, self.wire().status(wire::StatusRequest {})).await?;
        let mut v = Violations::default();
        let spiffe_id = v.parse("spiffe_id", &answer.spiffe_id);
        Ok(SidecarStatus {
            spiffe_id: spiffe_id.ok_or_else(|| CallFailed::unreadable(Party::Sidecar, &v))?,
            identity_provider: answer.identity_provider,
            svid_expires_at: Some(answer.svid_expires_at).filter(|at| *at != 0).map(Timestamp::from_unix_s),
            memory_locked: answer.memory_locked,
            sessions: answer.sessions,
            task_tokens: answer.task_tokens,
            handed_tokens: answer.handed_tokens,
            delegation_key: DelegationKey::try_from(&answer.delegation_key[..]).ok(),
        })
    }

    fn wire(&self) -> SidecarServiceClient<Channel> {
        SidecarServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }
}

impl Open {
    fn to_wire(&self) -> wire::OpenRequest {
        wire::OpenRequest {
            agent: self.agent.to_string(),
            intent: self.intent.to_string(),
            origin: Some(to_origin(&self.origin)),
            envelope: self.envelope.iter().map(|(audience, grants)| to_scope(audience, grants)).collect(),
            lifetime_s: whole_seconds(self.lifetime),
            subject_token: String::new(),
        }
    }
}

fn read_session(answer: &wire::OpenResponse) -> Result<Session, CallFailed> {
    let mut v = Violations::default();
    let id = v.parse("session_id", &answer.session_id);
    let id = id.ok_or_else(|| CallFailed::unreadable(Party::Sidecar, &v))?;
    Ok(Session { id, expires_at: Timestamp::from_unix_s(answer.expires_at) })
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CallFailed> {
    let answer = timeout(limit, call).await.map_err(|_| CallFailed::too_slow(Party::Sidecar, limit))?;
    answer.map(Response::into_inner).map_err(|status| CallFailed::from_status(Party::Sidecar, &status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::Reason;

    #[test]
    fn refuses_a_relative_socket() {
        assert_eq!(SidecarClient::at(Path::new("crumb.sock")).err(), Some(NoSocket::NotAbsolute));
    }

    #[tokio::test]
    async fn a_sidecar_that_is_not_there_is_unreachable_and_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let client = SidecarClient::at(&folder.path().join("none.sock")).expect("absolute");
        let failed = client.status().await.expect_err("nobody listens");
        assert_eq!(failed.to_denial().reason, Reason::SidecarUnreachable);
        assert!(failed.to_string().contains("No such file"), "{failed}");
    }
}
