//! A connection and the process that made it.
//!
//! The process is pinned when the connection is accepted, before a byte is read from it, and every request on the
//! connection carries it. A connection whose process cannot be told is kept, so that its requests get a proper refusal.

use std::{
    fmt,
    future::Future,
    io::{self, IoSlice},
    os::fd::AsFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crumb_attestors::unix_process::Process;
use futures::{Stream, StreamExt, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::{
    authority::Inbound,
    quota::{Quota, Slot},
};

/// Time to look at a process. A cold 256 MiB executable takes a second; an executable on a file system that its owner
/// makes hang takes for ever.
pub(crate) const ATTEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that are looked at side by side; more wait in the kernel's queue.
const ATTESTING_MAX: usize = 16;
/// After a failed accept, so that a lack of descriptors is waited out and not spun on.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who made a connection. In the extensions of each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Effective uid at `connect()`.
    pub(crate) uid: u32,
    /// None when the kernel could not tell.
    pub(crate) process: Option<Arc<Process>>,
}

/// A connection with its caller. It ends when its `closed` token is cancelled.
pub(crate) struct CallerStream {
    io: UnixStream,
    inbound: Inbound,
    caller: Caller,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    _slot: Slot,
}

impl fmt::Debug for CallerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerStream").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// Accepts connections for ever. `quota` bounds them; one too many is closed without a word.
pub(crate) fn incoming(
    listener: UnixListener,
    quota: Quota,
    closed: CancellationToken,
) -> impl Stream<Item = io::Result<CallerStream>> + Send {
    stream::unfold((listener, quota), |(listener, quota)| async {
        let accepted = accept(&listener, &quota).await;
        Some((accepted, (listener, quota)))
    })
    .map(move |accepted| attested(accepted, closed.clone()))
    .buffer_unordered(ATTESTING_MAX)
    .map(Ok)
}

async fn accept(listener: &UnixListener, quota: &Quota) -> (UnixStream, u32, Slot) {
    loop {
        match listener.accept().await.and_then(|(io, _)| Ok((io.peer_cred()?.uid(), io))) {
            Ok((uid, io)) => match quota.take(uid) {
                Some(slot) => return (io, uid, slot),
                None => tracing::warn!(uid, "refused a connection: too many are open"),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn attested((io, uid, slot): (UnixStream, u32, Slot), closed: CancellationToken) -> CallerStream {
    let process = match attest(&io).await {
        Ok(process) => Some(Arc::new(process)),
        Err(reason) => {
            tracing::warn!(uid, reason, "the caller is not known");
            None
        }
    };
    CallerStream {
        io,
        inbound: Inbound::new(),
        caller: Caller { uid, process },
        closed: Box::pin(closed.cancelled_owned()),
        _slot: slot,
    }
}

async fn attest(io: &UnixStream) -> Result<Process, String> {
    // A copy of the descriptor: the blocking thread may outlive the timeout.
    let socket = io.as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
    match timeout(ATTEST_TIMEOUT, spawn_blocking(move || Process::attest(socket))).await {
        Ok(Ok(answer)) => answer.map_err(|e| e.to_string()),
        Ok(Err(_)) => Err("the attestor was stopped".to_owned()),
        Err(_) => Err("looking at it took too long".to_owned()),
    }
}

impl Connected for CallerStream {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for CallerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.closed.as_mut().poll(cx).is_ready() {
            // An end of file: the HTTP/2 connection closes as if the caller had.
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.inbound.pass(&mut buf.filled_mut()[before..]);
        read
    }
}

impl AsyncWrite for CallerStream {
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
