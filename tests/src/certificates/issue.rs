//! Issuing: authorities, intermediates and leaves that keep every rule until a test changes one thing.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

/// How long test certificates live unless a test says otherwise.
const LIFE: Duration = Duration::hours(1);

/// An authority: its certificate, and the key to issue with.
#[derive(Debug)]
pub struct Authority {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// What signs.
    pub issuer: Issuer<'static, KeyPair>,
}

/// A leaf with what was sent along, and its key.
#[derive(Debug)]
pub struct Chain {
    /// Leaf first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: KeyPair,
}

impl Chain {
    /// Sends another certificate along.
    #[must_use]
    pub fn with(mut self, certificate: &CertificateDer<'static>) -> Self {
        self.certificates.push(certificate.clone());
        self
    }

    /// Returns all certificates, concatenated.
    pub fn der(&self) -> Vec<u8> {
        self.certificates.iter().flat_map(|one| one.to_vec()).collect()
    }
}

/// Makes a URI name.
///
/// # Panics
///
/// When it is not ASCII.
pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

/// Moves a lifetime into the past: it ended a minute ago.
pub fn expire(params: &mut CertificateParams) {
    params.not_before -= LIFE;
    params.not_after -= LIFE + Duration::minutes(1);
}

/// Makes a key of the usual kind.
///
/// # Panics
///
/// When the system has no randomness.
pub fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("randomness")
}

/// Returns what a good leaf has.
pub fn leaf_params(id: &str) -> CertificateParams {
    let mut params = params("workload");
    params.subject_alt_names = vec![uri(id)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Returns what a good authority has; `name` tells it apart.
pub fn authority_params(name: &str, domain: Option<&str>) -> CertificateParams {
    let mut params = params(name);
    params.subject_alt_names = domain.map(|domain| uri(&format!("spiffe://{domain}"))).into_iter().collect();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(name: &str) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "crumb tests");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - Duration::minutes(1);
    params.not_after = now + LIFE;
    params
}

impl Authority {
    /// Makes a root.
    ///
    /// # Panics
    ///
    /// When the parameters make no certificate.
    pub fn root(params: CertificateParams) -> Self {
        let key = key();
        let der = params.self_signed(&key).expect("a certificate").der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }

    /// Makes an intermediate below this one.
    ///
    /// # Panics
    ///
    /// When the parameters make no certificate.
    pub fn intermediate(&self, params: CertificateParams) -> Self {
        let key = key();
        let der = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }

    /// Makes a leaf with a key of the usual kind.
    pub fn leaf(&self, params: &CertificateParams) -> Chain {
        self.leaf_with(params, key())
    }

    /// Makes a leaf for this key.
    ///
    /// # Panics
    ///
    /// When the parameters make no certificate.
    pub fn leaf_with(&self, params: &CertificateParams, key: KeyPair) -> Chain {
        let der = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        Chain { certificates: vec![der], key }
    }

    /// Makes a good leaf.
    pub fn svid(&self, id: &str) -> Chain {
        self.leaf(&leaf_params(id))
    }
}
