//! The secret that a webhook's events are signed with, after the Standard Webhooks specification.
//!
//! Source: [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

/// What a secret begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "whsec_";

/// A text that is no secret. It does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is whsec_ and 24 to 64 random bytes in base64")]
pub struct InvalidSecret;

/// A secret that signs events.
#[derive(Clone)]
pub struct SigningSecret {
    key: hmac::Key,
    len: usize,
}

impl SigningSecret {
    /// The fewest bytes.
    pub const LEN_MIN: usize = 24;
    /// The most bytes.
    pub const LEN_MAX: usize = 64;

    /// Signs a message: its number, the moment of sending in Unix seconds, and its body.
    pub fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(format!("{id}.{timestamp_s}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl FromStr for SigningSecret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| InvalidSecret)?);
        let len = bytes.len();
        if !(Self::LEN_MIN..=Self::LEN_MAX).contains(&len) {
            return Err(InvalidSecret);
        }
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), len })
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_s_own_example() {
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().expect("a secret");
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn refuses_what_is_too_short_too_long_or_no_secret() {
        let of = |len: usize| format!("whsec_{}", STANDARD.encode(vec![7; len]));
        for good in [24, 64] {
            assert!(of(good).parse::<SigningSecret>().is_ok());
        }
        for bad in [of(23), of(65), of(32)[6..].to_owned(), "whsec_".into(), "whsec_*".into(), String::new()] {
            assert!(bad.parse::<SigningSecret>().is_err(), "{} bytes", bad.len());
        }
    }

    #[test]
    fn debug_shows_its_length_only() {
        let secret: SigningSecret = format!("whsec_{}", STANDARD.encode([b'c'; 32])).parse().expect("a secret");
        assert_eq!(format!("{secret:?}"), "SigningSecret(32 bytes)");
    }
}
