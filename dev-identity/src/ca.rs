//! One certificate authority, in memory, and the X.509-SVIDs it makes.
//!
//! Certificates have the shape of X509-SVID §2-4 to the letter, so that what works here works with SPIRE. The key of the
//! authority never leaves its [`Ca`]; the key of an SVID leaves with it and is kept nowhere.

use std::{fmt, time::Duration};

use crumb_token::{SpiffeId, Timestamp, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// Certificates are valid a little before they are made, for peers whose clocks lag. SPIRE takes the same ten seconds.
const BACKDATED: Duration = Duration::from_secs(10);

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotIssue {
    /// Key generation or signing failed.
    #[error("the key or the certificate could not be made")]
    Crypto(#[from] rcgen::Error),
    /// The end of validity cannot be written in a certificate.
    #[error("the validity lies outside what a certificate can say")]
    Validity,
}

/// An authority of the trust domain.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
    pub(crate) made_at: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("made_at", &self.made_at).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// An X.509-SVID with its key.
pub(crate) struct Svid {
    /// The leaf, DER; the authority signs it directly, so the chain has no more.
    pub(crate) chain: Vec<u8>,
    /// PKCS#8 DER.
    pub(crate) key: Zeroizing<Vec<u8>>,
}

impl Ca {
    /// Makes an authority that is valid for `ttl`; `number` tells it from the others in the bundle.
    pub(crate) fn new(domain: &TrustDomain, number: u64, now: Timestamp, ttl: Duration) -> Result<Self, CannotIssue> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let not_after = now.plus(ttl);
        let mut params = params(&domain.to_id_text(), now, not_after)?;
        params.distinguished_name.push(DnType::CommonName, format!("development authority {number}"));
        // X509-SVID §4.1: "Signing certificates MUST set the `cA` field to `true`, and leaf certificates MUST set the `cA`
        // field to `false`."
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // §4.3: "SVID signing certificates MUST set `keyCertSign`."
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let der = params.self_signed(&key)?.der().to_vec();
        Ok(Self { issuer: Issuer::new(params, key), der, made_at: now, not_after })
    }

    /// Returns the authority's own certificate, DER.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Makes an SVID with a fresh key, valid for `ttl` and never past the authority.
    pub(crate) fn issue(&self, id: &SpiffeId, now: Timestamp, ttl: Duration) -> Result<Svid, CannotIssue> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(id.as_str(), now, now.plus(ttl).min(self.not_after))?;
        // §4.1, above. `NoCa` would leave the extension out, and verifiers want to read that it is no authority.
        params.is_ca = IsCa::ExplicitNoCa;
        // §4.3: "The key usage extension MUST be set on all SVIDs, and MUST be marked critical." (`rcgen` marks it.)
        // "Leaf SVIDs MUST set `digitalSignature`."
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // §4.4: "When included, fields `id-kp-serverAuth` and `id-kp-clientAuth` MUST be set."
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Svid { chain: leaf.der().to_vec(), key: Zeroizing::new(key.serialize_der()) })
    }
}

fn params(id: &str, now: Timestamp, not_after: Timestamp) -> Result<CertificateParams, CannotIssue> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Crumb development, not for production");
    // X509-SVID §2: "An X.509 SVID MUST contain exactly one URI SAN, and by extension, exactly one SPIFFE ID."
    // §3.1 and §3.2: a leaf's ID has a path, a signing certificate's has none; the two types see to it.
    params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
    let not_before = Timestamp::from_unix_s(now.as_unix_s().saturating_sub(BACKDATED.as_secs()));
    params.not_before = moment(not_before)?;
    params.not_after = moment(not_after)?;
    Ok(params)
}

fn moment(at: Timestamp) -> Result<OffsetDateTime, CannotIssue> {
    let seconds = i64::try_from(at.as_unix_s()).map_err(|_| CannotIssue::Validity)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| CannotIssue::Validity)
}
