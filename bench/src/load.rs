//! The open-loop generator: requests are due on a fixed beat, whether or not earlier ones have been answered.

use anyhow::bail;
use hdrhistogram::Histogram;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// The most requests under way at once. A system that falls further behind than this is past its limit, and the run fails.
const UNDER_WAY_MAX: usize = 4096;

/// How much load, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) rate: u32,
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Nanoseconds from when a request was due until it was answered.
    pub(crate) latency: Histogram<u64>,
    pub(crate) failed: u64,
    pub(crate) last_failure: Option<String>,
}

/// Makes requests on the beat, and measures those due after the warm-up.
pub(crate) async fn drive<F, R>(shape: Shape, request: F) -> anyhow::Result<Measured>
where
    F: Fn(u64) -> R,
    R: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let latency = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?;
    let measured = Arc::new(Mutex::new(Measured { latency, failed: 0, last_failure: None }));
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let began = begin();
    let mut tasks = JoinSet::new();
    let beat = Duration::from_secs(1) / shape.rate.max(1);
    let total = u64::from(shape.rate) * (shape.warmup + shape.measured).as_secs();
    for n in 0..total {
        let due = began + beat * u32::try_from(n)?;
        sleep_until(due).await;
        let Ok(permit) = under_way.clone().try_acquire_owned() else {
            bail!("{UNDER_WAY_MAX} requests are under way: the system does not keep up with {}/s", shape.rate);
        };
        let (request, measured) = (request(n), measured.clone());
        let counts = due.duration_since(began) >= shape.warmup;
        tasks.spawn(async move {
            let result = request.await;
            let took = due.elapsed();
            drop(permit);
            if counts {
                measured.lock().await.take(took, result);
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    Ok(Arc::into_inner(measured).expect("every task has ended").into_inner())
}

fn begin() -> Instant {
    // The one clock of a benchmark is the runtime's, which no pure room reads.
    Instant::now()
}

impl Measured {
    fn take(&mut self, took: Duration, result: anyhow::Result<()>) {
        match result {
            Ok(()) => self.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            Err(e) => {
                self.failed += 1;
                self.last_failure = Some(format!("{e:#}"));
            }
        }
    }
}
