//! `SessionService`.

use super::Services;
use crate::broker::to_description;
use crumb_proto::wire::{
    CloseSessionRequest, CloseSessionResponse, DelegateRequest, DescribeSessionRequest, DescribeSessionResponse,
    OpenSessionRequest, OpenSessionResponse, session_service_server::SessionService,
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

    async fn delegate(&self, request: Request<DelegateRequest>) -> Result<Response<OpenSessionResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let opened = self.broker.delegate(message, &extensions).await?;
        Ok(Response::new(OpenSessionResponse { session_id: opened.session, expires_at: opened.expires_at }))
    }

    async fn describe_session(
        &self,
        request: Request<DescribeSessionRequest>,
    ) -> Result<Response<DescribeSessionResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let session = self.broker.describe(message, &extensions).await?;
        Ok(Response::new(to_description(&session)))
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
