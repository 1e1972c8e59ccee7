//! How long things may live: the defaults, the caps, and the least that is of use.

use crumb_token::Timestamp;
use std::time::Duration;

/// How long a token lives when nobody says.
pub const TTL_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// The longest that any token lives.
pub const TTL_MAX: Duration = Duration::from_secs(60 * 60);
/// The shortest life of a token that is of use: a second on its way, and one in which it can be presented. More would
/// leave a gap before each renewal of an SVID that lives for seconds.
pub const TTL_MIN: Duration = Duration::from_secs(2);
/// How long a session lives when nobody says.
pub const SESSION_DEFAULT: Duration = Duration::from_secs(60 * 60);
/// The longest that any session lives: a working day.
pub const SESSION_MAX: Duration = Duration::from_secs(8 * 60 * 60);

/// Everything that ends a token's life.
#[derive(Debug, Clone, Copy)]
pub struct TokenEnds {
    /// What was asked; zero for the default.
    pub asked: Duration,
    /// What the agent's owner allows, when less than the broker does.
    pub manifest_max: Option<Duration>,
    /// The end of the session.
    pub session: Timestamp,
    /// The end of the caller's SVID.
    pub svid: Timestamp,
    /// The end of the agent's registration.
    pub registration: Option<Timestamp>,
}

/// Returns the end of a token issued `now`: the earliest that anything sets.
///
/// # Errors
///
/// How long it would live, when that is less than [`TTL_MIN`].
pub fn token_end(now: Timestamp, ends: TokenEnds) -> Result<Timestamp, Duration> {
    let asked = if ends.asked.is_zero() { TTL_DEFAULT } else { ends.asked };
    let ttl = asked.min(TTL_MAX).min(ends.manifest_max.unwrap_or(TTL_MAX));
    let end = now.plus(ttl).min(ends.session).min(ends.svid);
    let end = ends.registration.map_or(end, |registration| end.min(registration));
    let life = end.since(now);
    if life < TTL_MIN { Err(life) } else { Ok(end) }
}

/// Returns the end of a session opened `now`, never past its parent's or the agent's registration.
pub fn session_end(
    now: Timestamp,
    asked: Duration,
    parent: Option<Timestamp>,
    registration: Option<Timestamp>,
) -> Timestamp {
    let asked = if asked.is_zero() { SESSION_DEFAULT } else { asked };
    let end = now.plus(asked.min(SESSION_MAX));
    [parent, registration].into_iter().flatten().fold(end, Ord::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_s(1_000_000);

    fn ends() -> TokenEnds {
        let far = NOW.plus(Duration::from_secs(1_000_000));
        TokenEnds { asked: Duration::ZERO, manifest_max: None, session: far, svid: far, registration: None }
    }

    fn life(ends: TokenEnds) -> Option<u64> {
        token_end(NOW, ends).ok().map(|end| end.since(NOW).as_secs())
    }

    #[test]
    fn the_earliest_end_wins() {
        let s = Duration::from_secs;
        assert_eq!(life(ends()), Some(900));
        assert_eq!(life(TokenEnds { asked: s(60), ..ends() }), Some(60));
        assert_eq!(life(TokenEnds { asked: s(999_999), ..ends() }), Some(3600));
        assert_eq!(life(TokenEnds { asked: s(3600), manifest_max: Some(s(120)), ..ends() }), Some(120));
        assert_eq!(life(TokenEnds { session: NOW.plus(s(30)), ..ends() }), Some(30));
        assert_eq!(life(TokenEnds { svid: NOW.plus(s(20)), session: NOW.plus(s(30)), ..ends() }), Some(20));
        assert_eq!(life(TokenEnds { registration: Some(NOW.plus(s(10))), ..ends() }), Some(10));
    }

    #[test]
    fn refuses_a_life_too_short_to_be_of_use() {
        let s = Duration::from_secs;
        assert_eq!(life(TokenEnds { svid: NOW.plus(s(2)), ..ends() }), Some(2));
        assert_eq!(life(TokenEnds { svid: NOW.plus(s(1)), ..ends() }), None);
        assert_eq!(life(TokenEnds { session: Timestamp::from_unix_s(1), ..ends() }), None);
        assert_eq!(life(TokenEnds { asked: s(1), ..ends() }), None);
    }

    #[test]
    fn a_session_ends_with_its_parent_and_after_a_day_at_most() {
        let s = Duration::from_secs;
        assert_eq!(session_end(NOW, s(0), None, None), NOW.plus(SESSION_DEFAULT));
        assert_eq!(session_end(NOW, s(999_999), None, None), NOW.plus(SESSION_MAX));
        assert_eq!(session_end(NOW, s(60), Some(NOW.plus(s(30))), None), NOW.plus(s(30)));
        assert_eq!(session_end(NOW, s(60), None, Some(NOW.plus(s(20)))), NOW.plus(s(20)));
    }
}
