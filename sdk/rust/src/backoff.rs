//! Pauses between attempts: doubling, capped, and jittered so that a fleet that lost its broker does not come back at once.

use std::time::Duration;

/// The next pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins at `first` and never waits longer than `cap`.
    pub(crate) const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, next: first }
    }

    /// Returns the next pause: from half of the step to all of it.
    pub(crate) fn pause(&mut self) -> Duration {
        let step = self.next.min(self.cap);
        self.next = step.saturating_mul(2).min(self.cap);
        step.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Begins anew, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_begins_anew() {
        let (first, cap) = (Duration::from_millis(10), Duration::from_millis(35));
        let mut backoff = Backoff::new(first, cap);
        for step_ms in [10, 20, 35, 35] {
            let pause = backoff.pause();
            let step = Duration::from_millis(step_ms);
            assert!(pause >= step / 2 && pause <= step, "{pause:?} of {step:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= first);
    }
}
