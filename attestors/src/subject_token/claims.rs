//! The claims that every kind of token has: time, audience, id, groups, and the claims that make it something else.

use std::{collections::BTreeSet, time::Duration};

use crumb_token::{Timestamp, text::is_printable};

use super::{
    InvalidSubjectToken, Issuer,
    facts::{Group, MayAct, SubjectTokenId},
    issuer::Kind,
};
use crate::strict_json::{Json, Object, WrongType};

/// The most audiences in a token. Two or three are usual.
const AUDIENCES_MAX: usize = 16;

/// The most groups in a token. Providers stop at 150 to 200 and refer to themselves for the rest; 8 KiB hold about as many.
const GROUPS_MAX: usize = 200;

/// The longest `sub`, in characters.
///
/// OpenID Connect Core §2: "It MUST NOT exceed 255 ASCII characters in length." A SPIFFE ID has its own limit.
const SUBJECT_LEN_MAX: usize = 255;

impl From<WrongType> for InvalidSubjectToken {
    fn from(_: WrongType) -> Self {
        Self::MalformedClaim
    }
}

/// Refuses a token that the same key signed for another purpose, or for another holder.
pub(super) fn refuse_other_purposes(claims: &Object) -> Result<(), InvalidSubjectToken> {
    // RFC 8725 §3.12: "the validation rules for those JWTs MUST be written such that they are mutually exclusive, rejecting
    // JWTs of the wrong kind."
    if claims.has("events") {
        return Err(InvalidSubjectToken::AnotherPurpose);
    }
    if claims.has("cnf") {
        return Err(InvalidSubjectToken::BoundToKey);
    }
    if claims.has("act") { Err(InvalidSubjectToken::AlreadyDelegated) } else { Ok(()) }
}

/// When a token begins and ends, as it says.
pub(super) struct Span {
    expires: u64,
    not_before: Option<u64>,
    issued: Option<u64>,
}

impl Span {
    pub(super) fn read(claims: &Object) -> Result<Self, InvalidSubjectToken> {
        Ok(Self {
            expires: claims.integer("exp")?.ok_or(InvalidSubjectToken::ExpiryMissing)?,
            not_before: claims.integer("nbf")?,
            issued: claims.integer("iat")?,
        })
    }

    /// Checks the span at `now`, and returns the second from which on the token is refused.
    pub(super) fn check(&self, issuer: &Issuer, now: Timestamp) -> Result<Timestamp, InvalidSubjectToken> {
        let (now, leeway) = (now.as_unix_s(), issuer.clock_skew().as_secs());
        let end = self.expires.saturating_add(leeway);
        if now >= end {
            return Err(InvalidSubjectToken::Expired);
        }
        let soon = now.saturating_add(leeway);
        if self.not_before.is_some_and(|begin| begin > soon) {
            return Err(InvalidSubjectToken::NotYetValid);
        }
        // JWT-SVID has no rule about `iat`; the others always have it.
        if self.issued.is_none() && !matches!(issuer.kind(), Kind::Workload { .. }) {
            return Err(InvalidSubjectToken::IssuedAtMissing);
        }
        if self.issued.is_some_and(|issued| issued > soon) {
            return Err(InvalidSubjectToken::IssuedInFuture);
        }
        let begin = self.issued.or(self.not_before).unwrap_or(now);
        if self.expires <= begin || self.not_before.is_some_and(|not_before| self.expires <= not_before) {
            return Err(InvalidSubjectToken::LifetimeReversed);
        }
        if Duration::from_secs(self.expires - begin) > issuer.lifetime_max() {
            return Err(InvalidSubjectToken::LifetimeTooLong);
        }
        Ok(Timestamp::from_unix_s(end))
    }
}

/// Checks for whom the token is.
pub(super) fn audience(claims: &Object, issuer: &Issuer) -> Result<(), InvalidSubjectToken> {
    let named = match claims.get("aud") {
        None => return Err(InvalidSubjectToken::AudienceMissing),
        Some(Json::Text(one)) => vec![one.as_str()],
        Some(Json::List(several)) if several.is_empty() => return Err(InvalidSubjectToken::AudienceMissing),
        Some(Json::List(several)) if several.len() <= AUDIENCES_MAX => {
            several.iter().map(Json::as_text).collect::<Result<Vec<_>, _>>()?
        }
        Some(_) => return Err(InvalidSubjectToken::MalformedClaim),
    };
    if !named.iter().any(|name| issuer.is_audience(name)) {
        return Err(InvalidSubjectToken::WrongAudience);
    }
    let alone = match issuer.kind() {
        // JWT-SVID §6.2: "Tokens sent to one audience can be replayed to another audience should more than one be present."
        // One is recommended there; here it is the rule.
        Kind::Workload { .. } => named.len() == 1,
        // OpenID Connect Core §3.1.3.7: "The ID Token MUST be rejected if the ID Token does not list the Client as a valid
        // audience, or if it contains additional audiences not trusted by the Client."
        Kind::Person(rules) if !rules.is_access_token() => named.iter().all(|name| issuer.is_audience(name)),
        Kind::Person(_) | Kind::Kubernetes => true,
    };
    if alone { Ok(()) } else { Err(InvalidSubjectToken::SharedAudience) }
}

/// Reads `jti`.
pub(super) fn token_id(claims: &Object) -> Result<Option<SubjectTokenId>, InvalidSubjectToken> {
    let id = claims.text("jti")?.map(str::parse).transpose();
    id.map_err(|_| InvalidSubjectToken::TokenId)
}

/// Reads `may_act`: an object with a `sub` and nothing else. What it says beyond that would be a limit that is not kept.
pub(super) fn may_act(claims: &Object) -> Result<Option<MayAct>, InvalidSubjectToken> {
    let Some(named) = claims.object("may_act")? else { return Ok(None) };
    let only = named.names().eq(["sub"]);
    let subject = named.text("sub")?.and_then(|subject| subject.parse().ok());
    if only && subject.is_some() { Ok(subject) } else { Err(InvalidSubjectToken::MayAct) }
}

/// Reads the groups from the claim that the issuer's entry names.
pub(super) fn groups(claims: &Object, kind: &Kind) -> Result<BTreeSet<Group>, InvalidSubjectToken> {
    let Kind::Person(rules) = kind else { return Ok(BTreeSet::new()) };
    let Some(name) = rules.groups() else { return Ok(BTreeSet::new()) };
    // OpenID Connect Core §5.6.2: `_claim_names` lists claims that have to be fetched. Half of somebody's groups is not
    // what they are in.
    if claims.object("_claim_names")?.is_some_and(|elsewhere| elsewhere.has(name)) {
        return Err(InvalidSubjectToken::Groups);
    }
    let Some(listed) = claims.list(name)? else { return Ok(BTreeSet::new()) };
    if listed.len() > GROUPS_MAX {
        return Err(InvalidSubjectToken::Groups);
    }
    let group = |item: &Json| item.as_text().ok()?.parse().ok();
    listed.iter().map(|item| group(item).ok_or(InvalidSubjectToken::Groups)).collect()
}

/// Reads `sub`, of any kind of token but a JWT-SVID.
pub(super) fn subject(claims: &Object) -> Result<&str, InvalidSubjectToken> {
    let subject = claims.text("sub")?.ok_or(InvalidSubjectToken::SubjectMissing)?;
    let good =
        (1..=SUBJECT_LEN_MAX).contains(&subject.len()) && subject.chars().all(|c| c.is_ascii() && is_printable(c));
    if good { Ok(subject) } else { Err(InvalidSubjectToken::SubjectMalformed) }
}
