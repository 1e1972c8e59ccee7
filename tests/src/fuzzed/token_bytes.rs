//! Token bytes as a stranger sends them.

use crate::{
    fed_verifier::{FedVerifier, KEY_IN_FORCE, at},
    generated_tokens::root,
    naive,
    oracle::{self, Answer},
    vectors::{
        forge::{self, ROOT, ROOT_ID},
        player::{self, AUDIENCE, HOLDER, NOW},
    },
};
use biscuit_auth::UnverifiedBiscuit;
use crumb_token::{Ask, Caveat, SpiffeId, parse::Unverified};
use std::{collections::BTreeSet, sync::LazyLock};

/// Decides only what the gate refuses, so that nothing of one input is left for the next.
static REFUSING: LazyLock<FedVerifier> = LazyLock::new(|| FedVerifier::new(player::word(AUDIENCE), NOW));

/// Holds for any bytes: the gate and the verifier refuse them for the same reason; or they are one spelling of a token,
/// which all three verifiers read and decide alike.
///
/// # Panics
///
/// When it does not hold.
pub fn token_bytes(data: &[u8]) {
    let ask = player::ask(&player::call()).expect("a call");
    match Unverified::parse(data) {
        Ok(token) => {
            assert_eq!(token.bytes(), data);
            same_reading(&token);
            decided_alike(&token, &ask);
        }
        Err(reason) => {
            let refused = REFUSING.decide(data, &ask, &player::word(HOLDER), NOW).into_result();
            assert_eq!(refused.map_err(|r| r.denial.reason).err(), Some(reason));
        }
    }
}

/// What stock Biscuit reads, if it reads it, has the same blocks, the same key number and the same bytes.
fn same_reading(token: &Unverified) {
    // It refuses next keys that are no points of the curve, which the gate leaves to the signatures.
    let Ok(stock) = UnverifiedBiscuit::from(token.bytes()) else { return };
    assert_eq!(stock.block_count(), token.blocks().len() + 1);
    assert_eq!(stock.root_key_id(), Some(token.key_id().0));
    assert_eq!(stock.to_vec().expect("it was just read"), token.bytes());
}

/// Returns who may present a token, by its own word.
pub(super) fn holder(token: &Unverified) -> &SpiffeId {
    token.hops().last().map_or_else(|| &token.claims().holder, |hop| &hop.to.holder)
}

/// Has all three verifiers decide the call by the usual peer, and by the token's holder, at a verifier that knows the
/// usual key.
///
/// # Panics
///
/// When they differ.
pub(super) fn decided_alike(token: &Unverified, ask: &Ask) {
    let usual: SpiffeId = player::word(HOLDER);
    let holder = holder(token);
    decided_alike_for(token, ask, &usual);
    if *holder != usual {
        decided_alike_for(token, ask, holder);
    }
}

fn decided_alike_for(token: &Unverified, ask: &Ask, peer: &SpiffeId) {
    let server = player::word(AUDIENCE);
    let fed = FedVerifier::new(player::word(AUDIENCE), NOW);
    let ours = fed.decide(token.bytes(), ask, peer, NOW).into_result().map(drop).map_err(|r| r.denial.reason);
    let mut world = naive::World {
        audience: AUDIENCE.to_owned(),
        environment: None,
        key: (ROOT_ID, forge::public(ROOT)),
        key_in_force: KEY_IN_FORCE,
        revoked: BTreeSet::new(),
        used: BTreeSet::new(),
        seen: 0,
    };
    let naive = world.decide(token.bytes(), ask, peer.as_str(), NOW);
    assert_eq!(ours, naive, "ours, and the naive one");
    let nonces: Vec<[u8; 16]> = token.blocks().iter().flatten().filter_map(nonce).collect();
    let stock = oracle::evaluate(token.bytes(), root().public(), ask, peer, &server, at(NOW).wall, &nonces);
    if ours.is_ok() {
        assert_eq!(stock, Answer::Allowed, "stock");
    }
    if stock == Answer::Allowed {
        // A stock verifier knows neither numbers of keys nor when a token was issued.
        assert!(ours.is_ok() || outside_datalog(token), "stock allows, and ours says {ours:?}");
    }
    if let Ok(()) = ours {
        let again = fed.decide(token.bytes(), ask, peer, NOW).is_allowed();
        assert_eq!(again, nonces.is_empty(), "the second time");
    }
}

fn nonce(caveat: &Caveat) -> Option<[u8; 16]> {
    match caveat {
        Caveat::Nonce(nonce) => Some(*nonce),
        _ => None,
    }
}

fn outside_datalog(token: &Unverified) -> bool {
    let issued_at = token.claims().issued_at.as_unix_s();
    token.key_id().0 != ROOT_ID || issued_at > NOW + 2 || issued_at < KEY_IN_FORCE.0 || issued_at > KEY_IN_FORCE.1
}
