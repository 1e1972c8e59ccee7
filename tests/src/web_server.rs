//! A server of the web that answers as a test wants it to, with TLS or without, and remembers what it was asked.

use crate::certificates::{
    Authority, Chain,
    issue::{authority_params, leaf_params},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::PrivateKeyDer;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How.
    pub method: Method,
    /// For what.
    pub path: String,
    /// With which headers.
    pub headers: HeaderMap,
    /// And which body.
    pub body: Bytes,
}

impl Asked {
    /// Returns a header as text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status and a body.
    Says(StatusCode, Bytes),
    /// A redirect.
    Redirects(String),
    /// Nothing: the connection ends.
    HangsUp,
}

impl Reply {
    /// Answers with a status and nothing else.
    ///
    /// # Panics
    ///
    /// When it is no status.
    pub fn status(status: u16) -> Self {
        Self::Says(StatusCode::from_u16(status).expect("a status"), Bytes::new())
    }

    /// Answers with a body.
    pub fn body(body: impl Into<Bytes>) -> Self {
        Self::Says(StatusCode::OK, body.into())
    }
}

/// Vouches for servers of the web.
#[derive(Debug)]
pub struct WebAuthority(Authority);

impl WebAuthority {
    /// Makes one.
    pub fn new(name: &str) -> Self {
        Self(Authority::root(authority_params(name, None)))
    }

    /// Writes its certificate into a file.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write_pem(&self, path: &Path) {
        let text =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&self.0.der));
        std::fs::write(path, text).expect("a file of our own");
    }

    /// Makes a certificate for a server on this machine.
    fn server(&self) -> Chain {
        let mut params = leaf_params("spiffe://web.test/server");
        params.subject_alt_names = vec![
            rcgen::SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            rcgen::SanType::DnsName("localhost".try_into().expect("ASCII")),
        ];
        self.0.leaf(&params)
    }
}

/// The server. It ends when dropped.
#[derive(Debug)]
pub struct WebServer {
    /// Where it listens.
    pub addr: SocketAddr,
    reply: Arc<Mutex<Reply>>,
    asked: Arc<watch::Sender<Vec<Asked>>>,
    _end: DropGuard,
}

impl WebServer {
    /// Starts one without TLS.
    pub async fn plain(reply: Reply) -> Self {
        Self::start(None, reply).await
    }

    /// Starts one with TLS, which `authority` vouches for.
    ///
    /// # Panics
    ///
    /// When the certificate cannot be used.
    pub async fn tls(authority: &WebAuthority, reply: Reply) -> Self {
        let chain = authority.server();
        let key = PrivateKeyDer::Pkcs8(chain.key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain.certificates, key);
        Self::start(Some(TlsAcceptor::from(Arc::new(config.expect("a good certificate")))), reply).await
    }

    async fn start(tls: Option<TlsAcceptor>, reply: Reply) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (reply, asked) = (Arc::new(Mutex::new(reply)), Arc::new(watch::Sender::new(Vec::new())));
        let end = CancellationToken::new();
        let serving = Serving { tls, reply: Arc::clone(&reply), asked: Arc::clone(&asked) };
        tokio::spawn(accept(listener, serving, end.clone()));
        Self { addr, reply, asked, _end: end.drop_guard() }
    }

    /// Answers otherwise from now on.
    ///
    /// # Panics
    ///
    /// When a task of it has panicked.
    pub fn reply(&self, reply: Reply) {
        *self.reply.lock().expect("nobody panicked") = reply;
    }

    /// Returns everything that it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// Waits until what it was asked is as `enough` wants it, and returns that.
    ///
    /// # Panics
    ///
    /// When it does not come to that.
    pub async fn until(&self, what: &str, enough: impl Fn(&[Asked]) -> bool) -> Vec<Asked> {
        let mut asked = self.asked.subscribe();
        let waited = timeout(crate::broker::PATIENCE, asked.wait_for(|asked| enough(asked))).await;
        match waited {
            Ok(Ok(asked)) => asked.clone(),
            _ => panic!("{what}: it was asked {:#?}", self.asked()),
        }
    }
}

#[derive(Clone)]
struct Serving {
    tls: Option<TlsAcceptor>,
    reply: Arc<Mutex<Reply>>,
    asked: Arc<watch::Sender<Vec<Asked>>>,
}

async fn accept(listener: TcpListener, serving: Serving, end: CancellationToken) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                open.spawn(serving.clone().serve(stream));
            }
        }
    }
}

impl Serving {
    async fn serve(self, stream: TcpStream) {
        match self.tls.clone() {
            None => self.speak(stream).await,
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    self.speak(stream).await;
                }
            }
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) {
        let service = service_fn(|request| self.answer(request));
        // Whoever hangs up, hangs up.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let reply = self.reply.lock().expect("nobody panicked").clone();
        let asked = Asked { method: head.method, path: head.uri.to_string(), headers: head.headers, body };
        self.asked.send_modify(|all| all.push(asked));
        let mut response = Response::new(Full::default());
        match reply {
            Reply::HangsUp => return Err("it hangs up".into()),
            Reply::Says(status, body) => {
                *response.status_mut() = status;
                *response.body_mut() = Full::new(body);
            }
            Reply::Redirects(to) => {
                *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
                response.headers_mut().insert(header::LOCATION, to.parse()?);
            }
        }
        Ok(response)
    }
}
