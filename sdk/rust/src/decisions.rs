//! Decision records on their way to the broker's trail.
//!
//! # Invariants
//!
//! - A call is recorded before it is answered, or refused: whoever wants to decide takes a [`Slot`] first, and there are
//!   only so many. So a record is never dropped because the queue is full.
//! - A record leaves the queue when the broker says that it is committed, and not before.
//! - A slot is filled or given back; one that is dropped unfilled holds nothing.
//!
//! Records wait in memory. Those that were not committed when the process dies are lost, and [`Recorder::close`] says how
//! many.

mod record;
mod shipper;

pub use record::{Decision, new_record_id};

pub(crate) use record::messages;

use crate::broker::BrokerClient;
use shipper::{Shipper, Tally};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How many records may wait, slots included: some seconds of a busy tool server while the broker restarts; about 4 MiB.
pub const QUEUE_LEN: usize = 4096;

/// The queue is full: the call cannot be recorded, so it has to be refused with `audit_unavailable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue of decision records is full, or closed")]
pub struct QueueFull;

/// Records that the broker had not committed when the recorder was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} decision records did not reach the broker")]
pub struct Undelivered(pub u64);

/// What a recorder has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Records taken.
    pub taken: u64,
    /// Records that the broker has committed.
    pub committed: u64,
    /// Times that the queue was full.
    pub full: u64,
    /// Batches that had to be sent again.
    pub retried: u64,
}

/// Takes decision records, and ships them in the background. Cheap to clone; all clones share one queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Decision>,
    tally: Arc<Tally>,
    tasks: TaskTracker,
    /// Ends the queue: what is in it is shipped, and nothing new is taken.
    closing: CancellationToken,
    /// Ends the shipping, whatever is left.
    abandoned: CancellationToken,
}

impl Recorder {
    /// Starts shipping to `broker`, with room for [`QUEUE_LEN`] records.
    pub fn start(broker: BrokerClient) -> Self {
        Self::with_queue(broker, QUEUE_LEN)
    }

    /// Starts shipping to `broker`, with room for `len` records, at least one.
    pub fn with_queue(broker: BrokerClient, len: usize) -> Self {
        let (queue, records) = mpsc::channel(len.max(1));
        let tally = Arc::new(Tally::default());
        let (closing, abandoned) = (CancellationToken::new(), CancellationToken::new());
        let shipper = Shipper { broker, records, tally: Arc::clone(&tally), closing: closing.clone() };
        let tasks = TaskTracker::new();
        let end = abandoned.clone();
        tasks.spawn(async move { end.run_until_cancelled(shipper.run()).await });
        tasks.close();
        Self { queue, tally, tasks, closing, abandoned }
    }

    /// Takes one place in the queue, to be filled later.
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; the call has to be refused.
    pub fn reserve(&self) -> Result<Slot, QueueFull> {
        match self.queue.clone().try_reserve_owned() {
            Ok(permit) => Ok(Slot { permit, tally: Arc::clone(&self.tally) }),
            Err(_) => {
                self.tally.full();
                Err(QueueFull)
            }
        }
    }

    /// Takes one record.
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; the call has to be refused.
    pub fn record(&self, decision: Decision) -> Result<(), QueueFull> {
        self.reserve().map(|slot| slot.fill(decision))
    }

    /// Returns what was done so far.
    pub fn counts(&self) -> Counts {
        self.tally.read()
    }

    /// Takes no more records, ships those that are there, and gives up after `within`.
    ///
    /// # Errors
    ///
    /// [`Undelivered`] when some are left; they are lost.
    pub async fn close(&self, within: Duration) -> Result<(), Undelivered> {
        self.closing.cancel();
        if timeout(within, self.tasks.wait()).await.is_err() {
            self.abandoned.cancel();
            self.tasks.wait().await;
        }
        match self.tally.left() {
            0 => Ok(()),
            left => Err(Undelivered(left)),
        }
    }
}

/// One place in the queue.
#[derive(Debug)]
pub struct Slot {
    permit: mpsc::OwnedPermit<Decision>,
    tally: Arc<Tally>,
}

impl Slot {
    /// Puts the record in its place. It is on its way now.
    pub fn fill(self, decision: Decision) {
        self.tally.taken();
        self.permit.send(decision);
    }
}
