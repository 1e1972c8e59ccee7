//! `RevocationService`, for operators.

use super::{Services, operator};
use crumb_proto::wire::{
    LiftRequest, LiftResponse, ListStopsRequest, ListStopsResponse, RevokeRequest, RevokeResponse, Stop,
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
}
