//! Properties of the token profile and of the verifier, over generated tokens and calls.
//!
//! The seed is fixed, so a run is the same everywhere; a failure prints the case.

use biscuit_auth::{KeyPair, PrivateKey, PublicKey, builder::Algorithm};
use crumb_tests::{
    generated_tokens::{Case, case},
    oracle::{self, Answer},
    vectors::{
        forge::{self, ROOT, ROOT_ID},
        player::{self, NOW},
    },
};
use crumb_token::{
    Caveat, KeyId, Now, Reason, Timestamp, TokenText, attenuate::attenuate, mint::mint, parse::Unverified,
};
use crumb_verifier::{
    Decision, Limits, Verifier,
    feed::{CONTEXT, Key, Message, Signed},
};
use ed25519_dalek::{Signer, SigningKey};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{RngSeed, TestRunner},
};
use std::{cell::Cell, time::Duration};

/// Cases per property: a second or two each.
const CASES: u32 = 256;

/// The nonces that generated caveats have; a new verifier has seen none of them.
const NONCES: [[u8; 16]; 3] = [[1; 16], [2; 16], [3; 16]];

fn runner(seed: u64) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases: CASES,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

fn root() -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&ROOT, Algorithm::Ed25519).expect("32 bytes"))
}

fn public() -> PublicKey {
    root().public()
}

fn at(case: &Case) -> Now {
    Now { wall: Timestamp::from_unix_s(NOW + case.later_s), ticks: Duration::ZERO }
}

/// Mints the case's claims and appends its blocks; returns the token after each step.
fn chain(case: &Case) -> Vec<Vec<u8>> {
    let mut tokens = vec![mint(&case.claims, KeyId(ROOT_ID), &root()).expect("mints").to_vec()];
    for caveats in &case.blocks {
        let narrowed = attenuate(tokens.last().expect("minted"), caveats).expect("narrows");
        tokens.push(narrowed.to_vec());
    }
    tokens
}

/// A verifier of the case's tool server that has just heard of the root key.
fn verifier(case: &Case) -> Verifier {
    let verifier = Verifier::new(case.server.clone(), Limits::default());
    let (not_before, not_after) = (Timestamp::from_unix_s(NOW - 3600), Timestamp::from_unix_s(NOW + 7200));
    let keys = vec![Key { id: KeyId(ROOT_ID), public: forge::public(ROOT), not_before, not_after }];
    let time_unix_ms = at(case).wall.as_unix_s() * 1000;
    let message = Message { epoch: 1, sequence: 0, time_unix_ms, full: true, keys, revocations: vec![] };
    let signature = SigningKey::from_bytes(&ROOT).sign(CONTEXT).to_bytes();
    let signed = Signed { bytes: &[], key_id: KeyId(ROOT_ID), signature: &signature };
    verifier.apply(&signed, message, at(case)).expect("taken");
    verifier
}

fn decide(case: &Case, token: &[u8]) -> Decision {
    verifier(case).decide(&TokenText::from_bytes(token), &case.ask, &case.peer, at(case))
}

fn refused(decision: Decision) -> Option<Reason> {
    decision.into_result().err().map(|refused| refused.denial.reason)
}

#[test]
fn the_verifier_agrees_with_stock_datalog() {
    let allowed = Cell::new(0u32);
    let agree = |case: Case| {
        let token = chain(&case).pop().expect("minted");
        let ours = decide(&case, &token).is_allowed();
        let stock = oracle::evaluate(&token, public(), &case.ask, &case.peer, &case.server, at(&case).wall, &NONCES);
        allowed.set(allowed.get() + u32::from(ours));
        prop_assert_eq!(stock, if ours { Answer::Allowed } else { Answer::Denied });
        Ok(())
    };
    runner(1).run(&case(), agree).expect("agrees");
    let allowed = allowed.get();
    assert!(
        (CASES / 5..CASES * 4 / 5).contains(&allowed),
        "{allowed} of {CASES} were allowed: the generator is lopsided"
    );
}

