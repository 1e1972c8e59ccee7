//! An HTTP client that sends exactly what a test wants: any header twice, any path, any frame.

use crate::{
    certificates::Chain,
    handshake::{self, PATIENCE},
};
use bytes::Bytes;
use crumb_identity::{ClientStream, Connector, Workload};
use crumb_proto::from_status;
use crumb_token::{Denial, Reason, SpiffeId, TokenText};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
    time,
};
use tonic::Status;

/// One connection to a tool server, open as long as this lives.
#[derive(Debug)]
pub struct Caller {
    sender: Sender,
    authority: String,
}

#[derive(Debug)]
enum Sender {
    Http1(Mutex<http1::SendRequest<Full<Bytes>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers, then trailers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What a test sends.
#[derive(Debug)]
pub struct Letter(http::request::Builder);

impl Letter {
    /// A request.
    pub fn new(method: &str, path: &str) -> Self {
        Self(Request::builder().method(method).uri(path))
    }

    /// A call of a tool with JSON.
    pub fn tool(name: &str) -> Self {
        Self::new("POST", &format!("/tools/{name}")).header("content-type", "application/json")
    }

    /// A gRPC call.
    pub fn grpc(method: &str) -> Self {
        let letter = Self::new("POST", &format!("/crumb.sample.v1.Files/{method}"));
        letter.header("content-type", "application/grpc").header("te", "trailers")
    }

    /// Adds a header, also when there is one of this name.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Adds a token.
    #[must_use]
    pub fn token(self, token: &TokenText) -> Self {
        self.header("authorization", &format!("Bearer {}", token.expose()))
    }
}

/// Puts a message into a gRPC frame.
pub fn frame(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let len = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[0], &len[..], &message].concat()
}

impl Caller {
    /// Connects as `workload`, over HTTP/2, to the tool server of the stage.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub async fn connect(workload: &Workload, addr: SocketAddr) -> Self {
        let server: SpiffeId = super::AUDIENCE.parse().expect("a literal ID");
        let stream: ClientStream =
            Connector::new(workload.clone(), server).connect(&addr.to_string()).await.expect("the server is there");
        assert!(stream.alpn_is_h2(), "both ends prefer HTTP/2");
        Self::over_h2(stream, addr).await
    }

    async fn over_h2<S>(stream: S, addr: SocketAddr) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.expect("HTTP/2");
        tokio::spawn(connection);
        Self { sender: Sender::Http2(sender), authority: addr.to_string() }
    }

    /// Connects over HTTP/1.1, showing `svid`.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub async fn connect_http1(svid: &Chain, addr: SocketAddr) -> Self {
        let config = handshake::client(Some(svid), &[b"http/1.1"], &[&rustls::version::TLS13]);
        let (_, stream) = handshake::dial(&Arc::new(config), addr).await;
        let handshake = http1::handshake(TokioIo::new(stream.expect("TLS"))).await;
        let (sender, connection) = handshake.expect("HTTP/1.1");
        tokio::spawn(connection);
        Self { sender: Sender::Http1(Mutex::new(sender)), authority: addr.to_string() }
    }

    /// Sends, and waits for the answer.
    ///
    /// # Errors
    ///
    /// When the connection ended.
    ///
    /// # Panics
    ///
    /// When the letter is no request, or nothing happens in time.
    pub async fn try_send(&self, letter: Letter, body: impl Into<Bytes>) -> Result<Answer, hyper::Error> {
        let mut request = letter.0.body(Full::new(body.into())).expect("a request");
        let sent = async {
            let answer = match &self.sender {
                Sender::Http2(sender) => {
                    let uri = format!("https://{}{}", self.authority, request.uri());
                    *request.uri_mut() = uri.parse().expect("a URI");
                    *request.version_mut() = Version::HTTP_2;
                    sender.clone().send_request(request).await?
                }
                Sender::Http1(sender) => {
                    request.headers_mut().insert("host", self.authority.parse().expect("a host"));
                    sender.lock().await.send_request(request).await?
                }
            };
            read(answer).await
        };
        time::timeout(PATIENCE, sent).await.expect("an answer in time")
    }

    /// Sends, and expects an answer.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn send(&self, letter: Letter, body: impl Into<Bytes>) -> Answer {
        self.try_send(letter, body).await.expect("an answer")
    }
}

async fn read(answer: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await?;
    let mut headers = head.headers;
    headers.extend(body.trailers().cloned().unwrap_or_default());
    Ok(Answer { status: head.status.as_u16(), headers, body: body.to_bytes() })
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// Reads a message from a gRPC answer.
    ///
    /// # Panics
    ///
    /// When the call failed, or the answer is none.
    pub fn message<M: prost::Message + Default>(&self) -> M {
        assert_eq!(self.headers.get("grpc-status").map(http::HeaderValue::as_bytes), Some(&b"0"[..]), "{self:?}");
        M::decode(&self.body[5..]).expect("a message")
    }

    /// Returns why a call over HTTP was refused.
    ///
    /// # Panics
    ///
    /// When it was not, or when status and reason do not agree.
    pub fn refusal(&self) -> Reason {
        let code = self.json()["error"]["reason"].as_str().map(str::to_owned);
        let reason: Reason = code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no refusal: {self:?}"));
        assert_eq!(self.status, crumb_proto::status::http_code(reason.class()), "{reason}");
        reason
    }

    /// Returns why a call over gRPC was refused.
    ///
    /// # Panics
    ///
    /// When it was not.
    pub fn grpc_refusal(&self) -> Denial {
        let status = Status::from_header_map(&self.headers).unwrap_or_else(|| panic!("no status: {self:?}"));
        from_status(&status).unwrap_or_else(|| panic!("no refusal: {status:?}"))
    }
}
