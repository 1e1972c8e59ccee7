//! An address that the configuration names and the broker sends to.
//!
//! The path and the query of an address are secret at many receivers, so neither is ever shown.

use super::origin_form;
use crumb_attestors::subject_token::HttpsUrl;
use http::{HeaderValue, Uri};
use rustls_pki_types::ServerName;
use std::{fmt, net::IpAddr, str::FromStr};

/// A text that is no address to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDestination {
    /// Longer than [`Destination::LEN_MAX`] bytes.
    #[error("an address has at most 1024 bytes")]
    TooLong,
    /// No address, or one with a user name, a fragment, or characters that no address has.
    #[error("an address is https://host/path, without user name or fragment")]
    Malformed,
    /// Without TLS, to another machine.
    #[error("an address is https, or http on this machine (127.0.0.1, [::1] or localhost)")]
    NotHttps,
}

/// Where to send to: a server, and what is asked of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    host: String,
    port: u16,
    /// The name that the server has to prove; `None` without TLS.
    name: Option<ServerName<'static>>,
    host_header: HeaderValue,
    target: Uri,
}

impl Destination {
    /// The longest address, in bytes.
    pub const LEN_MAX: usize = 1024;

    /// Returns where to connect.
    pub(super) fn socket(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.name.as_ref()
    }

    pub(super) fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    pub(super) fn target(&self) -> &Uri {
        &self.target
    }
}

impl FromStr for Destination {
    type Err = InvalidDestination;

    fn from_str(text: &str) -> Result<Self, InvalidDestination> {
        if text.len() > Self::LEN_MAX {
            return Err(InvalidDestination::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['@', '#', '\\', '*']) {
            return Err(InvalidDestination::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidDestination::Malformed)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(InvalidDestination::NotHttps),
            None => return Err(InvalidDestination::Malformed),
        };
        let authority = uri.authority().ok_or(InvalidDestination::Malformed)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if !tls && !is_this_machine(host) {
            return Err(InvalidDestination::NotHttps);
        }
        let written = authority.as_str().rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let port = match (written, authority.port_u16()) {
            (Some(_), Some(port)) if port > 0 => port,
            (Some(_), _) => return Err(InvalidDestination::Malformed),
            (None, _) => {
                if tls {
                    443
                } else {
                    80
                }
            }
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| InvalidDestination::Malformed)?;
        Ok(Self {
            host: host.to_owned(),
            port,
            name: tls.then_some(name),
            host_header: HeaderValue::from_str(authority.as_str()).map_err(|_| InvalidDestination::Malformed)?,
            target: origin_form(&uri).ok_or(InvalidDestination::Malformed)?,
        })
    }
}

impl TryFrom<&HttpsUrl> for Destination {
    type Error = InvalidDestination;

    fn try_from(url: &HttpsUrl) -> Result<Self, InvalidDestination> {
        url.as_str().parse()
    }
}

/// Says whether a host is written as this machine. A name that then leads elsewhere is refused once it is known where.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.name.is_some() { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}://{host}:{}", self.port)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({self}, path not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_to_connect_and_what_to_ask() {
        for (text, shown, target) in [
            ("https://hooks.acme.example/crumb?key=%2Fa", "https://hooks.acme.example:443", "/crumb?key=%2Fa"),
            ("https://hooks.acme.example:8443", "https://hooks.acme.example:8443", "/"),
            ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443", "/a"),
            ("http://127.0.0.1:9000/a", "http://127.0.0.1:9000", "/a"),
            ("http://[::1]/a", "http://[::1]:80", "/a"),
            ("http://localhost:9000/", "http://localhost:9000", "/"),
        ] {
            let to: Destination = text.parse().expect(text);
            assert_eq!((to.to_string().as_str(), to.target().to_string().as_str()), (shown, target));
        }
    }

    #[test]
    fn refuses_what_is_not_https_unless_it_is_this_machine() {
        use InvalidDestination::{Malformed, NotHttps, TooLong};
        for (text, why) in [
            ("http://hooks.acme.example/", NotHttps),
            ("http://10.0.0.1/", NotHttps),
            ("http://127.0.0.1.acme.example/", NotHttps),
            ("http://localhost.acme.example/", NotHttps),
            ("ftp://hooks.acme.example/", NotHttps),
            ("hooks.acme.example", Malformed),
            ("", Malformed),
            ("https://", Malformed),
            ("https://me:pw@hooks.acme.example/", Malformed),
            ("https://hooks.acme.example/#f", Malformed),
            ("https://hooks.acme.example/a b", Malformed),
            ("https://*.acme.example/", Malformed),
            ("https://hooks.acme.example:0/", Malformed),
            ("https://hooks.acme.example:99999/", Malformed),
        ] {
            assert_eq!(text.parse::<Destination>(), Err(why), "{text}");
        }
        assert_eq!(format!("https://a.example/{}", "a".repeat(1024)).parse::<Destination>(), Err(TooLong));
    }

    #[test]
    fn neither_path_nor_query_is_shown() {
        let to: Destination = "https://hooks.acme.example/services/canary?sig=canary".parse().expect("an address");
        assert!(!format!("{to} {to:?}").contains("canary"));
    }
}
