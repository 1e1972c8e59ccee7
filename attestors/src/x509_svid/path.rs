//! The path from a leaf to an authority of its bundle.
//!
//! webpki searches and checks signatures; every path that it proposes is then judged here, so a path with a bad
//! intermediate does not hide a good one.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use crumb_token::{SpiffeId, Timestamp};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath};

use super::{
    Usage,
    bundle::{Authority, Bundle},
    certificate::Certificate,
    invalid::InvalidSvid,
    signer,
};

/// When a whole path is valid.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Span {
    fn and(self, other: Self) -> Self {
        Self { not_before: self.not_before.max(other.not_before), not_after: self.not_after.min(other.not_after) }
    }
}

pub(super) fn find(
    leaf: &Certificate<'_>,
    others: &[Certificate<'_>],
    bundle: &Bundle,
    usage: Usage,
    now: Timestamp,
    id: &SpiffeId,
) -> Result<Span, InvalidSvid> {
    let leaf_der = CertificateDer::from(leaf.der());
    let end_entity = EndEntityCert::try_from(&leaf_der).map_err(|why| rule(&why))?;
    // Two parsers read the same bytes; the name that is believed is the one that both of them see.
    if !end_entity.valid_uri_names().eq([id.as_str()]) {
        return Err(InvalidSvid::Malformed);
    }
    let intermediates: Vec<_> = others.iter().map(|certificate| CertificateDer::from(certificate.der())).collect();
    let authorities: Vec<&Authority> = bundle.at(now).collect();
    let anchors: Vec<TrustAnchor<'_>> = authorities.iter().map(|authority| authority.anchor.clone()).collect();

    let refusal = RefCell::new(None);
    let span = Cell::new(Span { not_before: leaf.not_before(), not_after: leaf.not_after() });
    let judge = |path: &VerifiedPath<'_>| {
        let authority = anchors.iter().position(|anchor| std::ptr::eq(anchor, path.anchor())).map(|at| authorities[at]);
        match authority.ok_or(InvalidSvid::PathRefused).and_then(|authority| judge(path, authority, bundle, now)) {
            Ok(signers) => {
                span.set(span.get().and(signers));
                Ok(())
            }
            Err(why) => {
                refusal.borrow_mut().get_or_insert(why);
                Err(Error::UnknownIssuer)
            }
        }
    };
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.as_unix_s()));
    let purpose = match usage {
        Usage::Client => KeyUsage::client_auth(),
        Usage::Server => KeyUsage::server_auth(),
    };
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let found = end_entity
        .verify_for_usage(algorithms, &anchors, &intermediates, time, purpose, None, Some(&judge))
        .map(|_| ());
    match (found, refusal.take()) {
        (Ok(()), _) => Ok(span.get()),
        (Err(_), Some(why)) => Err(why),
        (Err(Error::UnknownIssuer), None) => Err(unknown(leaf, others, bundle, now)),
        (Err(why), None) => Err(rule(&why)),
    }
}

/// Judges a path whose signatures are good.
fn judge(path: &VerifiedPath<'_>, authority: &Authority, bundle: &Bundle, now: Timestamp) -> Result<Span, InvalidSvid> {
    let mut span = Span { not_before: authority.not_before, not_after: authority.not_after };
    let mut intermediates = 0;
    for found in path.intermediate_certificates() {
        intermediates += 1;
        let der = found.der();
        let signer = Certificate::parse(&der)?;
        signer::profile(&signer, bundle.trust_domain())?;
        signer::lifetime(&signer, now)?;
        span = span.and(Span { not_before: signer.not_before(), not_after: signer.not_after() });
    }
    // RFC 5280 §4.2.1.9: pathLenConstraint "gives the maximum number of non-self-issued intermediate certificates that
    // may follow this certificate in a valid certification path". Self-issued ones are counted too: webpki does.
    if authority.path_len.is_some_and(|most| intermediates > most) {
        return Err(InvalidSvid::PathTooLong);
    }
    Ok(span)
}

/// No path: names the bundle's own defect when there is one, since only its operator can mend it.
fn unknown(leaf: &Certificate<'_>, others: &[Certificate<'_>], bundle: &Bundle, now: Timestamp) -> InvalidSvid {
    let named = std::iter::once(leaf).chain(others).any(|certificate| bundle.has_unusable(certificate.issuer(), now));
    if named { InvalidSvid::AuthorityNotUsable } else { InvalidSvid::UnknownAuthority }
}

/// Names webpki's refusal. Its list is open: what is not named here is refused all the same.
fn rule(why: &Error) -> InvalidSvid {
    match why {
        Error::BadDer
        | Error::BadDerTime
        | Error::ExtensionValueInvalid
        | Error::MalformedExtensions
        | Error::TrailingData(_)
        | Error::SignatureAlgorithmMismatch => InvalidSvid::Malformed,
        Error::UnsupportedCertVersion => InvalidSvid::NotVersion3,
        Error::UnsupportedCriticalExtension => InvalidSvid::UnknownCriticalExtension,
        Error::InvalidSerialNumber => InvalidSvid::SerialNumber,
        Error::CaUsedAsEndEntity => InvalidSvid::LeafIsAuthority,
        Error::EmptyEkuExtension | Error::RequiredEkuNotFoundContext(_) => InvalidSvid::KeyPurpose,
        Error::InvalidCertValidity => InvalidSvid::ValidityReversed,
        // The leaf's own lifetime was checked before, so these are an intermediate's.
        Error::CertExpired { .. } => InvalidSvid::SignerExpired,
        Error::CertNotValidYet { .. } => InvalidSvid::SignerNotYetValid,
        Error::EndEntityUsedAsCa => InvalidSvid::SignerNotAuthority,
        Error::InvalidSignatureForPublicKey => InvalidSvid::BadSignature,
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            InvalidSvid::SignatureAlgorithm
        }
        Error::PathLenConstraintViolated => InvalidSvid::PathTooLong,
        Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => InvalidSvid::PathTooComplex,
        Error::NameConstraintViolation | Error::MalformedNameConstraint | Error::InvalidNetworkMaskConstraint => {
            InvalidSvid::NameConstraints
        }
        Error::UnknownIssuer => InvalidSvid::UnknownAuthority,
        _ => InvalidSvid::PathRefused,
    }
}
