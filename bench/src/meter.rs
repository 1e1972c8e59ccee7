//! How one operation's cost is measured: the thread's own CPU time, in many short samples, side by side.
//!
//! CPU time, because on a busy machine the wall clock measures the neighbours. Samples, because a median of a hundred
//! short ones is steadier than one long one. Side by side, because a noisy second then hits what is compared alike: every
//! round takes one sample of each subject.

use rustix::{
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
};
use std::{hint::black_box, sync::OnceLock};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How many samples; odd, so that the median is one of them.
    pub(crate) samples: usize,
    /// How long one sample takes at least, in nanoseconds.
    pub(crate) sample_ns: f64,
    /// A smoke run: everything is small, and the figures mean nothing.
    pub(crate) quick: bool,
}

impl Effort {
    /// What the figures in the README are made with.
    pub(crate) const FULL: Self = Self { samples: 101, sample_ns: 2_000_000.0, quick: false };
    /// Enough to see that everything runs.
    pub(crate) const QUICK: Self = Self { samples: 3, sample_ns: 20_000.0, quick: true };

    /// Returns `full`, or `quick` in a smoke run.
    pub(crate) fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// A subject: makes one sample, and says how many nanoseconds one operation took in it.
pub(crate) type Subject<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// The samples of one subject, in nanoseconds an operation, in the order they were taken.
#[derive(Clone, Debug)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// Collects samples that were taken elsewhere.
    pub(crate) fn of(samples: Vec<f64>) -> Self {
        Self(samples)
    }

    /// Returns this without what `other` took in the same round.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| (a - b).max(0.0)).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn p50(&self) -> f64 {
        self.quantile(50)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.quantile(99)
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(100)
    }

    fn quantile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }
}

/// Takes one sample of each subject in every round.
pub(crate) fn side_by_side(effort: Effort, subjects: &mut [Subject<'_>]) -> Vec<Series> {
    let mut series = vec![Vec::with_capacity(effort.samples); subjects.len()];
    for _ in 0..effort.samples {
        for (subject, samples) in subjects.iter_mut().zip(&mut series) {
            samples.push(subject());
        }
    }
    series.into_iter().map(Series).collect()
}

/// Makes a subject of an operation that can be done again and again: as many times as fill a sample.
pub(crate) fn again<'a, T>(effort: Effort, mut operation: impl FnMut() -> T + 'a) -> Subject<'a> {
    let mut n = 1_u32;
    // The first rounds also warm up caches and branch predictors.
    while times(n, &mut operation) * f64::from(n) < effort.sample_ns && n < 1 << 24 {
        n *= 2;
    }
    Box::new(move || times(n, &mut operation))
}

fn times<T>(n: u32, operation: &mut impl FnMut() -> T) -> f64 {
    let took = cpu_ns(|| {
        for _ in 0..n {
            black_box(operation());
        }
    });
    took / f64::from(n)
}

/// Returns the nanoseconds of this thread's CPU time that `work` took.
pub(crate) fn cpu_ns(work: impl FnOnce()) -> f64 {
    let before = read(ClockId::ThreadCPUTime);
    work();
    read(ClockId::ThreadCPUTime) - before
}

/// Returns the nanoseconds on the wall that `work` took.
pub(crate) fn wall_ns(work: impl FnOnce()) -> f64 {
    let before = read(ClockId::Monotonic);
    work();
    read(ClockId::Monotonic) - before
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of some hours fit into 52 bits")]
fn read(clock: ClockId) -> f64 {
    let at = clock_gettime(clock);
    at.tv_sec as f64 * 1e9 + at.tv_nsec as f64
}

/// Writes a count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

/// Keeps this thread on one core. What the kernel refuses is left: the figures are then a little less steady.
pub(crate) fn stay_on_core(core: usize) {
    // Asked afterwards, the kernel would say that there is one.
    cores();
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

/// Returns how many cores there are.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_that_were_taken() {
        let series = Series::of((1..=101).map(f64::from).rev().collect());
        assert_eq!((series.p50(), series.p99(), series.max()), (51.0, 100.0, 101.0));
        assert_eq!(Series::of(vec![7.0]).p99(), 7.0);
    }

    #[test]
    fn what_the_same_round_took_elsewhere_is_taken_off() {
        let series = Series::of(vec![10.0, 30.0]).minus(&Series::of(vec![4.0, 40.0]));
        assert_eq!((series.p50(), series.max()), (0.0, 6.0));
    }

    #[test]
    fn every_round_samples_every_subject_once() {
        let order = std::cell::RefCell::new(Vec::new());
        let subject = |name: u8| -> Subject<'_> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                0.0
            })
        };
        side_by_side(Effort { samples: 2, ..Effort::QUICK }, &mut [subject(1), subject(2)]);
        assert_eq!(*order.borrow(), [1, 2, 1, 2]);
    }
}
