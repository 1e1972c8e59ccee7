//! How the right to hand a token on, and each hop, are written as Datalog, and read back.
//!
//! The holder's check of a token that may be handed on says: the peer is the holder, or the holder's key has signed a hop
//! to somebody whom the broker named.
//!
//! ```text
//! check if peer("<holder>") or hop("<holder>", $c), may_act($i, $c, $a, $v) trusting ed25519/<key>;
//! ```
//!
//! A hop is the fact `hop("<holder>", "<next holder>")`, and that same check for the next holder: without the second half when
//! the token goes no further. So each holder's check holds for that holder or for whom it signed for, and the last one for the
//! peer. A Biscuit block always trusts itself, so a hop has to say whom it comes from: else the check in it would be met by
//! the very fact beside it.
//!
//! Apart from [`crate::shape`], whose checks have one query of one predicate. What may follow what is [`crate::contents`]'s.

use crate::{
    Caveat, SpiffeId,
    handover::DelegationKey,
    profile::{ambient, fact},
    shape::{is_check_if, query, read_query, read_scoped_query, to_check},
    symbols::{Symbols, Term},
};
use biscuit_auth::{
    builder::{Check, CheckKind, Fact, Predicate, Rule, Scope, string, var},
    format::schema::{self, scope},
};

/// Writes the fact of a hop.
pub(crate) fn fact(from: &SpiffeId, to: &SpiffeId) -> Fact {
    Fact::new(fact::HOP.to_owned(), vec![string(from.as_str()), string(to.as_str())])
}

/// Writes the checks of a hop: the next holder's, and `caveats`. `None` when the key is none.
pub(crate) fn checks(to: &SpiffeId, onward: Option<DelegationKey>, caveats: &[Caveat]) -> Option<Vec<Check>> {
    let holder = match onward {
        None => to_check(&Caveat::Holder(to.clone())),
        // A hop's own block is not the authority block, where the broker named who may act.
        Some(key) => holder_check(to, key, &[Scope::Authority])?,
    };
    Some(std::iter::once(holder).chain(caveats.iter().map(to_check)).collect())
}

/// Writes a holder's check for a token that may be handed on with `key`. `None` when it is no key.
pub(crate) fn holder_check(holder: &SpiffeId, key: DelegationKey, trusted: &[Scope]) -> Option<Check> {
    let own = query(vec![Predicate::new(ambient::PEER.to_owned(), vec![string(holder.as_str())])], vec![]);
    let handed = vec![
        Predicate::new(fact::HOP.to_owned(), vec![string(holder.as_str()), var("c")]),
        Predicate::new(fact::MAY_ACT.to_owned(), ["i", "c", "a", "v"].map(var).to_vec()),
    ];
    let scopes = trusted.iter().cloned().chain([Scope::PublicKey(key.to_public()?)]).collect();
    let handed = Rule::new(Predicate::new("query".to_owned(), vec![]), handed, vec![], scopes);
    Some(Check { queries: vec![own, handed], kind: CheckKind::One })
}

/// Reads the check of a holder who may hand the token on, in a block that has one key: who it is. `None` when it is another
/// check. `authority` says that the block is the authority block.
pub(crate) fn read_holder_check(check: &schema::Check, symbols: &Symbols<'_>, authority: bool) -> Option<SpiffeId> {
    let [own, handed] = &check.queries[..] else { return None };
    let own = read_query(own, symbols)?;
    let [(ambient::PEER, terms)] = &own.body[..] else { return None };
    let [Term::Text(holder)] = terms[..] else { return None };
    let trusted: &[scope::Content] = &[
        scope::Content::ScopeType(scope::ScopeType::Authority as i32),
        // The one key of the block's table.
        scope::Content::PublicKey(0),
    ];
    let trusted = if authority { &trusted[1..] } else { trusted };
    let scopes_agree = handed.scope.iter().map(|scope| scope.content.as_ref()).eq(trusted.iter().map(Some));
    let handed = read_scoped_query(handed, symbols)?;
    let [(fact::HOP, hop), (fact::MAY_ACT, may)] = &handed.body[..] else { return None };
    let ([from, to], [i, c, a, v]) = (&hop[..], &may[..]) else { return None };
    let names = [i, c, a, v];
    let different = names.iter().enumerate().all(|(n, one)| !names[..n].contains(one));
    let shaped = is_check_if(check)
        && scopes_agree
        && own.expressions.is_empty()
        && handed.expressions.is_empty()
        && names.iter().all(|term| matches!(term, Term::Var(_)))
        && different
        && *from == Term::Text(holder)
        && to == c;
    if shaped { holder.parse().ok() } else { None }
}

/// Reads the one fact of a hop: from whom, and to whom.
pub(crate) fn read_fact(facts: &[schema::Fact], symbols: &Symbols<'_>) -> Option<(SpiffeId, SpiffeId)> {
    let [one] = facts else { return None };
    match symbols.predicate(&one.predicate)? {
        (fact::HOP, terms) => match terms[..] {
            [Term::Text(from), Term::Text(to)] => Some((from.parse().ok()?, to.parse().ok()?)),
            _ => None,
        },
        _ => None,
    }
}

/// Reads the keys that a block names: none, or one of Ed25519.
pub(crate) fn read_key(keys: &[schema::PublicKey]) -> Option<Option<DelegationKey>> {
    match keys {
        [] => Some(None),
        [key] if key.algorithm == schema::public_key::Algorithm::Ed25519 as i32 => {
            DelegationKey::try_from(&key.key[..]).ok().map(Some)
        }
        _ => None,
    }
}
