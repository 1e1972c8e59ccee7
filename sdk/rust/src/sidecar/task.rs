//! Tasks, and calls inside one.

use crate::{
    broker::whole_seconds,
    call::ToolAnswer,
    failure::{CallFailed, Party},
};
use bytes::Bytes;
use crumb_proto::{
    Violations,
    convert::{self, to_scope},
    wire,
};
use crumb_token::{
    Audience, Denial, Grants, Intent, Operation, Resource, SessionId, TaskId, Timestamp, TokenText, ToolName,
};
use std::time::Duration;

/// Who will present the tokens of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presenter {
    /// The sidecar makes the calls.
    Sidecar,
    /// The agent makes the calls, with its own SVID.
    Agent,
}

/// What a task needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginTask {
    /// The session that it belongs to.
    pub session: SessionId,
    /// What this step of the session is.
    pub task: Option<Intent>,
    /// The tool server that it is for.
    pub audience: Audience,
    /// The rights wanted there.
    pub grants: Grants,
    /// How long a token should live, in whole seconds; `None` leaves it to the broker.
    pub ttl: Option<Duration>,
    /// Who will present the tokens.
    pub presenter: Presenter,
}

impl BeginTask {
    pub(super) fn to_wire(&self) -> wire::BeginTaskRequest {
        let presenter = match self.presenter {
            Presenter::Sidecar => wire::Presenter::Sidecar,
            Presenter::Agent => wire::Presenter::Agent,
        };
        wire::BeginTaskRequest {
            session_id: self.session.to_string(),
            task: self.task.as_ref().map(ToString::to_string).unwrap_or_default(),
            scope: Some(to_scope(&self.audience, &self.grants)),
            ttl_s: whole_seconds(self.ttl),
            presenter: presenter.into(),
            wait_s: 0,
            may_act: Vec::new(),
        }
    }
}

/// A task that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its handle, good for this local caller only.
    pub id: TaskId,
    /// What it allows.
    pub grants: Grants,
    /// When the token behind it ends; the sidecar renews it.
    pub expires_at: Timestamp,
}

impl Task {
    pub(super) fn read(answer: &wire::BeginTaskResponse) -> Result<Self, CallFailed> {
        let mut v = Violations::default();
        let id = v.parse("task_id", &answer.task_id);
        let grants = convert::grants(&mut v, "grants", &answer.grants);
        match (id, grants) {
            (Some(id), Some(grants)) => Ok(Self { id, grants, expires_at: Timestamp::from_unix_s(answer.expires_at) }),
            _ => Err(CallFailed::unreadable(Party::Sidecar, &v)),
        }
    }
}

/// The call that a call token is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallToken {
    /// The task.
    pub task: TaskId,
    /// The tool.
    pub tool: ToolName,
    /// What it will do.
    pub operation: Operation,
    /// What it will do it to.
    pub resource: Resource,
    /// SHA-256 of the argument bytes; `None` leaves the arguments open.
    pub args_digest: Option<[u8; 32]>,
    /// How long it should live, from 5 to 30 whole seconds; `None` leaves it to the sidecar.
    pub ttl: Option<Duration>,
}

impl CallToken {
    pub(super) fn to_wire(&self) -> wire::CallTokenRequest {
        wire::CallTokenRequest {
            task_id: self.task.to_string(),
            tool: self.tool.to_string(),
            operation: self.operation.to_string(),
            resource: self.resource.to_string(),
            args_digest: self.args_digest.map(Vec::from).unwrap_or_default(),
            ttl_s: whole_seconds(self.ttl),
        }
    }
}

/// A call token.
#[derive(Clone, Debug)]
pub struct NarrowedToken {
    /// The token itself. A secret.
    pub token: TokenText,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl NarrowedToken {
    pub(super) fn read(answer: wire::CallTokenResponse) -> Result<Self, CallFailed> {
        let text = zeroize::Zeroizing::new(answer.token);
        let mut v = Violations::default();
        let token = v.keep("token", TokenText::from_presented(&text));
        let token = token.ok_or_else(|| CallFailed::unreadable(Party::Sidecar, &v))?;
        Ok(Self { token, expires_at: Timestamp::from_unix_s(answer.expires_at) })
    }
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The task.
    pub task: TaskId,
    /// The tool.
    pub tool: ToolName,
    /// What it will do.
    pub operation: Operation,
    /// What it will do it to.
    pub resource: Resource,
    /// JSON, at most 64 KiB with the rest of the message.
    pub arguments: Bytes,
}

impl Call {
    pub(super) fn to_wire(&self) -> wire::CallRequest {
        wire::CallRequest {
            task_id: self.task.to_string(),
            tool: self.tool.to_string(),
            operation: self.operation.to_string(),
            resource: self.resource.to_string(),
            arguments: self.arguments.to_vec(),
        }
    }
}

pub(super) fn read_answer(answer: wire::CallResponse) -> Result<ToolAnswer, CallFailed> {
    let mut v = Violations::default();
    let status = v.keep("status", u16::try_from(answer.status));
    let status = status.ok_or_else(|| CallFailed::unreadable(Party::Sidecar, &v))?;
    let denial: Option<Denial> = answer.denial.as_ref().map(convert::denial);
    Ok(ToolAnswer { status, body: answer.body.into(), denial })
}
