//! Which requests somebody may see, and with what beside them.

use super::super::{Broker, Refused};
use crate::{
    approval::{Approval, State, Viewer, groups_of},
    registry::Registry,
    session::Session,
    store::{Keep, Listing},
};
use crumb_proto::{Violations, wire};
use crumb_token::{ApprovalId, Denial, Reason, SessionId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The most requests in one listing.
const LISTED_MAX: usize = 200;

/// A request for approval with what a person needs to decide on it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The request.
    pub approval: Approval,
    /// The session that it is for.
    pub session: Session,
    /// The agent's requests lately: all, approved, refused.
    pub history: [u64; 3],
}

impl Broker {
    /// Lists requests, the newest first: those that `viewer` may see.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub async fn approvals(&self, wire: &wire::ListApprovalsRequest, viewer: &Viewer) -> Result<Vec<Shown>, Refused> {
        let _place = self.admit()?;
        let now = self.clock.now().wall;
        let listing = read(wire, now).map_err(Refused::Malformed)?;
        let (registry, viewer) = (self.registry(), viewer.clone());
        let keep: Keep = Box::new(move |approval| may_see(&viewer, approval, &registry));
        self.within_limit(async {
            let found = self.store.approvals(listing, keep).await.map_err(Denial::from)?;
            Ok(self.show(found, now).await?)
        })
        .await
    }

    /// Returns a request that `viewer` may see.
    ///
    /// # Errors
    ///
    /// `approval_unknown`, also for one that is not the viewer's to see.
    pub(crate) async fn shown(&self, id: ApprovalId, viewer: &Viewer, now: Timestamp) -> Result<Shown, Denial> {
        let found = self.store.approval(id).await?;
        let found = found.filter(|approval| may_see(viewer, approval, &self.registry()));
        let shown = self.show(found.into_iter().collect(), now).await?;
        shown.into_iter().next().ok_or_else(|| Denial::new(Reason::ApprovalUnknown).asked(id))
    }

    /// Puts sessions and histories beside requests: each is read once, however many requests there are of it.
    async fn show(&self, found: Vec<Approval>, now: Timestamp) -> Result<Vec<Shown>, Denial> {
        let ids: BTreeSet<SessionId> = found.iter().map(|approval| approval.wanted.session).collect();
        let sessions = self.store.sessions(ids.into_iter().collect()).await?;
        let agents: BTreeSet<_> = sessions.iter().map(|session| session.agent.clone()).collect();
        let agents: Vec<_> = agents.into_iter().collect();
        let histories = self.store.approval_histories(agents.clone(), now).await?;
        let histories: BTreeMap<_, _> = agents.into_iter().zip(histories).collect();
        let sessions: BTreeMap<_, _> = sessions.into_iter().map(|session| (session.id, session)).collect();
        let beside = |approval: Approval| {
            let session = sessions.get(&approval.wanted.session)?.clone();
            let history = *histories.get(&session.agent)?;
            Some(Shown { approval, session, history })
        };
        Ok(found.into_iter().filter_map(beside).collect())
    }
}

fn read(wire: &wire::ListApprovalsRequest, now: Timestamp) -> Result<Listing, Violations> {
    let mut v = Violations::default();
    let session = match wire.session_id.as_str() {
        "" => Some(None),
        text => v.parse("session_id", text).map(Some),
    };
    let state = match wire.state.as_str() {
        "" => Some(None),
        text => {
            let word = State::WORDS.into_iter().find(|word| *word == text);
            v.keep("state", word.ok_or_else(|| format!("is one of {}", State::WORDS.join(", ")))).map(Some)
        }
    };
    let (Some(session), Some(state)) = (session, state) else { return Err(v) };
    Ok(Listing { session, state, now, limit: LISTED_MAX })
}

/// Operators see all, workloads what they asked for, and everybody what their groups are asked.
fn may_see(viewer: &Viewer, approval: &Approval, registry: &Registry) -> bool {
    match viewer {
        Viewer::Operator(_) => true,
        Viewer::Workload(peer) if *peer == approval.wanted.peer => true,
        _ => viewer.approver().is_some_and(|approver| !groups_of(&approval.needs, &approver, registry).is_empty()),
    }
}
