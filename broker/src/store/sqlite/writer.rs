//! The one thread that writes, with group commit: what is queued goes into one transaction and one fsync.
//!
//! # Invariants
//!
//! - A job is answered only after the transaction that holds it is durable.
//! - One job that fails does not undo the others. Savepoints cost more than the jobs in them, so a batch first runs without;
//!   when a job fails, all of it is undone and runs again, each job inside a savepoint. So a job may run twice.
//! - After an I/O error nothing is tried again. A failed fsync may have thrown the pages away, and a second one that
//!   succeeds would say nothing about them; so the store counts as failed until a new process reads what is really there.

use super::super::{Pending, StoreError, WAIT_MAX};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::sync::{mpsc, oneshot, watch};

/// The most jobs in one transaction. Past it a commit takes longer than its fsync.
const BATCH_MAX: usize = 256;
/// The most jobs that wait: four full batches, which is some tens of milliseconds of work.
const QUEUE_MAX: usize = 4 * BATCH_MAX;
/// The most jobs between two checkpoints; some megabytes of log.
const CHECKPOINT_AFTER: usize = 2_000;

/// A failure inside a job.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    /// SQLite said no.
    #[error("statement failed")]
    Sql(#[from] rusqlite::Error),
    /// A row that this version cannot read.
    #[error("the store holds a {0} that cannot be read")]
    Corrupt(&'static str),
}

/// Something to do inside the transaction, and somebody to tell.
trait Job: Send {
    fn run(&mut self, tx: &Connection) -> Result<(), JobError>;
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Typed<T, W, C> {
    work: W,
    value: Option<T>,
    committed: C,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W, C> Job for Typed<T, W, C>
where
    T: Send,
    W: Fn(&Connection) -> Result<T, JobError> + Send,
    C: FnOnce(&T) + Send,
{
    fn run(&mut self, tx: &Connection) -> Result<(), JobError> {
        self.value = Some((self.work)(tx)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { value, committed, answer, .. } = *self;
        let told = outcome.and_then(|()| value.ok_or(StoreError::Unavailable));
        if let Ok(value) = &told {
            committed(value);
        }
        // Whoever waited may have given up; what was committed stays committed.
        let _ = answer.send(told);
    }
}

/// The queue to the writing thread.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
    failed: Arc<AtomicBool>,
    newest: watch::Receiver<u64>,
}

impl Writer {
    /// Starts the thread on a prepared connection.
    pub(super) fn start(connection: Connection) -> Result<Self, rusqlite::Error> {
        let newest = watch::Sender::new(super::trail::newest(&connection)?);
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let failed = Arc::new(AtomicBool::new(false));
        let receiver = newest.subscribe();
        let writing = Writing { connection, failed: Arc::clone(&failed), newest, since_checkpoint: 0 };
        let thread = thread::spawn(move || writing.serve(jobs));
        Ok(Self { queue: Some(queue), thread: Some(thread), failed, newest: receiver })
    }

    /// Runs `work` in a transaction, which may take two attempts; once it is durable tells `committed`, on the writing thread, and then the caller.
    pub(super) fn submit<T, W, C>(&self, work: W, committed: C) -> Pending<'static, T>
    where
        T: Send + 'static,
        W: Fn(&Connection) -> Result<T, JobError> + Send + 'static,
        C: FnOnce(&T) + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let queued = self.enqueue(Box::new(Typed { work, value: None, committed, answer }));
        Box::pin(async move {
            queued?;
            let answer = tokio::time::timeout(WAIT_MAX, answered).await;
            answer.map_err(|_| StoreError::Unavailable)?.map_err(|_| StoreError::Unavailable)?
        })
    }

    fn enqueue(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable);
        }
        let queue = self.queue.as_ref().ok_or(StoreError::Unavailable)?;
        queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable,
        })
    }

    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.failed.load(Ordering::Acquire)
    }
}

