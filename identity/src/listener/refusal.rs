//! What a listener turned away, and why.

use std::{io, net::SocketAddr, sync::Arc};

use crumb_token::SpiffeId;

use crate::{peer::RefusedPeer, tls};

/// A connection that was turned away before it carried anything.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// Where it came from.
    pub addr: SocketAddr,
    /// Why.
    pub why: RefusedHandshake,
}

/// Why a connection did not come about.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedHandshake {
    /// The peer's SVID was refused.
    #[error("the peer's SVID was refused")]
    Peer(#[source] RefusedPeer),
    /// The handshake failed: no certificate, an old version of TLS, no common protocol, the peer refused us, ...
    #[error("the TLS handshake failed")]
    Tls(#[source] Arc<io::Error>),
    /// The peer named no application protocol.
    #[error("no application protocol was agreed")]
    NoAlpn,
    /// The handshake took too long.
    #[error("the handshake took too long")]
    TooSlow,
    /// Given up unfinished: the oldest of too many, or the listener closed.
    #[error("the handshake was given up for newer ones, or the listener closed")]
    CutOff,
    /// All connections are taken.
    #[error("too many connections")]
    TooManyConnections,
    /// This peer's connections are all taken.
    #[error("too many connections of {0}")]
    TooManyOfPeer(SpiffeId),
    /// Our own SVID is withdrawn or expired.
    #[error("this end has no SVID")]
    NoIdentity,
}

impl RefusedHandshake {
    /// Returns a stable code for logs and metrics; the rule's own code when it was the SVID.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Peer(refused) => refused.code(),
            Self::Tls(_) => "tls_failed",
            Self::NoAlpn => "no_alpn",
            Self::TooSlow => "handshake_too_slow",
            Self::CutOff => "handshake_cut_off",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyOfPeer(_) => "too_many_connections_of_peer",
            Self::NoIdentity => "no_identity",
        }
    }

    pub(super) fn of_tls(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner.and_then(tls::refused_peer) {
            Some(refused) => Self::Peer(refused.clone()),
            None => Self::Tls(Arc::new(error)),
        }
    }
}
