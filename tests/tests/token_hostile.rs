//! Hostile tokens, written by hand and generated: none is accepted, and none is too large to be looked into.

use crumb_tests::vectors::{generated_hostile, hostile_tokens, player};
use crumb_token::{Reason, TokenText, parse::Unverified, profile::ACCEPTED_LEN_MAX};
use std::collections::BTreeSet;

/// Plays the usual call with `token`.
fn play(token: &[u8]) -> &'static str {
    let text = TokenText::from_bytes(token).expose().to_owned();
    player::play(&player::vector("hostile", "", text, ""))
}

#[test]
fn every_token_written_by_hand_is_refused_at_the_gate() {
    let tokens = hostile_tokens();
    assert!(tokens.len() >= 25, "{} are left", tokens.len());
    for (name, token) in tokens {
        assert!(token.len() <= ACCEPTED_LEN_MAX, "{name}");
        assert!(Unverified::parse(&token).is_err(), "{name}");
    }
}

#[test]
fn no_mutation_of_a_valid_token_is_accepted() {
    let mut reasons = BTreeSet::new();
    for seed in 0..1500 {
        let token = generated_hostile(seed);
        assert!(token.len() <= ACCEPTED_LEN_MAX, "seed {seed}");
        let answer = play(&token);
        assert_ne!(answer, "allowed", "seed {seed}");
        reasons.insert(answer);
    }
    let wanted =
        [Reason::TokenMalformed, Reason::TokenNotCanonical, Reason::TokenOutOfProfile, Reason::SignatureInvalid];
    assert!(wanted.iter().all(|reason| reasons.contains(reason.code())), "{reasons:?}");
}

#[test]
fn a_seed_always_makes_the_same_token() {
    assert!((0..50).all(|seed| generated_hostile(seed) == generated_hostile(seed)));
    let different: BTreeSet<_> = (0..50).map(generated_hostile).collect();
    assert!(different.len() > 45);
}
