//! The one tool server that a token is good for.

use crate::SpiffeId;
use std::{fmt, str::FromStr};

/// A text that names no audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an audience is a SPIFFE ID, or an https URI of at most 512 bytes without fragment, query, user or port 0")]
pub struct InvalidAudience;

/// A SPIFFE ID or an `https` resource URI, compared as bytes.
///
/// Source: [RFC 8707 §2](https://www.rfc-editor.org/rfc/rfc8707#section-2): "an absolute URI, as specified by Section 4.3
/// of \[RFC3986\] ... MUST NOT include a fragment component".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Audience(Box<str>);

impl Audience {
    /// The longest audience, in bytes.
    pub const LEN_MAX: usize = 512;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_https_resource(s: &str) -> bool {
    let Some(rest) = s.strip_prefix("https://") else { return false };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p)));
    let host_ok = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
        && !host.starts_with(['.', '-'])
        && !host.contains("..");
    let port_ok = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n != 0 && n.to_string() == p));
    let path_ok = path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~' | b'/'))
        && path.split('/').all(|segment| !matches!(segment, "." | ".."))
        && !path.contains("//")
        && !path.starts_with('/');
    host_ok && port_ok && path_ok
}

impl FromStr for Audience {
    type Err = InvalidAudience;

    fn from_str(s: &str) -> Result<Self, InvalidAudience> {
        let good = s.len() <= Self::LEN_MAX && (SpiffeId::from_str(s).is_ok() || is_https_resource(s));
        if good { Ok(Self(s.into())) } else { Err(InvalidAudience) }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_spiffe_ids_and_https_resources() {
        for good in [
            "spiffe://acme.example/tool/files",
            "https://tools.acme.example/mcp",
            "https://a.example:8443",
            "https://a.example/",
        ] {
            assert!(good.parse::<Audience>().is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_what_has_two_spellings_or_no_host() {
        for bad in [
            "",
            "http://a.example",
            "https://",
            "https://A.example",
            "https://a.example#x",
            "https://a.example?x",
            "https://u@a.example",
            "https://a.example:0",
            "https://a.example:080",
            "https://a.example/a/../b",
            "https://a.example//b",
            "https://a.example/%41",
            "spiffe://td",
            "a.example",
        ] {
            assert!(bad.parse::<Audience>().is_err(), "{bad:?}");
        }
    }
}
