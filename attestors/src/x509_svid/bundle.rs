//! Bundles: the authorities of a trust domain, and the table of the bundles that are held.
//!
//! webpki takes a trust anchor as a name and a key, and asks nothing else of it. So an authority is read as a
//! certificate here, once, when the bundle arrives: one that could never sign an SVID is left out, and lifetime and path
//! length are kept beside the anchor.
//!
//! Invariant: bundles of different trust domains are never merged.

use std::{collections::BTreeMap, fmt};

use crumb_token::{Timestamp, TrustDomain};
use rustls_pki_types::{CertificateDer, TrustAnchor};

use super::{certificate::Certificate, invalid::InvalidSvid, signer};

/// The authorities of one trust domain.
#[derive(Clone)]
pub struct Bundle {
    trust_domain: TrustDomain,
    authorities: Vec<Authority>,
    /// Names of authorities that are in the bundle but can never be used; they only make a refusal more helpful.
    rejected_names: Vec<Vec<u8>>,
}

#[derive(Clone)]
pub(super) struct Authority {
    pub(super) anchor: TrustAnchor<'static>,
    pub(super) subject: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) path_len: Option<u32>,
}

/// An authority that was left out of a bundle, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the bundle, from 0.
    pub index: usize,
    /// The rule it breaks.
    pub why: InvalidSvid,
}

impl Bundle {
    /// The most authorities that are looked at. SPIRE holds two or three; an upstream PKI in migration, a dozen.
    pub const AUTHORITIES_MAX: usize = 64;

    /// Reads a bundle, and says which of its certificates can never be an authority.
    pub fn new(trust_domain: TrustDomain, certificates: &[CertificateDer<'_>]) -> (Self, Vec<Rejected>) {
        let mut bundle = Self { trust_domain, authorities: Vec::new(), rejected_names: Vec::new() };
        let mut rejected = Vec::new();
        for (index, der) in certificates.iter().enumerate() {
            if let Err(why) = bundle.add(index, der) {
                rejected.push(Rejected { index, why });
            }
        }
        (bundle, rejected)
    }

    fn add(&mut self, index: usize, der: &CertificateDer<'_>) -> Result<(), InvalidSvid> {
        if index >= Self::AUTHORITIES_MAX {
            return Err(InvalidSvid::ChainTooLong);
        }
        let certificate = Certificate::read(der)?;
        match Authority::new(&certificate, der, &self.trust_domain) {
            Ok(authority) => self.authorities.push(authority),
            Err(why) => {
                self.rejected_names.push(certificate.subject().to_vec());
                return Err(why);
            }
        }
        Ok(())
    }

    /// Returns the trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Returns how many authorities can be used at `now`.
    pub fn usable_at(&self, now: Timestamp) -> usize {
        self.at(now).count()
    }

    /// Yields the authorities that are valid at `now`.
    ///
    /// RFC 5280 lets a validator ignore the validity of an anchor; a bundle is short-lived on purpose, so it counts here.
    pub(super) fn at(&self, now: Timestamp) -> impl Iterator<Item = &Authority> {
        self.authorities.iter().filter(move |authority| authority.not_before <= now && now < authority.not_after)
    }

    /// Says whether the bundle has an authority of this name that cannot be used at `now`.
    pub(super) fn has_unusable(&self, name: &[u8], now: Timestamp) -> bool {
        let named = |authority: &&Authority| authority.subject == name;
        self.rejected_names.iter().any(|rejected| rejected == name)
            || (self.authorities.iter().any(|authority| named(&authority)) && !self.at(now).any(|a| named(&a)))
    }
}

impl Authority {
    fn new(certificate: &Certificate<'_>, der: &CertificateDer<'_>, domain: &TrustDomain) -> Result<Self, InvalidSvid> {
        certificate.check_form()?;
        signer::profile(certificate, domain)?;
        let anchor = webpki::anchor_from_trusted_cert(der).map_err(|_| InvalidSvid::Malformed)?.to_owned();
        Ok(Self {
            anchor,
            subject: certificate.subject().to_vec(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            path_len: certificate.basic_constraints()?.and_then(|constraints| constraints.path_len_constraint),
        })
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({}, {} authorities)", self.trust_domain, self.authorities.len())
    }
}

/// The bundles that are held, by trust domain.
#[derive(Clone, Debug, Default)]
pub struct Bundles(BTreeMap<TrustDomain, Bundle>);

impl Bundles {
    /// Returns the bundle of exactly this trust domain.
    pub fn get(&self, trust_domain: &TrustDomain) -> Option<&Bundle> {
        self.0.get(trust_domain)
    }

    /// Says whether there is no bundle at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many bundles there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<Bundle> for Bundles {
    /// Collects bundles. The last one of a trust domain replaces the others: they are never merged.
    fn from_iter<I: IntoIterator<Item = Bundle>>(bundles: I) -> Self {
        Self(bundles.into_iter().map(|bundle| (bundle.trust_domain.clone(), bundle)).collect())
    }
}
