//! Who vouches for a server: the authorities of a file, or those of the machine.

use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::TlsConnector;

/// The longest file of authorities, in bytes: more than the whole web has.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// Authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableAuthorities {
    /// The file cannot be read.
    #[error("the authorities in {} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not PEM, a certificate that is no authority, or none at all.
    #[error("there is no list of certificates in {}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// The machine has none.
    #[error("the machine has no list of authorities; name a file of them")]
    None,
    /// TLS 1.3 is not to be had.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Where authorities come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// Those that the machine trusts for the web.
    Machine,
    /// Those of a PEM file, and nobody else.
    File(PathBuf),
}

impl Authorities {
    /// Takes those of a file when one is named.
    pub fn of(file: Option<&Path>) -> Self {
        file.map_or(Self::Machine, |path| Self::File(path.to_owned()))
    }

    /// Reads them, and makes what connects to servers that they vouch for.
    pub(super) fn connector(&self) -> Result<TlsConnector, UnusableAuthorities> {
        let roots = match self {
            Self::Machine => of_machine()?,
            Self::File(path) => of_file(path)?,
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn of_machine() -> Result<RootCertStore, UnusableAuthorities> {
    let mut roots = RootCertStore::empty();
    // A machine's list may hold certificates that are of no use here; one is enough to begin with.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(UnusableAuthorities::None) } else { Ok(roots) }
}

fn of_file(path: &Path) -> Result<RootCertStore, UnusableAuthorities> {
    let malformed = || UnusableAuthorities::Malformed { path: path.to_owned() };
    let pem = read(path).map_err(|source| UnusableAuthorities::Unreadable { path: path.to_owned(), source })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|_| malformed())?).map_err(|_| malformed())?;
    }
    if roots.is_empty() { Err(malformed()) } else { Ok(roots) }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FILE_LEN_MAX {
        return Err(io::Error::other(format!("is longer than {FILE_LEN_MAX} bytes")));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_files_without_a_certificate() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ca.pem");
        let of = |path: &Path| Authorities::of(Some(path)).connector().map(drop);
        assert!(matches!(of(&path), Err(UnusableAuthorities::Unreadable { .. })));
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            fs::write(&path, text).expect("a file of our own");
            assert!(matches!(of(&path), Err(UnusableAuthorities::Malformed { .. })), "{text:?}");
        }
        fs::write(&path, vec![b'a'; 1024 * 1024 + 1]).expect("a file of our own");
        assert!(matches!(of(&path), Err(UnusableAuthorities::Unreadable { .. })));
    }
}
