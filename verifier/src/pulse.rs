//! What every call looks at first: until when the feed is fresh, and the latest time that was seen.
//!
//! Apart from [`crate::known`] so that a call reads two numbers and follows no pointer. The two change about once a second,
//! and lie on a cache line that nothing else writes.

use crumb_token::{Now, Timestamp};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Pulse {
    /// In nanoseconds of the monotonic clock, rounded down; zero when nothing is fresh.
    fresh_until_ns: AtomicU64,
    /// In Unix seconds.
    seen_s: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self { fresh_until_ns: AtomicU64::new(0), seen_s: AtomicU64::new(0) }
    }

    /// Says whether the feed was heard lately enough.
    pub(crate) fn is_fresh(&self, now: Now) -> bool {
        let until = self.fresh_until_ns.load(Ordering::Acquire);
        until > 0 && now.ticks.as_nanos() <= u128::from(until)
    }

    pub(crate) fn set_fresh_until(&self, until: Option<Duration>) {
        let until = until.map_or(0, |until| u64::try_from(until.as_nanos()).unwrap_or(u64::MAX));
        self.fresh_until_ns.store(until, Ordering::Release);
    }

    /// Returns now, or the latest time seen when the clock has gone back.
    pub(crate) fn time(&self, now: Now) -> Timestamp {
        let wall = now.wall.as_unix_s();
        // Mostly the second is the same as in the call before; then nothing is written.
        let seen = self.seen_s.load(Ordering::Relaxed);
        let latest = if wall > seen { self.seen_s.fetch_max(wall, Ordering::Relaxed).max(wall) } else { seen };
        Timestamp::from_unix_s(latest)
    }

    /// Sets the time, back too.
    pub(crate) fn set_time(&self, wall: Timestamp) {
        self.seen_s.store(wall.as_unix_s(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(s: u64) -> Now {
        Now { wall: Timestamp::from_unix_s(s), ticks: Duration::from_secs(s) }
    }

    #[test]
    fn nothing_is_fresh_before_it_is_said() {
        let pulse = Pulse::new();
        assert!(!pulse.is_fresh(now(0)));
        pulse.set_fresh_until(Some(Duration::from_secs(5)));
        assert!(pulse.is_fresh(now(5)) && !pulse.is_fresh(now(6)));
        pulse.set_fresh_until(None);
        assert!(!pulse.is_fresh(now(0)));
    }

    #[test]
    fn time_does_not_go_back_by_itself() {
        let pulse = Pulse::new();
        assert_eq!([5, 3, 6].map(|s| pulse.time(now(s)).as_unix_s()), [5, 5, 6]);
        pulse.set_time(Timestamp::from_unix_s(2));
        assert_eq!(pulse.time(now(1)).as_unix_s(), 2);
    }
}
