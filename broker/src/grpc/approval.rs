//! `ApprovalService`: requesters, approvers and operators.

use super::{Door, Services, operator};
use crate::{
    approval::{Approval, Place, Presenter, Said, Viewer},
    broker::Shown,
    caller,
};
use crumb_identity::PeerSvid;
use crumb_proto::{
    Violations, convert, status,
    wire::{
        self, AppealRequest, ApproveRequest, ListApprovalsRequest, ListApprovalsResponse, RefuseRequest,
        WatchApprovalRequest, approval_service_server::ApprovalService,
    },
};
use crumb_token::{ApprovalId, Denial, Reason, Timestamp};
use futures::{Stream, stream};
use std::{pin::Pin, time::Duration};
use tokio::{sync::broadcast, time::Sleep};
use tonic::{Extensions, Request, Response, Status, async_trait};

/// How often a request that is followed is looked at when nobody tells of it: its end comes by itself.
const LOOK: Duration = Duration::from_secs(1);

impl Services {
    /// Proves who comes through the door: the operator at the admin socket, or the mTLS peer.
    fn presenter(&self, extensions: &Extensions) -> Result<Presenter, Status> {
        match self.door {
            Door::Admin => Ok(Presenter::Operator(operator::of(self.door, extensions)?)),
            Door::Network => {
                let caller = caller::attest(&self.broker.workload, extensions, self.broker.clock.now().wall);
                caller.map(|caller| Presenter::Workload(caller.id)).map_err(|denial| status::to_status(&denial))
            }
        }
    }

    /// Proves who looks or votes: whoever comes through the door, or the person whose token they bring.
    pub(super) async fn viewer(&self, extensions: &Extensions, token: &str) -> Result<Viewer, Status> {
        let presenter = self.presenter(extensions)?;
        if token.is_empty() {
            return Ok(presenter.into());
        }
        self.broker.recognise(token, presenter).await.map_err(|denial| status::to_status(&denial))
    }

    fn to_wire(&self, shown: &Shown) -> wire::Approval {
        to_wire(shown, self.broker.clock.now().wall)
    }
}

#[async_trait]
impl ApprovalService for Services {
    type WatchApprovalStream = Pin<Box<dyn Stream<Item = Result<wire::Approval, Status>> + Send>>;

    async fn list_approvals(
        &self,
        request: Request<ListApprovalsRequest>,
    ) -> Result<Response<ListApprovalsResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let viewer = self.viewer(&extensions, &message.approver_token).await?;
        let shown = self.broker.approvals(&message, &viewer).await?;
        Ok(Response::new(ListApprovalsResponse { approvals: shown.iter().map(|s| self.to_wire(s)).collect() }))
    }

    async fn watch_approval(
        &self,
        request: Request<WatchApprovalRequest>,
    ) -> Result<Response<Self::WatchApprovalStream>, Status> {
        let (_, extensions, message) = request.into_parts();
        let viewer = self.viewer(&extensions, &message.approver_token).await?;
        let mut v = Violations::default();
        let id: Option<ApprovalId> = v.parse("approval_id", &message.approval_id);
        let id = id.ok_or_else(|| status::invalid(&v))?;
        let full = || Denial::new(Reason::Overloaded).by("places for those who follow a request", "the broker");
        let place = self.followers.take(&viewer.presenter());
        let _place = place.ok_or_else(|| status::to_status(&full()))?;
        let mut handshake = Extensions::new();
        if let Some(peer) = extensions.get::<PeerSvid>() {
            handshake.insert(peer.clone());
        }
        // Listening begins before the first look, so that no change falls between the two.
        let news = self.broker.approval_news.subscribe();
        let end = Box::pin(tokio::time::sleep(self.limits.stream_age));
        let watch = Watch { services: self.clone(), handshake, viewer, id, news, last: None, end, _place };
        Ok(Response::new(Box::pin(stream::unfold(Some(watch), Watch::step))))
    }

    async fn approve(&self, request: Request<ApproveRequest>) -> Result<Response<wire::Approval>, Status> {
        let (_, extensions, message) = request.into_parts();
        let viewer = self.viewer(&extensions, &message.approver_token).await?;
        let shown = self.broker.approve(message, &viewer).await?;
        Ok(Response::new(self.to_wire(&shown)))
    }

    async fn refuse(&self, request: Request<RefuseRequest>) -> Result<Response<wire::Approval>, Status> {
        let (_, extensions, message) = request.into_parts();
        let viewer = self.viewer(&extensions, &message.approver_token).await?;
        let shown = self.broker.refuse_approval(message, &viewer).await?;
        Ok(Response::new(self.to_wire(&shown)))
    }

    async fn appeal(&self, request: Request<AppealRequest>) -> Result<Response<wire::Approval>, Status> {
        let (_, extensions, message) = request.into_parts();
        let viewer = self.viewer(&extensions, "").await?;
        let shown = self.broker.appeal(message, &viewer).await?;
        Ok(Response::new(self.to_wire(&shown)))
    }
}

