//! The one real clock.
//!
//! Invariant: within a process the wall clock never goes back, whoever reads it. After a step into the future that is
//! corrected later, time stands still until it has caught up: things expire too early, never too late.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crumb_token::{Clock, Now, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// The latest wall-clock millisecond that anybody in this process has been told.
static LATEST_MS: AtomicU64 = AtomicU64::new(0);

/// Where ticks begin: the first reading.
static ORIGIN: OnceLock<Duration> = OnceLock::new();

/// Reads the system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Makes the clock; all of them show the same.
    pub fn new() -> Self {
        Self
    }
}

impl Clock for SystemClock {
    /// Reads the kernel's coarse wall clock, which stands still for up to 10 ms between its ticks and costs a third: every
    /// call that is decided reads it, and decisions are made in seconds. Ticks are exact, since durations are told by them.
    fn now(&self) -> Now {
        let ticks = read(ClockId::CLOCK_MONOTONIC);
        let wall = not_before(&LATEST_MS, millis(read(ClockId::CLOCK_REALTIME_COARSE)));
        let ticks = ticks.saturating_sub(*ORIGIN.get_or_init(|| ticks));
        Now { wall: Timestamp::from_unix_s(wall / 1000), ticks }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is told to ask")]
    fn unix_ms(&self) -> u64 {
        // A clock before 1970 reads as 1970: nothing is valid then.
        let read = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        not_before(&LATEST_MS, millis(read))
    }
}

/// Reads one clock. One that cannot be read stands at the end of time, where everything has expired and nothing is fresh.
fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::MAX, Duration::from)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns `read`, or the latest that was returned before when that is later. Writes only what is news, since all threads
/// read this.
fn not_before(latest: &AtomicU64, read: u64) -> u64 {
    let seen = latest.load(Ordering::Acquire);
    if read > seen { latest.fetch_max(read, Ordering::AcqRel).max(read) } else { seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_never_goes_back() {
        let latest = AtomicU64::new(0);
        let seen = [100, 105, 40, 104, 106].map(|read| not_before(&latest, read));
        assert_eq!(seen, [100, 105, 105, 105, 106]);
    }

    #[test]
    fn ticks_never_go_back() {
        let (first, second) = (SystemClock::new().now(), SystemClock::new().now());
        assert!(first.ticks <= second.ticks && first.wall <= second.wall);
    }
}
