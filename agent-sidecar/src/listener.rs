//! The Unix socket: accepts, asks the kernel who connected, and hands the connection on.
//!
//! Apart because nothing that arrives here is trusted yet, and nothing that happens here may end the loop: a process
//! that connects and vanishes, a full table of descriptors, a user who floods.

mod connection;
mod slots;
mod socket_file;

use crate::{
    caller::{AllowedUids, Caller},
    sparse::Sparse,
};
use std::{io, os::fd::AsFd, sync::Arc, time::Duration};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use connection::Connection;
use slots::{Slot, Slots};
pub(crate) use socket_file::SocketFile;
pub use socket_file::UnusableSocket;

/// Attested connections that wait for the server. It takes them at once; this only smooths a burst.
const READY_MAX: usize = 32;
/// How long to wait after a failed accept. The kernel's table of descriptors is full, or ours is: others must close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    allowed: AllowedUids,
}

impl Listener {
    /// Takes a listening socket, which serves the users in `allowed`.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch the socket.
    pub(crate) fn new(socket: std::os::unix::net::UnixListener, allowed: AllowedUids) -> io::Result<Self> {
        Ok(Self { socket: UnixListener::from_std(socket)?, allowed })
    }

    /// Accepts until `shutdown`. Never ends for an error: there is always a next connection.
    pub(crate) fn incoming(self, shutdown: CancellationToken) -> ReceiverStream<io::Result<Connection>> {
        let (ready, connections) = mpsc::channel(READY_MAX);
        tokio::spawn(self.accept_until(shutdown, ready));
        ReceiverStream::new(connections)
    }

    async fn accept_until(self, shutdown: CancellationToken, ready: mpsc::Sender<io::Result<Connection>>) {
        let (slots, surplus, admissions) = (Slots::default(), Sparse::default(), TaskTracker::new());
        while let Some(accepted) = shutdown.run_until_cancelled(self.socket.accept()).await {
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept; waiting for descriptors to come free");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // The peer may be gone already; then there is nobody to answer.
            let Ok(uid) = stream.peer_cred().map(|peer| peer.uid()) else { continue };
            let Some(slot) = slots.take(uid, self.allowed.has(uid)) else {
                if let Some(count) = surplus.count() {
                    tracing::warn!(uid, count, "a connection is closed: its user, or all together, have too many");
                }
                continue;
            };
            let admit = admit(stream, uid, slot, self.allowed.clone(), ready.clone());
            admissions.spawn(shutdown.clone().run_until_cancelled_owned(admit));
        }
    }
}

async fn admit(
    stream: UnixStream,
    uid: u32,
    slot: Slot,
    allowed: AllowedUids,
    ready: mpsc::Sender<io::Result<Connection>>,
) {
    let slot = Arc::new(slot);
    let socket = match stream.as_fd().try_clone_to_owned() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, uid, "a connection is closed: it cannot be attested");
            return;
        }
    };
    let caller = Caller::admit(socket, uid, &allowed, Arc::clone(&slot)).await;
    // Fails only when the server has stopped.
    let _ = ready.send(Ok(Connection::new(stream, caller, slot))).await;
}
