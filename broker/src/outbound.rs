//! The broker's way out: one request to one address of the configuration, and one answer.
//!
//! Apart because everything else that the broker speaks is mutual TLS between SVIDs, and this is not: events go to, and
//! issuers' keys come from, servers that the web's authorities vouch for, or those of a file.
//!
//! # Invariants
//!
//! - An address comes from the configuration. No request, token or answer names one; an answer that points elsewhere is an
//!   answer like any other, and nobody goes there. No proxy is used.
//! - TLS 1.3 with the server's name checked, and nothing resumed. Without TLS only this machine is spoken to.
//! - One connection for each request. Connecting, asking and reading have one time limit together; headers and body have
//!   limits of length.
//!
//! It tries nothing again.

mod destination;
mod roots;

pub use destination::{Destination, InvalidDestination};
pub use roots::{Authorities, UnusableAuthorities};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::{error::Error, io, pin::pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// The most bytes of a status line with its headers.
const HEAD_LEN_MAX: usize = 16 * 1024;

/// How the broker names itself.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("crumb-broker/", env!("CARGO_PKG_VERSION")));

/// No answer came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// The name is unknown, or nobody listens.
    #[error("there is no connection")]
    Connect(#[source] io::Error),
    /// A name of this machine leads to another one.
    #[error("the address without TLS is not on this machine")]
    Elsewhere,
    /// No TLS, or a server that the authorities do not vouch for.
    #[error("there is no TLS connection")]
    Tls(#[source] io::Error),
    /// Not HTTP, or it ended in the middle.
    #[error("the answer is not whole")]
    Http(#[from] hyper::Error),
    /// It took too long.
    #[error("there was no answer in {} ms", .0.as_millis())]
    TooLate(Duration),
}

/// How much an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the beginning to the last byte.
    pub timeout: Duration,
    /// The body, in bytes.
    pub body_len_max: usize,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; `None` when it is longer than it may be.
    pub body: Option<Bytes>,
}

/// The way to one address.
#[derive(Debug, Clone)]
pub struct Outbound {
    to: Destination,
    /// The name that the server has to prove, and how; `None` on this machine without TLS.
    tls: Option<(Tls, ServerName<'static>)>,
}

#[derive(Clone)]
struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Outbound {
    /// Makes the way; `authorities` are asked for only when the address is one with TLS.
    ///
    /// # Errors
    ///
    /// [`UnusableAuthorities`].
    pub fn new(to: Destination, authorities: &Authorities) -> Result<Self, UnusableAuthorities> {
        let tls = match to.server_name() {
            Some(name) => Some((Tls(authorities.connector()?), name.clone())),
            None => None,
        };
        Ok(Self { to, tls })
    }

    /// Sends a request, whose address is filled in here, and reads the answer.
    ///
    /// # Errors
    ///
    /// [`Unanswered`]. Whether the other end has got the request is not known then.
    pub async fn send(&self, mut request: Request<Full<Bytes>>, limits: Limits) -> Result<Answer, Unanswered> {
        *request.uri_mut() = self.to.target().clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.to.host_header().clone());
        headers.insert(header::USER_AGENT, USER_AGENT);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let answer = tokio::time::timeout(limits.timeout, self.connect_and_send(request, limits.body_len_max)).await;
        answer.map_err(|_| Unanswered::TooLate(limits.timeout))?
    }

    async fn connect_and_send(&self, request: Request<Full<Bytes>>, len_max: usize) -> Result<Answer, Unanswered> {
        let stream = TcpStream::connect(self.to.socket()).await.map_err(Unanswered::Connect)?;
        let Some((Tls(connector), name)) = &self.tls else {
            let peer = stream.peer_addr().map_err(Unanswered::Connect)?;
            return if peer.ip().is_loopback() {
                speak(stream, request, len_max).await
            } else {
                Err(Unanswered::Elsewhere)
            };
        };
        let stream = connector.connect(name.clone(), stream).await.map_err(Unanswered::Tls)?;
        speak(stream, request, len_max).await
    }
}

/// Speaks HTTP/1.1 for one request.
async fn speak<S>(stream: S, request: Request<Full<Bytes>>, len_max: usize) -> Result<Answer, Unanswered>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = http1::Builder::new().max_buf_size(HEAD_LEN_MAX).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake?;
    let asking = pin!(async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Answer { status: head.status, body: read(body, len_max).await? })
    });
    // The connection moves the bytes; it may end before the last of them is taken up.
    let moving = pin!(async move {
        let _ = connection.await;
        std::future::pending().await
    });
    futures::future::select(asking, moving).await.factor_first().0
}

async fn read(body: Incoming, len_max: usize) -> Result<Option<Bytes>, hyper::Error> {
    match Limited::new(body, len_max).collect().await {
        Ok(whole) => Ok(Some(whole.to_bytes())),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(*error),
            Err(_too_long) => Ok(None),
        },
    }
}

/// Returns what is asked of a server: path and query of an address.
fn origin_form(uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    target.parse().ok()
}

/// Returns an error with everything that led to it, for a line of the log.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
