//! Handing a session to another agent, taking over one that was handed to us, and telling a caller what its session is.
//!
//! A delegated session is the broker's to give: it belongs to one workload, and the broker holds the local process against
//! the agent's manifest at every exchange. What is kept here is that one local caller has it.
//!
//! # What it does not do
//!
//! It cannot know for which of its callers a session was meant: the first that names it has it. Its id is a secret between
//! the two agents as long as neither tells it; whoever takes it wrongly gets no token by it, and keeps the other out.

use super::{Sidecar, seconds};
use crate::{
    caller::Attested,
    sessions::{Session, unknown},
};
use crumb_sdk::broker::{Delegate, SessionDescription, new_request_id};
use crumb_token::{AgentName, Audience, Denial, Grants, Intent, Reason, SessionId, SpiffeId, Timestamp};
use std::sync::Arc;

/// A session that a caller wants to hand to another agent.
#[derive(Clone, Debug)]
pub(crate) struct Delegating {
    /// The caller's own session.
    pub(crate) session: SessionId,
    /// The agent that will act.
    pub(crate) agent: AgentName,
    /// The workload that will act for it.
    pub(crate) peer: SpiffeId,
    /// What it will do.
    pub(crate) intent: Intent,
    /// What it may need, at most.
    pub(crate) envelope: Vec<(Audience, Grants)>,
    /// Seconds; 0 leaves it to the broker.
    pub(crate) lifetime_s: u32,
    /// How many further levels may be delegated below it.
    pub(crate) depth: u32,
}

impl Sidecar {
    /// Opens a session for another agent inside `caller`'s own. It is the other workload's; nothing of it is kept here.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`], [`Reason::NoIdentity`], or the broker's denial.
    pub(crate) async fn delegate(
        &self,
        caller: &Attested,
        delegating: Delegating,
    ) -> Result<(SessionId, Timestamp), Denial> {
        self.sessions.find(delegating.session, &caller.identity, self.now())?;
        self.ensure_identity()?;
        let delegate = Delegate {
            request: new_request_id(),
            session: delegating.session,
            agent: delegating.agent,
            peer: delegating.peer,
            intent: delegating.intent,
            envelope: delegating.envelope,
            lifetime: seconds(delegating.lifetime_s),
            depth: delegating.depth,
            process: Some(caller.process.clone()),
        };
        let opened = self.parts.broker.delegate(delegate).await?;
        Ok((opened.id, opened.expires_at))
    }

    /// Takes over for `caller` a session that was delegated to this workload. Taking one's own again is no error.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`] for one that was not delegated to us, or that another caller has;
    /// [`Reason::SessionClosed`], [`Reason::TooManySessions`], [`Reason::NoIdentity`], or the broker's denial.
    pub(crate) async fn adopt(&self, caller: &Attested, id: SessionId) -> Result<SessionDescription, Denial> {
        let is_own = match self.sessions.find(id, &caller.identity, self.now()) {
            Ok(_) => true,
            Err(denial) if denial.reason == Reason::SessionClosed => return Err(denial),
            Err(_) => false,
        };
        if !is_own {
            self.sessions.ensure_room(&caller.identity, self.now())?;
        }
        self.ensure_identity()?;
        let description = self.described(id).await?;
        if is_own {
            return Ok(description);
        }
        // One that nobody delegated has a caller who opened it, even when we have forgotten which.
        if description.above.is_empty() {
            return Err(unknown(id));
        }
        if description.expires_at <= self.now() {
            return Err(Denial::new(Reason::SessionClosed).asked(id));
        }
        let session = Session {
            caller: Arc::clone(&caller.identity),
            agent: description.agent.clone(),
            agent_id: Arc::default(),
            expires_at: description.expires_at,
        };
        self.sessions.add(id, session, self.now())?;
        tracing::info!(session = %id, agent = %description.agent, exe = %caller.process.exe, "a session was adopted");
        Ok(description)
    }

    /// Tells `caller` what its own session is.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`], or the broker's denial.
    pub(crate) async fn describe(&self, caller: &Attested, id: SessionId) -> Result<SessionDescription, Denial> {
        self.sessions.find(id, &caller.identity, self.now())?;
        self.described(id).await
    }

    async fn described(&self, id: SessionId) -> Result<SessionDescription, Denial> {
        let described = self.parts.broker.describe(id).await;
        described.map_err(|denial| if denial.reason == Reason::SessionUnknown { unknown(id) } else { denial })
    }
}
