//! The gate, behind signatures that are right: blocks that a broker or a holder could have signed, drawn from the input.

use super::{
    drawn_token::Drawn,
    token_bytes::{decided_alike, holder},
};
use crate::{
    fed_verifier::at,
    generated_tokens::root,
    oracle,
    vectors::player::{self, AUDIENCE, NOW},
};
use arbitrary::Unstructured;
use biscuit_auth::{KeyPair, PrivateKey, builder::Algorithm};
use crumb_token::{
    Ask, Caveat,
    attenuate::{Parent, attenuate},
    parse::Unverified,
    profile,
};

/// Holds for any blocks: what the gate accepts is a caveat of the closed list for each check, all three verifiers decide
/// it alike, and the same caveats written anew mean the same to a stock verifier.
///
/// # Panics
///
/// When it does not hold.
pub fn profile_gate(data: &[u8]) {
    let Ok(drawn) = Drawn::from(&mut Unstructured::new(data)) else { return };
    if Unverified::parse(&drawn.unsigned()).is_err() {
        return;
    }
    let token = Unverified::parse(&drawn.signed()).expect("the gate looks at no signature");
    assert!(drawn.blocks.iter().all(|block| block.rules.is_empty() && block.scope.is_empty()));
    for ((block, by), caveats) in drawn.blocks.iter().zip(&drawn.by).skip(1).zip(token.blocks()) {
        // A hop says to whom, and holds the token to that.
        let hop = usize::from(by.is_some());
        assert_eq!(block.facts.len(), hop);
        assert_eq!(block.checks.len(), caveats.len() + hop, "a check was skipped");
    }
    assert_eq!(drawn.blocks.len(), token.blocks().len() + 1);
    assert_eq!(drawn.by.iter().flatten().count(), token.hops().len());
    for ask in &drawn.asks {
        decided_alike(&token, ask);
    }
    rewritten_alike(&drawn, &token);
}

/// Appends what was read to the same authority block, as the sidecars would.
fn rewritten_alike(drawn: &Drawn, token: &Unverified) {
    let mut rewritten = drawn.task_token();
    let mut hops = token.hops().iter();
    for (caveats, by) in token.blocks().iter().zip(&drawn.by[1..]) {
        let step = match by.as_ref().zip(by.and_then(|_| hops.next())) {
            None => attenuate(&rewritten, caveats),
            Some((seed, hop)) => {
                let key = PrivateKey::from_bytes(seed, Algorithm::Ed25519).expect("32 bytes");
                Parent::read(&rewritten)
                    .and_then(|parent| parent.hand_over(&hop.to.holder, hop.key, caveats, &KeyPair::from(&key)))
            }
        };
        let Ok(next) = step else { return };
        rewritten = next.to_vec();
    }
    assert!(rewritten.len() <= profile::ACCEPTED_LEN_MAX);
    let read = Unverified::parse(&rewritten).expect("the profile's own writing");
    assert_eq!((read.claims(), read.blocks(), read.hops()), (token.claims(), token.blocks(), token.hops()));
    let nonces: Vec<[u8; 16]> = token.blocks().iter().flatten().filter_map(nonce).collect();
    let stock = |bytes: &[u8], ask: &Ask| {
        let server = player::word(AUDIENCE);
        oracle::evaluate(bytes, root().public(), ask, holder(token), &server, at(NOW).wall, &nonces)
    };
    for ask in &drawn.asks {
        assert_eq!(stock(token.bytes(), ask), stock(&rewritten, ask), "{:?}", token.blocks());
    }
}

fn nonce(caveat: &Caveat) -> Option<[u8; 16]> {
    match caveat {
        Caveat::Nonce(nonce) => Some(*nonce),
        _ => None,
    }
}
