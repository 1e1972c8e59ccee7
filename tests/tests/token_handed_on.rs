//! What somebody can do who has tokens, their secrets and the hops of others, and not the key of the one who holds a token.
//!
//! Every forgery is signed with all that its maker has, and presented by the one whom it would be good for, to a verifier
//! that has seen the tokens it is made of.

use biscuit_auth::format::schema::{Biscuit, ExternalSignature, Proof, PublicKey, SignedBlock, proof};
use crumb_tests::{
    fed_verifier::{FedVerifier, at},
    generated_tokens::{Case, NONCES, Step, case_of, root, seed_of},
    oracle::{self, Answer},
    property,
    vectors::{
        forge::{ROOT_ID, bound_payload, bytes, payload, public, third_party_payload},
        hops::{FIRST, SECOND, delegable, external, hop_seed, hop_text, narrowing_link, task, third_party},
        player::{self, AUDIENCE, HOLDER, NOW},
    },
};
use crumb_token::{Caveat, Claims, KeyId, Reason, SpiffeId, Timestamp, mint::mint, parse::Unverified};
use ed25519_dalek::{Signer, SigningKey};
use proptest::{prelude::*, sample::Index};
use prost_biscuit::Message;
use std::cell::Cell;

/// The key of somebody whom no token names.
const THIEF: [u8; 32] = [0x44; 32];

/// A token that was handed on at least once.
fn handed() -> impl Strategy<Value = Case> {
    case_of(6).prop_filter("a hop", |case| case.hops().next().is_some())
}

/// A verifier of the case's tool server that has seen every token of its chain, each presented by its holder.
fn verifier(case: &Case, chain: &[Vec<u8>]) -> FedVerifier {
    let verifier = FedVerifier::new(case.server.clone(), case.now_s());
    for (token, holder) in chain.iter().zip(case.holders()) {
        drop(verifier.decide(token, &case.ask, holder, case.now_s()));
    }
    verifier
}

fn refusal(verifier: &FedVerifier, case: &Case, token: &[u8], peer: &SpiffeId) -> Option<Reason> {
    verifier.decide(token, &case.ask, peer, case.now_s()).into_result().err().map(|refused| refused.denial.reason)
}

fn read(token: &[u8]) -> Biscuit {
    Biscuit::decode(token).expect("a token")
}

fn last(token: &Biscuit) -> &SignedBlock {
    token.blocks.last().unwrap_or(&token.authority)
}

/// Appends a block that a third party signed, as whoever has the token can: with the secret that it ends with.
fn append(token: &[u8], block: Vec<u8>, external_signature: Option<ExternalSignature>) -> Vec<u8> {
    append_in(Some(1), token, block, external_signature)
}

/// Appends a block whose signature is of a version; without one it is bound to nothing before it.
fn append_in(
    version: Option<u32>,
    token: &[u8],
    block: Vec<u8>,
    external_signature: Option<ExternalSignature>,
) -> Vec<u8> {
    let mut token = read(token);
    let Some(proof::Content::NextSecret(secret)) = &token.proof.content else { panic!("no token is sealed") };
    let key = SigningKey::from_bytes(&secret[..].try_into().expect("32 bytes"));
    let next = [0x77; 32];
    let next_key = PublicKey { algorithm: 0, key: public(next).to_vec() };
    let mut signed = SignedBlock { block, next_key, signature: vec![], external_signature, version };
    let message = match version {
        Some(_) => bound_payload(&signed, &last(&token).signature),
        None => payload(&signed),
    };
    signed.signature = key.sign(&message).to_bytes().to_vec();
    token.blocks.push(signed);
    token.proof = Proof { content: Some(proof::Content::NextSecret(next.to_vec())) };
    bytes(&token)
}

/// Hands a token on with the key of number `by`.
fn hand_on(token: &[u8], hands: [&str; 2], onward: Option<[u8; 32]>, by: u8) -> Vec<u8> {
    let block = third_party(&hop_text(hands, onward, "")).encode_to_vec();
    let message = third_party_payload(&last(&read(token)).signature, &block);
    append(token, block, Some(external(hop_seed(by), &message)))
}

