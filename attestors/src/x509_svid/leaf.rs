//! The rules for a leaf: the certificate that authenticates.
//!
//! Source: [X509-SVID §2, §4 and §5.2](https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md).

use crumb_token::{SpiffeId, Timestamp, spiffe_id::InvalidSpiffeId};
use x509_parser::{
    der_parser::asn1_rs::Oid,
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
        OID_SIG_ED25519,
    },
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use super::{Usage, certificate::Certificate, invalid::InvalidSvid};

/// The smallest RSA key, in bits: what every signature algorithm of the TLS stack asks for.
const RSA_BITS_MIN: usize = 2048;

pub(super) fn identity(leaf: &Certificate<'_>) -> Result<SpiffeId, InvalidSvid> {
    // X509-SVID §2: "An X.509 SVID MUST contain exactly one URI SAN", and a validator rejects more than one.
    let uris = leaf.uri_names()?;
    let uri = match uris.as_slice() {
        [] => return Err(InvalidSvid::NoUriName),
        [uri] => uri,
        _ => return Err(InvalidSvid::SeveralUriNames),
    };
    uri.parse().map_err(|why| match why {
        // X509-SVID §5.2: a leaf's SPIFFE ID has a path; without one it is a signing certificate's.
        InvalidSpiffeId::NoPath => InvalidSvid::SpiffeIdWithoutPath,
        _ => InvalidSvid::SpiffeIdNotCanonical,
    })
}

pub(super) fn profile(leaf: &Certificate<'_>, usage: Usage) -> Result<(), InvalidSvid> {
    leaf.check_serial()?;
    // X509-SVID §4.1: "leaf certificates MUST set the cA field to false".
    if leaf.basic_constraints()?.ok_or(InvalidSvid::BasicConstraintsMissing)?.ca {
        return Err(InvalidSvid::LeafIsAuthority);
    }
    // X509-SVID §4.3: key usage MUST be set; a leaf MUST have digitalSignature and MUST NOT have keyCertSign or cRLSign.
    let key_usage = leaf.key_usage()?.ok_or(InvalidSvid::KeyUsageMissing)?;
    if key_usage.key_cert_sign() {
        return Err(InvalidSvid::LeafSignsCertificates);
    }
    if key_usage.crl_sign() {
        return Err(InvalidSvid::LeafSignsRevocations);
    }
    if !key_usage.digital_signature() {
        return Err(InvalidSvid::NoDigitalSignature);
    }
    // X509-SVID §4.4 leaves it out or has both; a validator only needs the one that is used.
    let fits = leaf.key_purposes()?.is_none_or(|purposes| match usage {
        Usage::Client => purposes.client_auth,
        Usage::Server => purposes.server_auth,
    });
    if !fits {
        return Err(InvalidSvid::KeyPurpose);
    }
    // RFC 5280 §4.2.1.10: "The name constraints extension, which MUST be used only in a CA certificate".
    if leaf.name_constraints()?.is_some() {
        return Err(InvalidSvid::LeafConstrainsNames);
    }
    // RFC 5280 §4.2.1.6: "If the subject field contains an empty sequence, then the issuing CA MUST include a
    // subjectAltName extension that is marked as critical."
    if leaf.has_empty_subject() && !leaf.names_are_critical() {
        return Err(InvalidSvid::NamesNotCritical);
    }
    if is_accepted(leaf.public_key()) { Ok(()) } else { Err(InvalidSvid::KeyNotAccepted) }
}

pub(super) fn lifetime(leaf: &Certificate<'_>, now: Timestamp) -> Result<(), InvalidSvid> {
    if leaf.not_after() < leaf.not_before() {
        return Err(InvalidSvid::ValidityReversed);
    }
    if now < leaf.not_before() {
        return Err(InvalidSvid::NotYetValid);
    }
    // RFC 5280 §4.1.2.5 counts the instant `notAfter` as valid. `now` is cut to whole seconds, so in that second only
    // its first instant would be; it is refused.
    if now >= leaf.not_after() { Err(InvalidSvid::Expired) } else { Ok(()) }
}

fn is_accepted(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| Oid::try_from(parameters.clone()).ok());
        return curve.is_some_and(|curve| [OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521].contains(&curve));
    }
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return matches!(key.parsed(), Ok(PublicKey::RSA(rsa)) if rsa.key_size() >= RSA_BITS_MIN);
    }
    *algorithm == OID_SIG_ED25519
}
