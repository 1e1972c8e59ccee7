//! The rules for a signing certificate: an intermediate of a path, or an authority of a bundle.
//!
//! Source: [X509-SVID §3.2, §4.1 and §4.3](https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md).

use crumb_token::{Timestamp, TrustDomain};

use super::{certificate::Certificate, invalid::InvalidSvid};

const SCHEME: &str = "spiffe://";

/// Checks what does not depend on the time.
pub(super) fn profile(signer: &Certificate<'_>, domain: &TrustDomain) -> Result<(), InvalidSvid> {
    signer.check_serial()?;
    // X509-SVID §4.1: "signing certificates MUST set the cA field to true". RFC 5280 §4.2.1.9: conforming CAs "MUST mark
    // the extension as critical in such certificates".
    let is_authority = signer.basic_constraints()?.is_some_and(|constraints| constraints.ca);
    if !is_authority || !signer.basic_constraints_are_critical() {
        return Err(InvalidSvid::SignerNotAuthority);
    }
    // X509-SVID §4.3: "Signing certificates MUST set keyCertSign".
    if !signer.key_usage()?.is_some_and(|usage| usage.key_cert_sign()) {
        return Err(InvalidSvid::SignerKeyUsage);
    }
    for uri in signer.uri_names()? {
        name(uri, domain)?;
    }
    if signer.not_after() < signer.not_before() { Err(InvalidSvid::ValidityReversed) } else { Ok(()) }
}

/// Checks the lifetime.
pub(super) fn lifetime(signer: &Certificate<'_>, now: Timestamp) -> Result<(), InvalidSvid> {
    if now < signer.not_before() {
        return Err(InvalidSvid::SignerNotYetValid);
    }
    if now >= signer.not_after() { Err(InvalidSvid::SignerExpired) } else { Ok(()) }
}

/// A signing certificate need not have a SPIFFE ID, and other URIs say nothing to us.
fn name(uri: &str, domain: &TrustDomain) -> Result<(), InvalidSvid> {
    if !uri.get(..SCHEME.len() - 2).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:")) {
        return Ok(());
    }
    let rest = uri.strip_prefix(SCHEME).ok_or(InvalidSvid::SignerIdNotCanonical)?;
    // X509-SVID §3.2: "the SPIFFE ID of a signing certificate MUST NOT have a path component, and it SHOULD reside in
    // the trust domain of the leaf SVIDs it issues". The SHOULD is kept too: an issuer of two domains confuses them.
    if rest.contains('/') {
        return Err(InvalidSvid::SignerIdHasPath);
    }
    let named: TrustDomain = rest.parse().map_err(|_| InvalidSvid::SignerIdNotCanonical)?;
    if named == *domain { Ok(()) } else { Err(InvalidSvid::SignerForeign) }
}
