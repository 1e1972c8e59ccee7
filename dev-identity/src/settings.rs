//! How the development Workload API is to behave.

use std::{fmt, sync::Arc, time::Duration};

use crumb_token::{Clock, TrustDomain};

use crate::DEV_TRUST_DOMAIN;

/// Below this, rotation at half life would be a busy loop: time here is in whole seconds.
const SVID_TTL_MIN: Duration = Duration::from_secs(2);
/// A day. Longer needs no rotation and so hides that it is missing.
const SVID_TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// An authority must be able to cover SVIDs from both halves of its life.
const CA_TTL_MIN_IN_SVID_TTLS: u32 = 2;
/// A year; a development CA dies with its process long before.
const CA_TTL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Settings that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// `svid_ttl` is under two seconds or over a day.
    #[error("svid_ttl is not between 2 s and 24 h")]
    SvidTtl,
    /// `ca_ttl` is under twice `svid_ttl` or over a year.
    #[error("ca_ttl is not between twice svid_ttl and a year")]
    CaTtl,
}

/// Who may open the socket. What they get is decided by entries, not by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SocketMode {
    /// Only our own uid: folder 0700, socket 0600.
    #[default]
    OwnerOnly,
    /// Every uid of the machine: folder 0711, socket 0666. For a machine where agents have uids of their own.
    AnyUser,
}

/// How the development Workload API is to behave. [`Settings::new`] gives the defaults; fields are there to be changed.
#[derive(Clone)]
pub struct Settings {
    /// The trust domain of the CA. Default [`DEV_TRUST_DOMAIN`].
    pub trust_domain: TrustDomain,
    /// How long an SVID is valid; it is replaced at half of that. Default 5 min, so that rotation is no rarity.
    pub svid_ttl: Duration,
    /// How long an authority is valid; it is replaced at half of that. Default 24 h.
    pub ca_ttl: Duration,
    /// Who may open the socket. Default: our own uid.
    pub socket_mode: SocketMode,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Settings {
    /// Returns the defaults.
    ///
    /// # Panics
    ///
    /// Never: the default trust domain is canonical, and a test says so.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            trust_domain: DEV_TRUST_DOMAIN.parse().expect("a constant that a test parses"),
            svid_ttl: Duration::from_secs(5 * 60),
            ca_ttl: Duration::from_secs(24 * 3600),
            socket_mode: SocketMode::default(),
            clock,
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidSettings> {
        if !(SVID_TTL_MIN..=SVID_TTL_MAX).contains(&self.svid_ttl) {
            return Err(InvalidSettings::SvidTtl);
        }
        if !(self.svid_ttl * CA_TTL_MIN_IN_SVID_TTLS..=CA_TTL_MAX).contains(&self.ca_ttl) {
            return Err(InvalidSettings::CaTtl);
        }
        Ok(())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("trust_domain", &self.trust_domain)
            .field("svid_ttl", &self.svid_ttl)
            .field("ca_ttl", &self.ca_ttl)
            .field("socket_mode", &self.socket_mode)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crumb_token::{Now, Timestamp};

    use super::*;

    /// A clock that stands still.
    pub(crate) struct Standing(pub(crate) u64);

    impl Clock for Standing {
        fn now(&self) -> Now {
            Now { wall: Timestamp::from_unix_s(self.0), ticks: Duration::from_secs(self.0) }
        }
    }

    #[test]
    fn the_defaults_are_usable_and_strict() {
        let settings = Settings::new(Arc::new(Standing(0)));
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(settings.socket_mode, SocketMode::OwnerOnly);
        assert_eq!(settings.trust_domain.as_str(), DEV_TRUST_DOMAIN);
    }

    #[test]
    fn refuses_lifetimes_that_contradict() {
        let with = |svid: u64, ca: u64| {
            let mut settings = Settings::new(Arc::new(Standing(0)));
            (settings.svid_ttl, settings.ca_ttl) = (Duration::from_secs(svid), Duration::from_secs(ca));
            settings.check()
        };
        assert_eq!(with(1, 100), Err(InvalidSettings::SvidTtl));
        assert_eq!(with(24 * 3600 + 1, 72 * 3600), Err(InvalidSettings::SvidTtl));
        assert_eq!(with(60, 119), Err(InvalidSettings::CaTtl));
        assert_eq!(with(60, 366 * 24 * 3600), Err(InvalidSettings::CaTtl));
        assert_eq!(with(2, 4), Ok(()));
    }
}
