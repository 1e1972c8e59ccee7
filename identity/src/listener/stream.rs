//! An accepted stream, with its peer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::slots::PeerSlot;
use crate::{peer::PeerSvid, stream::Mortal, tls};

/// An mTLS stream from a peer that was admitted.
#[derive(Debug)]
pub struct MtlsStream {
    pub(super) io: Mortal<TlsStream<TcpStream>>,
    pub(super) peer: PeerSvid,
    pub(super) protocol: Vec<u8>,
    /// What the connection takes of the listener's limits, until it is dropped.
    pub(super) _taken: (OwnedSemaphorePermit, PeerSlot),
}

impl MtlsStream {
    /// Returns who is at the other end.
    pub fn peer(&self) -> &PeerSvid {
        &self.peer
    }

    /// Says whether HTTP/2 was agreed; otherwise it is HTTP/1.1.
    pub fn alpn_is_h2(&self) -> bool {
        self.protocol == tls::H2
    }
}

impl Connected for MtlsStream {
    type ConnectInfo = PeerSvid;

    fn connect_info(&self) -> PeerSvid {
        self.peer.clone()
    }
}

impl AsyncRead for MtlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for MtlsStream {
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
