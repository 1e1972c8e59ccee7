//! One accepted connection as tonic sees it: bytes, and the caller in every request's extensions.

use super::slots::Slot;
use crate::caller::Caller;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    time::{Sleep, sleep},
};
use tonic::transport::server::Connected;

/// How long a connection may take to introduce itself before it is closed. Afterwards HTTP/2 pings find the dead ones.
const PREFACE_MAX: Duration = Duration::from_secs(5);
/// The bytes that introduce an HTTP/2 client: [RFC 9113 §3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4).
const PREFACE_LEN: usize = 24;

/// A connection of an attested, or refused, caller.
#[derive(Debug)]
pub(crate) struct Connection {
    io: UnixStream,
    caller: Caller,
    heard: usize,
    /// Runs until the preface has come.
    silence: Option<Pin<Box<Sleep>>>,
    _slot: Arc<Slot>,
}

impl Connection {
    pub(super) fn new(io: UnixStream, caller: Caller, slot: Arc<Slot>) -> Self {
        Self { io, caller, heard: 0, silence: Some(Box::pin(sleep(PREFACE_MAX))), _slot: slot }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.heard = self.heard.saturating_add(buf.filled().len() - before);
        if self.heard >= PREFACE_LEN {
            self.silence = None;
        }
        if read.is_pending()
            && let Some(silence) = &mut self.silence
            && silence.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the connection said too little")));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
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
}
