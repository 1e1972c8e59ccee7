//! One HTTP connection over an mTLS stream, of the version that was agreed.

use bytes::Bytes;
use crumb_identity::ClientStream;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::time::Duration;
use tokio::{sync::Mutex, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

/// How often a quiet connection is probed, and how long the answer may take, so that a call does not wait on a dead one.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// The longest head of an answer, in bytes.
const HEAD_LEN_MAX: u32 = 32 * 1024;

type Body = Full<Bytes>;

#[derive(Debug)]
pub(super) struct Connection {
    sender: Sender,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(Mutex<http1::SendRequest<Body>>),
    Http2(http2::SendRequest<Body>),
}

/// Why a request has no answer.
pub(super) enum NotSent {
    /// It is still here.
    Unsent(Box<Request<Body>>),
    /// It may have arrived.
    Failed(hyper::Error),
}

impl From<TrySendError<Request<Body>>> for NotSent {
    fn from(mut failed: TrySendError<Request<Body>>) -> Self {
        match failed.take_message() {
            Some(request) => Self::Unsent(Box::new(request)),
            None => Self::Failed(failed.into_error()),
        }
    }
}

impl Connection {
    pub(super) async fn begin(stream: ClientStream) -> Result<Self, hyper::Error> {
        let h2 = stream.alpn_is_h2();
        let io = TokioIo::new(stream);
        let (sender, task) = if h2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(KEEP_ALIVE.0)
                .keep_alive_timeout(KEEP_ALIVE.1)
                .max_header_list_size(HEAD_LEN_MAX)
                .handshake(io)
                .await?;
            (Sender::Http2(sender), driven(connection))
        } else {
            let (sender, connection) = http1::Builder::new().handshake(io).await?;
            (Sender::Http1(Mutex::new(sender)), driven(connection))
        };
        Ok(Self { sender, _task: AbortOnDropHandle::new(task) })
    }

    /// Says whether many calls can use it at once.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    pub(super) fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(_) => false,
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }

    pub(super) async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, NotSent> {
        match &self.sender {
            Sender::Http2(sender) => {
                let mut sender = sender.clone();
                if sender.ready().await.is_err() {
                    return Err(NotSent::Unsent(Box::new(request)));
                }
                Ok(sender.try_send_request(request).await?)
            }
            Sender::Http1(sender) => {
                to_origin_form(&mut request);
                Ok(sender.lock().await.try_send_request(request).await?)
            }
        }
    }
}

/// Drives a connection. What ends it is told to the request that waits, so nothing is lost with it here.
fn driven<C>(connection: C) -> JoinHandle<()>
where
    C: Future<Output = hyper::Result<()>> + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(why) = connection.await {
            tracing::debug!(error = &why as &dyn std::error::Error, "a connection to a tool server ended");
        }
    })
}

/// RFC 9112 §3.2.1: "a client MUST send only the absolute path and query components of the target URI as the
/// request-target" and "MUST send a Host header field".
fn to_origin_form(request: &mut Request<Body>) {
    let host = request.uri().authority().map(|authority| authority.as_str().to_owned());
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(&host).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let path: Option<Uri> = request.uri().path_and_query().map(|path| path.clone().into());
    if let Some(path) = path {
        *request.uri_mut() = path;
    }
}
