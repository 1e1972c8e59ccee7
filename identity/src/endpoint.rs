//! Where the Workload API is.
//!
//! Source: [SPIFFE Workload Endpoint §4](https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md#4-locating-the-endpoint).

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The address of a Workload API: a Unix socket, or a loopback TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Unix(PathBuf),
    Loopback(SocketAddr),
}

/// A text that is not the address of a Workload API that may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEndpoint {
    /// The environment variable is not there.
    #[error("{} is not set", Endpoint::VARIABLE)]
    NotSet,
    /// The environment variable is not UTF-8.
    #[error("{} is not text", Endpoint::VARIABLE)]
    NotText,
    /// Neither `unix:` nor `tcp:`.
    #[error("an endpoint begins with unix: or tcp:")]
    Scheme,
    /// Not an absolute path, an authority before it, or longer than a socket address holds.
    #[error("a unix endpoint is unix:///absolute/path of at most {} bytes", Endpoint::PATH_LEN_MAX)]
    Path,
    /// Not an IP address and port.
    #[error("a tcp endpoint is tcp://IP:PORT")]
    Address,
    /// TCP that is not loopback. The Workload API hands out private keys in the clear.
    #[error("a tcp endpoint has to be loopback: the workload api sends private keys unencrypted")]
    NotLoopback,
}

impl Endpoint {
    /// The environment variable that names the endpoint.
    pub const VARIABLE: &'static str = "SPIFFE_ENDPOINT_SOCKET";
    /// The longest socket path, in bytes: what `sockaddr_un` holds, less its final zero.
    pub const PATH_LEN_MAX: usize = 107;

    /// Reads the endpoint from [`Self::VARIABLE`].
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint::NotSet`] or [`InvalidEndpoint::NotText`], or what `FromStr` says about its text.
    pub fn from_env() -> Result<Self, InvalidEndpoint> {
        match std::env::var(Self::VARIABLE) {
            Ok(text) => text.parse(),
            Err(std::env::VarError::NotPresent) => Err(InvalidEndpoint::NotSet),
            Err(std::env::VarError::NotUnicode(_)) => Err(InvalidEndpoint::NotText),
        }
    }

    /// Makes the endpoint of a socket path.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint::Path`] when the path is relative, too long, or not UTF-8.
    pub fn at(path: &Path) -> Result<Self, InvalidEndpoint> {
        let text = path.to_str().ok_or(InvalidEndpoint::Path)?;
        let sound = path.is_absolute() && text.len() <= Self::PATH_LEN_MAX && !text.contains('\0');
        if sound { Ok(Self(Place::Unix(path.to_owned()))) } else { Err(InvalidEndpoint::Path) }
    }

    /// Returns the socket's path, when it is a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Unix(path) => Some(path),
            Place::Loopback(_) => None,
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(s: &str) -> Result<Self, InvalidEndpoint> {
        if let Some(rest) = s.strip_prefix("unix:") {
            // Workload Endpoint §4: for unix, "the URI authority component MUST NOT be set"; so after two slashes a third.
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let clean = path.starts_with('/') && !path.starts_with("//") && !path.contains(['?', '#']);
            return if clean { Self::at(Path::new(path)) } else { Err(InvalidEndpoint::Path) };
        }
        let address = s.strip_prefix("tcp://").ok_or(InvalidEndpoint::Scheme)?;
        let address: SocketAddr = address.parse().map_err(|_| InvalidEndpoint::Address)?;
        if address.ip().is_loopback() { Ok(Self(Place::Loopback(address))) } else { Err(InvalidEndpoint::NotLoopback) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
            Place::Loopback(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_unix_paths_and_loopback() {
        for (text, shown) in [
            ("unix:///run/spire/api.sock", "unix:///run/spire/api.sock"),
            ("unix:/run/spire/api.sock", "unix:///run/spire/api.sock"),
            ("tcp://127.0.0.1:8081", "tcp://127.0.0.1:8081"),
            ("tcp://[::1]:8081", "tcp://[::1]:8081"),
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).to_string(), shown);
        }
    }

    #[test]
    fn refuses_everything_else() {
        let long = format!("unix:///{}", "a".repeat(Endpoint::PATH_LEN_MAX));
        for (text, why) in [
            ("", InvalidEndpoint::Scheme),
            ("/run/spire/api.sock", InvalidEndpoint::Scheme),
            ("http://127.0.0.1:80", InvalidEndpoint::Scheme),
            ("unix://", InvalidEndpoint::Path),
            ("unix:run/api.sock", InvalidEndpoint::Path),
            ("unix://host/api.sock", InvalidEndpoint::Path),
            ("unix:////api.sock", InvalidEndpoint::Path),
            ("unix:///api.sock?x=1", InvalidEndpoint::Path),
            (&long, InvalidEndpoint::Path),
            ("tcp://localhost:8081", InvalidEndpoint::Address),
            ("tcp://127.0.0.1", InvalidEndpoint::Address),
            ("tcp://127.0.0.1:80/x", InvalidEndpoint::Address),
            ("tcp://10.0.0.1:8081", InvalidEndpoint::NotLoopback),
            ("tcp://0.0.0.0:8081", InvalidEndpoint::NotLoopback),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(why), "{text}");
        }
    }
}
