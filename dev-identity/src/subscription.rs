//! One open stream to one caller: waits until something is due, looks at the process again, sends.
//!
//! It is polled by the connection, so it needs no task: a caller that goes away drops it, and one that does not read
//! holds it still. What is due is decided in [`crate::material`].

use std::{sync::Arc, time::Duration};

use crumb_attestors::unix_process::Process;
use crumb_token::Clock;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    authorities::Snapshot,
    caller::ATTEST_TIMEOUT,
    entries::Entry,
    material::{Due, Material, View},
    quota::Slot,
};

/// How often the wall clock is read while nothing changes. Timers stand still while a laptop sleeps and do not follow a
/// clock that is set; a second is half of the shortest half life allowed, and costs nothing.
const CLOCK_POLL: Duration = Duration::from_secs(1);

/// A stream to a caller.
pub(crate) struct Subscription<M> {
    pub(crate) process: Arc<Process>,
    pub(crate) material: M,
    pub(crate) entries: watch::Receiver<Arc<[Entry]>>,
    pub(crate) authorities: watch::Receiver<Arc<Snapshot>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: CancellationToken,
    pub(crate) _slot: Slot,
}

/// The refusal that clients wait out with a back-off. They know it by this text.
pub(crate) fn no_identity() -> Status {
    Status::permission_denied("no identity issued")
}

impl<M: Material> Subscription<M> {
    /// Turns it into the stream; the first error is the last item.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<M::Message, Status>> {
        stream::unfold(Some(self), |open| async {
            let mut open = open?;
            match open.next().await {
                Ok(message) => Some((Ok(message), Some(open))),
                Err(status) => Some((Err(status), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<M::Message, Status> {
        let mut looked_at = false;
        loop {
            match self.with_view(|material, view| material.due(view)) {
                Due::NotEntitled => return Err(self.refused("no entry matches")),
                Due::Nothing => {
                    self.wait().await?;
                    looked_at = false;
                }
                // Entries may change while the process is looked at: what is due is asked again afterwards.
                Due::Message if !looked_at => {
                    self.look_again().await?;
                    looked_at = true;
                }
                Due::Message => {
                    return self.with_view(|material, view| material.next(view)).map_err(|error| {
                        tracing::error!(%error, "cannot issue");
                        Status::unavailable("the development authority cannot issue")
                    });
                }
            }
        }
    }

    fn with_view<T>(&mut self, with: impl FnOnce(&mut M, &View<'_>) -> T) -> T {
        let entries = self.entries.borrow_and_update().clone();
        let authorities = self.authorities.borrow_and_update().clone();
        let view = View {
            facts: self.process.facts(),
            entries: &entries,
            authorities: &authorities,
            now: self.clock.now().wall,
        };
        with(&mut self.material, &view)
    }

    async fn look_again(&self) -> Result<(), Status> {
        let process = self.process.clone();
        match timeout(ATTEST_TIMEOUT, spawn_blocking(move || process.recheck())).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(reason))) => Err(self.refused(&reason.to_string())),
            Ok(Err(_)) => Err(Status::unavailable("shutting down")),
            Err(_) => Err(self.refused("looking at it took too long")),
        }
    }

    async fn wait(&mut self) -> Result<(), Status> {
        let going = Status::unavailable("shutting down");
        tokio::select! {
            changed = self.entries.changed() => changed.map_err(|_| going),
            changed = self.authorities.changed() => changed.map_err(|_| going),
            () = sleep(CLOCK_POLL) => Ok(()),
            () = self.stop.cancelled() => Err(going),
        }
    }

    fn refused(&self, reason: &str) -> Status {
        let facts = self.process.facts();
        tracing::info!(pid = facts.pid, uid = facts.uid, exe = %facts.exe.display(), reason, "no identity issued");
        no_identity()
    }
}