impl Drop for Writer {
    /// Lets the thread finish what is queued, and waits for it.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("usable", &self.is_usable()).finish()
    }
}

/// The thread's side.
struct Writing {
    connection: Connection,
    failed: Arc<AtomicBool>,
    newest: watch::Sender<u64>,
    since_checkpoint: usize,
}

impl Writing {
    fn serve(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while let Some(first) = jobs.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH_MAX {
                let Ok(next) = jobs.try_recv() else { break };
                batch.push(next);
            }
            self.since_checkpoint += batch.len();
            self.settle(&mut batch);
            if self.since_checkpoint >= CHECKPOINT_AFTER {
                self.checkpoint("PASSIVE");
            }
        }
        self.checkpoint("TRUNCATE");
    }

    fn settle(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        let outcomes = if self.has_failed() { Err(StoreError::Unavailable) } else { self.commit(batch) };
        match outcomes {
            Ok(outcomes) => {
                for (job, outcome) in batch.drain(..).zip(outcomes) {
                    job.finish(outcome);
                }
                self.announce();
            }
            Err(error) => batch.drain(..).for_each(|job| job.finish(Err(error))),
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let outcomes = transact(&mut self.connection, batch);
        outcomes.map_err(|error| {
            self.judge(&error);
            StoreError::Unavailable
        })
    }

    /// Decides whether an error ends the store's use. A full disk does not: the transaction is undone whole, and room can
    /// be made.
    fn judge(&self, error: &rusqlite::Error) {
        let code = error.sqlite_error_code();
        let recoverable = matches!(code, Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::OutOfMemory));
        if recoverable {
            tracing::error!(%error, "nothing could be committed");
        } else {
            tracing::error!(%error, "the store has failed; it is not used again until the broker is started anew");
            self.failed.store(true, Ordering::Release);
        }
    }

    fn checkpoint(&mut self, mode: &str) {
        if self.has_failed() {
            return;
        }
        self.since_checkpoint = 0;
        let done = self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        if let Err(error) = done {
            self.judge(&error);
        }
    }

    fn announce(&self) {
        match super::trail::newest(&self.connection) {
            Ok(newest) => {
                self.newest.send_if_modified(|last| std::mem::replace(last, newest) != newest);
            }
            Err(error) => self.judge(&error),
        }
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// Runs all jobs and commits. An error means that none of them happened.
fn transact(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job>],
) -> Result<Vec<Result<(), StoreError>>, rusqlite::Error> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut failed = None;
    for job in batch.iter_mut() {
        if let Err(error) = job.run(&tx) {
            failed = Some(error);
            break;
        }
    }
    match failed {
        None => {
            tx.commit()?;
            Ok(batch.iter().map(|_| Ok(())).collect())
        }
        Some(JobError::Sql(error)) if !is_about_the_row(&error) => Err(error),
        Some(_) => {
            tx.rollback()?;
            transact_apart(connection, batch)
        }
    }
}

/// The same, with each job apart from the others.
fn transact_apart(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job>],
) -> Result<Vec<Result<(), StoreError>>, rusqlite::Error> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for job in batch {
        tx.execute_batch("SAVEPOINT job")?;
        outcomes.push(match job.run(&tx) {
            Ok(()) => Ok(()),
            Err(JobError::Sql(error)) if !is_about_the_row(&error) => return Err(error),
            Err(error) => {
                tx.execute_batch("ROLLBACK TO job")?;
                Err(told(&error))
            }
        });
        tx.execute_batch("RELEASE job")?;
    }
    tx.commit()?;
    Ok(outcomes)
}

fn told(error: &JobError) -> StoreError {
    match error {
        JobError::Sql(error) => {
            tracing::error!(%error, "a write was refused by the store's own rules");
            StoreError::Unavailable
        }
        JobError::Corrupt(what) => StoreError::Corrupt(what),
    }
}

/// Says whether only this statement is wrong, and not the store.
fn is_about_the_row(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    code.is_none() || matches!(code, Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig))
}
