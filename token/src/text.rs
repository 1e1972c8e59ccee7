//! The one rule for free text that people wrote: bounded, and without characters that could act on a log or a terminal.

/// A text that is empty, too long, or holds a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidText {
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// Longer than the field's limit.
    #[error("is longer than {max} bytes")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// Has a character that its field does not allow.
    #[error("has a character that is not allowed here")]
    Character,
}

/// Accepts `s` when it has 1 to `max` bytes and only characters that `allowed` takes.
///
/// # Errors
///
/// [`InvalidText`], by the first rule that `s` breaks.
pub fn bounded(s: &str, max: usize, allowed: impl Fn(char) -> bool) -> Result<Box<str>, InvalidText> {
    if s.is_empty() {
        return Err(InvalidText::Empty);
    }
    if s.len() > max {
        return Err(InvalidText::TooLong { max });
    }
    if !s.chars().all(allowed) {
        return Err(InvalidText::Character);
    }
    Ok(s.into())
}

/// Takes what may stand in a sentence: no control characters, no bidirectional overrides, nothing that
/// Unicode says a reader need not see.
///
/// A person approves what is shown; these are the characters that make shown and stored differ.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Implements a newtype over a bounded text: `FromStr`, `as_str`, `Display`, and a `Debug` that shows it quoted.
#[macro_export]
macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $max:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The longest text, in bytes.
            pub const LEN_MAX: usize = $max;

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text::InvalidText;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                $crate::text::bounded(s, Self::LEN_MAX, $allowed).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_empty_long_and_controlling_text() {
        assert_eq!(bounded("", 4, is_printable), Err(InvalidText::Empty));
        assert_eq!(bounded("abcde", 4, is_printable), Err(InvalidText::TooLong { max: 4 }));
        for bad in ["a\nb", "a\u{1b}[1m", "a\u{202e}b", "a\u{200b}b", "a\u{feff}", "a\u{7f}"] {
            assert_eq!(bounded(bad, 40, is_printable), Err(InvalidText::Character), "{bad:?}");
        }
    }
}
