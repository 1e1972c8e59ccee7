//! The other end of a connection, and who may be one.

use std::{fmt, net::SocketAddr, sync::Arc};

use crumb_attestors::x509_svid::{InvalidSvid, SvidFacts, Usage};
use crumb_token::{SpiffeId, Timestamp, TrustDomain};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// The SVID that the other end of a connection proved in the handshake.
///
/// It was good then. Handlers find it in a request's extensions and call [`crate::Workload::revalidate`] each time.
#[derive(Clone)]
pub struct PeerSvid {
    pub(crate) presented: Arc<Presented>,
    facts: Arc<SvidFacts>,
    addr: SocketAddr,
}

/// A chain as it was sent, with the digest that caches know it by.
pub(crate) struct Presented {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) usage: Usage,
    pub(crate) digest: [u8; 32],
}

impl Presented {
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, usage: Usage) -> Self {
        let mut hash = Sha256::new();
        hash.update([usage as u8]);
        for certificate in &chain {
            hash.update((certificate.len() as u64).to_be_bytes());
            hash.update(certificate);
        }
        Self { chain, usage, digest: hash.finalize().into() }
    }
}

impl PeerSvid {
    pub(crate) fn new(presented: Presented, facts: Arc<SvidFacts>, addr: SocketAddr) -> Self {
        Self { presented: Arc::new(presented), facts, addr }
    }

    /// Returns the SPIFFE ID.
    pub fn id(&self) -> &SpiffeId {
        &self.facts.id
    }

    /// Returns when the SVID ends; a token for this peer ends no later.
    pub fn expires_at(&self) -> Timestamp {
        self.facts.not_after
    }

    /// Returns the leaf's serial number, in lower-case hex.
    pub fn serial(&self) -> &str {
        &self.facts.serial
    }

    /// Returns the SHA-256 of the leaf's public key.
    pub fn spki_sha256(&self) -> &[u8; 32] {
        &self.facts.spki_sha256
    }

    /// Returns the network address; good for logs, never for decisions.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl fmt::Debug for PeerSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSvid")
            .field("id", self.id())
            .field("serial", &self.serial())
            .field("expires_at", &self.expires_at())
            .field("addr", &self.addr)
            .finish()
    }
}

/// Why the other end's SVID was refused in the handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedPeer {
    /// The chain proves nothing.
    #[error("the peer's certificate is not a valid SVID here")]
    Invalid(#[source] InvalidSvid),
    /// The SVID is good, and its ID is not one that may connect, or not the server that was dialled.
    #[error("the peer is {0}, which is not who may be here")]
    NotAdmitted(SpiffeId),
}

impl RefusedPeer {
    /// Returns a stable code for logs and metrics; the rule's own code when the chain proves nothing.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(rule) => rule.code(),
            Self::NotAdmitted(_) => "peer_not_admitted",
        }
    }
}

/// Who may connect to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peers {
    /// These workloads and nobody else. IDs of federated trust domains count too, when a bundle of theirs is held.
    Exactly(Vec<SpiffeId>),
    /// Any workload of our own trust domain.
    TrustDomain,
}

impl Peers {
    /// Returns the trust domains whose bundles count, for a workload of `local`.
    pub(crate) fn trust_domains(&self, local: &TrustDomain) -> Vec<TrustDomain> {
        match self {
            Self::TrustDomain => vec![local.clone()],
            Self::Exactly(ids) => {
                let mut domains: Vec<_> = ids.iter().map(SpiffeId::trust_domain).collect();
                domains.sort();
                domains.dedup();
                domains
            }
        }
    }

    /// Says whether a workload that proved `id` may connect.
    pub(crate) fn admit(&self, id: &SpiffeId, local: &TrustDomain) -> bool {
        match self {
            Self::TrustDomain => id.is_in(local),
            Self::Exactly(ids) => ids.contains(id),
        }
    }
}
