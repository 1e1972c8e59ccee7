//! The one real clock.
//!
//! Invariant: within a process the wall clock never goes back, whoever reads it. After a step into the future that is
//! corrected later, time stands still until it has caught up: things expire too early, never too late.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crumb_token::{Clock, Now, Timestamp};

/// The latest wall-clock millisecond that anybody in this process has been told.
static LATEST_MS: AtomicU64 = AtomicU64::new(0);

/// Where ticks begin: the first reading.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

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
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is told to ask")]
    fn now(&self) -> Now {
        let ticks = Instant::now().saturating_duration_since(*ORIGIN.get_or_init(Instant::now));
        Now { wall: Timestamp::from_unix_s(self.unix_ms() / 1000), ticks }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is told to ask")]
    fn unix_ms(&self) -> u64 {
        // A clock before 1970 reads as 1970: nothing is valid then.
        let read = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        not_before(&LATEST_MS, u64::try_from(read.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Returns `read`, or the latest that was returned before when that is later.
fn not_before(latest: &AtomicU64, read: u64) -> u64 {
    latest.fetch_max(read, Ordering::AcqRel).max(read)
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