/// Two tokens of one holder, each with `blocks` that nothing binds, and the hops of the one behind the other.
fn transplanted(blocks: u64) -> Vec<u8> {
    let start = |id: &str| {
        let claims = Claims { token: player::word(id), ..delegable() };
        let token = mint(&claims, KeyId(ROOT_ID), &root()).expect("mints").to_vec();
        (0..blocks).fold(token, |token, n| {
            let ends = Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + 60 + n));
            // Each names the same next key: from the second on, such a block is one for both tokens.
            append_in(None, &token, narrowing_link(&task(), &[ends]).block, None)
        })
    };
    let [one, other] = ["tok_01983f00000070008000000000000001", "tok_01983f00000070008000000000000009"].map(start);
    // The first delegate is honest: he hands on the one token that he was given.
    let handed = hand_on(&hand_on(&one, [HOLDER, FIRST], Some(hop_seed(1)), 0), [FIRST, SECOND], None, 1);
    let (mut handed, mut forged) = (read(&handed), read(&other));
    forged.blocks.extend(handed.blocks.split_off(forged.blocks.len()));
    forged.proof = handed.proof;
    bytes(&forged)
}

#[test]
fn hops_behind_blocks_that_nothing_binds_are_refused_though_their_signatures_verify() {
    let ask = player::ask(&player::call()).expect("a call");
    let (peer, server) = (player::word(SECOND), player::word(AUDIENCE));
    let expected = [
        (0, Answer::NoToken, Reason::SignatureInvalid),
        (1, Answer::NoToken, Reason::TokenOutOfProfile),
        (2, Answer::Allowed, Reason::TokenOutOfProfile),
    ];
    for (blocks, stock, ours) in expected {
        let forged = transplanted(blocks);
        let without_the_gate = oracle::evaluate(&forged, root().public(), &ask, &peer, &server, at(NOW).wall, &NONCES);
        assert_eq!(without_the_gate, stock, "{blocks} blocks before the hops");
        let verifier = FedVerifier::new(player::word(AUDIENCE), NOW);
        let refused = verifier.decide(&forged, &ask, &peer, NOW).into_result().map_err(|r| r.denial.reason);
        assert_eq!(refused.err(), Some(ours), "{blocks} blocks before the hops");
    }
}

#[test]
fn a_hop_that_is_cut_out_is_good_for_no_other_token() {
    let is_refused = |(case, other): (Case, Index)| {
        let chain = case.chain();
        let verifier = verifier(&case, &chain);
        // The same token made again, so that nothing but the place differs; and the same with every other beginning.
        let again = case.chain();
        for (place, step) in case.steps.iter().enumerate().filter(|(_, step)| step.to().is_some()) {
            let to = step.to().expect("a hop");
            let cut = last(&read(&chain[place + 1])).clone();
            for onto in [&again[place], &chain[other.index(chain.len())]] {
                if *onto == chain[place] || read(onto).blocks.len() >= usize::from(case.claims.depth_limit) {
                    continue;
                }
                let forged = append(onto, cut.block.clone(), cut.external_signature.clone());
                let reason = refusal(&verifier, &case, &forged, to);
                // At the same place of the same claims, only the signature can tell.
                let wanted = *onto == again[place];
                prop_assert!(reason.is_some() && (!wanted || reason == Some(Reason::SignatureInvalid)), "{:?}", reason);
            }
        }
        Ok(())
    };
    property::holds_in(3, "a_hop_that_is_cut_out_is_good_for_no_other_token", (handed(), any::<Index>()), is_refused);
}

