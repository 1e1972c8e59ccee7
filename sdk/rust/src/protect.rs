//! The layer that decides every call before the tool sees it.
//!
//! One tower layer for HTTP and for gRPC servers. For each request it takes the peer that mTLS proved, checks its SVID
//! again, takes the bearer token away, reads what is asked from the request itself, lets the verifier decide, and records
//! the decision with its outcome.
//!
//! # Invariants
//!
//! - Everything is refused that the [`Mapping`] does not read; over HTTP, `GET /health` alone goes through unasked.
//! - The inner service finds the [`crumb_token::Ask`] that was decided on and the [`crumb_verifier::Verified`] in the
//!   request's extensions, and no token anywhere.
//! - The tool is called only while a place for its record is held; the place is filled however the call ends.
//! - Bodies are read whole, and bounded, before anything is decided: what is decided on is what the tool gets.

mod answer;
mod bearer;
mod dialect;
mod grpc;
mod guard;
mod in_flight;
mod json;
mod mapping;
mod trail;

pub use answer::{AnswerBody, BoxError};
pub use dialect::Dialect;
pub use grpc::GrpcMapping;
pub use json::{JsonMapping, Object};
pub use mapping::{Mapping, Unmapped};

use crate::decisions::Recorder;
use bytes::Bytes;
use crumb_identity::Workload;
use crumb_token::Clock;
use crumb_verifier::Verifier;
use futures::future::BoxFuture;
use guard::{Guard, Passed};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;
use tower::{Layer, Service};

/// The longest body of a request, in bytes: what every Crumb service takes.
pub const BODY_LEN_MAX: usize = crumb_proto::MESSAGE_LEN_MAX;

/// How long a body may take to arrive: 64 KiB over a bad line.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The most calls at once, so that their bodies take 64 MiB at most. Further ones are refused as `overloaded`.
pub const IN_FLIGHT_MAX: usize = 1024;

/// The most calls at once of one peer: a sidecar that serves a whole host, and never all there is.
pub const IN_FLIGHT_PER_PEER_MAX: usize = 256;

/// How long a tool may take until its answer begins. A call that hangs holds a place in the queue of records.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(300);

/// What the inner service gets: the body that was read and decided on.
pub type CheckedBody = Full<Bytes>;

/// The parts that the layer works with.
pub struct ProtectSettings {
    /// Decides; [`crate::feed::follow`] keeps it informed.
    pub verifier: Arc<Verifier>,
    /// Our own identity, whose bundles every peer is checked against in every request.
    pub workload: Workload,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where decisions go.
    pub recorder: Recorder,
    /// Reads what a request asks for.
    pub mapping: Arc<dyn Mapping>,
    /// What the server speaks.
    pub dialect: Dialect,
}

impl fmt::Debug for ProtectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtectSettings({}, {:?})", self.verifier.audience(), self.dialect)
    }
}

/// Wraps a service so that only allowed calls reach it. Cheap to clone.
#[derive(Clone)]
pub struct Protect(Arc<Guard>);

impl Protect {
    /// Makes the layer.
    pub fn new(settings: ProtectSettings) -> Self {
        Self(Arc::new(Guard::new(settings)))
    }
}

impl fmt::Debug for Protect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protect({})", self.0.audience())
    }
}

impl<S> Layer<S> for Protect {
    type Service = Protected<S>;

    fn layer(&self, inner: S) -> Protected<S> {
        Protected { protect: self.clone(), inner }
    }
}

/// A service behind the layer.
#[derive(Clone, Debug)]
pub struct Protected<S> {
    protect: Protect,
    inner: S,
}

impl<S, B, A> Service<Request<B>> for Protected<S>
where
    S: Service<Request<CheckedBody>, Response = Response<A>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
    A: Body<Data = Bytes> + Send + 'static,
    A::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let guard = Arc::clone(&self.protect.0);
        // The one that was polled ready makes the call; its clone may not be.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            match guard.pass(request).await {
                Passed::Refused(answer) => Ok(answer),
                Passed::Unasked(request) => inner.call(request).await.map(|answer| answer.map(answer::body)),
                Passed::Allowed(request, trail) => {
                    // An error, a panic or a caller who leaves drops the trail, which then says that nothing came of it.
                    let Ok(answer) = timeout(CALL_TIME_MAX, inner.call(request)).await else {
                        return Ok(guard.tool_hangs());
                    };
                    let answer = answer?;
                    trail.end(guard.dialect().outcome(&answer));
                    Ok(answer.map(answer::body))
                }
            }
        })
    }
}
