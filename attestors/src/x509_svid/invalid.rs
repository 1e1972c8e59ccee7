//! Why a chain is refused: one variant per rule, each with a stable code for logs, metrics and tests.
//!
//! No variant carries evidence: a refusal never repeats bytes that a stranger sent.

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $sentence:literal;)*) => {
        /// Why a certificate chain does not prove an identity.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        #[non_exhaustive]
        pub enum InvalidSvid {
            $($(#[$doc])* #[error($sentence)] $name,)*
        }

        impl InvalidSvid {
            /// Every rule, in the order in which they are checked.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the code, such as `several_uri_names`. Codes are never renamed or reused.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

rules! {
    // --- the shape of what was sent
    /// No certificate at all.
    EmptyChain, "empty_chain", "no certificate was sent";
    /// More than [`super::CHAIN_LEN_MAX`] certificates.
    ChainTooLong, "chain_too_long", "the chain has more than 8 certificates";
    /// More than [`super::CHAIN_BYTES_MAX`] bytes.
    ChainTooLarge, "chain_too_large", "the chain has more than 32 KiB";
    /// Not DER, bytes left over, or an extension that cannot be read.
    Malformed, "malformed_certificate", "a certificate cannot be read";
    /// Not version 3.
    NotVersion3, "not_version_3", "a certificate is not X.509 version 3";
    /// The same extension twice.
    DuplicateExtension, "duplicate_extension", "a certificate has the same extension twice";
    /// A critical extension that is not understood here.
    UnknownCriticalExtension, "unknown_critical_extension", "a certificate has a critical extension that is not understood";
    /// Not a positive integer of at most 20 bytes.
    SerialNumber, "serial_number", "a serial number is not a positive integer of at most 20 bytes";

    // --- the leaf
    /// No URI among the subject alternative names.
    NoUriName, "no_uri_name", "the certificate has no URI name, so it names no workload";
    /// More than one URI among the subject alternative names.
    SeveralUriNames, "several_uri_names", "the certificate has more than one URI name";
    /// The URI is not a canonical SPIFFE ID.
    SpiffeIdNotCanonical, "spiffe_id_not_canonical", "the URI name is not a SPIFFE ID in canonical form";
    /// The SPIFFE ID names a trust domain.
    SpiffeIdWithoutPath, "spiffe_id_without_path", "the SPIFFE ID has no path, so it names a trust domain and not a workload";
    /// No BasicConstraints.
    BasicConstraintsMissing, "basic_constraints_missing", "the certificate does not say that it is no authority";
    /// `cA` is true.
    LeafIsAuthority, "leaf_is_authority", "the certificate is an authority's, and those never authenticate";
    /// No KeyUsage.
    KeyUsageMissing, "key_usage_missing", "the certificate has no key usage";
    /// KeyUsage without `digitalSignature`.
    NoDigitalSignature, "no_digital_signature", "the key usage lacks digitalSignature";
    /// KeyUsage with `keyCertSign`.
    LeafSignsCertificates, "leaf_signs_certificates", "the key usage has keyCertSign";
    /// KeyUsage with `cRLSign`.
    LeafSignsRevocations, "leaf_signs_revocations", "the key usage has cRLSign";
    /// Extended key usage is there, without what is needed.
    KeyPurpose, "key_purpose", "the extended key usage does not hold what this connection needs";
    /// Name constraints in a leaf.
    LeafConstrainsNames, "leaf_constrains_names", "the certificate has name constraints, which are for authorities";
    /// An empty subject, and alternative names that are not critical.
    NamesNotCritical, "names_not_critical", "the subject is empty and the alternative names are not critical";
    /// A public key of a kind or size that is not accepted.
    KeyNotAccepted, "key_not_accepted", "the public key is of a kind or size that is not accepted";

    // --- the trust domain
    /// In no trust domain that this end talks to.
    ForeignTrustDomain, "foreign_trust_domain", "the SPIFFE ID is in a trust domain that is not accepted here";
    /// No bundle of that trust domain is held.
    NoBundle, "no_bundle", "there is no bundle of the SPIFFE ID's trust domain";

    // --- time
    /// `notAfter` is before `notBefore`.
    ValidityReversed, "validity_reversed", "a certificate ends before it begins";
    /// Past its end.
    Expired, "expired", "the certificate has expired";
    /// Before its beginning.
    NotYetValid, "not_yet_valid", "the certificate is not yet valid";

    // --- the path
    /// No authority of the bundle leads to the leaf.
    UnknownAuthority, "unknown_authority", "no authority of the trust domain's bundle signed this chain";
    /// The bundle has the authority that the chain names, but it cannot be used now.
    AuthorityNotUsable, "authority_not_usable", "the authority that the chain names is in the bundle but expired, not yet valid, or not an authority";
    /// A signature in the path is wrong.
    BadSignature, "bad_signature", "a signature in the chain is wrong";
    /// A signature algorithm that is not accepted.
    SignatureAlgorithm, "signature_algorithm", "a signature in the chain uses an algorithm that is not accepted";
    /// More intermediates than an authority allows.
    PathTooLong, "path_too_long", "the path is longer than an authority in it allows";
    /// The search took too many steps.
    PathTooComplex, "path_too_complex", "the path takes too many steps to find";
    /// A name constraint is broken, or of a kind (URI) that cannot be checked.
    NameConstraints, "name_constraints", "an authority's name constraints are broken, or of a kind that cannot be checked";
    /// An intermediate that is not an authority.
    SignerNotAuthority, "signer_not_authority", "an intermediate is not an authority";
    /// An intermediate without `keyCertSign`.
    SignerKeyUsage, "signer_key_usage", "an intermediate lacks keyCertSign";
    /// An intermediate past its end.
    SignerExpired, "signer_expired", "an intermediate has expired";
    /// An intermediate before its beginning.
    SignerNotYetValid, "signer_not_yet_valid", "an intermediate is not yet valid";
    /// An intermediate whose SPIFFE ID has a path.
    SignerIdHasPath, "signer_id_has_path", "an intermediate's SPIFFE ID has a path";
    /// An intermediate whose SPIFFE ID is in another trust domain.
    SignerForeign, "signer_foreign", "an intermediate's SPIFFE ID is in another trust domain";
    /// An intermediate whose SPIFFE ID is not canonical.
    SignerIdNotCanonical, "signer_id_not_canonical", "an intermediate's SPIFFE ID is not canonical";
    /// Anything else that path building refuses.
    PathRefused, "path_refused", "the chain does not lead to an authority of the bundle";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::InvalidSvid;

    #[test]
    fn codes_and_sentences_are_unique() {
        let codes: HashSet<_> = InvalidSvid::ALL.iter().map(|rule| rule.code()).collect();
        let sentences: HashSet<_> = InvalidSvid::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(codes.len(), InvalidSvid::ALL.len());
        assert_eq!(sentences.len(), InvalidSvid::ALL.len());
    }
}
