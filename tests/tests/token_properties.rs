//! Properties of the token profile and of the verifier, over generated tokens and calls.
//!
//! The seeds are fixed, so a run is the same everywhere, unless a campaign asks for others (`crumb_tests::property`).

use crumb_tests::{
    fed_verifier::{FedVerifier, at},
    generated_tokens::{Case, NONCES, Step, case, case_of, root},
    oracle::{self, Answer},
    property,
    vectors::{
        forge::{self, ROOT_ID},
        handed_on, hops, player,
    },
};
use crumb_token::{Caveat, KeyId, Reason, parse::Unverified};
use crumb_verifier::Decision;
use proptest::{prelude::*, sample::Index};
use std::cell::Cell;

/// A verifier of the case's tool server that has just heard of the root key.
fn verifier(case: &Case) -> FedVerifier {
    FedVerifier::new(case.server.clone(), case.now_s())
}

fn decide(case: &Case, token: &[u8]) -> Decision {
    verifier(case).decide(token, &case.ask, &case.peer, case.now_s())
}

fn refused(decision: Decision) -> Option<Reason> {
    decision.into_result().err().map(|refused| refused.denial.reason)
}

#[test]
fn the_verifier_agrees_with_stock_datalog() {
    let allowed = Cell::new(0u64);
    let agree = |case: Case| {
        let token = case.token();
        let ours = decide(&case, &token).is_allowed();
        let stock = oracle::evaluate(
            &token,
            root().public(),
            &case.ask,
            &case.peer,
            &case.server,
            at(case.now_s()).wall,
            &NONCES,
        );
        allowed.set(allowed.get() + u64::from(ours));
        prop_assert_eq!(stock, if ours { Answer::Allowed } else { Answer::Denied });
        Ok(())
    };
    let cases = property::holds("the_verifier_agrees_with_stock_datalog", case(), agree);
    let allowed = allowed.get();
    assert!(
        (cases / 5..cases * 4 / 5).contains(&allowed),
        "{allowed} of {cases} were allowed: the generator is lopsided"
    );
}

/// Says whether a decision would have been an allowed one, but for a nonce that another decision took.
fn holds(decision: Decision) -> bool {
    matches!(refused(decision), None | Some(Reason::NonceReplayed))
}

/// A case none of whose caveats binds it to a peer: such a one may let a later holder in and not an earlier one.
fn unbound(case: Case) -> Case {
    Case { steps: case.steps.into_iter().map(Step::unbound).collect(), ..case }
}

#[test]
fn neither_narrowing_nor_handing_on_ever_widens() {
    let (lost, handed) = (Cell::new(0u64), Cell::new(0u64));
    let narrows = |(case, child_first): (Case, bool)| {
        let case = unbound(case);
        let chain = case.chain();
        // Each by who holds it; the last one by whoever asks.
        let mut peers: Vec<_> = case.holders();
        *peers.last_mut().expect("the holder") = &case.peer;
        let decide = |verifier: &FedVerifier, place: usize| {
            verifier.decide(&chain[place], &case.ask, peers[place], case.now_s())
        };
        let places: Vec<usize> = (0..chain.len()).collect();
        let alone: Vec<bool> = places.iter().map(|place| decide(&verifier(&case), *place).is_allowed()).collect();
        let shared = verifier(&case);
        let order: Vec<usize> = if child_first { places.iter().rev().copied().collect() } else { places };
        // Twice, so that what the first round may have left behind is there in the second.
        let together: Vec<_> =
            order.iter().chain(&order).map(|place| (*place, holds(decide(&shared, *place)))).collect();
        lost.set(lost.get() + u64::from(alone.first() != alone.last()));
        handed.set(handed.get() + u64::from(case.hops().next().is_some() && alone.last() == Some(&true)));
        prop_assert!(alone.windows(2).all(|pair| pair[0] || !pair[1]), "{:?}", alone);
        let differs = together.iter().find(|(place, held)| alone[*place] != *held);
        prop_assert_eq!(differs, None, "alone {:?}", alone);
        Ok(())
    };
    let name = "neither_narrowing_nor_handing_on_ever_widens";
    let cases = property::holds(name, (case_of(8), any::<bool>()), narrows);
    let (lost, handed) = (lost.get(), handed.get());
    assert!(lost > cases / 20, "something was taken away in {lost} of {cases} cases only");
    assert!(handed > cases / 10, "handed on and allowed in {handed} of {cases} cases only");
}

