//! A person, as an OpenID Connect provider names them.
//!
//! Invariant: a person is never written as a workload. A user who can choose their own name at a provider would otherwise
//! be able to choose a service account's.

use crumb_token::origin::Principal;
use serde::Deserialize;

use super::{InvalidSubjectToken, claims};
use crate::strict_json::Object;

/// How names of workloads begin: those are said by their own kinds of issuer alone.
const RESERVED: &[&str] = &["system:", "spiffe:"];

/// The claim that names the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NameClaim {
    Email,
    PreferredUsername,
    Sub,
}

/// Which of a provider's tokens is taken. One key signs both, and they are for different readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TokenUse {
    #[default]
    Id,
    Access,
}

/// What an issuer's entry says about its people.
#[derive(Clone, Debug)]
pub(super) struct PersonRules {
    pub(super) token_use: TokenUse,
    pub(super) name: NameClaim,
    pub(super) verified_email: bool,
    pub(super) groups: Option<Box<str>>,
}

impl PersonRules {
    pub(super) fn is_access_token(&self) -> bool {
        self.token_use == TokenUse::Access
    }

    pub(super) fn groups(&self) -> Option<&str> {
        self.groups.as_deref()
    }
}

pub(super) fn principal(claims: &Object, rules: &PersonRules) -> Result<Principal, InvalidSubjectToken> {
    let subject = claims::subject(claims)?;
    // RFC 9068 §2.2: `client_id` is one of the claims that are required.
    if rules.is_access_token() && claims.text("client_id")?.is_none_or(str::is_empty) {
        return Err(InvalidSubjectToken::ClientMissing);
    }
    let name = match rules.name {
        NameClaim::Sub => Some(subject),
        NameClaim::PreferredUsername => claims.text("preferred_username")?,
        NameClaim::Email => email(claims, rules)?,
    };
    let name = name.ok_or(InvalidSubjectToken::PrincipalMissing)?;
    if RESERVED.iter().any(|start| name.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))) {
        return Err(InvalidSubjectToken::PrincipalReserved);
    }
    name.parse().map_err(|_| InvalidSubjectToken::PrincipalMalformed)
}

fn email<'a>(claims: &'a Object, rules: &PersonRules) -> Result<Option<&'a str>, InvalidSubjectToken> {
    let Some(address) = claims.text("email")? else { return Ok(None) };
    // An address that nobody verified is what its user typed. The text "true" is no truth.
    if rules.verified_email && claims.flag("email_verified")? != Some(true) {
        return Err(InvalidSubjectToken::EmailNotVerified);
    }
    let whole = address.split_once('@').is_some_and(|(who, at)| !who.is_empty() && !at.is_empty() && !at.contains('@'));
    if whole { Ok(Some(address)) } else { Err(InvalidSubjectToken::PrincipalMalformed) }
}
