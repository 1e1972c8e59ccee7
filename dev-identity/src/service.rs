//! The Workload API's RPCs. The X.509 profile is served; the others are switched off, and say so.

use std::{sync::Arc, time::Duration};

use crumb_token::{Clock, TrustDomain};
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::interceptor::InterceptedService};

use crate::{
    authorities::Authorities,
    caller::Caller,
    entries::Entries,
    material::{Bundles, Material, Svids},
    quota::Quota,
    subscription::{Subscription, no_identity},
    wire::{
        JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
        ValidateJwtsvidResponse, WitBundlesRequest, WitBundlesResponse, WitsvidRequest, WitsvidResponse,
        X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
        spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer},
    },
};

/// Requests are empty or name a few audiences.
const REQUEST_LEN_MAX: usize = 16 * 1024;

/// The service behind the socket.
pub(crate) struct Service {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) svid_ttl: Duration,
    pub(crate) entries: Entries,
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) streams: Quota,
    pub(crate) stop: CancellationToken,
}

/// The answer to a streaming RPC.
type Streaming<M> = Result<Response<BoxStream<'static, Result<M, Status>>>, Status>;

type Guard = fn(Request<()>) -> Result<Request<()>, Status>;

impl Service {
    /// Wraps the service in what holds for every RPC of it.
    pub(crate) fn guarded(self) -> InterceptedService<SpiffeWorkloadApiServer<Self>, Guard> {
        let server = SpiffeWorkloadApiServer::new(self).max_decoding_message_size(REQUEST_LEN_MAX);
        InterceptedService::new(server, has_security_header)
    }

    fn subscribe<R, M: Material>(&self, request: &Request<R>, material: M) -> Streaming<M::Message> {
        let caller: &Caller =
            request.extensions().get().ok_or_else(|| Status::unavailable("the connection has no caller"))?;
        let process = caller.process.clone().ok_or_else(no_identity)?;
        let too_many = || Status::unavailable("this uid has too many open streams");
        let subscription = Subscription {
            process,
            material,
            entries: self.entries.watch(),
            authorities: self.authorities.watch(),
            clock: self.clock.clone(),
            stop: self.stop.clone(),
            _slot: self.streams.take(caller.uid).ok_or_else(too_many)?,
        };
        Ok(Response::new(subscription.into_stream()))
    }
}

/// Workload Endpoint §3: "every client request to the SPIFFE Workload Endpoint MUST include the static gRPC metadata key
/// `workload.spiffe.io` with a value of `true` (case sensitive). Requests not including this metadata key/value MUST be
/// rejected"; §6: "MUST respond with gRPC status code "InvalidArgument"". Twice is not what the standard describes.
fn has_security_header(request: Request<()>) -> Result<Request<()>, Status> {
    let mut values = request.metadata().get_all("workload.spiffe.io").iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value.as_encoded_bytes() == b"true" => Ok(request),
        _ => Err(Status::invalid_argument("security header missing from request: workload.spiffe.io: true")),
    }
}

fn switched_off<T>(profile: &str) -> Result<T, Status> {
    // Workload API §1: "operators MAY administratively disable a specific profile in their deployment".
    Err(Status::unimplemented(format!(
        "the {profile} profile is not enabled in the development Workload API; use SPIRE"
    )))
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Service {
    type FetchX509SVIDStream = BoxStream<'static, Result<X509svidResponse, Status>>;
    type FetchX509BundlesStream = BoxStream<'static, Result<X509BundlesResponse, Status>>;
    type FetchJWTBundlesStream = BoxStream<'static, Result<JwtBundlesResponse, Status>>;
    type FetchWITSVIDStream = BoxStream<'static, Result<WitsvidResponse, Status>>;
    type FetchWITBundlesStream = BoxStream<'static, Result<WitBundlesResponse, Status>>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        self.subscribe(&request, Svids::new(self.svid_ttl))
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        self.subscribe(&request, Bundles::new(self.trust_domain.clone()))
    }

    async fn fetch_jwtsvid(&self, _: Request<JwtsvidRequest>) -> Result<Response<JwtsvidResponse>, Status> {
        switched_off("JWT-SVID")
    }

    async fn fetch_jwt_bundles(
        &self,
        _: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        switched_off("JWT-SVID")
    }

    async fn validate_jwtsvid(
        &self,
        _: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        switched_off("JWT-SVID")
    }

    async fn fetch_witsvid(&self, _: Request<WitsvidRequest>) -> Result<Response<Self::FetchWITSVIDStream>, Status> {
        switched_off("WIT-SVID")
    }

    async fn fetch_wit_bundles(
        &self,
        _: Request<WitBundlesRequest>,
    ) -> Result<Response<Self::FetchWITBundlesStream>, Status> {
        switched_off("WIT-SVID")
    }
}
