//! A tool server that answers everything and remembers what arrived. Verification is the test's to do.

use bytes::Bytes;
use crumb_identity::{Alpn, Listener, MtlsStream, Peers, SystemClock, Workload};
use crumb_token::{SpiffeId, TokenText};
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio_stream::StreamExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A call as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who called.
    pub peer: SpiffeId,
    /// The path, such as `/tools/read_file`.
    pub path: String,
    /// What was presented.
    pub token: TokenText,
    /// The arguments.
    pub body: Bytes,
}

/// A tool server that remembers. Ends when dropped.
#[derive(Debug)]
pub struct RecordingToolServer {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    address: SocketAddr,
    _stop: DropGuard,
}

impl RecordingToolServer {
    /// Starts it as `workload`.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start(workload: &Workload) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let clock = Arc::new(SystemClock::new());
        let bound = Listener::bind(any, workload.clone(), Peers::TrustDomain, clock, Alpn::H2AndHttp11).await;
        let listener = bound.expect("a port");
        let (address, stop) = (listener.local_addr(), CancellationToken::new());
        let arrivals = Arc::<Mutex<Vec<Arrival>>>::default();
        let (mut streams, seen) = (listener.incoming(stop.clone()), Arc::clone(&arrivals));
        tokio::spawn(async move {
            while let Some(Ok(stream)) = streams.next().await {
                tokio::spawn(serve(stream, Arc::clone(&seen)));
            }
        });
        Self { arrivals, address, _stop: stop.drop_guard() }
    }

    /// Returns `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Returns what has arrived.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().expect("not poisoned").clone()
    }
}

async fn serve(stream: MtlsStream, seen: Arc<Mutex<Vec<Arrival>>>) {
    let peer = stream.peer().id().clone();
    let answer = service_fn(move |request| answer(request, peer.clone(), Arc::clone(&seen)));
    // A connection that breaks off is the client's business.
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(
    request: Request<Incoming>,
    peer: SpiffeId,
    seen: Arc<Mutex<Vec<Arrival>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let bearer = head.headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let token = TokenText::from_presented(bearer.strip_prefix("Bearer ").unwrap_or_default());
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if let Ok(token) = token {
        let arrival = Arrival { peer, path: head.uri.path().to_owned(), token, body };
        seen.lock().expect("not poisoned").push(arrival);
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}"))))
}
