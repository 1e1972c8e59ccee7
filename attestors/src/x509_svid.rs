//! X.509-SVIDs: from a peer's certificate chain to the SPIFFE ID that it proves.
//!
//! [`validate`] is the one check in the house. The TLS handshake calls it, and every request on a connection that lives
//! on calls it again, so a chain can never be good for one and bad for the other. The signatures are rustls-webpki's
//! work; what webpki leaves out (trust anchors have no validity, key usage or path length there, intermediates may
//! carry any name) is checked here, on the path that it found.
//!
//! # Invariants
//!
//! - The trust domain comes from the leaf before any path is built, and only that domain's own bundle is used.
//! - Names are compared as they are written. A SPIFFE ID that is not canonical is refused, never repaired.
//! - Pure and bounded: no clock, no I/O; at most [`CHAIN_LEN_MAX`] certificates and [`CHAIN_BYTES_MAX`] bytes.
//!
//! # What it does not do
//!
//! No revocation lists: the Workload API carries none that SPIRE fills; withdrawal is by short lifetimes and bundles. No
//! proof of possession: that is the TLS signature. No authorisation: an ID that is proved is not yet welcome.

mod bundle;
mod certificate;
mod invalid;
mod leaf;
mod path;
mod signer;

use std::fmt;

use crumb_token::{SpiffeId, Timestamp, TrustDomain};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use certificate::Certificate;

pub use bundle::{Bundle, Bundles, Rejected};
pub use invalid::InvalidSvid;

/// The most certificates in a chain: a leaf, the six intermediates that webpki follows, and the root some issuers add.
pub const CHAIN_LEN_MAX: usize = 8;

/// The largest chain, in bytes of DER: eight certificates with RSA-4096 keys and signatures, twice over.
pub const CHAIN_BYTES_MAX: usize = 32 * 1024;

/// What the peer does with its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// It dials us.
    Client,
    /// We dial it.
    Server,
}

/// What a valid chain proves.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SvidFacts {
    /// The SPIFFE ID of the leaf.
    pub id: SpiffeId,
    /// When the leaf begins to be valid.
    pub not_before: Timestamp,
    /// When the leaf ends; from this second on it is refused.
    pub not_after: Timestamp,
    /// From when the whole path is valid: the latest `notBefore` of leaf, intermediates and authority.
    pub path_not_before: Timestamp,
    /// When the path ends: the earliest `notAfter` of leaf, intermediates and authority. Another path may go on.
    pub path_not_after: Timestamp,
    /// The leaf's serial number, in lower-case hex.
    pub serial: String,
    /// SHA-256 of the leaf's public key (its SubjectPublicKeyInfo, DER).
    pub spki_sha256: [u8; 32],
}

impl SvidFacts {
    /// Says whether the path that was found is good at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.path_not_before <= now && now < self.path_not_after
    }
}

impl fmt::Debug for SvidFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, serial, not_after, .. } = self;
        f.debug_struct("SvidFacts").field("id", id).field("serial", serial).field("not_after", not_after).finish()
    }
}

/// Checks a peer's chain, leaf first, and says what it proves.
///
/// `allowed` are the trust domains that this end talks to; a bundle that we happen to hold for another one does not
/// count. `now` has no leeway: issuers back-date (SPIRE by 10 s).
///
/// Source: [X509-SVID §5](https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md#5-validation).
///
/// # Errors
///
/// One [`InvalidSvid`] per rule; the first rule that is broken, in this order: shape, leaf, trust domain, time, path.
pub fn validate(
    chain: &[CertificateDer<'_>],
    bundles: &Bundles,
    allowed: &[TrustDomain],
    usage: Usage,
    now: Timestamp,
) -> Result<SvidFacts, InvalidSvid> {
    let certificates = parse(chain)?;
    let (leaf, others) = certificates.split_first().ok_or(InvalidSvid::EmptyChain)?;
    let id = leaf::identity(leaf)?;
    leaf::profile(leaf, usage)?;
    // SPIFFE Trust Domain and Bundle §3: a bundle is looked up by the trust domain of the SVID.
    let domain = id.trust_domain();
    if !allowed.contains(&domain) {
        return Err(InvalidSvid::ForeignTrustDomain);
    }
    let bundle = bundles.get(&domain).ok_or(InvalidSvid::NoBundle)?;
    leaf::lifetime(leaf, now)?;
    let span = path::find(leaf, others, bundle, usage, now, &id)?;
    Ok(SvidFacts {
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        path_not_before: span.not_before,
        path_not_after: span.not_after,
        serial: leaf.serial_hex(),
        spki_sha256: Sha256::digest(leaf.spki()).into(),
        id,
    })
}

/// What a leaf says about itself. Nothing proves it: for our own SVID, which the Workload API hands us.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnverifiedLeaf {
    /// The SPIFFE ID.
    pub id: SpiffeId,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

impl UnverifiedLeaf {
    /// Reads a leaf, and checks nothing but its name.
    ///
    /// # Errors
    ///
    /// [`InvalidSvid::Malformed`] and the rules about extensions when it cannot be read, those about the URI name when
    /// that is not one canonical SPIFFE ID with a path.
    pub fn parse(leaf: &CertificateDer<'_>) -> Result<Self, InvalidSvid> {
        let leaf = Certificate::parse(leaf)?;
        Ok(Self { id: leaf::identity(&leaf)?, not_before: leaf.not_before(), not_after: leaf.not_after() })
    }
}

fn parse<'a>(chain: &'a [CertificateDer<'_>]) -> Result<Vec<Certificate<'a>>, InvalidSvid> {
    if chain.len() > CHAIN_LEN_MAX {
        return Err(InvalidSvid::ChainTooLong);
    }
    if chain.iter().map(|der| der.len()).sum::<usize>() > CHAIN_BYTES_MAX {
        return Err(InvalidSvid::ChainTooLarge);
    }
    chain.iter().map(|der| Certificate::parse(der)).collect()
}
