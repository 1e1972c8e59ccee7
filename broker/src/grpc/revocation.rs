//! `RevocationService`, for operators.

use super::{Services, operator};
use crate::session::Session;
use crumb_proto::wire::{
    HaltedSession, LiftRequest, LiftResponse, ListHaltedRequest, ListHaltedResponse, ListStopsRequest,
    ListStopsResponse, ResumeRequest, ResumeResponse, RevokeRequest, RevokeResponse, Stop,
    revocation_service_server::RevocationService,
};
use tonic::{Request, Response, Status, async_trait};

#[async_trait]
impl RevocationService for Services {
    async fn revoke(&self, request: Request<RevokeRequest>) -> Result<Response<RevokeResponse>, Status> {
        let by = operator::of(self.door, request.extensions())?;
        let revoked = self.broker.revoke(request.into_inner(), &by).await?;
        Ok(Response::new(RevokeResponse {
            targets: revoked.targets.iter().map(ToString::to_string).collect(),
            sessions: revoked.sessions,
            revocation: revoked.sequence.unwrap_or(0),
        }))
    }

    async fn lift(&self, request: Request<LiftRequest>) -> Result<Response<LiftResponse>, Status> {
        let by = operator::of(self.door, request.extensions())?;
        let lifted = self.broker.lift(request.into_inner(), &by).await?;
        Ok(Response::new(LiftResponse { lifted }))
    }

    async fn list_stops(&self, request: Request<ListStopsRequest>) -> Result<Response<ListStopsResponse>, Status> {
        operator::of(self.door, request.extensions())?;
        let stops = self.broker.stops();
        let stops = stops.iter().map(|(scope, stop)| Stop {
            kind: scope.kind().to_owned(),
            name: scope.name().to_owned(),
            since: stop.since.as_unix_s(),
            by: stop.by.clone(),
            why: stop.why.clone(),
        });
        Ok(Response::new(ListStopsResponse { stops: stops.collect() }))
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<ResumeResponse>, Status> {
        let by = operator::of(self.door, request.extensions())?;
        let resumed = self.broker.resume(request.into_inner(), &by).await?;
        Ok(Response::new(ResumeResponse { resumed }))
    }

    async fn list_halted(&self, request: Request<ListHaltedRequest>) -> Result<Response<ListHaltedResponse>, Status> {
        operator::of(self.door, request.extensions())?;
        let sessions = self.broker.held().await?.into_iter().filter_map(to_halted).collect();
        Ok(Response::new(ListHaltedResponse { sessions }))
    }
}

/// Writes what is held against a session; of two things the graver.
fn to_halted(session: Session) -> Option<HaltedSession> {
    let held = session.review.halt.or(session.review.contraction)?;
    Some(HaltedSession {
        session_id: session.id.to_string(),
        agent: session.agent.to_string(),
        owner: session.owner.to_string(),
        intent: session.intent.to_string(),
        action: held.finding.action.as_str().to_owned(),
        rule: held.finding.rule.as_str().to_owned(),
        measured: held.finding.measured,
        threshold: held.finding.threshold,
        basis: held.finding.basis,
        since: held.since.as_unix_s(),
    })
}
