//! A workload, as its JWT-SVID names it.
//!
//! Invariant: the trust domain of the subject chooses the keys; `iss` never does.

use crumb_token::{SpiffeId, TrustDomain, origin::Principal};

use super::InvalidSubjectToken;
use crate::strict_json::Object;

/// Reads the trust domain out of `sub`, before anything is proved: to find the entry whose keys may prove it.
pub(super) fn claimed_domain(claims: &Object) -> Option<TrustDomain> {
    let id: SpiffeId = claims.text("sub").ok()??.parse().ok()?;
    Some(id.trust_domain())
}

pub(super) fn principal(
    claims: &Object,
    trust_domain: &TrustDomain,
    iss: Option<&str>,
) -> Result<Principal, InvalidSubjectToken> {
    let subject = claims.text("sub")?.ok_or(InvalidSubjectToken::SubjectMissing)?;
    // JWT-SVID §3.1: "The sub claim MUST be set to the SPIFFE ID of the workload to which it is issued."
    let id: SpiffeId = subject.parse().map_err(|_| InvalidSubjectToken::SubjectMalformed)?;
    if !id.is_in(trust_domain) {
        return Err(InvalidSubjectToken::SubjectMalformed);
    }
    if iss.is_some() && claims.text("iss")? != iss {
        return Err(InvalidSubjectToken::WrongIssuer);
    }
    id.as_str().parse().map_err(|_| InvalidSubjectToken::PrincipalMalformed)
}
