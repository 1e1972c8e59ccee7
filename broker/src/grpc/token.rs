//! `TokenService`.

use super::Services;
use crumb_proto::{
    convert,
    wire::{ExchangeRequest, ExchangeResponse, token_service_server::TokenService},
};
use tonic::{Request, Response, Status, async_trait};

#[async_trait]
impl TokenService for Services {
    async fn exchange(&self, request: Request<ExchangeRequest>) -> Result<Response<ExchangeResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let issued = self.broker.exchange(message, &extensions).await?;
        let claims = issued.claims;
        Ok(Response::new(ExchangeResponse {
            token: issued.token.expose().to_owned(),
            token_id: claims.token.to_string(),
            grants: convert::to_grants(&claims.grants),
            expires_at: claims.expires_at.as_unix_s(),
            holder: claims.holder.to_string(),
        }))
    }
}
