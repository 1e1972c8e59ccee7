//! `ReviewService`: operators read reviews, and bring the decisions of reviewers.

use super::{Services, operator, registry};
use crate::{
    registry::{Agent, Kept, ManifestName, Registry},
    review::{AgentReview, Proposal, Window, usage::Tally},
};
use crumb_proto::{
    Violations, convert, status,
    wire::{
        self, DecideReviewRequest, DecideReviewResponse, GrantUse, ReviewProposal, ReviewRequest,
        review_service_server::ReviewService,
    },
};
use crumb_token::{AgentName, Denial, Owner, Reason};
use futures::{Stream, stream};
use std::{collections::VecDeque, pin::Pin, time::Duration};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status, async_trait};

/// How many patterns one right is told with when less of it was used.
const USED_MAX: usize = 4;

/// Agents that are still to be reviewed.
struct Reviewing {
    services: Services,
    names: VecDeque<AgentName>,
    window: Window,
    propose: bool,
    _place: OwnedSemaphorePermit,
}

impl Reviewing {
    /// Reviews the next agent; those that went meanwhile are passed over.
    async fn step(reviewing: Option<Self>) -> Option<(Result<wire::AgentReview, Status>, Option<Self>)> {
        let mut reviewing = reviewing?;
        loop {
            let name = reviewing.names.pop_front()?;
            let review = reviewing.services.broker.review(&name, reviewing.window, reviewing.propose);
            let reviewed = tokio::select! {
                reviewed = review => reviewed,
                () = reviewing.services.shutdown.cancelled() => return None,
            };
            match reviewed {
                Ok(Some(review)) => return Some((Ok(to_wire(&review)), Some(reviewing))),
                Ok(None) => {}
                Err(denial) => return Some((Err(status::to_status(&denial)), None)),
            }
        }
    }
}

#[async_trait]
impl ReviewService for Services {
    type ReviewStream = Pin<Box<dyn Stream<Item = Result<wire::AgentReview, Status>> + Send>>;

    async fn review(&self, request: Request<ReviewRequest>) -> Result<Response<Self::ReviewStream>, Status> {
        operator::of(self.door, request.extensions())?;
        let ReviewRequest { agent, owner, window_s, propose } = request.into_inner();
        let mut v = Violations::default();
        let agent: Option<AgentName> = (!agent.is_empty()).then(|| v.parse("agent", &agent)).flatten();
        let owner: Option<Owner> = (!owner.is_empty()).then(|| v.parse("owner", &owner)).flatten();
        if window_s > Window::MAX.as_secs() {
            v.add("window_s", format!("is at most {}", Window::MAX.as_secs()));
        }
        if !v.is_empty() {
            return Err(status::invalid(&v));
        }
        let refuse = |denial: Denial| status::to_status(&denial);
        let names = self.broker.to_review(agent.as_ref(), owner.as_ref().map(Owner::as_str)).map_err(refuse)?;
        let place = self.streams.clone().try_acquire_owned();
        let _place = place.map_err(|_| refuse(Denial::new(Reason::Overloaded)))?;
        let window = Window::back(Duration::from_secs(window_s), self.broker.clock.now().wall);
        let reviewing = Reviewing { services: self.clone(), names: names.into(), window, propose, _place };
        Ok(Response::new(Box::pin(stream::unfold(Some(reviewing), Reviewing::step))))
    }

    async fn decide(&self, request: Request<DecideReviewRequest>) -> Result<Response<DecideReviewResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        operator::of(self.door, &extensions)?;
        let viewer = self.viewer(&extensions, &message.approver_token).await?;
        // Whoever asked may leave: what was begun comes to its end all the same.
        let broker = std::sync::Arc::clone(&self.broker);
        let decided = tokio::spawn(async move { broker.decide_review(message, &viewer).await }).await;
        let reviewed = decided.map_err(|_| status::to_status(&Denial::new(Reason::Unforeseen)))??;
        Ok(Response::new(DecideReviewResponse {
            reviewer: reviewed.reviewer.to_string(),
            change: Some(registry::to_change(reviewed.change)),
            review_by: reviewed.review_by.map(|day| day.as_unix_s()).unwrap_or_default(),
        }))
    }
}

