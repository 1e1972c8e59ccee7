//! Load on a service: requests on a fixed beat, or as fast as a number of them at once will go.
//!
//! On the beat, a request is due whether or not earlier ones have been answered, and its time is from when it was due; so
//! a stall is seen by every request behind it, and nothing is left out because the generator was waiting. The beat comes
//! from a thread that sleeps until shortly before and watches the clock for the rest, since the runtime's timer would add
//! up to a millisecond of our own.

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::{runtime::Handle, sync::Semaphore, task::JoinSet, time::Instant};

/// The most requests under way at once on the beat. A system that falls further behind is past its limit, and the run
/// fails.
const UNDER_WAY_MAX: u32 = 4096;

/// How long before its time the beat begins to watch the clock: longer than the kernel wakes a thread too late.
const WATCH: Duration = Duration::from_micros(100);

/// When requests are made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many a second.
    Beat(u32),
    /// The next when one of so many has been answered.
    AtOnce(usize),
}

/// How much load, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) pace: Pace,
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Nanoseconds until a request was answered: since it was due on the beat, since it was made otherwise.
    latency: Histogram<u64>,
    pub(crate) failed: u64,
    last_failure: Option<String>,
    span: Duration,
}

impl Measured {
    fn new(span: Duration) -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?;
        Ok(Self { latency, failed: 0, last_failure: None, span })
    }

    fn take(&mut self, took: Duration, result: anyhow::Result<()>) {
        match result {
            Ok(()) => self.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            Err(e) => {
                self.failed += 1;
                self.last_failure = Some(format!("{e:#}"));
            }
        }
    }

    /// Returns the latency below which so many per cent were, in nanoseconds.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a minute")]
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.latency.value_at_quantile(percent / 100.0) as f64
    }

    /// Returns how many good answers there were.
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    pub(crate) fn answered(&self) -> f64 {
        self.latency.len() as f64
    }

    /// Returns how many good answers there were each second.
    pub(crate) fn rate(&self) -> f64 {
        self.answered() / self.span.as_secs_f64()
    }

    /// Refuses a run without one good answer, with the last failure.
    pub(crate) fn or_failure(self) -> anyhow::Result<Self> {
        if self.latency.is_empty() {
            bail!("no request succeeded: {}", self.last_failure.as_deref().unwrap_or("none was made"));
        }
        Ok(self)
    }
}

/// Makes requests, numbered from 0, and measures those made or due after the warm-up. `began` is called when that is over.
pub(crate) async fn drive<F, R>(load: Load, began: impl FnOnce() + Send, request: F) -> anyhow::Result<Measured>
where
    F: Fn(u64) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let measured = Arc::new(Mutex::new(Measured::new(load.measured)?));
    match load.pace {
        Pace::Beat(rate) => on_the_beat(load, rate, began, request, measured.clone()).await?,
        Pace::AtOnce(n) => at_once(load, n, began, request, &measured).await,
    }
    let measured = Arc::into_inner(measured).context("every request has ended")?;
    measured.into_inner().unwrap_or_else(PoisonError::into_inner).or_failure()
}

async fn at_once<F, R>(load: Load, n: usize, began: impl FnOnce() + Send, request: F, measured: &Arc<Mutex<Measured>>)
where
    F: Fn(u64) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let start = now();
    let (from, until) = (start + load.warmup, start + load.warmup + load.measured);
    let mut workers = JoinSet::new();
    for worker in 0..n {
        let (request, measured) = (request.clone(), measured.clone());
        workers.spawn(async move {
            for number in (worker as u64..).step_by(n) {
                let made = now();
                if made >= until {
                    break;
                }
                let result = request(number).await;
                // What is answered after the end would be counted into a span that it is not part of.
                if made >= from && now() <= until {
                    measured.lock().unwrap_or_else(PoisonError::into_inner).take(made.elapsed(), result);
                }
            }
        });
    }
    tokio::time::sleep_until(from).await;
    began();
    while workers.join_next().await.is_some() {}
}

async fn on_the_beat<F, R>(
    load: Load,
    rate: u32,
    began: impl FnOnce() + Send,
    request: F,
    measured: Arc<Mutex<Measured>>,
) -> anyhow::Result<()>
where
    F: Fn(u64) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX as usize));
    let (start, runtime) = (now(), Handle::current());
    let behind = Arc::new(AtomicBool::new(false));
    let beat = {
        let (under_way, behind) = (under_way.clone(), behind.clone());
        move || {
            let span = load.warmup + load.measured;
            for number in 0_u32.. {
                let since = Duration::from_secs_f64(f64::from(number) / f64::from(rate.max(1)));
                if since >= span {
                    break;
                }
                let due = start + since;
                wait_until(due);
                let Ok(permit) = under_way.clone().try_acquire_owned() else {
                    behind.store(true, Relaxed);
                    break;
                };
                let (answer, measured) = (request(number.into()), measured.clone());
                runtime.spawn(async move {
                    let result = answer.await;
                    let took = due.elapsed();
                    if since >= load.warmup {
                        measured.lock().unwrap_or_else(PoisonError::into_inner).take(took, result);
                    }
                    drop(measured);
                    drop(permit);
                });
            }
        }
    };
    let beat = tokio::task::spawn_blocking(beat);
    tokio::time::sleep_until(start + load.warmup).await;
    began();
    beat.await?;
    // All have been answered when every place is free again.
    let _all = under_way.acquire_many(UNDER_WAY_MAX).await?;
    if behind.load(Relaxed) {
        bail!("{UNDER_WAY_MAX} requests are under way: the system does not keep up with {rate}/s");
    }
    Ok(())
}

fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(now());
    if left > WATCH {
        thread::sleep(left - WATCH);
    }
    while now() < due {
        std::hint::spin_loop();
    }
}

fn now() -> Instant {
    // The clock of latencies is the runtime's, which no pure room reads.
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn load(pace: Pace) -> Load {
        Load { pace, warmup: Duration::ZERO, measured: Duration::from_millis(20) }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn on_the_beat_every_request_that_is_due_is_made_and_answered() {
        let made = Arc::new(AtomicU64::new(0));
        let counter = made.clone();
        let request = move |_| {
            counter.fetch_add(1, Relaxed);
            async { Ok(()) }
        };
        let measured = drive(load(Pace::Beat(1000)), || (), request).await.expect("a run");
        assert_eq!((made.load(Relaxed), measured.answered()), (20, 20.0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn failures_are_counted_and_not_timed() {
        let request = |n| async move { if n % 2 == 0 { Ok(()) } else { bail!("odd") } };
        let measured = drive(load(Pace::Beat(1000)), || (), request).await.expect("a run");
        assert_eq!((measured.failed, measured.answered()), (10, 10.0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_without_a_good_answer_fails_and_says_why() {
        let failed = drive(load(Pace::AtOnce(1)), || (), |_| async { bail!("nobody there") }).await;
        assert!(failed.expect_err("no answer").to_string().contains("nobody there"));
    }
}