#[test]
fn the_gate_reads_back_what_was_minted_and_appended() {
    let reads_back = |case: Case| {
        let token = case.token();
        let read = Unverified::parse(&token).expect("inside the profile");
        let ends = case.blocks().into_iter().flatten().filter_map(|c| match c {
            Caveat::ExpiresAt(at) => Some(*at),
            _ => None,
        });
        prop_assert_eq!(read.key_id(), KeyId(ROOT_ID));
        prop_assert_eq!(read.claims(), &case.claims);
        prop_assert!(read.blocks().iter().map(Vec::as_slice).eq(case.blocks()));
        prop_assert!(read.hops().iter().map(|hop| &hop.to.holder).eq(case.hops()));
        prop_assert_eq!(read.expires_at(), ends.fold(case.claims.expires_at, Ord::min));
        prop_assert_eq!(read.bytes(), &token[..]);
        Ok(())
    };
    property::holds("the_gate_reads_back_what_was_minted_and_appended", case(), reads_back);
}

/// A case whose token is allowed as it is, with one block.
fn usual() -> Case {
    Case {
        claims: player::claims(),
        steps: vec![Step::Narrow(vec![Caveat::Tool(player::word("read_file"))])],
        ask: player::ask(&player::call()).expect("a call"),
        peer: player::word(player::HOLDER),
        server: player::word(player::AUDIENCE),
        later_s: 0,
    }
}

/// The usual call with its token, and with one that was handed on in between.
fn usual_tokens() -> [(Case, Vec<u8>); 2] {
    let handed = handed_on::narrowed(handed_on::once(), usual().steps[0].caveats());
    let peer = player::word(hops::FIRST);
    [(usual(), usual().token()), (Case { peer, ..usual() }, forge::bytes(&hops::sign_links(&handed)))]
}

#[test]
fn any_change_of_any_byte_is_refused() {
    for (case, token) in usual_tokens() {
        let verifier = verifier(&case);
        let decide = |bytes: &[u8]| refused(verifier.decide(bytes, &case.ask, &case.peer, case.now_s()));
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
}

#[test]
fn any_change_of_a_byte_of_any_token_is_refused() {
    let changes = (case(), any::<Index>(), 1..=255u8);
    let is_refused = |(case, place, flip): (Case, Index, u8)| {
        let mut token = case.token();
        let place = place.index(token.len());
        token[place] ^= flip;
        prop_assert!(refused(decide(&case, &token)).is_some());
        Ok(())
    };
    property::holds("any_change_of_a_byte_of_any_token_is_refused", changes, is_refused);
}

#[test]
fn unknown_fields_are_refused_wherever_they_are_put() {
    for (case, token) in usual_tokens() {
        let verifier = verifier(&case);
        let decide = |bytes: &[u8]| refused(verifier.decide(bytes, &case.ask, &case.peer, case.now_s()));
        for field in [&[0x78, 0x01][..], &[0x7a, 0x01, 0x00], &[0x28, 0x00], &[0x7d, 0, 0, 0, 0]] {
            for place in 0..=token.len() {
                let mut longer = token.clone();
                longer.splice(place..place, field.iter().copied());
                assert!(decide(&longer).is_some(), "{field:x?} at {place} is still allowed");
            }
            let appended = [&token[..], field].concat();
            assert_eq!(decide(&appended), Some(Reason::TokenNotCanonical));
        }
    }
}

#[test]
fn no_bytes_make_the_gate_panic() {
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    let spliced = (case(), any::<Index>(), bytes);
    let survives = |(case, place, bytes): (Case, Index, Vec<u8>)| {
        prop_assert!(Unverified::parse(&bytes).is_err());
        let mut token = case.token();
        let place = place.index(token.len());
        token.splice(place.., bytes);
        prop_assert!(refused(decide(&case, &token)).is_some());
        Ok(())
    };
    property::holds("no_bytes_make_the_gate_panic", spliced, survives);
}
