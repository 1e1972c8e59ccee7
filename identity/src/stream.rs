//! A TLS stream that ends with the SVIDs that made it.
//!
//! Handlers refuse requests of a peer whose SVID has expired; but a connection on which every request is refused is of
//! no use, and its client would not know to dial again. So the stream ends just before. `tokio` measures the span:
//! wall-clock steps neither cut it short nor stretch it.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crumb_token::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// How long before its end a stream is let go. The clock shows whole seconds, so `now` may be that much behind.
const EARLY: Duration = Duration::from_secs(1);

/// `tokio` timers reach about two years; a longer SVID is cut there.
const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A stream with an end that is set when it begins.
#[derive(Debug)]
pub(crate) struct Mortal<S> {
    io: S,
    end: Pin<Box<Sleep>>,
    ended: bool,
}

impl<S> Mortal<S> {
    /// Makes a stream that ends before `end`, by at most a second.
    pub(crate) fn new(io: S, now: Timestamp, end: Timestamp) -> Self {
        let life = end.since(now).saturating_sub(EARLY).min(LIFE_MAX);
        Self { io, end: Box::pin(tokio::time::sleep(life)), ended: false }
    }

    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        self.ended = self.ended || self.end.as_mut().poll(cx).is_ready();
        self.ended
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "an SVID of this connection has reached its end; dial again")
}

impl<S: AsyncRead + Unpin> AsyncRead for Mortal<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(ended()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mortal<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(ended()));
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(ended()));
        }
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
