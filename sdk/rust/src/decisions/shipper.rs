//! The task that ships: batches, until each is acknowledged.

use super::{Counts, Decision};
use crate::{backoff::Backoff, broker::BrokerClient};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many records are sent before the next are taken: what one message holds at most.
const BATCH_LEN_MAX: usize = super::record::MESSAGE_RECORDS_MAX;

/// How long one batch may take before it is sent again.
const DEADLINE: Duration = Duration::from_secs(5);

/// The first and the longest pause before a batch is sent again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

#[derive(Debug, Default)]
pub(super) struct Tally {
    taken: AtomicU64,
    committed: AtomicU64,
    full: AtomicU64,
    retried: AtomicU64,
}

impl Tally {
    pub(super) fn taken(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    pub(super) fn full(&self) {
        self.full.fetch_add(1, Relaxed);
    }

    pub(super) fn left(&self) -> u64 {
        self.taken.load(Relaxed).saturating_sub(self.committed.load(Relaxed))
    }

    pub(super) fn read(&self) -> Counts {
        Counts {
            taken: self.taken.load(Relaxed),
            committed: self.committed.load(Relaxed),
            full: self.full.load(Relaxed),
            retried: self.retried.load(Relaxed),
        }
    }
}

pub(super) struct Shipper {
    pub(super) broker: BrokerClient,
    pub(super) records: mpsc::Receiver<Decision>,
    pub(super) tally: Arc<Tally>,
    pub(super) closing: CancellationToken,
}

impl Shipper {
    /// Ships until the queue is closed and empty, and its last slot is filled or given back.
    pub(super) async fn run(mut self) {
        let broker = self.broker.clone().with_deadline(DEADLINE);
        let mut batch = Vec::with_capacity(BATCH_LEN_MAX);
        while self.next(&mut batch).await > 0 {
            self.ship(&broker, &batch).await;
            self.tally.committed.fetch_add(batch.len() as u64, Relaxed);
            batch.clear();
        }
    }

    async fn next(&mut self, batch: &mut Vec<Decision>) -> usize {
        if !self.closing.is_cancelled() {
            tokio::select! {
                taken = self.records.recv_many(batch, BATCH_LEN_MAX) => return taken,
                () = self.closing.cancelled() => {}
            }
        }
        // Slots that are out still count; `recv_many` waits for them, and then says that all is done.
        self.records.close();
        self.records.recv_many(batch, BATCH_LEN_MAX).await
    }

    /// Sends one batch until the broker has it. A broker that refuses is no reason to drop it: then the queue fills, the
    /// calls are refused, and somebody looks.
    async fn ship(&self, broker: &BrokerClient, batch: &[Decision]) {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        while let Err(failed) = broker.record_decisions(batch).await {
            self.tally.retried.fetch_add(1, Relaxed);
            tracing::warn!(records = batch.len(), error = %failed.to_denial(), why = %failed, "decision records are not committed; trying again");
            tokio::time::sleep(backoff.pause()).await;
        }
    }
}
