//! gRPC over a [`Connector`], always on a connection that the newest SVID made.
//!
//! A server judges a request by the SVID of its connection. On a connection that is about to end with its SVID, a broker
//! would hand out tokens that end with it too; so a new SVID means a new connection for what comes next, and what is under
//! way on the old one goes on there.

use std::{
    error::Error,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use crumb_token::{SpiffeId, Timestamp};
use hyper_util::rt::TokioIo;
use tonic::{
    Status,
    body::Body,
    transport::{self, Endpoint, Uri},
};
use tower::{Service, service_fn};

use crate::{
    connector::{ConnectError, Connector, RefusedByServer},
    tls::Alpn,
    workload::Workload,
};

/// How often a quiet connection is probed, and how long the answer may take. A broker that froze is noticed within
/// half a minute; one that closed, at once.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// The origin of requests to a target that is not the authority of a URI; the dial then fails and says so.
const NOWHERE: &str = "http://crumb.invalid";

/// A gRPC channel to one server. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Channel {
    line: Arc<Line>,
    current: Dialled,
}

/// What all clones of a [`Channel`] share.
struct Line {
    workload: Workload,
    endpoint: Endpoint,
    connector: Connector,
    target: String,
    newest: Mutex<Dialled>,
}

/// A connection, or one to be, and the end of the SVID that made it.
#[derive(Clone)]
struct Dialled {
    svid_end: Option<Timestamp>,
    grpc: transport::Channel,
}

/// Makes a gRPC channel to `target`, a `host:port`, for as long as it is `server`.
///
/// Dials when the first request comes, and again when the connection is gone or our SVID is another one. No request has a
/// time limit of its own: callers set theirs.
pub fn channel(workload: &Workload, target: impl Into<String>, server: SpiffeId) -> Channel {
    let target = target.into();
    let connector = Connector::with_alpn(workload.clone(), server, Alpn::H2);
    // The scheme says http, because TLS is the connector's business and not tonic's.
    let endpoint = Endpoint::from_shared(format!("http://{target}")).unwrap_or_else(|_| Endpoint::from_static(NOWHERE));
    let endpoint =
        endpoint.http2_keep_alive_interval(KEEP_ALIVE.0).keep_alive_timeout(KEEP_ALIVE.1).keep_alive_while_idle(true);
    let current = dial(workload, &endpoint, &connector, &target);
    let newest = Mutex::new(current.clone());
    Channel { line: Arc::new(Line { workload: workload.clone(), endpoint, connector, target, newest }), current }
}

fn dial(workload: &Workload, endpoint: &Endpoint, connector: &Connector, target: &str) -> Dialled {
    let (connector, target) = (connector.clone(), target.to_owned());
    let grpc = endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let (connector, target) = (connector.clone(), target.clone());
        async move { connector.connect(&target).await.map(TokioIo::new) }
    }));
    Dialled { svid_end: workload.svid_expires_at(), grpc }
}

impl Line {
    /// Returns the connection of the newest SVID. One clone makes it; the others find it.
    fn newest(&self) -> Dialled {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.svid_end != self.workload.svid_expires_at() {
            *newest = dial(&self.workload, &self.endpoint, &self.connector, &self.target);
        }
        newest.clone()
    }
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = transport::Error;
    type Future = transport::channel::ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.current.svid_end != self.line.workload.svid_expires_at() {
            self.current = self.line.newest();
        }
        self.current.grpc.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.current.grpc.call(request)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?})", self.line.connector)
    }
}

/// Says why a request failed, when it was the connection: tonic's own words are only "transport error".
///
/// Returns what [`ConnectError`], [`RefusedByServer`] or the stream says, with its causes; `None` when the server itself
/// answered.
pub fn cause_of(status: &Status) -> Option<String> {
    let mut found = None;
    let mut next = status.source();
    while let Some(error) = next {
        if error.is::<ConnectError>() || error.is::<RefusedByServer>() {
            return Some(sentence(error));
        }
        // An `io::Error` passes over the error inside it when it is asked for its source. h2 keeps that one's text only,
        // so the text has to do when nothing better follows.
        let io = error.downcast_ref::<io::Error>();
        if io.is_some() {
            found = Some(sentence(error));
        }
        next = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    found
}

fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
