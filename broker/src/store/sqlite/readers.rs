//! The threads that read, each with its own connection and a short queue.

use super::{
    super::{Pending, StoreError, WAIT_MAX},
    writer::JobError,
};
use rusqlite::Connection;
use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// How many reads wait per thread at most; a read takes some microseconds.
const QUEUE_MAX: usize = 1_024;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// The queues to the reading threads. The threads end when it is dropped.
pub(super) struct Readers {
    queues: Vec<mpsc::Sender<Job>>,
    next: AtomicUsize,
}

impl Readers {
    /// Starts one thread per prepared connection.
    pub(super) fn start(connections: Vec<Connection>) -> Self {
        let queues = connections.into_iter().map(start).collect();
        Self { queues, next: AtomicUsize::new(0) }
    }

    /// Runs `read` on one of the threads.
    pub(super) fn submit<T, R>(&self, read: R) -> Pending<'static, T>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, JobError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _ = answer.send(read(connection).map_err(|error| told(&error)));
        });
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        let queued = self.queues[turn].try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable,
        });
        Box::pin(async move {
            queued?;
            let answer = tokio::time::timeout(WAIT_MAX, answered).await;
            answer.map_err(|_| StoreError::Unavailable)?.map_err(|_| StoreError::Unavailable)?
        })
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("threads", &self.queues.len()).finish()
    }
}

fn start(connection: Connection) -> mpsc::Sender<Job> {
    let (queue, mut jobs) = mpsc::channel::<Job>(QUEUE_MAX);
    thread::spawn(move || {
        while let Some(job) = jobs.blocking_recv() {
            job(&connection);
        }
    });
    queue
}

fn told(error: &JobError) -> StoreError {
    match error {
        JobError::Sql(error) => {
            tracing::error!(%error, "a read failed");
            StoreError::Unavailable
        }
        JobError::Corrupt(what) => StoreError::Corrupt(what),
    }
}
