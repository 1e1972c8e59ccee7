//! An address that the configuration names: where an issuer is, or where it publishes its keys.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Scheme};

/// A text that is not a plain https address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHttpsUrl {
    /// Longer than [`HttpsUrl::LEN_MAX`] bytes.
    #[error("the address has more than 512 bytes")]
    TooLong,
    /// Not an absolute URL.
    #[error("the address is not an absolute URL")]
    Malformed,
    /// Another scheme. What comes without TLS comes from anybody.
    #[error("the address is not https")]
    NotHttps,
    /// A user name or password, a wildcard, or a fragment.
    #[error("the address has a user name, a wildcard or a fragment")]
    Extra,
}

/// An https address, as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpsUrl(Box<str>);

impl HttpsUrl {
    /// The longest address, in bytes.
    pub const LEN_MAX: usize = 512;

    /// Returns the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HttpsUrl {
    type Err = InvalidHttpsUrl;

    fn from_str(text: &str) -> Result<Self, InvalidHttpsUrl> {
        if text.len() > Self::LEN_MAX {
            return Err(InvalidHttpsUrl::TooLong);
        }
        if text.contains(['@', '*', '#', '\\', '%']) {
            return Err(InvalidHttpsUrl::Extra);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidHttpsUrl::Malformed)?;
        if uri.scheme() != Some(&Scheme::HTTPS) || !text.starts_with("https://") {
            return Err(if uri.scheme().is_some() { InvalidHttpsUrl::NotHttps } else { InvalidHttpsUrl::Malformed });
        }
        // A port that cannot be read is no port, and would be taken for the usual one.
        let authority = uri.authority().ok_or(InvalidHttpsUrl::Malformed)?;
        let port = authority.as_str().rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        if authority.host().is_empty() || (port.is_some() && authority.port_u16().is_none_or(|port| port == 0)) {
            return Err(InvalidHttpsUrl::Malformed);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_https_addresses_as_they_are_written() {
        for text in
            ["https://login.acme.example", "https://a.example/", "https://a.example:8443/keys?v=2", "https://[::1]/k"]
        {
            assert_eq!(text.parse::<HttpsUrl>().as_ref().map(HttpsUrl::as_str), Ok(text));
        }
    }

    #[test]
    fn refuses_every_other_address() {
        let cases = [
            ("http://a.example", InvalidHttpsUrl::NotHttps),
            ("HTTPS://a.example", InvalidHttpsUrl::NotHttps),
            ("ftp://a.example/k", InvalidHttpsUrl::NotHttps),
            ("a.example", InvalidHttpsUrl::Malformed),
            ("/keys", InvalidHttpsUrl::Malformed),
            ("", InvalidHttpsUrl::Malformed),
            ("https://", InvalidHttpsUrl::Malformed),
            ("https://:443/", InvalidHttpsUrl::Malformed),
            ("https://a.example:99999/", InvalidHttpsUrl::Malformed),
            ("https://a example/", InvalidHttpsUrl::Malformed),
            ("https://a.example/\n", InvalidHttpsUrl::Malformed),
            ("https://me:pw@a.example/", InvalidHttpsUrl::Extra),
            ("https://*.example/", InvalidHttpsUrl::Extra),
            ("https://a.example/#f", InvalidHttpsUrl::Extra),
            ("https://a.example\\@b.example/", InvalidHttpsUrl::Extra),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<HttpsUrl>(), Err(why), "{text:?}");
        }
        let long = format!("https://a.example/{}", "a".repeat(HttpsUrl::LEN_MAX));
        assert_eq!(long.parse::<HttpsUrl>(), Err(InvalidHttpsUrl::TooLong));
    }
}