fn to_wire(review: &AgentReview) -> wire::AgentReview {
    let AgentReview { registry, agent, kept, window, usage, .. } = review;
    wire::AgentReview {
        agent: agent.name.to_string(),
        version: agent.version.to_string(),
        owner: agent.owner.to_string(),
        environment: agent.environment.to_string(),
        lifecycle: agent.lifecycle.to_string(),
        persona: agent.persona.as_ref().map(ToString::to_string).unwrap_or_default(),
        bundles: agent.bundles.iter().map(ToString::to_string).collect(),
        review_by: agent.review_by.map(|day| day.as_unix_s()).unwrap_or_default(),
        manifest_version: kept.version,
        applied_at: kept.applied_at.as_unix_s(),
        applied_by: kept.applied_by.clone(),
        since_unix_ms: window.since_ms(),
        until_unix_ms: window.until_ms(),
        sessions: review.sessions,
        calls: usage.calls,
        tokens: usage.tokens,
        grants: usage.tallies.iter().map(|tally| to_use(tally, agent, registry)).collect(),
        unseen: review.unseen.clone(),
        proposal: review.proposal.as_ref().map(|proposal| to_proposal(proposal, kept)),
    }
}

fn to_use(tally: &Tally, agent: &Agent, registry: &Registry) -> GrantUse {
    let risk = registry.tool_server(&tally.audience).and_then(|s| s.risk(&tally.grant.tool, &tally.grant.operation));
    GrantUse {
        audience: tally.audience.to_string(),
        grant: Some(convert::to_grant(&tally.grant)),
        sources: sources(tally, agent, registry),
        risk: risk.map(|risk| risk.as_str().to_owned()).unwrap_or_default(),
        calls: tally.calls,
        delegated_calls: tally.delegated,
        tokens: tally.tokens,
        sessions: tally.sessions.len() as u64,
        last_unix_ms: tally.last_ms,
        resources: tally.called.named().map(str::to_owned).collect(),
        more_resources: tally.called.has_more(),
        asked_as: tally.asked.named().map(str::to_owned).collect(),
        used: tally.used(USED_MAX).iter().map(convert::to_grant).collect(),
    }
}

/// Says where a right comes from. One that no bundle gives is the agent's own.
fn sources(tally: &Tally, agent: &Agent, registry: &Registry) -> Vec<String> {
    let gives = |name: &ManifestName| {
        let given = registry.bundle(name).and_then(|bundle| bundle.scopes.get(&tally.audience));
        given.is_some_and(|grants| grants.iter().any(|grant| *grant == tally.grant))
    };
    let own = agent.bundles.iter().filter(|name| gives(name)).map(|name| format!("bundle {name}"));
    let persona = agent.persona.as_ref().and_then(|name| registry.persona(name));
    let of_persona = persona.into_iter().flat_map(|persona| {
        let bundles = persona.bundles.iter().filter(|name| gives(name));
        bundles.map(move |name| format!("persona {}, bundle {name}", persona.name))
    });
    let sources: Vec<String> = own.chain(of_persona).collect();
    if sources.is_empty() { vec!["scopes".to_owned()] } else { sources }
}

fn to_proposal(proposal: &Proposal, kept: &Kept) -> ReviewProposal {
    match proposal {
        Proposal::Keep { notes } => {
            ReviewProposal { action: "keep".into(), notes: notes.clone(), ..ReviewProposal::default() }
        }
        Proposal::Change { aside, text, change, notes } => ReviewProposal {
            action: if *aside { "set-aside" } else { "narrow" }.into(),
            manifest: Kept { text: text.clone(), ..kept.clone() }.text_with_version(),
            diff: change.diff.clone(),
            notes: notes.clone(),
        },
    }
}
