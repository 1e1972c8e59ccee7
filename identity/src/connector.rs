//! Dialling a server that is known by its SPIFFE ID.
//!
//! In TLS 1.3 a client is done before the server has looked at its certificate. So a server that refuses our SVID is
//! heard of only at the first read, as an alert or a closed connection; [`ClientStream`] says then what it means.

use std::{
    fmt,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use crumb_attestors::x509_svid::Usage;
use crumb_token::SpiffeId;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    peer::{PeerSvid, Peers, Presented, RefusedPeer},
    stream::Mortal,
    tls::{self, Alpn},
    workload::Workload,
};

/// How long a dial may take, name look-up, TCP and TLS together: the listener's own limit for a handshake.
const DIAL_MAX: Duration = Duration::from_secs(5);

/// The name in the TLS handshake. It is not sent, and nobody compares it.
const NAME: &str = "crumb.invalid";

/// Why a dial failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// We have no SVID to show.
    #[error("this end has no SVID: it is withdrawn or expired")]
    NoIdentity,
    /// Nobody listens there, or the name is unknown.
    #[error("cannot reach {target}")]
    Unreachable {
        /// What was dialled.
        target: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("{target} did not finish the handshake within {} s", DIAL_MAX.as_secs())]
    TooSlow {
        /// What was dialled.
        target: String,
    },
    /// We refuse the server.
    #[error("{target} is not {server}")]
    WrongServer {
        /// What was dialled.
        target: String,
        /// Who should be there.
        server: SpiffeId,
        /// Why its SVID was refused.
        #[source]
        source: RefusedPeer,
    },
    /// TLS failed for another reason.
    #[error("the TLS handshake with {target} failed")]
    Tls {
        /// What was dialled.
        target: String,
        /// What rustls says.
        #[source]
        source: io::Error,
    },
    /// The server speaks none of our application protocols.
    #[error("{target} agreed to no application protocol")]
    NoAlpn {
        /// What was dialled.
        target: String,
    },
}

/// The server closed the connection before it said anything.
#[derive(Debug, thiserror::Error)]
#[error("{server} refused our SVID {own}, or closed; its log has the reason")]
pub struct RefusedByServer {
    /// Who was dialled.
    pub server: SpiffeId,
    /// Who we are.
    pub own: SpiffeId,
    /// What the connection said.
    #[source]
    pub source: Option<io::Error>,
}

/// Dials one server, each time with the newest SVID.
#[derive(Clone)]
pub struct Connector {
    workload: Workload,
    server: SpiffeId,
    tls: TlsConnector,
}

impl Connector {
    /// Makes a connector to whoever proves to be `server`, for HTTP/2 or HTTP/1.1.
    pub fn new(workload: Workload, server: SpiffeId) -> Self {
        Self::with_alpn(workload, server, Alpn::H2AndHttp11)
    }

    /// Makes a connector that speaks `alpn`.
    pub fn with_alpn(workload: Workload, server: SpiffeId, alpn: Alpn) -> Self {
        let config = tls::client_config(&workload, &server, alpn);
        Self { workload, server, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// Dials `target`, a `host:port`.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]. A server that refuses *us* is not among them: that shows at the first read, as
    /// [`RefusedByServer`] inside the [`io::Error`].
    pub async fn connect(&self, target: &str) -> Result<ClientStream, ConnectError> {
        let dial = self.dial(target);
        time::timeout(DIAL_MAX, dial).await.unwrap_or_else(|_| Err(ConnectError::TooSlow { target: target.into() }))
    }

    async fn dial(&self, target: &str) -> Result<ClientStream, ConnectError> {
        let now = self.workload.clock().now().wall;
        let own_end = self.workload.usable_until(now).ok_or(ConnectError::NoIdentity)?;
        let unreachable = |source| ConnectError::Unreachable { target: target.into(), source };
        let tcp = TcpStream::connect(target).await.map_err(unreachable)?;
        let addr = tcp.peer_addr().map_err(unreachable)?;
        // A socket that refuses the option works all the same, only slower.
        let _ = tcp.set_nodelay(true);
        let name = ServerName::try_from(NAME).expect("a literal DNS name");
        let io = self.tls.connect(name, tcp).await.map_err(|source| self.failed(target, source))?;
        let h2 = match io.get_ref().1.alpn_protocol() {
            Some(protocol) => protocol == tls::H2,
            None => return Err(ConnectError::NoAlpn { target: target.into() }),
        };
        let peer = self.peer(&io, addr).map_err(|source| self.wrong(target, source))?;
        let end = own_end.min(peer.expires_at());
        Ok(ClientStream { io: Mortal::new(io, now, end), h2, peer, own: self.workload.spiffe_id(), heard: false })
    }

    /// Reads the server's SVID; the verifier has just judged it.
    fn peer(&self, io: &TlsStream<TcpStream>, addr: SocketAddr) -> Result<PeerSvid, RefusedPeer> {
        let chain = io.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|one: &CertificateDer<'_>| one.clone().into_owned()).collect();
        let presented = Presented::new(chain, Usage::Server);
        let peers = Peers::Exactly(vec![self.server.clone()]);
        let facts = self.workload.admit(&presented, &peers, self.workload.clock().now().wall)?;
        Ok(PeerSvid::new(presented, facts, addr))
    }

    fn failed(&self, target: &str, source: io::Error) -> ConnectError {
        let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner.and_then(tls::refused_peer).cloned() {
            Some(refused) => self.wrong(target, refused),
            None => ConnectError::Tls { target: target.into(), source },
        }
    }

    fn wrong(&self, target: &str, source: RefusedPeer) -> ConnectError {
        ConnectError::WrongServer { target: target.into(), server: self.server.clone(), source }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({:?} to {})", self.workload, self.server)
    }
}

/// An mTLS stream to the server that was dialled. It ends when either end's SVID does.
#[derive(Debug)]
pub struct ClientStream {
    io: Mortal<TlsStream<TcpStream>>,
    h2: bool,
    peer: PeerSvid,
    own: SpiffeId,
    /// Whether the server ever said anything; from then on it has taken our SVID.
    heard: bool,
}

impl ClientStream {
    /// Returns who is at the other end.
    pub fn peer(&self) -> &PeerSvid {
        &self.peer
    }

    /// Says whether HTTP/2 was agreed; otherwise it is HTTP/1.1.
    pub fn alpn_is_h2(&self) -> bool {
        self.h2
    }

    fn refused(&self, source: Option<io::Error>) -> io::Error {
        let kind = source.as_ref().map_or(io::ErrorKind::UnexpectedEof, io::Error::kind);
        io::Error::new(kind, RefusedByServer { server: self.peer.id().clone(), own: self.own.clone(), source })
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        if self.heard {
            return Poll::Ready(read);
        }
        Poll::Ready(match read {
            Ok(()) if buf.filled().len() > before => {
                self.heard = true;
                Ok(())
            }
            Ok(()) if buf.remaining() == 0 => Ok(()),
            Ok(()) => Err(self.refused(None)),
            Err(source) => Err(self.refused(Some(source))),
        })
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