#[test]
fn a_stolen_token_cannot_be_handed_on_without_the_holders_key() {
    let tried = Cell::new(0u64);
    let is_refused = |case: Case| {
        let chain = case.chain();
        let verifier = verifier(&case, &chain);
        for (place, step) in case.steps.iter().enumerate() {
            let Step::Hop { to, .. } = step else { continue };
            let stolen = &chain[place];
            let hands = [case.holders()[place].as_str(), to.as_str()];
            let block = third_party(&hop_text(hands, None, "")).encode_to_vec();
            let message = third_party_payload(&last(&read(stolen)).signature, &block);
            let own = external(THIEF, &message);
            let holders = last(&read(&chain[place + 1])).external_signature.clone().expect("a hop").public_key;
            let in_their_name = ExternalSignature { public_key: holders, ..own.clone() };
            let mut unsigned = append(stolen, block.clone(), None);
            prop_assert_eq!(refusal(&verifier, &case, &unsigned, to), Some(Reason::TokenVersion));
            unsigned = append(stolen, block.clone(), Some(own));
            prop_assert_eq!(refusal(&verifier, &case, &unsigned, to), Some(Reason::TokenOutOfProfile));
            let forged = append(stolen, block, Some(in_their_name));
            prop_assert!(Unverified::parse(&forged).is_ok(), "in order, but for the signature");
            prop_assert_eq!(refusal(&verifier, &case, &forged, to), Some(Reason::SignatureInvalid));
            tried.set(tried.get() + 1);
        }
        Ok(())
    };
    let cases = property::holds_in(3, "a_stolen_token_cannot_be_handed_on", handed(), is_refused);
    assert!(tried.get() >= cases, "{} hops in {cases} cases", tried.get());
}

#[test]
fn no_block_can_be_dropped_moved_or_repeated() {
    let is_refused = |(case, at): (Case, Index)| {
        let chain = case.chain();
        let verifier = verifier(&case, &chain);
        let whole = read(chain.last().expect("minted"));
        let at = at.index(whole.blocks.len());
        let mut bent = vec![];
        // Without its last block, a token lacks the secret that it had before.
        let mut token = whole.clone();
        token.blocks.remove(at);
        bent.push(token);
        if at > 0 {
            let mut token = whole.clone();
            token.blocks.swap(at - 1, at);
            bent.push(token);
        }
        let mut token = whole.clone();
        token.blocks.insert(at, whole.blocks[at].clone());
        bent.push(token);
        for token in bent {
            for peer in case.holders() {
                prop_assert!(refusal(&verifier, &case, &bytes(&token), peer).is_some(), "block {}", at + 1);
            }
        }
        Ok(())
    };
    property::holds_in(3, "no_block_can_be_dropped_moved_or_repeated", (handed(), any::<Index>()), is_refused);
}

#[test]
fn nobody_but_the_last_holder_is_ever_let_in() {
    let is_refused = |(case, again): (Case, bool)| {
        let chain = case.chain();
        let verifier = verifier(&case, &chain);
        let places: Vec<_> = if again { (0..chain.len()).rev().collect() } else { (0..chain.len()).collect() };
        for place in places {
            let holders = case.holders();
            for peer in holders.iter().filter(|peer| **peer != holders[place]) {
                let reason = refusal(&verifier, &case, &chain[place], peer);
                prop_assert!(reason.is_some(), "block {} for {}", place, peer);
                // Nor by a stock verifier: no block's check is met by what it says itself.
                let time = at(case.now_s()).wall;
                let stock =
                    oracle::evaluate(&chain[place], root().public(), &case.ask, peer, &case.server, time, &NONCES);
                prop_assert_eq!(stock, Answer::Denied, "block {} for {}", place, peer);
            }
        }
        Ok(())
    };
    property::holds_in(3, "nobody_but_the_last_holder_is_ever_let_in", (handed(), any::<bool>()), is_refused);
}

#[test]
fn a_hop_is_written_as_a_stock_library_writes_it() {
    let is_same = |case: Case| {
        for (place, token) in case.chain().iter().enumerate().skip(1) {
            let Step::Hop { to, open, caveats } = &case.steps[place - 1] else { continue };
            if caveats.is_empty() {
                let hands = [case.holders()[place - 1].as_str(), to.as_str()];
                let stock = third_party(&hop_text(hands, open.then(|| seed_of(to)), ""));
                let ours = last(&read(token)).block.clone();
                prop_assert_eq!(ours, stock.encode_to_vec());
            }
        }
        Ok(())
    };
    property::holds_in(3, "a_hop_is_written_as_a_stock_library_writes_it", handed(), is_same);
}
