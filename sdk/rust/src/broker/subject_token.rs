//! A token of an identity provider that proves a person, on its way to the broker.
//!
//! It is apart from the token of Crumb: nobody here reads it. The broker checks it, and keeps who it names and not the token.

use std::fmt;
use zeroize::Zeroizing;

/// What cannot be a subject token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSubjectToken {
    /// There is nothing.
    #[error("the token is empty")]
    Missing,
    /// More than the broker takes.
    #[error("the token is longer than {} bytes", SubjectToken::LEN_MAX)]
    TooLarge,
    /// A token has neither spaces nor line ends in it.
    #[error("the token has characters that no token has")]
    NotText,
}

/// A token that proves the user of an origin, or who approves.
///
/// A secret: `Debug` prints its length, there is no `Display`, and the bytes are wiped on drop. Nothing about it has been
/// checked but its length and its letters.
#[derive(Clone)]
pub struct SubjectToken(Zeroizing<String>);

impl SubjectToken {
    /// The longest text accepted, in bytes; the broker takes no longer one.
    pub const LEN_MAX: usize = 8 * 1024;

    /// Takes a text that somebody presented.
    ///
    /// # Errors
    ///
    /// [`InvalidSubjectToken`].
    pub fn from_presented(text: &str) -> Result<Self, InvalidSubjectToken> {
        match text.len() {
            0 => Err(InvalidSubjectToken::Missing),
            n if n > Self::LEN_MAX => Err(InvalidSubjectToken::TooLarge),
            _ if !text.bytes().all(|b| b.is_ascii_graphic()) => Err(InvalidSubjectToken::NotText),
            _ => Ok(Self(Zeroizing::new(text.to_owned()))),
        }
    }

    /// Returns the secret itself. Every caller is a place a token can leak; keep them few.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectToken({} bytes)", self.0.len())
    }
}

/// Writes a token that may be absent for the wire, where an empty text is none.
pub(crate) fn exposed(token: Option<&SubjectToken>) -> String {
    token.map(|token| token.expose().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_its_length_and_nothing_else() {
        let token = SubjectToken::from_presented("canary").expect("text");
        assert_eq!(format!("{token:?}"), "SubjectToken(6 bytes)");
    }

    #[test]
    fn refuses_what_no_token_is() {
        let reason = |text: &str| SubjectToken::from_presented(text).err();
        assert_eq!(reason(""), Some(InvalidSubjectToken::Missing));
        assert_eq!(reason(&"a".repeat(SubjectToken::LEN_MAX + 1)), Some(InvalidSubjectToken::TooLarge));
        for text in ["two words", "a\n", "tökén"] {
            assert_eq!(reason(text), Some(InvalidSubjectToken::NotText), "{text}");
        }
    }
}