#[test]
fn narrowing_never_widens() {
    let lost = Cell::new(0u32);
    let narrows = |case: Case| {
        let answers: Vec<bool> = chain(&case).iter().map(|token| decide(&case, token).is_allowed()).collect();
        lost.set(lost.get() + u32::from(answers.first() != answers.last()));
        prop_assert!(answers.windows(2).all(|pair| pair[0] || !pair[1]), "{:?}", answers);
        Ok(())
    };
    runner(2).run(&case(), narrows).expect("never widens");
    assert!(lost.get() > CASES / 20, "narrowing took something away in {} of {CASES} cases only", lost.get());
}

#[test]
fn the_gate_reads_back_what_was_minted_and_appended() {
    let reads_back = |case: Case| {
        let token = chain(&case).pop().expect("minted");
        let read = Unverified::parse(&token).expect("inside the profile");
        let ends = case.blocks.iter().flatten().filter_map(|c| match c {
            Caveat::ExpiresAt(at) => Some(*at),
            _ => None,
        });
        prop_assert_eq!(read.key_id(), KeyId(ROOT_ID));
        prop_assert_eq!(read.claims(), &case.claims);
        prop_assert_eq!(read.blocks(), &case.blocks[..]);
        prop_assert_eq!(read.expires_at(), ends.fold(case.claims.expires_at, Ord::min));
        prop_assert_eq!(read.bytes(), &token[..]);
        Ok(())
    };
    runner(3).run(&case(), reads_back).expect("reads back");
}

/// A case whose token is allowed as it is, with one block.
fn usual() -> Case {
    Case {
        claims: player::claims(),
        blocks: vec![vec![Caveat::Tool(player::word("read_file"))]],
        ask: player::ask(&player::call()).expect("a call"),
        peer: player::word(player::HOLDER),
        server: player::word(player::AUDIENCE),
        later_s: 0,
    }
}

#[test]
fn any_change_of_any_byte_is_refused() {
    let case = usual();
    let token = chain(&case).pop().expect("minted");
    let verifier = verifier(&case);
    let decide =
        |bytes: &[u8]| refused(verifier.decide(&TokenText::from_bytes(bytes), &case.ask, &case.peer, at(&case)));
    assert_eq!(decide(&token), None);
    for place in 0..token.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = token.clone();
            changed[place] ^= flip;
            assert!(decide(&changed).is_some(), "byte {place} flipped by {flip:#x} is still allowed");
        }
        let mut shorter = token.clone();
        shorter.remove(place);
        assert!(decide(&shorter).is_some(), "still allowed without byte {place}");
    }
}

#[test]
fn any_change_of_a_byte_of_any_token_is_refused() {
    let changes = (case(), any::<Index>(), 1..=255u8);
    let is_refused = |(case, place, flip): (Case, Index, u8)| {
        let mut token = chain(&case).pop().expect("minted");
        let place = place.index(token.len());
        token[place] ^= flip;
        prop_assert!(refused(decide(&case, &token)).is_some());
        Ok(())
    };
    runner(4).run(&changes, is_refused).expect("refused");
}

#[test]
fn unknown_fields_are_refused_wherever_they_are_put() {
    let case = usual();
    let token = chain(&case).pop().expect("minted");
    for field in [&[0x78, 0x01][..], &[0x7a, 0x01, 0x00], &[0x28, 0x00], &[0x7d, 0, 0, 0, 0]] {
        for place in 0..=token.len() {
            let mut longer = token.clone();
            longer.splice(place..place, field.iter().copied());
            assert!(refused(decide(&case, &longer)).is_some(), "{field:x?} at {place} is still allowed");
        }
        let appended = [&token[..], field].concat();
        assert_eq!(refused(decide(&case, &appended)), Some(Reason::TokenNotCanonical));
    }
}

#[test]
fn no_bytes_make_the_gate_panic() {
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    let spliced = (case(), any::<Index>(), bytes);
    let survives = |(case, place, bytes): (Case, Index, Vec<u8>)| {
        prop_assert!(Unverified::parse(&bytes).is_err());
        let mut token = chain(&case).pop().expect("minted");
        let place = place.index(token.len());
        token.splice(place.., bytes);
        prop_assert!(refused(decide(&case, &token)).is_some());
        Ok(())
    };
    runner(5).run(&spliced, survives).expect("survives");
}
