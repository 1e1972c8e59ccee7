//! The gate, behind signatures that are right: blocks that a broker or a holder could have signed, drawn from the input.

use super::{drawn_token::Drawn, token_bytes::decided_alike};
use crate::{
    fed_verifier::at,
    generated_tokens::root,
    oracle,
    vectors::player::{self, AUDIENCE, HOLDER, NOW},
};
use arbitrary::Unstructured;
use crumb_token::{Ask, Caveat, attenuate::attenuate, parse::Unverified, profile};

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
    for (block, caveats) in drawn.blocks[1..].iter().zip(token.blocks()) {
        assert!(block.facts.is_empty());
        assert_eq!(block.checks.len(), caveats.len(), "a check was skipped");
    }
    assert_eq!(drawn.blocks.len(), token.blocks().len() + 1);
    for ask in &drawn.asks {
        decided_alike(&token, ask);
    }
    rewritten_alike(&drawn, &token);
}

/// Appends what was read to the same authority block, as a sidecar would.
fn rewritten_alike(drawn: &Drawn, token: &Unverified) {
    let mut rewritten = drawn.task_token();
    for caveats in token.blocks() {
        let Ok(narrowed) = attenuate(&rewritten, caveats) else { return };
        rewritten = narrowed.to_vec();
    }
    assert!(rewritten.len() <= profile::ACCEPTED_LEN_MAX);
    let read = Unverified::parse(&rewritten).expect("the profile's own writing");
    assert_eq!((read.claims(), read.blocks()), (token.claims(), token.blocks()));
    let nonces: Vec<[u8; 16]> = token.blocks().iter().flatten().filter_map(nonce).collect();
    let stock = |bytes: &[u8], ask: &Ask| {
        let (peer, server) = (player::word(HOLDER), player::word(AUDIENCE));
        oracle::evaluate(bytes, root().public(), ask, &peer, &server, at(NOW).wall, &nonces)
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
