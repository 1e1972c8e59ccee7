//! What the sidecar does for a caller, in the vocabulary: sessions, delegation, tasks, call tokens, calls.
//!
//! Every function takes the [`Attested`] caller, and nothing is found without it. Nothing here knows the wire.

mod delegation;
mod handover;

pub(crate) use delegation::Delegating;
pub(crate) use handover::HandingOver;

use crate::{
    broker::Broker,
    cache::{Cache, Held},
    caller::Attested,
    delegator::Delegator,
    handed::Handed,
    narrow::{CallToken, CallTtl, narrow},
    own::OwnIdentity,
    request::{Presenter, RequestKey},
    sessions::{Session, Sessions},
    tasks::Tasks,
    tools::Tools,
};
use bytes::Bytes;
use crumb_sdk::{
    broker::{OpenSession, SubjectToken, new_request_id},
    call::ToolAnswer,
};
use crumb_token::{
    AgentName, ApprovalId, Ask, Audience, Clock, Denial, Grants, Intent, Origin, Reason, SessionId, SpiffeId, TaskId,
    Timestamp, handover::DelegationKey,
};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// A session that a caller wants opened.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// The agent it acts as.
    pub(crate) agent: AgentName,
    /// What it will do.
    pub(crate) intent: Intent,
    /// What set it off.
    pub(crate) origin: Origin,
    /// What it may need, at most.
    pub(crate) envelope: Vec<(Audience, Grants)>,
    /// Seconds; 0 leaves it to the broker.
    pub(crate) lifetime_s: u32,
    /// Proves the user of the origin. Passed on, and not kept.
    pub(crate) subject_token: Option<SubjectToken>,
}

/// A task that a caller wants begun.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    /// In which session.
    pub(crate) session: SessionId,
    /// Which step of it.
    pub(crate) task: Option<Intent>,
    /// At which tool server.
    pub(crate) audience: Audience,
    /// With which rights.
    pub(crate) grants: Grants,
    /// Seconds; 0 leaves it to the broker.
    pub(crate) ttl_s: u32,
    /// Whether the agent presents the tokens, and not the sidecar.
    pub(crate) by_agent: bool,
    /// To whom the token may be handed on, offline.
    pub(crate) may_act: Vec<(AgentName, SpiffeId)>,
}

/// A task that was begun.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    /// Its handle.
    pub(crate) task: TaskId,
    /// What it allows.
    pub(crate) grants: Grants,
    /// The end of the token behind the handle now.
    pub(crate) expires_at: Timestamp,
}

/// How the sidecar is.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    /// Who it is.
    pub(crate) spiffe_id: SpiffeId,
    /// Who says so.
    pub(crate) identity_provider: &'static str,
    /// The end of its SVID; `None` when it was withdrawn.
    pub(crate) svid_expires_at: Option<Timestamp>,
    /// Whether its memory is kept out of swap.
    pub(crate) memory_locked: bool,
    /// Open sessions.
    pub(crate) sessions: usize,
    /// Task tokens held.
    pub(crate) task_tokens: u64,
    /// Tokens held that were handed to us.
    pub(crate) handed_tokens: usize,
    /// The key with which we hand tokens on.
    pub(crate) delegation_key: DelegationKey,
}

/// What a sidecar is made of.
pub(crate) struct Parts {
    /// The broker.
    pub(crate) broker: Arc<dyn Broker>,
    /// The tool servers.
    pub(crate) tools: Arc<dyn Tools>,
    /// Who we are.
    pub(crate) own: Arc<dyn OwnIdentity>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The task tokens.
    pub(crate) cache: Cache,
    /// With which tokens are handed on. Made at the start, and kept in memory alone.
    pub(crate) delegation: Arc<Delegator>,
    /// Whether memory is kept out of swap.
    pub(crate) memory_locked: bool,
}

/// The sidecar.
pub(crate) struct Sidecar {
    parts: Parts,
    sessions: Sessions,
    tasks: Tasks,
    handed: Handed,
}

