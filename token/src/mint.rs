//! Minting: claims become a signed task token.
//!
//! Every fact that a reader wants stands beside the check that enforces it, and the four checks (expiry, audience, holder,
//! grant) cannot be left out: there is no way to mint without them. Signing needs the root key, which only the broker has.

use crate::{
    Caveat, Claims, KeyId, ResourcePattern, Timestamp,
    block::{self, After, Place},
    hop::holder_check,
    parse::Unverified,
    profile::{self, BLOCK_VERSION, DELEGABLE_VERSION, ambient, fact},
    shape::{self, compare, query},
    signer::Signer,
};
use biscuit_auth::{
    builder::{Binary, Check, CheckKind, Fact, Predicate, Term, bytes, int, string, var},
    datalog::SymbolTable,
};
use prost_biscuit::encoding;
use zeroize::Zeroizing;

/// Claims that cannot become a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// Nothing would be allowed.
    #[error("the token would allow nothing")]
    NothingGranted,
    /// It would have expired already.
    #[error("the token would end before it begins")]
    Lifetime,
    /// More prior actors, sessions above or depth than the profile has room for, or a list of those who may act that is
    /// too long, names one twice or names the holder.
    #[error("the chain of actors or sessions, those who may act, or the depth limit, is past the profile's bound")]
    Depth,
    /// Larger than [`profile::MINTED_LEN_MAX`].
    #[error("the token would have {0} bytes, more than 4096")]
    TooLarge(usize),
    /// It cannot be written or signed, or the gate refuses what was.
    #[error("the token cannot be built")]
    Build,
}

/// Signs `claims` with the root key `key`, which verifiers know as `key_id`.
///
/// # Errors
///
/// [`MintError`]; nothing was signed that any verifier would accept.
pub fn mint(claims: &Claims, key_id: KeyId, key: &impl Signer) -> Result<Zeroizing<Vec<u8>>, MintError> {
    if claims.grants.is_empty() {
        return Err(MintError::NothingGranted);
    }
    if claims.expires_at <= claims.issued_at {
        return Err(MintError::Lifetime);
    }
    if claims.actors.len() > Claims::ACTORS_MAX
        || claims.ancestors.len() > Claims::ANCESTORS_MAX
        || claims.depth_limit > profile::DEPTH_MAX
        || claims.may_act.as_ref().is_some_and(|may_act| !may_act.is_bounded(&claims.holder))
    {
        return Err(MintError::Depth);
    }
    let token = build(claims, key_id, key).ok_or(MintError::Build)?;
    if token.len() > profile::MINTED_LEN_MAX {
        return Err(MintError::TooLarge(token.len()));
    }
    // What the gate would refuse must never leave: mint and gate are one contract.
    let read = Unverified::parse(&token).map_err(|_| MintError::Build)?;
    if read.claims() != claims {
        return Err(MintError::Build);
    }
    Ok(token)
}

fn build(claims: &Claims, key_id: KeyId, key: &impl Signer) -> Option<Zeroizing<Vec<u8>>> {
    let version = if claims.may_act.is_some() { DELEGABLE_VERSION } else { BLOCK_VERSION };
    let block = block::encode(&SymbolTable::new(), &facts(claims), &checks(claims)?, version)?;
    // Field 1 of the token: which key it is signed with.
    let mut before = Vec::new();
    encoding::uint32::encode(1, &key_id.0, &mut before);
    let after = After { before: &before, place: Place::Authority, previous: None, external: None };
    block::sign(&after, block, key)
}

