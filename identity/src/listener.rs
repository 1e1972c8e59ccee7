//! The mTLS acceptor that every network listener of the house uses.
//!
//! # Invariants
//!
//! - The accept loop ends on shutdown and on nothing else. Running out of descriptors slows it down.
//! - Handshakes are bounded in number and time, and a flood of slow ones cannot keep others out: the oldest makes room.
//! - Connections are bounded in total and per SPIFFE ID.
//! - A stream that comes out has a valid, admitted peer and an agreed protocol.

mod accept;
mod refusal;
mod slots;
mod stream;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crumb_token::Clock;
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    peer::Peers,
    tls::{self, Alpn},
    workload::{DEV_TRUST_DOMAIN, Workload},
};

use accept::{Acceptor, Gate};
use slots::PeerSlots;

pub use refusal::{Refusal, RefusedHandshake};
pub use stream::MtlsStream;

/// How much a listener takes on. The defaults suit a broker; tests bring smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most unfinished handshakes. One takes about a millisecond of CPU and tens of KiB.
    pub handshakes: usize,
    /// How long a handshake may take: several round trips to the far side of the world.
    pub handshake_time: Duration,
    /// The most connections that are open.
    pub connections: usize,
    /// The most connections of one SPIFFE ID: a sidecar needs a few.
    pub connections_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshakes: 256, handshake_time: Duration::from_secs(5), connections: 8192, connections_per_peer: 256 }
    }
}

/// How many accepted streams wait for the server; then handshakes wait, within their own time.
const READY_MAX: usize = 64;

/// How many refusals an observer may be behind before it misses some.
const REFUSALS_MAX: usize = 1024;

/// A bound socket that speaks mutual TLS with SVIDs.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    local_addr: SocketAddr,
    gate: Gate,
    limits: Limits,
    refusals: broadcast::Sender<Refusal>,
}

impl Listener {
    /// Binds `addr` for peers of `peers`.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound; and for a development identity, when it is not on loopback: anybody on this host
    /// can get one, so it must mean nothing to anybody else.
    pub async fn bind(
        addr: SocketAddr,
        workload: Workload,
        peers: Peers,
        clock: Arc<dyn Clock>,
        alpn: Alpn,
    ) -> io::Result<Self> {
        if workload.trust_domain().as_str() == DEV_TRUST_DOMAIN && !addr.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "a development identity listens on loopback only",
            ));
        }
        let socket = TcpListener::bind(addr).await?;
        let local_addr = socket.local_addr()?;
        let config = tls::server_config(&workload, &peers, &clock, alpn);
        let gate = Gate { tls: TlsAcceptor::from(Arc::new(config)), workload, peers, clock };
        Ok(Self { socket, local_addr, gate, limits: Limits::default(), refusals: broadcast::Sender::new(REFUSALS_MAX) })
    }

    /// Sets other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Returns the bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Watches what is refused, for metrics. An observer that is slow misses some; the log has them all.
    pub fn refusals(&self) -> broadcast::Receiver<Refusal> {
        self.refusals.subscribe()
    }

    /// Begins to accept, until `shutdown` or until the stream is dropped. Every item is `Ok`.
    pub fn incoming(self, shutdown: CancellationToken) -> Incoming {
        let (ready, streams) = mpsc::channel(READY_MAX);
        let acceptor = Acceptor {
            gate: Arc::new(self.gate),
            limits: self.limits,
            peers: PeerSlots::new(self.limits.connections_per_peer),
            refusals: self.refusals,
            ready,
        };
        let task = tokio::spawn(acceptor.run(self.socket, shutdown));
        Incoming { streams, _task: AbortOnDropHandle::new(task) }
    }
}

/// The streams that a [`Listener`] accepts; give it to `serve_with_incoming`. Dropping it closes the socket.
#[derive(Debug)]
pub struct Incoming {
    streams: mpsc::Receiver<MtlsStream>,
    _task: AbortOnDropHandle<()>,
}

impl Stream for Incoming {
    type Item = io::Result<MtlsStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.streams.poll_recv(cx).map(|stream| stream.map(Ok))
    }
}
