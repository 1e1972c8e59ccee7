//! Days and spans of a manifest: as people write them, and as the moment or duration that they mean.

use crate::clamp::{SESSION_MAX, TTL_MAX, TTL_MIN};
use crumb_token::Timestamp;
use std::{str::FromStr, time::Duration};
use time::{Date, format_description::well_known::Iso8601};

/// The last day of something, in UTC, as the moment when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastDay(pub(super) Timestamp);

#[derive(Debug, thiserror::Error)]
#[error("a date is written 2027-01-31")]
pub(super) struct InvalidDay;

impl FromStr for LastDay {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        // The parser also takes week dates and dates without dashes; one spelling is enough.
        let date = Date::parse(text, &Iso8601::DATE).ok().filter(|date| date.to_string() == text).ok_or(InvalidDay)?;
        let end = date.next_day().ok_or(InvalidDay)?.midnight().assume_utc().unix_timestamp();
        u64::try_from(end).map(|s| Self(Timestamp::from_unix_s(s))).map_err(|_| InvalidDay)
    }
}

/// The longest life of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ttl(pub(super) Duration);

#[derive(Debug, thiserror::Error)]
#[error("maxTtlSeconds is from {} to {}", TTL_MIN.as_secs(), TTL_MAX.as_secs())]
pub(super) struct InvalidTtl;

impl FromStr for Ttl {
    type Err = InvalidTtl;

    fn from_str(text: &str) -> Result<Self, InvalidTtl> {
        let ttl = text.parse().map(Duration::from_secs).map_err(|_| InvalidTtl)?;
        if (TTL_MIN..=TTL_MAX).contains(&ttl) { Ok(Self(ttl)) } else { Err(InvalidTtl) }
    }
}

/// How long a token lives when nobody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DefaultTtl(pub(super) Duration);

#[derive(Debug, thiserror::Error)]
#[error("defaultTtlSeconds is from {} to {}", TTL_MIN.as_secs(), TTL_MAX.as_secs())]
pub(super) struct InvalidDefaultTtl;

impl FromStr for DefaultTtl {
    type Err = InvalidDefaultTtl;

    fn from_str(text: &str) -> Result<Self, InvalidDefaultTtl> {
        text.parse::<Ttl>().map(|ttl| Self(ttl.0)).map_err(|_| InvalidDefaultTtl)
    }
}

/// How long a session lasts when nobody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionLife(pub(super) Duration);

#[derive(Debug, thiserror::Error)]
#[error("sessionSeconds is from {} to {}", TTL_MIN.as_secs(), SESSION_MAX.as_secs())]
pub(super) struct InvalidSessionLife;

impl FromStr for SessionLife {
    type Err = InvalidSessionLife;

    fn from_str(text: &str) -> Result<Self, InvalidSessionLife> {
        let life = text.parse().map(Duration::from_secs).map_err(|_| InvalidSessionLife)?;
        if (TTL_MIN..=SESSION_MAX).contains(&life) { Ok(Self(life)) } else { Err(InvalidSessionLife) }
    }
}

/// How long a deployment counts as there after it was last heard of: `30s`, `10m` or `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease(pub(super) Duration);

#[derive(Debug, thiserror::Error)]
#[error("a lease is from 10s to 24h, written as 30s, 10m or 2h")]
pub(super) struct InvalidLease;

impl Lease {
    /// Less than this and a broker that restarts would end deployments that are well.
    const MIN: Duration = Duration::from_secs(10);
    /// More than this is no lease.
    const MAX: Duration = Duration::from_secs(24 * 3600);
}

impl FromStr for Lease {
    type Err = InvalidLease;

    fn from_str(text: &str) -> Result<Self, InvalidLease> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|n: &u64| n.to_string() == digits).ok_or(InvalidLease)?;
        let unit = match &text[digits.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(InvalidLease),
        };
        let lease = Duration::from_secs(number.saturating_mul(unit));
        if (Self::MIN..=Self::MAX).contains(&lease) { Ok(Self(lease)) } else { Err(InvalidLease) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_included() {
        let LastDay(end) = "1970-01-01".parse().expect("a date");
        assert_eq!(end, Timestamp::from_unix_s(86_400));
        for bad in ["", "1970-1-1", "19700101", "1970-W01-1", "1970-02-30", "1970-01-01T00:00:00Z", "1969-01-01"] {
            assert!(bad.parse::<LastDay>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_lease_has_a_unit_and_two_ends() {
        for (text, seconds) in [("10s", 10), ("10m", 600), ("24h", 86_400)] {
            assert_eq!(text.parse::<Lease>().map(|lease| lease.0.as_secs()).ok(), Some(seconds), "{text}");
        }
        for bad in ["", "m", "10", "10 m", "9s", "25h", "-1m", "1.5h", "010m", "10d", "10mm", "99999999999999999999s"] {
            assert!(bad.parse::<Lease>().is_err(), "{bad:?}");
        }
    }
}
