//! Asking for approval, voting and appealing, end to end.

mod showing;

pub use showing::Shown;

use super::{Broker, Refused, Stop};
use crate::{
    approval::{Approval, Electorate, Presented, Presenter, Said, Viewer, Vote, Wanted, Why},
    audit::{Kind, Record},
    exchange::Exchange,
    ruling::{self, Ruled},
    session::Session,
    store::Asking,
};
use crumb_attestors::subject_token::IssuerKind;
use crumb_proto::{Violations, convert, wire};
use crumb_token::{ApprovalId, Claims, Denial, Grants, Reason, Timestamp};
use std::time::Duration;
use uuid::Uuid;

impl Broker {
    /// Returns whom a token of an approver names, as `through` brings it.
    ///
    /// # Errors
    ///
    /// `subject_invalid` for a token that does not verify, opens sessions as well or may do so, or lets somebody else act;
    /// `not_an_approver` when it names no person.
    pub(crate) async fn recognise(&self, token: &str, through: Presenter) -> Result<Viewer, Denial> {
        let refuse = |reason: Reason, rule: &str| Err(Denial::new(reason).by(rule, "the broker"));
        let clock = self.clock.as_ref();
        // Such a token is in an agent's hands: whoever holds it speaks for the person, and is not the person.
        if self.subjects.takes(token, clock).await? {
            return refuse(Reason::SubjectInvalid, "a token that opens sessions approves nothing");
        }
        let facts = self.approvers.verify(token, clock).await?;
        let admitted = match &through {
            Presenter::Workload(peer) => facts.admits(peer),
            // An operator is none of those whom a token can name.
            Presenter::Operator(_) => facts.may_act.is_none(),
        };
        if !admitted {
            return refuse(Reason::SubjectInvalid, "the token lets another workload act");
        }
        let name = (facts.kind == IssuerKind::Oidc).then(|| facts.principal.as_str().to_ascii_lowercase());
        let Some(person) = name.and_then(|name| name.parse().ok()) else {
            return refuse(Reason::NotAnApprover, "a person, or a workload with its own SVID");
        };
        let presented = Presented { issuer: facts.issuer.as_str().into(), through };
        Ok(Viewer::Person { person, presented })
    }

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
        let found = self.store.approval_of(wanted.clone()).await?;
        let standing = found.filter(|approval| !is_spent(approval, now));
        let Some(approval) = standing else {
            return Err(self.ask_approval(wanted, ruled, session, None, record, now).await);
        };
        if let Some(denial) = approval.answer(now) {
            return Err(denial.into());
        }
        // Policy, groups and people may have changed since: it is redeemed for what holds now, or asked for anew.
        let electorate = Electorate { needs: &ruled.needs, session, registry: &self.registry() };
        if !electorate.is_satisfied_by(&approval.votes) {
            return Err(self.ask_approval(wanted, ruled, session, Some(approval.id), record, now).await);
        }
        let (grants, ttl) = approval.granted()?;
        let end = if ttl.is_zero() { claims.expires_at } else { claims.expires_at.min(now.plus(ttl)) };
        Ok((Claims { grants, expires_at: end, ..claims }, Some(approval.id)))
    }

    /// Writes a new request for approval, and says so. `instead_of` is one that was approved and does not hold any more.
    async fn ask_approval(
        &self,
        wanted: Wanted,
        ruled: Ruled,
        session: &Session,
        instead_of: Option<ApprovalId>,
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
        let asking = Asking { approval, agent: session.agent.clone(), now, instead_of, record };
        match self.store.ask_approval(asking).await {
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
        let grants =
            if wire.grants.is_empty() { Some(None) } else { convert::grants(&mut v, "grants", &wire.grants).map(Some) };
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
            let mut record = self.operation(Kind::Approval, &viewer.presenter());
            record.describe(&shown.session);
            record.audience = shown.approval.wanted.audience.to_string();
            record.detail = crate::audit::cut(&format!("{id}{}", viewer.word()));
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
        let Shown { approval, session, .. } = shown;
        let electorate = Electorate { needs: &approval.needs, session, registry: &registry };
        let groups = electorate.admit(&approver, viewer.presented()).map_err(|denial| denial.asked(approval.id))?;
        let said = say(&shown.approval)?;
        let yes = matches!(said, Said::Yes { .. });
        let said_what = if yes { "approved" } else { "refused" };
        record.detail = crate::audit::cut(&format!("{said_what} {}{}", approval.id, viewer.word()));
        record.allow();
        let vote = Vote { approver, presented: viewer.presented().cloned(), groups, at: now, said, why };
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
            let mut record = self.operation(Kind::Approval, &viewer.presenter());
            record.describe(&shown.session);
            record.detail = crate::audit::cut(&format!("{fresh} appeals {id}: {why}"));
            record.allow();
            let agent = shown.session.agent.clone();
            let asking = Asking { approval, agent, now, instead_of: None, record };
            let approval = self.store.ask_approval(asking).await.map_err(Denial::from)??;
            self.tell(approval.id);
            Ok(Shown { approval, ..shown })
        })
        .await
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

fn optional(v: &mut Violations, why: &str) -> Option<Option<Why>> {
    if why.is_empty() { Some(None) } else { v.parse("why", why).map(Some) }
}
