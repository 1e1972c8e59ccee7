//! Spans of time as people write and read them: `90s`, `5m`, `1h`.

use std::time::Duration;

/// Reads a number with its unit: s, m or h. A number alone is seconds.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let (number, unit_s) = match text.strip_suffix(['s', 'm', 'h']) {
        None => (text, 1),
        Some(number) if text.ends_with('h') => (number, 3600),
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) => (number, 1),
    };
    let wrong = || "is written 90s, 5m or 1h, and is more than nothing".to_owned();
    let number: u64 =
        if number.bytes().all(|b| b.is_ascii_digit()) { number.parse().ok() } else { None }.ok_or_else(wrong)?;
    let seconds = number.checked_mul(unit_s).filter(|seconds| (1..=u64::from(u32::MAX)).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// Writes a span in its largest unit, rounded down.
pub(crate) fn in_words(span: Duration) -> String {
    match span.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h", 3600), ("45", 45)] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_span() {
        for text in ["", "0", "0m", "m", "-5s", "+5s", "5 m", "5d", "1.5h", "99999999999h", "18446744073709551615h"] {
            assert!(span(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn writes_one_unit() {
        let words = |s: u64| in_words(Duration::from_secs(s));
        assert_eq!((words(90), words(600), words(7200)), ("90 s".into(), "10 min".into(), "2 h".into()));
    }
}