pub(crate) fn facts(c: &Claims) -> Vec<Fact> {
    let one = |name: &str, s: &str| Fact::new(name.to_owned(), vec![string(s)]);
    let date = |name: &str, at: Timestamp| Fact::new(name.to_owned(), vec![Term::Date(at.as_unix_s())]);
    let mut facts = vec![
        Fact::new(fact::PROFILE.to_owned(), vec![int(profile::VERSION)]),
        one(fact::TOKEN_ID, &c.token.to_string()),
        one(fact::SESSION, &c.session.to_string()),
        one(fact::AGENT, c.agent.as_str()),
        one(fact::AGENT_VERSION, c.version.as_str()),
        one(fact::ENVIRONMENT, c.environment.as_str()),
        one(fact::HOLDER, c.holder.as_str()),
        Fact::new(
            fact::ORIGIN.to_owned(),
            vec![string(c.origin.kind()), string(&c.origin.name()), string(c.origin.assurance().as_str())],
        ),
        Fact::new(fact::INTENT_DIGEST.to_owned(), vec![bytes(&c.intent_digest)]),
        one(fact::AUDIENCE, c.audience.as_str()),
        date(fact::ISSUED_AT, c.issued_at),
        date(fact::EXPIRES_AT, c.expires_at),
        Fact::new(fact::DEPTH_LIMIT.to_owned(), vec![int(i64::from(c.depth_limit))]),
        one(fact::IDENTITY_PROVIDER, c.identity_provider.as_str()),
    ];
    if let Some(subject) = &c.subject {
        let terms = vec![string(subject.name.as_str()), string(subject.assurance.as_str())];
        facts.push(Fact::new(fact::SUBJECT.to_owned(), terms));
    }
    for (position, actor) in (0i64..).zip(&c.actors) {
        facts.push(Fact::new(fact::ACTOR.to_owned(), vec![int(position), string(actor.as_str())]));
    }
    for (position, above) in (0i64..).zip(&c.ancestors) {
        let session = above.session.to_string();
        let [session, agent, version] = [&session, above.agent.as_str(), above.version.as_str()].map(string);
        let terms = vec![int(position), session, agent, version, bytes(&above.intent_digest)];
        facts.push(Fact::new(fact::ANCESTOR.to_owned(), terms));
    }
    let delegates = c.may_act.iter().flat_map(|may_act| &may_act.delegates);
    for (position, delegate) in (0i64..).zip(delegates) {
        let [holder, agent, version] =
            [delegate.holder.as_str(), delegate.agent.as_str(), delegate.version.as_str()].map(string);
        facts.push(Fact::new(fact::MAY_ACT.to_owned(), vec![int(position), holder, agent, version]));
    }
    for grant in c.grants.iter() {
        let (kind, resource) = match &grant.resource {
            ResourcePattern::Exact(resource) => ("exact", resource.as_str()),
            ResourcePattern::Under(prefix) => ("under", &**prefix),
        };
        let terms = vec![string(grant.tool.as_str()), string(grant.operation.as_str()), string(kind), string(resource)];
        facts.push(Fact::new(fact::GRANT.to_owned(), terms));
    }
    facts
}

/// The four checks; `None` when the key to hand it on with is none.
pub(crate) fn checks(c: &Claims) -> Option<[Check; 4]> {
    let holder = match &c.may_act {
        None => shape::to_check(&Caveat::Holder(c.holder.clone())),
        Some(may_act) => holder_check(&c.holder, may_act.key, &[])?,
    };
    Some([
        shape::to_check(&Caveat::ExpiresAt(c.expires_at)),
        shape::to_check(&Caveat::Audience(c.audience.clone())),
        holder,
        grant_check(),
    ])
}

/// `check if` the call is one of the grants, exactly or under a prefix. The one check with four predicates; its cost is
/// linear in the number of grants, since all but the last have one fact each.
fn grant_check() -> Check {
    let asked = |kind: &str, last: &str| {
        vec![
            Predicate::new(ambient::TOOL.to_owned(), vec![var("t")]),
            Predicate::new(ambient::OPERATION.to_owned(), vec![var("o")]),
            Predicate::new(ambient::RESOURCE.to_owned(), vec![var("r")]),
            Predicate::new(fact::GRANT.to_owned(), vec![var("t"), var("o"), string(kind), var(last)]),
        ]
    };
    let exact = query(asked("exact", "r"), vec![]);
    let under = query(asked("under", "p"), vec![compare("r", var("p"), Binary::Prefix)]);
    Check { queries: vec![exact, under], kind: CheckKind::One }
}

#[cfg(test)]
mod tests;
