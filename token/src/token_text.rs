//! A token as it travels in a header or a message.

use crate::{denial::Reason, profile};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fmt;
use zeroize::Zeroizing;

/// A token in base64url without padding.
///
/// A secret: `Debug` prints its length, there is no `Display`, and the bytes are wiped on drop. Nothing about it has been
/// checked but its length.
#[derive(Clone)]
pub struct TokenText(Zeroizing<String>);

impl TokenText {
    /// The longest text accepted, in bytes.
    pub const LEN_MAX: usize = profile::ACCEPTED_LEN_MAX.div_ceil(3) * 4;

    /// Takes a text that somebody presented.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenMissing`] when empty, [`Reason::TokenTooLarge`] past [`Self::LEN_MAX`].
    pub fn from_presented(text: &str) -> Result<Self, Reason> {
        Presented::new(text).map(|Presented(text)| Self(Zeroizing::new(text.to_owned())))
    }

    /// Writes token bytes as text.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Returns the secret itself. Every caller is a place a token can leak; keep them few.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the token's bytes.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenMalformed`] when the text is not canonical base64url without padding.
    pub fn decode(&self) -> Result<Zeroizing<Vec<u8>>, Reason> {
        Presented::from(self).decode()
    }
}

/// A token as it was received: a borrowed [`TokenText`], for whoever only looks at it.
#[derive(Clone, Copy)]
pub struct Presented<'a>(&'a str);

impl<'a> Presented<'a> {
    /// Takes a text that somebody presented.
    ///
    /// # Errors
    ///
    /// As [`TokenText::from_presented`].
    pub fn new(text: &'a str) -> Result<Self, Reason> {
        match text.len() {
            0 => Err(Reason::TokenMissing),
            n if n > TokenText::LEN_MAX => Err(Reason::TokenTooLarge),
            _ => Ok(Self(text)),
        }
    }

    /// Returns the text's bytes: the secret itself.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// Returns the token's bytes.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenMalformed`] when the text is not canonical base64url without padding.
    pub fn decode(self) -> Result<Zeroizing<Vec<u8>>, Reason> {
        URL_SAFE_NO_PAD.decode(self.0).map(Zeroizing::new).map_err(|_| Reason::TokenMalformed)
    }
}

impl<'a> From<&'a TokenText> for Presented<'a> {
    fn from(token: &'a TokenText) -> Self {
        Self(&token.0)
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Presented({} bytes)", self.0.len())
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenText({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_the_secret() {
        let token = TokenText::from_bytes(b"canary-canary");
        assert_eq!(format!("{token:?}"), "TokenText(18 bytes)");
    }

    #[test]
    fn refuses_empty_oversized_padded_and_foreign_text() {
        assert_eq!(TokenText::from_presented("").err(), Some(Reason::TokenMissing));
        let long = "A".repeat(TokenText::LEN_MAX + 1);
        assert_eq!(TokenText::from_presented(&long).err(), Some(Reason::TokenTooLarge));
        for bad in ["AA==", "A+/A", "AAB", "A A A", "\u{e9}AAA"] {
            let token = TokenText::from_presented(bad).expect("length is fine");
            assert_eq!(token.decode().err(), Some(Reason::TokenMalformed), "{bad}");
        }
    }
}
