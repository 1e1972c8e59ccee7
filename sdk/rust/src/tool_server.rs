//! Serves a protected service over mTLS, HTTP/2 and HTTP/1.1 on one listener.
//!
//! It takes [`Guarded`] services only, so a tool cannot be served unprotected by mistake. Connections are bounded by the
//! listener, in number and per peer; here by time, and by what one of them may hold.

mod split;

pub use split::Split;

use crate::protect::{AnswerBody, BoxError, Protected};
use crumb_identity::{Listener, MtlsStream};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use std::{pin::pin, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt as _, service_fn};

/// How long the head of a request may take, and how long an HTTP/1.1 connection may be idle.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes: a token of 8 KiB as text, and as much again for the rest, twice.
const HEAD_LEN_MAX: u32 = 32 * 1024;

/// The most calls at once on one connection.
const STREAMS_MAX: u32 = 64;

/// How often a quiet HTTP/2 connection is probed, and how long the answer may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// How old a connection gets before its client is asked to make a new one, so that clients spread over servers anew.
const AGE_MAX: Duration = Duration::from_secs(600);

/// How long calls that are under way may go on when their connection or the server ends.
const GRACE: Duration = Duration::from_secs(5);

/// A service behind [`crate::protect::Protect`]. Only this crate says which are.
pub trait Guarded: sealed::Sealed {}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else can name it, so nobody else can call a service guarded")]
    pub trait Sealed {}
}

impl<S> sealed::Sealed for Protected<S> {}
impl<S> Guarded for Protected<S> {}

/// Serves until `shutdown`, and then for a few seconds more what is under way.
pub async fn serve<S>(listener: Listener, service: S, shutdown: CancellationToken)
where
    S: Guarded + Service<Request<Incoming>, Response = Response<AnswerBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    let mut streams = listener.incoming(shutdown.clone());
    let connections = TaskTracker::new();
    let abandoned = CancellationToken::new();
    // The stream ends on shutdown, and every item of it is a stream.
    while let Some(Ok(stream)) = streams.next().await {
        let connection = connection(stream, service.clone(), shutdown.clone());
        let abandoned = abandoned.clone();
        connections.spawn(async move { abandoned.run_until_cancelled(connection).await });
    }
    connections.close();
    if timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections are cut off");
        abandoned.cancel();
        connections.wait().await;
    }
}

async fn connection<S>(stream: MtlsStream, service: S, shutdown: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<AnswerBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    let peer = stream.peer().clone();
    let builder = builder(stream.alpn_is_h2());
    let with_peer = {
        let peer = peer.clone();
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            service.clone().oneshot(request)
        })
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(with_peer)));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = shutdown.cancelled() => None,
        () = sleep(AGE_MAX) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(why) = ended {
        tracing::debug!(peer = %peer.id(), error = &*why as &dyn std::error::Error, "a connection ended");
    }
}

/// Speaks the one version that ALPN agreed on, and never guesses.
fn builder(h2: bool) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if h2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_LEN_MAX as usize)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_LEN_MAX)
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1);
    builder
}
