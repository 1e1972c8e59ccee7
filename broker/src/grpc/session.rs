//! `SessionService`.

use super::Services;
use crumb_proto::wire::{
    CloseSessionRequest, CloseSessionResponse, OpenSessionRequest, OpenSessionResponse,
    session_service_server::SessionService,
};
use tonic::{Request, Response, Status, async_trait};

#[async_trait]
impl SessionService for Services {
    async fn open_session(
        &self,
        request: Request<OpenSessionRequest>,
    ) -> Result<Response<OpenSessionResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let opened = self.broker.open(message, &extensions).await?;
        Ok(Response::new(OpenSessionResponse { session_id: opened.session, expires_at: opened.expires_at }))
    }

    async fn close_session(
        &self,
        request: Request<CloseSessionRequest>,
    ) -> Result<Response<CloseSessionResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let revocation = self.broker.close(message, &extensions).await?;
        Ok(Response::new(CloseSessionResponse { revocation }))
    }
}