impl Sidecar {
    /// Begins with no session and no task.
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, sessions: Sessions::default(), tasks: Tasks::default(), handed: Handed::default() }
    }

    /// Opens a session for `caller`.
    ///
    /// # Errors
    ///
    /// [`Reason::TooManySessions`], [`Reason::NoIdentity`], or the broker's denial.
    pub(crate) async fn open(&self, caller: &Attested, opening: Opening) -> Result<(SessionId, Timestamp), Denial> {
        self.sessions.ensure_room(&caller.identity, self.now())?;
        self.ensure_identity()?;
        if let Origin::Agent { session } = &opening.origin {
            // The broker sees the sidecar alone: that the session above is this caller's own is ours to know.
            self.sessions.find(*session, &caller.identity, self.now())?;
        }
        let agent = opening.agent.clone();
        let open = OpenSession {
            request: new_request_id(),
            agent: opening.agent,
            intent: opening.intent,
            origin: opening.origin,
            envelope: opening.envelope,
            lifetime: seconds(opening.lifetime_s),
            process: Some(caller.process.clone()),
            subject_token: opening.subject_token,
        };
        let opened = self.parts.broker.open(open).await?;
        let identity = Arc::clone(&caller.identity);
        let session = Session { caller: identity, agent, agent_id: Arc::default(), expires_at: opened.expires_at };
        if let Err(denial) = self.sessions.add(opened.id, session, self.now()) {
            // Nobody could use it, so it should not stay open.
            self.parts.broker.close(opened.id).await?;
            return Err(denial);
        }
        Ok((opened.id, opened.expires_at))
    }

    /// Closes `caller`'s session: its tasks and tokens go at once, then the broker is told.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`], or the broker's denial; the tokens are gone all the same, and it can be asked again.
    pub(crate) async fn close(&self, caller: &Attested, session: SessionId) -> Result<(), Denial> {
        self.sessions.begin_closing(session, &caller.identity, self.now())?;
        self.forget(session).await;
        self.parts.broker.close(session).await?;
        self.sessions.remove(session);
        // What was being fetched meanwhile is of no use any more.
        self.forget(session).await;
        Ok(())
    }

    async fn forget(&self, session: SessionId) {
        self.tasks.remove_session(session);
        self.parts.cache.remove_session(session).await;
    }

    /// Gets a task token for `caller`, keeps it, and names it by a handle.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`], [`Reason::Overloaded`], [`Reason::NoIdentity`], or the broker's denial.
    pub(crate) async fn begin(&self, caller: &Attested, beginning: Beginning) -> Result<Begun, Denial> {
        let session = self.sessions.find(beginning.session, &caller.identity, self.now())?;
        let presenter = match beginning.by_agent {
            false => Presenter::Sidecar,
            true => Presenter::Agent(self.agent_id(&session).await?),
        };
        let key = Arc::new(RequestKey {
            caller: Arc::clone(&caller.identity),
            session: beginning.session,
            task: beginning.task,
            audience: beginning.audience,
            grants: beginning.grants,
            ttl_s: beginning.ttl_s,
            presenter,
            may_act: beginning.may_act,
        });
        let held = self.held(caller, &key).await?;
        // The session may have been closed while the broker was asked.
        if let Err(denial) = self.sessions.find(key.session, &caller.identity, self.now()) {
            self.forget(key.session).await;
            return Err(denial);
        }
        let fresh = TaskId::from_uuid(Uuid::now_v7());
        let task = self.tasks.add(key, session.expires_at, fresh, self.now())?;
        Ok(Begun { task, grants: held.grants.clone(), expires_at: held.expires_at })
    }

    /// Waits until people have approved what was asked, at most `wait`; `false` when the time was up first.
    ///
    /// # Errors
    ///
    /// The broker's denial, when it will never be approved.
    pub(crate) async fn await_approval(&self, approval: ApprovalId, wait: Duration) -> Result<bool, Denial> {
        self.parts.broker.await_approval(approval, wait).await
    }

    /// Breaks a call token off `caller`'s task token, for an agent that presents it.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`], [`Reason::HolderMismatch`] when the sidecar is to present it, a denial of the ask, or
    /// the broker's when the task token has to be fetched anew.
    pub(crate) async fn call_token(
        &self,
        caller: &Attested,
        task: TaskId,
        ask: &Ask,
        ttl: CallTtl,
    ) -> Result<CallToken, Denial> {
        let key = self.tasks.find(task, &caller.identity, self.now())?;
        if key.presenter == Presenter::Sidecar {
            let next = "make the call through the sidecar, or begin the task for the agent to present";
            return Err(Denial::new(Reason::HolderMismatch)
                .asked(ask)
                .by("the task's presenter", "the agent")
                .next(next));
        }
        let held = self.held(caller, &key).await?;
        self.narrow(&held, ask, ttl)
    }

    /// Makes a call for `caller`: the tool server sees a token for this call and these arguments, the agent sees none.
    ///
    /// # Errors
    ///
    /// As [`Self::call_token`], [`Reason::ToolServerUnknown`], or [`Reason::ToolServerUnreachable`]. A tool server that
    /// refuses is an answer.
    pub(crate) async fn call(
        &self,
        caller: &Attested,
        task: TaskId,
        mut ask: Ask,
        arguments: Bytes,
    ) -> Result<ToolAnswer, Denial> {
        let held = match self.handed.find(task, &caller.identity) {
            Some(held) if held.is_good(&self.parts.own.id(), self.now()) => held,
            Some(held) => return Err(Denial::new(Reason::TokenExpired).asked(held.id)),
            None => self.held_to_present(caller, task, &ask).await?,
        };
        ask.args_digest = Some(Sha256::digest(&arguments).into());
        let token = self.narrow(&held, &ask, CallTtl::default())?;
        self.parts.tools.call(held.audience().clone(), token, ask.tool, arguments).await
    }

    /// Says how the sidecar is.
    pub(crate) async fn health(&self) -> Health {
        Health {
            spiffe_id: self.parts.own.id(),
            identity_provider: self.parts.own.provider(),
            svid_expires_at: self.parts.own.expires_at(),
            memory_locked: self.parts.memory_locked,
            sessions: self.sessions.count(self.now()),
            task_tokens: self.parts.cache.count().await,
            handed_tokens: self.handed.count(self.now()),
            delegation_key: self.parts.delegation.key(),
        }
    }

    /// Returns the token behind a task that the sidecar is to present.
    async fn held_to_present(&self, caller: &Attested, task: TaskId, ask: &Ask) -> Result<Arc<Held>, Denial> {
        let key = self.tasks.find(task, &caller.identity, self.now())?;
        if key.presenter != Presenter::Sidecar {
            let next = "ask for a call token and present it, or begin the task for the sidecar to present";
            return Err(Denial::new(Reason::HolderMismatch)
                .asked(ask)
                .by("the task's presenter", "the agent")
                .next(next));
        }
        self.held(caller, &key).await
    }

    async fn held(&self, caller: &Attested, key: &Arc<RequestKey>) -> Result<Arc<Held>, Denial> {
        let held = self.parts.cache.get(key, &caller.process).await;
        // Without an SVID the broker cannot be reached, whatever the connection says.
        held.map_err(|denial| match denial.reason {
            Reason::BrokerUnreachable => self.ensure_identity().err().unwrap_or(denial),
            _ => denial,
        })
    }

    fn narrow(&self, held: &Held, ask: &Ask, ttl: CallTtl) -> Result<CallToken, Denial> {
        let now = self.now();
        if let Some(call) = held.calls.find(ask, ttl, now) {
            return Ok(call);
        }
        let call = narrow(&held.token, &held.grants, held.expires_at, ask, ttl, now)?;
        held.calls.keep(ask, ttl, &call, now);
        tracing::debug!(token = %held.id, %ask, "a call token was made");
        Ok(call)
    }

    /// Asks the registry once in a session; afterwards the broker may be down.
    async fn agent_id(&self, session: &Session) -> Result<SpiffeId, Denial> {
        let ask = || self.parts.broker.agent_id(session.agent.clone());
        session.agent_id.get_or_try_init(ask).await.cloned()
    }

    fn ensure_identity(&self) -> Result<(), Denial> {
        let good = self.parts.own.expires_at().is_some_and(|end| end > self.now());
        if good { Ok(()) } else { Err(Denial::new(Reason::NoIdentity)) }
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now().wall
    }
}

impl std::fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sidecar({})", self.parts.own.id())
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parts({})", self.own.id())
    }
}

fn seconds(seconds: u32) -> Option<Duration> {
    (seconds != 0).then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests;