/// Somebody who follows one request.
struct Watch {
    services: Services,
    /// The handshake's facts, asked again at each look.
    handshake: Extensions,
    viewer: Viewer,
    id: ApprovalId,
    news: broadcast::Receiver<ApprovalId>,
    /// The state and the number of votes as they were told last.
    last: Option<(String, usize)>,
    /// Ends the stream, so that the follower asks again with what is proven then.
    end: Pin<Box<Sleep>>,
    _place: Place,
}

impl Watch {
    /// Waits for the next change. Ends after the state from which there is no way on.
    async fn step(watch: Option<Self>) -> Option<(Result<wire::Approval, Status>, Option<Self>)> {
        let mut watch = watch?;
        loop {
            let now = watch.services.broker.clock.now().wall;
            let shown = match watch.look(now).await {
                Ok(shown) => to_wire(&shown, now),
                Err(denial) => return Some((Err(status::to_status(&denial)), None)),
            };
            let state = (shown.state.clone(), shown.votes.len());
            if watch.last.as_ref() != Some(&state) {
                let is_over = !matches!(shown.state.as_str(), "pending" | "approved");
                watch.last = Some(state);
                return Some((Ok(shown), (!is_over).then_some(watch)));
            }
            watch.wait().await?;
        }
    }

    /// Looks at the request, for whoever is still who the handshake said.
    async fn look(&self, now: Timestamp) -> Result<Shown, Denial> {
        let Services { broker, door, .. } = &self.services;
        if *door == Door::Network {
            caller::attest(&broker.workload, &self.handshake, now)?;
        }
        broker.shown(self.id, &self.viewer, now).await
    }

    /// Waits until there may be something new; `None` when the broker stops, or it has gone on for long enough.
    async fn wait(&mut self) -> Option<()> {
        let changed = async {
            // Having missed some is a reason to look as well.
            while let Ok(id) = self.news.recv().await {
                if id == self.id {
                    break;
                }
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(LOOK, changed) => Some(()),
            () = self.services.shutdown.cancelled() => None,
            () = self.end.as_mut() => None,
        }
    }
}

fn to_wire(shown: &Shown, now: Timestamp) -> wire::Approval {
    let Shown { approval, session, history: [asked, approved, refused] } = shown;
    let Approval { wanted, .. } = approval;
    let lineage = &session.lineage;
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    wire::Approval {
        approval_id: approval.id.to_string(),
        state: approval.state.word(approval.expires_at, now).to_owned(),
        session_id: session.id.to_string(),
        agent: session.agent.to_string(),
        agent_version: session.version.to_string(),
        owner: session.owner.to_string(),
        peer: wanted.peer.to_string(),
        intent: session.intent.to_string(),
        origin: lineage.root.to_string(),
        subject: lineage.subject().map(|subject| subject.name.to_string()).unwrap_or_default(),
        actors: lineage.actors.iter().map(ToString::to_string).collect(),
        scope: Some(convert::to_scope(&wanted.audience, &wanted.grants)),
        ttl_s: small(wanted.ttl.as_secs()),
        task: wanted.task.as_ref().map(ToString::to_string).unwrap_or_default(),
        risk: approval.risk.clone(),
        because: approval.because.clone(),
        needed: approval.needs.iter().map(|need| needed(approval, need)).collect(),
        votes: approval.votes.iter().map(vote).collect(),
        asked_at: approval.asked_at.as_unix_s(),
        expires_at: approval.expires_at.as_unix_s(),
        appeal_of: approval.appeal.as_ref().map(|(id, _)| id.to_string()).unwrap_or_default(),
        appeal_why: approval.appeal.as_ref().map(|(_, why)| why.to_string()).unwrap_or_default(),
        history: Some(wire::History { asked: small(*asked), approved: small(*approved), refused: small(*refused) }),
        token_id: match &approval.state {
            crate::approval::State::Redeemed { token } => token.clone(),
            _ => String::new(),
        },
    }
}

fn needed(approval: &Approval, need: &crate::approval::Need) -> wire::Needed {
    wire::Needed { group: need.group.clone(), count: need.count, approved: approval.agreed(&need.group) }
}

fn vote(vote: &crate::approval::Vote) -> wire::Vote {
    let (approved, grants, ttl) = match &vote.said {
        Said::Yes { grants, ttl } => (true, convert::to_grants(grants), ttl.as_secs()),
        Said::No => (false, Vec::new(), 0),
    };
    wire::Vote {
        approver: vote.approver.to_string(),
        groups: vote.groups.clone(),
        approved,
        grants,
        ttl_s: u32::try_from(ttl).unwrap_or(u32::MAX),
        why: vote.why.as_ref().map(ToString::to_string).unwrap_or_default(),
        at: vote.at.as_unix_s(),
    }
}
