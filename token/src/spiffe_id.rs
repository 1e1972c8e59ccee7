//! SPIFFE IDs, in their one canonical spelling.
//!
//! Parsers in the field disagree: some lower-case the trust domain, some accept `..` as one, some a trailing newline.
//! An issuer needs one spelling per identity, so this parser takes only the canonical bytes and never repairs.
//!
//! Invariant: `id.as_str().parse::<SpiffeId>() == Ok(id)`, and identities are equal exactly when their bytes are.

use std::{fmt, str::FromStr};

/// A text that is not a canonical SPIFFE ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSpiffeId {
    /// Longer than [`SpiffeId::LEN_MAX`] bytes.
    #[error("longer than 2048 bytes")]
    TooLong,
    /// Does not begin with `spiffe://` in lower case.
    #[error("does not begin with spiffe://")]
    Scheme,
    /// The trust domain is empty, too long, or has a character or label that is not allowed.
    #[error("the trust domain is not canonical")]
    TrustDomain,
    /// The path has an empty or dot segment, a trailing slash, or a character that is not allowed.
    #[error("the path is not canonical")]
    Path,
    /// A workload identity needs a path; this is a trust domain.
    #[error("has no path, so it names a trust domain and not a workload")]
    NoPath,
}

/// The name of a trust domain, such as `acme.example`.
///
/// At most 255 bytes of `[a-z0-9._-]`, beginning and ending with a letter or digit, without an empty label; so it can
/// never be mistaken for a path segment.
///
/// Source: [SPIFFE-ID §2.1](https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#21-trust-domain).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Box<str>);

impl TrustDomain {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 255;

    /// Returns the name, without a scheme.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `spiffe://` and the name: the ID of the trust domain itself.
    pub fn to_id_text(&self) -> String {
        format!("spiffe://{}", self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidSpiffeId;

    fn from_str(s: &str) -> Result<Self, InvalidSpiffeId> {
        let bytes = s.as_bytes();
        let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = bytes.len() <= Self::LEN_MAX
            && bytes.first().is_some_and(edge)
            && bytes.last().is_some_and(edge)
            && bytes.iter().all(|b| edge(b) || matches!(b, b'.' | b'-' | b'_'))
            && !s.contains("..");
        if good { Ok(Self(s.into())) } else { Err(InvalidSpiffeId::TrustDomain) }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SPIFFE ID of a workload: a trust domain and a path, such as `spiffe://acme.example/agent/scout`.
///
/// Canonical, at most 2,048 bytes, always with a path.
///
/// Source: [SPIFFE-ID §2](https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#2-spiffe-identity).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Box<str>,
    path_at: usize,
}

impl SpiffeId {
    /// The longest ID, in bytes.
    pub const LEN_MAX: usize = 2048;
    const SCHEME: &'static str = "spiffe://";

    /// Returns the whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the path, with its leading slash.
    pub fn path(&self) -> &str {
        &self.text[self.path_at..]
    }

    /// Returns the trust domain's name.
    pub fn trust_domain(&self) -> TrustDomain {
        TrustDomain(self.text[Self::SCHEME.len()..self.path_at].into())
    }

    /// Says whether this ID is in `domain`.
    pub fn is_in(&self, domain: &TrustDomain) -> bool {
        self.text[Self::SCHEME.len()..self.path_at] == *domain.0
    }
}

fn is_path_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(s: &str) -> Result<Self, InvalidSpiffeId> {
        if s.len() > Self::LEN_MAX {
            return Err(InvalidSpiffeId::TooLong);
        }
        let rest = s.strip_prefix(Self::SCHEME).ok_or(InvalidSpiffeId::Scheme)?;
        let Some((domain, path)) = rest.split_once('/') else {
            domain_only(rest)?;
            return Err(InvalidSpiffeId::NoPath);
        };
        domain_only(domain)?;
        if !path.split('/').all(is_path_segment) {
            return Err(InvalidSpiffeId::Path);
        }
        Ok(Self { text: s.into(), path_at: Self::SCHEME.len() + domain.len() })
    }
}

fn domain_only(s: &str) -> Result<TrustDomain, InvalidSpiffeId> {
    s.parse()
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_canonical_form() {
        let id: SpiffeId = "spiffe://acme.example/ns/research/sa/bot_1-a.B".parse().expect("canonical");
        assert_eq!(id.trust_domain().as_str(), "acme.example");
        assert_eq!(id.path(), "/ns/research/sa/bot_1-a.B");
        assert!(id.is_in(&"acme.example".parse().expect("domain")));
    }

    #[test]
    fn refuses_every_other_spelling() {
        let long = format!("spiffe://td/{}", "a".repeat(2048));
        let domain_256 = format!("spiffe://{}/a", "a".repeat(256));
        for text in [
            "",
            "spiffe://",
            "spiffe:///a",
            "Spiffe://td/a",
            "SPIFFE://td/a",
            "http://td/a",
            "spiffe:/td/a",
            "spiffe://TD/a",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://td//a",
            "spiffe://td/a/",
            "spiffe://td/./a",
            "spiffe://td/../a",
            "spiffe://td/a/..",
            "spiffe://td/%61",
            "spiffe://t%64/a",
            "spiffe://td:80/a",
            "spiffe://u@td/a",
            "spiffe://td/a?b",
            "spiffe://td/a#b",
            "spiffe://td/a\n",
            "\nspiffe://td/a",
            " spiffe://td/a",
            "spiffe://td/a b",
            "spiffe://td/\u{e9}",
            "spiffe://\u{e9}/a",
            "spiffe://td/a\0",
            "spiffe://../a",
            "spiffe://./a",
            "spiffe://a..b/a",
            "spiffe://.td/a",
            "spiffe://td./a",
            "spiffe://-td/a",
            "spiffe://td_/a",
            "spiffe://td\\a",
            "spiffe://td/a\\b",
            &long,
            &domain_256,
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn refuses_every_byte_outside_the_charset() {
        for byte in 0u8..=127 {
            let c = char::from(byte);
            let path_ok = c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
            assert_eq!(format!("spiffe://td/a{c}b").parse::<SpiffeId>().is_ok(), path_ok, "path {c:?}");
            let domain_ok = c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
            let as_domain = format!("a{c}b").parse::<TrustDomain>().is_ok();
            assert_eq!(as_domain, domain_ok, "domain {c:?}");
        }
    }
}
