//! Milliseconds, out of a clock that tells whole seconds and ticks.
//!
//! Apart because decisions are made in seconds and must be; the trail and the feed are only readable, and the feed only
//! ordered, with a finer grain. The millisecond never disagrees with the clock's second: it is moved into it.

use crumb_token::{Clock, Now};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Reads a [`Clock`] to the millisecond.
#[derive(Clone)]
pub struct Moments {
    clock: Arc<dyn Clock>,
    /// Wall-clock milliseconds at tick zero, as far as is known.
    origin_ms: Arc<Mutex<u64>>,
}

impl Moments {
    /// Begins with `about_ms`, milliseconds since the Unix epoch, as far as the clock's second agrees.
    pub fn new(clock: Arc<dyn Clock>, about_ms: u64) -> Self {
        let origin_ms = about_ms.saturating_sub(ticks_ms(clock.now()));
        Self { clock, origin_ms: Arc::new(Mutex::new(origin_ms)) }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Returns milliseconds since the Unix epoch.
    pub fn unix_ms(&self) -> u64 {
        let mut origin_ms = self.origin_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let ticks_ms = ticks_ms(now);
        let second_ms = now.wall.as_unix_s().saturating_mul(1000);
        let estimate = origin_ms.saturating_add(ticks_ms);
        let unix_ms = estimate.clamp(second_ms, second_ms.saturating_add(999));
        *origin_ms = unix_ms.saturating_sub(ticks_ms);
        unix_ms
    }
}

fn ticks_ms(now: Now) -> u64 {
    u64::try_from(now.ticks.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moments")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::Timestamp;
    use std::time::Duration;

    struct Steps(Mutex<Vec<Now>>);

    impl Clock for Steps {
        fn now(&self) -> Now {
            let mut left = self.0.lock().expect("one thread");
            if left.len() > 1 { left.remove(0) } else { left[0] }
        }
    }

    fn at(wall_s: u64, ticks_ms: u64) -> Now {
        Now { wall: Timestamp::from_unix_s(wall_s), ticks: Duration::from_millis(ticks_ms) }
    }

    #[test]
    fn begins_where_it_is_told_unless_the_clock_knows_better() {
        let begun = |about_ms| Moments::new(Arc::new(Steps(Mutex::new(vec![at(100, 7_000)]))), about_ms).unix_ms();
        assert_eq!([begun(100_250), begun(99_000), begun(200_000)], [100_250, 100_000, 100_999]);
    }

    #[test]
    fn follows_the_ticks_inside_the_second_that_the_clock_tells() {
        // The second turns at tick 300; before and after, nothing leaves the clock's second.
        let steps = [at(100, 0), at(100, 200), at(101, 300), at(101, 900), at(101, 1299), at(102, 1300), at(102, 1301)];
        let moments = Moments::new(Arc::new(Steps(Mutex::new(steps.to_vec()))), 0);
        let read: Vec<_> = (0..6).map(|_| moments.unix_ms()).collect();
        assert_eq!(read, [100_000, 101_000, 101_600, 101_999, 102_000, 102_001]);
    }
}
