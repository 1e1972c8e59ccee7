//! A subject token as somebody presented it.

use std::fmt;

use zeroize::Zeroizing;

use super::InvalidSubjectToken;

/// A subject token in text.
///
/// A secret: `Debug` prints its length, there is no `Display`, and the bytes are wiped on drop. Nothing about it has been
/// checked but its length.
#[derive(Clone)]
pub struct SubjectTokenText(Zeroizing<String>);

impl SubjectTokenText {
    /// The longest text accepted, in bytes. Tokens with a hundred groups come to about 5 KiB.
    pub const LEN_MAX: usize = 8 * 1024;

    /// Takes a text that somebody presented.
    ///
    /// # Errors
    ///
    /// [`InvalidSubjectToken::Missing`] when empty, [`InvalidSubjectToken::TooLarge`] past [`Self::LEN_MAX`].
    pub fn from_presented(text: &str) -> Result<Self, InvalidSubjectToken> {
        match text.len() {
            0 => Err(InvalidSubjectToken::Missing),
            n if n > Self::LEN_MAX => Err(InvalidSubjectToken::TooLarge),
            _ => Ok(Self(Zeroizing::new(text.to_owned()))),
        }
    }

    /// Returns the secret itself. Every caller is a place a token can leak; keep them few.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SubjectTokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectTokenText({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_the_secret() {
        let token = SubjectTokenText::from_presented("canary.canary.canary").expect("short");
        assert_eq!(format!("{token:?}"), "SubjectTokenText(20 bytes)");
    }

    #[test]
    fn refuses_empty_and_oversized_text() {
        let long = "A".repeat(SubjectTokenText::LEN_MAX + 1);
        assert_eq!(SubjectTokenText::from_presented("").err(), Some(InvalidSubjectToken::Missing));
        assert_eq!(SubjectTokenText::from_presented(&long).err(), Some(InvalidSubjectToken::TooLarge));
        assert!(SubjectTokenText::from_presented(&long[1..]).is_ok());
    }
}
