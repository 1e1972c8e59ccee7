//! Asking for approval, voting, appealing, and listing, end to end.

use super::{Broker, Refused, Stop};
use crate::{
    approval::{self, Approval, Approver, Said, Vote, Wanted, Why, eligible},
    audit::{Kind, Record},
    exchange::Exchange,
    ruling::{self, Ruled},
    session::Session,
};
use crumb_proto::{Violations, convert, wire};
use crumb_token::{ApprovalId, Claims, Denial, Grants, Reason, SessionId, SpiffeId, Timestamp};
use std::time::Duration;
use uuid::Uuid;

/// The most requests in one listing.
const LISTED_MAX: u32 = 200;

/// Who looks at requests for approval, or acts on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// An operator: sees all, and approves nothing.
    Operator(String),
    /// A workload, which may be a requester, an approver, or neither.
    Workload(SpiffeId),
    /// A person, by an identity provider's token.
    Person(crumb_token::Owner),
}

impl Viewer {
    fn approver(&self) -> Option<Approver> {
        match self {
            Self::Operator(_) => None,
            Self::Workload(id) => Some(Approver::Workload(id.clone())),
            Self::Person(person) => Some(Approver::Person(person.clone())),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Operator(name) => name.clone(),
            Self::Workload(id) => id.to_string(),
            Self::Person(person) => person.to_string(),
        }
    }
}

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
    /// Returns the claims as approved, and the approval that they take; as they are, when nobody has to approve.
    ///
    /// # Errors
    ///
    /// `approval_needed` while it waits, and what became of it when it was not approved. A new request is on record.
    pub(super) async fn approved(
        &self,
        exchange: &Exchange,
        claims: Claims,
        session: Option<&Session>,
        ruled: Ruled,
        record: &Record,
        now: Timestamp,
    ) -> Result<(Claims, Option<ApprovalId>), Stop> {
        let (false, Some(session)) = (ruled.needs.is_empty(), session) else { return Ok((claims, None)) };
        let wanted = Wanted::of(exchange, &session.peer);
        let found = self.store.approval_of(session.id, approval::digest(&wanted)).await?;
        let redeemable = found.filter(|approval| !is_spent(approval, now));
        let Some(approval) = redeemable else {
            return Err(self.ask_approval(wanted, ruled, session, record, now).await);
        };
        if let Some(denial) = approval.answer(now) {
            return Err(denial.into());
        }
        let (grants, ttl) = approval.granted()?;
        let end = if ttl.is_zero() { claims.expires_at } else { claims.expires_at.min(now.plus(ttl)) };
        Ok((Claims { grants, expires_at: end, ..claims }, Some(approval.id)))
    }

    /// Writes a new request for approval, and says so.
    async fn ask_approval(
        &self,
        wanted: Wanted,
        ruled: Ruled,
        session: &Session,
        record: &Record,
        now: Timestamp,
    ) -> Stop {
        let id = ApprovalId::from_uuid(Uuid::now_v7());
        let mut approval = Approval::ask(id, wanted, ruled.needs, session, now);
        approval.because = ruled.because;
        approval.risk = self.risk_of(&approval).as_str().to_owned();
        let mut record = record.clone();
        let Some(denial) = approval.answer(now) else { return Denial::new(Reason::ApprovalExpired).into() };
        record.refuse(&denial);
        record.detail = id.to_string();
        match self.store.ask_approval(approval, session.agent.clone(), now, record).await {
            Ok(Ok(waiting)) => {
                self.tell(waiting.id);
                // Another one of the same may have been quicker, and may even be approved by now.
                let denial = waiting.answer(now).unwrap_or_else(|| {
                    Denial::new(Reason::ApprovalNeeded).asked(waiting.id).next("it is approved: ask the same again")
                });
                if waiting.id == id { Stop::Answered(denial) } else { Stop::Refuse(denial) }
            }
            Ok(Err(denial)) => Stop::Refuse(denial),
            Err(error) => error.into(),
        }
    }

    fn risk_of(&self, approval: &Approval) -> crate::registry::Risk {
        let registry = self.registry();
        let server = registry.tool_server(&approval.wanted.audience);
        server.map_or(crate::registry::Risk::High, |server| ruling::risk_of(&approval.wanted.grants, server))
    }

    /// Takes a vote.
    ///
    /// # Errors
    ///
    /// [`Refused`]; then nothing changed.
    pub async fn approve(&self, wire: wire::ApproveRequest, viewer: &Viewer) -> Result<Shown, Refused> {
        let mut v = Violations::default();
        let id = v.parse("approval_id", &wire.approval_id);
        let why = optional(&mut v, &wire.why);
        let grants = if wire.grants.is_empty() {
            Some(None)
        } else {
            convert::grants(&mut v, "grants", &wire.grants).map(Some)
        };
        let (Some(id), Some(why), Some(grants)) = (id, why, grants) else { return Err(Refused::Malformed(v)) };
        let ttl = Duration::from_secs(wire.ttl_s.into());
        self.vote(id, viewer, why, |asked| Ok(Said::Yes { grants: narrower(grants, asked)?, ttl })).await
    }

    /// Takes a refusal.
    ///
    /// # Errors
    ///
    /// [`Refused`]; then nothing changed.
    pub async fn refuse_approval(&self, wire: wire::RefuseRequest, viewer: &Viewer) -> Result<Shown, Refused> {
        let mut v = Violations::default();
        let (id, why) = (v.parse("approval_id", &wire.approval_id), optional(&mut v, &wire.why));
        let (Some(id), Some(why)) = (id, why) else { return Err(Refused::Malformed(v)) };
        self.vote(id, viewer, why, |_| Ok(Said::No)).await
    }

    async fn vote(
        &self,
        id: ApprovalId,
        viewer: &Viewer,
        why: Option<Why>,
        say: impl FnOnce(&Approval) -> Result<Said, Denial>,
    ) -> Result<Shown, Refused> {
        let _place = self.admit()?;
        let now = self.clock.now().wall;
        self.within_limit(async {
            let shown = self.shown(id, viewer, now).await?;
            let mut record = self.operation(Kind::Approval, &viewer.name());
            record.describe(&shown.session);
            record.audience = shown.approval.wanted.audience.to_string();
            record.detail = id.to_string();
            let cast = self.cast(&shown, viewer, why, say, &mut record, now).await;
            match cast {
                Ok(approval) => Ok(Shown { approval, ..shown }),
                Err(Stop::Refuse(denial)) => Err(self.stop(Stop::Refuse(denial), record, None).await),
                Err(stop) => Err(self.stop(stop, record, None).await),
            }
        })
        .await
    }

    async fn cast(
        &self,
        shown: &Shown,
        viewer: &Viewer,
        why: Option<Why>,
        say: impl FnOnce(&Approval) -> Result<Said, Denial>,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<Approval, Stop> {
        let approver = viewer.approver().ok_or_else(|| {
            let denial = Denial::new(Reason::NotAnApprover).asked(shown.approval.id);
            denial.by("an operator is no approver: say who approves, with their token", "the broker")
        })?;
        let registry = self.registry();
        let groups = eligible(&shown.approval, &shown.session, &approver, &registry)?;
        let said = say(&shown.approval)?;
        let yes = matches!(said, Said::Yes { .. });
        record.detail = format!("{} {}", if yes { "approved" } else { "refused" }, shown.approval.id);
        record.allow();
        let vote = Vote { approver: approver.to_string(), groups, at: now, said, why };
        let taken = self.store.vote(shown.approval.id, vote, now, record.clone()).await?;
        let approval = taken?;
        self.tell(approval.id);
        Ok(approval)
    }

    /// Asks again what was refused.
    ///
    /// # Errors
    ///
    /// [`Refused`]; then nothing changed.
    pub async fn appeal(&self, wire: wire::AppealRequest, viewer: &Viewer) -> Result<Shown, Refused> {
        let _place = self.admit()?;
        let mut v = Violations::default();
        let id: Option<ApprovalId> = v.parse("approval_id", &wire.approval_id);
        let why: Option<Why> = v.parse("why", &wire.why);
        let (Some(id), Some(why)) = (id, why) else { return Err(Refused::Malformed(v)) };
        let now = self.clock.now().wall;
        self.within_limit(async {
            let shown = self.shown(id, viewer, now).await?;
            let own = matches!(viewer, Viewer::Workload(peer) if *peer == shown.approval.wanted.peer);
            if !own || shown.approval.state.word(shown.approval.expires_at, now) != "refused" {
                let rule = "whoever asked appeals what was refused";
                return Err(Denial::new(Reason::ApprovalUnknown).asked(id).by(rule, "the broker").into());
            }
            if !shown.session.is_open(now) {
                return Err(Denial::new(Reason::SessionClosed).asked(shown.session.id).into());
            }
            let fresh = ApprovalId::from_uuid(Uuid::now_v7());
            let old = &shown.approval;
            let mut approval = Approval::ask(fresh, old.wanted.clone(), old.needs.clone(), &shown.session, now);
            (approval.because, approval.risk) = (old.because.clone(), old.risk.clone());
            approval.appeal = Some((id, why.clone()));
            let mut record = self.operation(Kind::Approval, &viewer.name());
            record.describe(&shown.session);
            record.detail = crate::audit::cut(&format!("{fresh} appeals {id}: {why}"));
            record.allow();
            let agent = shown.session.agent.clone();
            let asked = self.store.ask_approval(approval, agent, now, record).await.map_err(Denial::from)?;
            let approval = asked?;
            self.tell(approval.id);
            Ok(Shown { approval, ..shown })
        })
        .await
    }

    /// Lists requests, the newest first: those that `viewer` may see.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub async fn approvals(&self, wire: &wire::ListApprovalsRequest, viewer: &Viewer) -> Result<Vec<Shown>, Refused> {
        let _place = self.admit()?;
        let mut v = Violations::default();
        let session: Option<SessionId> =
            (!wire.session_id.is_empty()).then(|| v.parse("session_id", &wire.session_id)).flatten();
        if !v.is_empty() {
            return Err(Refused::Malformed(v));
        }
        let now = self.clock.now().wall;
        self.within_limit(async {
            let found = self.store.approvals(session, LISTED_MAX).await.map_err(Denial::from)?;
            let mut shown = Vec::new();
            for approval in found {
                let word = approval.state.word(approval.expires_at, now);
                if !wire.state.is_empty() && wire.state != word {
                    continue;
                }
                match self.show(approval, viewer, now).await {
                    Ok(seen) => shown.push(seen),
                    Err(denial) if denial.reason == Reason::ApprovalUnknown => {}
                    Err(denial) => return Err(denial.into()),
                }
            }
            Ok(shown)
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
        self.show(found.ok_or_else(|| unknown(id))?, viewer, now).await
    }

    async fn show(&self, approval: Approval, viewer: &Viewer, now: Timestamp) -> Result<Shown, Denial> {
        let sessions = self.store.sessions(vec![approval.wanted.session]).await?;
        let session = sessions.into_iter().next().ok_or_else(|| unknown(approval.id))?;
        let may = match viewer {
            Viewer::Operator(_) => true,
            Viewer::Workload(peer) if *peer == approval.wanted.peer => true,
            _ => self.is_of_its_groups(&approval, viewer),
        };
        if !may {
            return Err(unknown(approval.id));
        }
        let history = self.store.approval_history(session.agent.clone(), now).await?;
        Ok(Shown { approval, session, history })
    }

    fn is_of_its_groups(&self, approval: &Approval, viewer: &Viewer) -> bool {
        let registry = self.registry();
        let approver = viewer.approver();
        approver.is_some_and(|approver| !approval::groups_of(approval, &approver, &registry).is_empty())
    }

    /// Wakes whoever follows the request.
    fn tell(&self, id: ApprovalId) {
        // Nobody following is fine.
        let _ = self.approval_news.send(id);
    }
}

/// Says whether the same ask needs a new request: this one was used, or is over.
fn is_spent(approval: &Approval, now: Timestamp) -> bool {
    matches!(approval.state.word(approval.expires_at, now), "redeemed" | "expired")
}

/// Returns the rights of a vote, which are never more than what was asked.
fn narrower(grants: Option<Grants>, approval: &Approval) -> Result<Grants, Denial> {
    let asked = &approval.wanted.grants;
    let Some(grants) = grants else { return Ok(asked.clone()) };
    match grants.first_outside(asked) {
        None => Ok(grants),
        Some(grant) => Err(Denial::new(Reason::OutsideEnvelope)
            .asked(grant)
            .by("an approval gives at most what was asked", "the broker")),
    }
}

fn unknown(id: ApprovalId) -> Denial {
    Denial::new(Reason::ApprovalUnknown).asked(id)
}

fn optional(v: &mut Violations, why: &str) -> Option<Option<Why>> {
    if why.is_empty() { Some(None) } else { v.parse("why", why).map(Some) }
}
