//! HTTP and gRPC on one port: each request goes to the service that speaks its dialect.

use super::{Guarded, sealed::Sealed};
use crate::protect::AnswerBody;
use futures::future::Either;
use http::{Request, Response, header::CONTENT_TYPE};
use std::task::{Context, Poll, ready};
use tower::Service;

/// Two protected services behind one port.
#[derive(Clone, Copy, Debug)]
pub struct Split<H, G> {
    http: H,
    grpc: G,
}

impl<H: Guarded, G: Guarded> Split<H, G> {
    /// Sends requests of a gRPC media type to `grpc`, and all others to `http`.
    pub fn new(http: H, grpc: G) -> Self {
        Self { http, grpc }
    }
}

impl<H: Guarded, G: Guarded> Sealed for Split<H, G> {}
impl<H: Guarded, G: Guarded> Guarded for Split<H, G> {}

impl<H, G, B> Service<Request<B>> for Split<H, G>
where
    H: Service<Request<B>, Response = Response<AnswerBody>>,
    G: Service<Request<B>, Response = Response<AnswerBody>, Error = H::Error>,
{
    type Response = Response<AnswerBody>;
    type Error = H::Error;
    type Future = Either<H::Future, G::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H::Error>> {
        ready!(self.http.poll_ready(cx))?;
        self.grpc.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let media = request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        if media.is_some_and(|media| media.starts_with(b"application/grpc")) {
            Either::Right(self.grpc.call(request))
        } else {
            Either::Left(self.http.call(request))
        }
    }
}
