//! When an ask is decided, in the three forms that rules want: seconds, hour and weekday, all UTC.

use crumb_token::Timestamp;
use serde::{Deserialize, Serialize};

const DAY_S: u64 = 86_400;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A moment. The three forms always agree: the only way in is the timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Moment {
    unix_s: u64,
    hour_utc: u8,
    weekday: Weekday,
}

/// A moment as a file has it: hour and weekday may be left out, and must be right when they are there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    unix_s: u64,
    hour_utc: Option<u8>,
    weekday: Option<Weekday>,
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
        let unix_s = at.as_unix_s();
        // The epoch was a Thursday.
        let weekday = match unix_s / DAY_S % 7 {
            0 => Thursday,
            1 => Friday,
            2 => Saturday,
            3 => Sunday,
            4 => Monday,
            5 => Tuesday,
            _ => Wednesday,
        };
        let hour_utc = u8::try_from(unix_s % DAY_S / 3600).unwrap_or_default();
        Self { unix_s, hour_utc, weekday }
    }
}

impl TryFrom<Written> for Moment {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let moment = Self::from(Timestamp::from_unix_s(written.unix_s));
        let agrees = written.hour_utc.is_none_or(|h| h == moment.hour_utc)
            && written.weekday.is_none_or(|d| d == moment.weekday);
        if agrees { Ok(moment) } else { Err("hour_utc and weekday are not those of unix_s") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hour_and_weekday_follow_from_the_seconds() {
        let moment = Moment::from(Timestamp::from_unix_s(1_700_000_000));
        assert_eq!((moment.hour_utc, moment.weekday), (22, Weekday::Tuesday));
        assert_eq!(Moment::from(Timestamp::from_unix_s(0)).weekday, Weekday::Thursday);
    }

    #[test]
    fn refuses_an_hour_that_is_not_that_of_the_seconds() {
        assert!(serde_json::from_str::<Moment>(r#"{"unix_s": 1700000000}"#).is_ok());
        for bad in [
            r#"{"unix_s": 1700000000, "hour_utc": 9}"#,
            r#"{"unix_s": 1700000000, "weekday": "monday"}"#,
            r#"{"unix_s": 1700000000, "zone": "UTC"}"#,
            r#"{"hour_utc": 9}"#,
        ] {
            assert!(serde_json::from_str::<Moment>(bad).is_err(), "{bad}");
        }
    }
}
