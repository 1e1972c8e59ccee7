//! Subject tokens: on whose behalf a session acts, as an issuer that the operator listed says.
//!
//! A person's token from an identity provider, a workload's JWT-SVID, a Kubernetes service account's token: [`verify`]
//! takes each of them, by the rules of its own kind, and hands back [`SubjectFacts`]. It is the one check in the house.
//!
//! # Invariants
//!
//! - Trust begins in the configuration. Issuer, keys, algorithms and audiences come from an [`Issuer`] that the operator
//!   wrote; a token never says where its key is, and a header that tries is refused.
//! - No claim is believed, and none but `iss` and `sub` looked at, before the signature is good.
//! - Strict: a claim of the wrong type is refused, not absent; names are unique; what a kind does not foresee is refused.
//! - Pure: no clock, no I/O. Fetching keys is the work of whoever holds [`HeldKeys`], with a function of their own.
//! - A token is a secret ([`SubjectTokenText`]), and a refusal repeats nothing of it.
//!
//! # What it does not do
//!
//! No verdict: a subject that is proved may still not be served. No replay check: JWT-SVIDs and ID tokens are presented
//! many times in good faith; [`SubjectFacts::token_digest`] is there for whoever wants one use. No revocation: nobody asks
//! the issuer whether the token was withdrawn since. A principal is a name *at its issuer*: whoever compares two compares
//! both.

mod claims;
mod compact;
mod facts;
mod held_keys;
mod https_url;
mod invalid;
mod issuer;
mod issuers;
mod kubernetes;
mod person;
mod svid;
mod text;

use crumb_token::Now;
use sha2::{Digest, Sha256};

use claims::Span;
use compact::Compact;
use issuer::Kind;

use crate::strict_json::Object;

pub use facts::{Group, MayAct, Pod, SubjectFacts, SubjectTokenId};
pub use held_keys::{Fetch, FetchFailed, HeldKeys, RefreshFailed, Why};
pub use https_url::{HttpsUrl, InvalidHttpsUrl};
pub use invalid::{InvalidSubjectToken, SubjectRefused};
pub use issuer::{InvalidIssuer, Issuer, IssuerKind, IssuerName, KeySource};
pub use issuers::{InvalidIssuers, Issuers};
pub use text::SubjectTokenText;

/// Checks a subject token and says what it proves.
///
/// The order is: form, header, issuer, key, signature, then the claims. `now.wall` decides about the token, `now.ticks`
/// about the age of the keys.
///
/// Source: [RFC 8725 §3](https://www.rfc-editor.org/rfc/rfc8725#section-3) for all kinds,
/// [OpenID Connect Core §3.1.3.7](https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation),
/// [RFC 9068 §4](https://www.rfc-editor.org/rfc/rfc9068#section-4) and
/// [JWT-SVID §3](https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md#3-jwt-claims) for their own.
///
/// # Errors
///
/// [`SubjectRefused`]: one rule, and the issuer whose entry it was once that is known. When
/// [`SubjectRefused::may_be_new_key`] says so, it is worth fetching that issuer's keys once and asking again.
pub fn verify(token: &SubjectTokenText, issuers: &Issuers, now: Now) -> Result<SubjectFacts, SubjectRefused> {
    let compact = Compact::parse(token.expose())?;
    let (issuer, keys) = issuers.of(&compact.claims)?;
    let facts = authenticate(&compact, issuer, keys, now).and_then(|authentic| authentic.facts(now));
    facts.map_err(|why| SubjectRefused::by(issuer.name(), why))
}

/// A token whose signature is good: the only way to the claims.
struct Authentic<'a> {
    compact: &'a Compact<'a>,
    issuer: &'a Issuer,
}

fn authenticate<'a>(
    compact: &'a Compact<'a>,
    issuer: &'a Issuer,
    keys: &HeldKeys,
    now: Now,
) -> Result<Authentic<'a>, InvalidSubjectToken> {
    let header = &compact.header;
    header.suits(issuer.kind())?;
    let keys = keys.at(now.ticks)?;
    let key = match header.key_id.as_deref() {
        Some(id) => keys.named(id).ok_or(InvalidSubjectToken::UnknownKey)?,
        None => keys.only().ok_or(InvalidSubjectToken::KeyIdMissing)?,
    };
    if !key.fits(header.algorithm) {
        return Err(InvalidSubjectToken::AlgorithmDoesNotFitKey);
    }
    if !key.proves(header.algorithm, compact.signed.as_bytes(), &compact.signature) {
        return Err(InvalidSubjectToken::BadSignature);
    }
    Ok(Authentic { compact, issuer })
}

impl Authentic<'_> {
    fn facts(&self, now: Now) -> Result<SubjectFacts, InvalidSubjectToken> {
        let (claims, issuer) = (&self.compact.claims, self.issuer);
        claims::refuse_other_purposes(claims)?;
        let span = Span::read(claims)?;
        let expires_at = span.check(issuer, now.wall)?;
        claims::audience(claims, issuer)?;
        let mut facts = SubjectFacts {
            principal: self.principal()?,
            issuer: issuer.name().clone(),
            kind: issuer.kind().word(),
            groups: claims::groups(claims, issuer.kind())?,
            expires_at,
            token_digest: Sha256::digest(self.compact.signed).into(),
            jti: claims::token_id(claims)?,
            pod: None,
            may_act: claims::may_act(claims)?,
        };
        if matches!(issuer.kind(), Kind::Kubernetes) {
            facts.pod = Some(kubernetes::pod(claims)?);
        }
        if facts.jti.is_none() && issuer.kind().is_access_token() {
            return Err(InvalidSubjectToken::TokenId);
        }
        Ok(facts)
    }

    fn principal(&self) -> Result<crumb_token::origin::Principal, InvalidSubjectToken> {
        let claims: &Object = &self.compact.claims;
        match self.issuer.kind() {
            Kind::Person(rules) => person::principal(claims, rules),
            Kind::Workload { trust_domain } => svid::principal(claims, trust_domain, self.issuer.iss()),
            Kind::Kubernetes => kubernetes::principal(claims),
        }
    }
}
