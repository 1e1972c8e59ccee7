//! The way to the Workload API: the first SVID, then the task that follows the updates.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use crumb_token::Clock;
use spiffe::{
    X509ResourceLimits, X509Source, X509SourceBuilder, X509SourceError,
    x509_source::{MetricsErrorKind, MetricsRecorder},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Inner, Shared, Workload, snapshot::Snapshot, verdicts::Verdicts};
use crate::endpoint::Endpoint;

/// The first and the longest pause between two attempts. A local socket costs nothing to try, and the first SVID of a
/// new entry takes SPIRE up to 5 s; the `spiffe` crate waits at least 1 s after "no identity issued".
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The most SVIDs of one workload, bundles, and bytes in a bundle: far above any sane deployment, and small in memory.
const LIMITS: X509ResourceLimits = X509ResourceLimits::new(Some(16), Some(64), Some(256 * 1024));

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoIdentity {
    /// The Workload API did not answer in time.
    #[error("the workload api at {endpoint} did not answer within {} s; is the SPIFFE agent running, and may this user open its socket?", .wait.as_secs())]
    Unreachable {
        /// Where it was looked for.
        endpoint: Endpoint,
        /// How long.
        wait: Duration,
    },
    /// The Workload API answered, and issued no identity to this process.
    #[error("the workload api at {endpoint} issued no identity to this process within {} s; is there an entry that matches it?", .wait.as_secs())]
    NotIssued {
        /// Who was asked.
        endpoint: Endpoint,
        /// How long.
        wait: Duration,
    },
    /// The Workload API says that asking again will not help.
    #[error("the workload api at {endpoint} refuses the request")]
    Refused {
        /// Who was asked.
        endpoint: Endpoint,
        /// What it said.
        #[source]
        source: Box<X509SourceError>,
    },
    /// What it issued cannot be used.
    #[error("the identity that was issued cannot be used")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
}

pub(super) async fn connect(
    endpoint: &Endpoint,
    wait: Duration,
    clock: Arc<dyn Clock>,
) -> Result<Workload, NoIdentity> {
    let answered = Arc::new(Answered::default());
    let source = X509SourceBuilder::new()
        .endpoint(endpoint.to_string())
        .reconnect_backoff(BACKOFF.0, BACKOFF.1)
        .resource_limits(LIMITS)
        .initial_sync_timeout(wait)
        .metrics(Arc::clone(&answered) as Arc<dyn MetricsRecorder>)
        .build()
        .await
        .map_err(|why| no_identity(why, endpoint, wait, &answered))?;

    let state = source.state();
    let svid = state.svid().map_err(|why| NoIdentity::Unusable(Box::new(why)))?;
    let first = Snapshot::first(&state, &svid).map_err(|why| NoIdentity::Unusable(Box::new(why)))?;
    tracing::info!(id = %first.id, %endpoint, "identity received");
    let shared = Arc::new(Shared {
        snapshot: ArcSwap::from_pointee(first),
        revision: watch::Sender::new(0),
        verdicts: Verdicts::default(),
        clock,
    });
    let stop = CancellationToken::new();
    tokio::spawn(follow(source, state.revision(), Publisher(Arc::clone(&shared)), stop.clone()));
    Ok(Workload(Arc::new(Inner { shared, _stop: stop.drop_guard() })))
}

/// Turns each update of the source into a snapshot, until the last [`Workload`] is dropped.
async fn follow(source: X509Source, seen: u64, publisher: Publisher, stop: CancellationToken) {
    let mut updates = source.updated();
    // What came between the first snapshot and this subscription notifies nobody.
    if source.state().revision() != seen {
        publisher.publish(&source);
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = updates.changed() => match changed {
                Ok(_) => publisher.publish(&source),
                Err(why) => {
                    tracing::error!(error = &why as &dyn Error, "the workload api is no longer followed");
                    return;
                }
            },
        }
    }
}

/// Whoever may write snapshots. When it goes, even by a panic, nothing would ever be withdrawn any more; so it leaves
/// an empty snapshot behind.
struct Publisher(Arc<Shared>);

impl Publisher {
    fn publish(&self, source: &X509Source) {
        let before = self.0.snapshot.load();
        let next = before.next(&source.state());
        let end = |snapshot: &Snapshot| snapshot.own.as_ref().map(|own| own.not_after);
        if let Some(not_after) = end(&next).filter(|_| end(&next) != end(&before)) {
            let left_s = not_after.since(self.0.clock.now().wall).as_secs();
            tracing::info!(id = %next.id, left_s, "the SVID was renewed");
        }
        self.swap(next);
    }

    fn swap(&self, next: Snapshot) {
        let revision = next.revision;
        self.0.snapshot.store(Arc::new(next));
        self.0.revision.send_replace(revision);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.swap(self.0.snapshot.load().withdrawn());
    }
}

/// Remembers whether the Workload API answered the last attempt, to tell an agent that is absent from an entry that is.
#[derive(Default)]
struct Answered {
    dialled_in_vain: AtomicBool,
    yes: AtomicBool,
}

impl MetricsRecorder for Answered {
    fn record_update(&self) {}

    fn record_reconnect(&self) {}

    /// Each failed attempt ends with `InitialSyncFailed`; one that reached nobody says `ClientCreation` before it.
    fn record_error(&self, kind: MetricsErrorKind) {
        match kind {
            MetricsErrorKind::ClientCreation => self.dialled_in_vain.store(true, Ordering::Relaxed),
            MetricsErrorKind::InitialSyncFailed => {
                let answered = !self.dialled_in_vain.swap(false, Ordering::Relaxed);
                self.yes.store(answered, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

fn no_identity(why: X509SourceError, endpoint: &Endpoint, wait: Duration, answered: &Answered) -> NoIdentity {
    let endpoint = endpoint.clone();
    match why {
        X509SourceError::InitialSyncTimeout if answered.yes.load(Ordering::Relaxed) => {
            NoIdentity::NotIssued { endpoint, wait }
        }
        X509SourceError::InitialSyncTimeout => NoIdentity::Unreachable { endpoint, wait },
        other => NoIdentity::Refused { endpoint, source: Box::new(other) },
    }
}
