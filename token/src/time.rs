//! Time as an argument.
//!
//! The pure rooms never read a clock: they take a [`Now`]. The async shells own a [`Clock`].

use std::{fmt, time::Duration};

/// A moment in whole seconds since the Unix epoch (UTC). Biscuit dates have this resolution.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Makes a moment from seconds since the Unix epoch.
    pub const fn from_unix_s(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Returns seconds since the Unix epoch.
    pub const fn as_unix_s(self) -> u64 {
        self.0
    }

    /// Returns the moment `span` later, in whole seconds; stops at the end of time.
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }

    /// Returns the time from `earlier` to this moment; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

/// One reading of both clocks.
///
/// `wall` decides expiry; `ticks` measures spans (is the feed stale?) and cannot be stepped by an administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall-clock time.
    pub wall: Timestamp,
    /// Monotonic time since an origin that is fixed for the life of the process.
    pub ticks: Duration,
}

/// Where a shell reads [`Now`]. Tests bring their own.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Now;

    /// Reads the wall clock to the millisecond, for records that people read. Decisions are made in seconds.
    fn unix_ms(&self) -> u64 {
        self.now().wall.as_unix_s().saturating_mul(1000)
    }
}
