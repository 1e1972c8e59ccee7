//! Tokens that were handed on: who may present them, what is remembered of them and for whom, and what ends them.
//!
//! What the bytes of a hop have to be is the gate's, and shown by the vectors; here is what only a look into the verifier
//! shows.

use super::*;
use crate::fixture::HOLDER;
use biscuit_auth::{KeyPair, PrivateKey, builder::Algorithm};
use crumb_token::{
    SpiffeId,
    attenuate::Parent,
    handover::{Delegate, DelegationKey, MayAct},
};

const FIRST: &str = "spiffe://acme.example/agent/first";
const SECOND: &str = "spiffe://acme.example/agent/second";

fn pair(seed: u8) -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&[seed; 32], Algorithm::Ed25519).expect("32 bytes"))
}

fn id(text: &str) -> SpiffeId {
    text.parse().expect("a SPIFFE ID")
}

/// Claims of token `n`, which may be handed to two workloads.
fn delegable(n: u8) -> Claims {
    let delegate = |holder, agent: &str| Delegate {
        holder: id(holder),
        agent: agent.parse().expect("a name"),
        version: "1.0".parse().expect("a version"),
    };
    let delegates = vec![delegate(FIRST, "first"), delegate(SECOND, "second")];
    let may_act = Some(MayAct { key: DelegationKey::of(&pair(1)).expect("Ed25519"), delegates });
    Claims { token: format!("tok_{n:032x}").parse().expect("an id"), may_act, ..claims() }
}

/// Token `n` in the hands of its first holder.
fn task(n: u8) -> Vec<u8> {
    BROKER.mint(&delegable(n))
}

/// Hands a token to `to`, who has the key of `onward` to go on with.
fn handed(token: &[u8], to: &str, onward: u8, by: u8) -> Vec<u8> {
    let onward = DelegationKey::of(&pair(onward));
    Parent::read(token).expect("a token").hand_over(&id(to), onward, &[], &pair(by)).expect("hands over").to_vec()
}

/// Token `n` in the hands of the first delegate.
fn first(n: u8) -> Vec<u8> {
    handed(&task(n), FIRST, 2, 1)
}

/// A call token of the given one, which ends `s` seconds after `T0`.
fn until(token: &[u8], s: u64) -> TokenText {
    TokenText::from_bytes(&attenuate(token, &[Caveat::ExpiresAt(at(T0 + s))]).expect("narrows"))
}

fn remembered(verifier: &Verifier) -> (usize, usize) {
    (verifier.counters().tokens, verifier.counters().parents)
}

fn decide_as(verifier: &Verifier, token: &TokenText, who: &str) -> Decision {
    verifier.decide(token, &ask(), &id(who), now(1))
}

#[test]
fn what_was_handed_on_is_allowed_to_the_last_holder_alone() {
    let verifier = verifier();
    let second = TokenText::from_bytes(&handed(&first(1), SECOND, 3, 2));
    // Twice each, so that what one of them left behind is there for the others.
    for _ in 0..2 {
        for who in [FIRST, HOLDER, "spiffe://acme.example/agent/other"] {
            let refused = denied(decide_as(&verifier, &second, who), Reason::HolderMismatch);
            assert_eq!(refused.denial.rule, "block 2, holder");
            assert_eq!(refused.hops.iter().map(|hop| hop.to.holder.as_str()).collect::<Vec<_>>(), [FIRST, SECOND]);
        }
        let verified = allowed(decide_as(&verifier, &second, SECOND));
        assert_eq!((verified.holder().as_str(), verified.claims().holder.as_str()), (SECOND, HOLDER));
        assert_eq!(verified.hops().map(|hop| hop.to.agent.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(verified.blocks().map(<[_]>::len).collect::<Vec<_>>(), [0, 0], "two blocks without a caveat");
    }
}

#[test]
fn the_first_holder_goes_on_with_what_it_kept() {
    let verifier = verifier();
    let (kept, gone) = (until(&task(1), 30), until(&first(1), 30));
    for _ in 0..2 {
        allowed(decide_as(&verifier, &kept, HOLDER));
        allowed(decide_as(&verifier, &gone, FIRST));
        denied(decide_as(&verifier, &kept, FIRST), Reason::HolderMismatch);
        denied(decide_as(&verifier, &gone, HOLDER), Reason::HolderMismatch);
    }
}

#[test]
fn a_beginning_with_a_hop_is_remembered_for_the_one_who_presents_it() {
    let verifier = verifier();
    for s in [30, 31, 32] {
        denied(decide_as(&verifier, &until(&first(1), s), HOLDER), Reason::HolderMismatch);
        assert_eq!(remembered(&verifier), (0, 0), "not when another presents it");
    }
    for (s, tokens) in [(30, 1), (31, 2), (32, 3)] {
        allowed(decide_as(&verifier, &until(&first_with_one_next_key(), s), FIRST));
        assert_eq!(remembered(&verifier), (tokens, 1), "one beginning for all that go on from it");
    }
}

/// The same handed token each time: a hop names a new key whenever it is made.
fn first_with_one_next_key() -> Vec<u8> {
    static FIRST_OF_ONE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| first(1));
    FIRST_OF_ONE.clone()
}

#[test]
fn a_hop_after_a_known_beginning_is_found_by_it_and_held_to_all_its_signatures() {
    let verifier = verifier();
    let token = first_with_one_next_key();
    allowed(decide_as(&verifier, &until(&token, 30), FIRST));
    let second = handed(&token, SECOND, 3, 2);
    for from_the_end in 1..300 {
        let mut other = second.clone();
        let place = other.len() - from_the_end;
        other[place] ^= 1;
        let decision = decide_as(&verifier, &TokenText::from_bytes(&other), SECOND);
        assert!(!decision.is_allowed(), "a flipped bit {from_the_end} bytes from the end");
    }
    assert_eq!(remembered(&verifier), (1, 1));
    allowed(decide_as(&verifier, &TokenText::from_bytes(&second), SECOND));
    assert_eq!(remembered(&verifier), (2, 1), "the beginning was there");
    allowed(decide_as(&verifier, &until(&second, 30), SECOND));
    assert_eq!(remembered(&verifier), (3, 2), "and now that of the second holder is");
}

#[test]
fn what_is_remembered_counts_in_the_presenters_share() {
    // Two beginnings in all, one for each holder.
    let verifier = verifier_with(Limits { tokens_max: 8, tokens_per_holder: 4, ..Limits::default() });
    allowed(decide_as(&verifier, &until(&task(1), 30), HOLDER));
    allowed(decide_as(&verifier, &until(&first(1), 30), FIRST));
    assert_eq!(remembered(&verifier), (2, 2), "the first holder's is not displaced by what it handed on");
    for n in 2..6 {
        allowed(decide_as(&verifier, &until(&first(n), 30), FIRST));
        assert_eq!(remembered(&verifier).1, 2, "whoever made the hops, they are in the share of whom they name");
    }
    for n in 2..6 {
        allowed(decide_as(&verifier, &until(&task(n), 30), HOLDER));
        assert_eq!(remembered(&verifier).1, 2);
    }
}

#[test]
fn the_agent_of_a_hop_ends_the_token_and_one_that_was_only_named_does_not() {
    let (agent, other) = ("first".parse().expect("a name"), "second".parse().expect("a name"));
    let version = "1.0".parse().expect("a version");
    let of_version = Target::Version("first".parse().expect("a name"), version);
    for (target, ended) in [(Target::Agent(agent), true), (of_version, true), (Target::Agent(other), false)] {
        let verifier = verifier();
        let (leaf, inside) = (TokenText::from_bytes(&first(1)), until(&first(1), 30));
        let kept = until(&task(1), 30);
        for token in [&leaf, &inside] {
            allowed(decide_as(&verifier, token, FIRST));
        }
        allowed(decide_as(&verifier, &kept, HOLDER));
        BROKER.tell(&verifier, revoke(2, 1, target.clone()), now(2)).expect("taken");
        // Also a token that goes on from a beginning that was remembered before.
        for token in [&leaf, &inside, &until(&first_with_one_next_key(), 31)] {
            assert_eq!(!decide_as(&verifier, token, FIRST).is_allowed(), ended, "{target:?}");
        }
        allowed(decide_as(&verifier, &kept, HOLDER));
    }
}

#[test]
fn what_ended_with_the_agent_of_a_hop_is_let_go() {
    let verifier = verifier();
    allowed(decide_as(&verifier, &until(&first(1), 600), FIRST));
    BROKER.tell(&verifier, revoke(2, 1, Target::Agent("first".parse().expect("a name"))), now(2)).expect("taken");
    for s in 3..40 {
        BROKER.tell(&verifier, heartbeat(s, 1), now(s)).expect("taken");
    }
    assert_eq!(remembered(&verifier), (0, 0));
}

#[test]
fn a_nonce_is_used_up_for_every_later_holder() {
    let verifier = verifier();
    let single = attenuate(&first(1), &[Caveat::Nonce([9; 16])]).expect("narrows");
    let gone = TokenText::from_bytes(&handed(&single, SECOND, 3, 2));
    allowed(decide_as(&verifier, &TokenText::from_bytes(&single), FIRST));
    let refused = denied(decide_as(&verifier, &gone, SECOND), Reason::NonceReplayed);
    assert_eq!(refused.denial.rule, "block 2, nonce");
    let within = Parent::read(&task(2)).expect("a token");
    let within = within.hand_over(&id(FIRST), None, &[Caveat::Nonce([9; 16])], &pair(1)).expect("hands over");
    allowed(decide_as(&verifier, &TokenText::from_bytes(&within), FIRST));
    denied(decide_as(&verifier, &TokenText::from_bytes(&within), FIRST), Reason::NonceReplayed);
}

#[test]
fn one_holder_of_hops_uses_up_a_quarter_of_the_nonces_at_most() {
    let verifier = verifier_with(Limits { nonces_max: 8, ..Limits::default() });
    let single =
        |token: &[u8], n: u8| TokenText::from_bytes(&attenuate(token, &[Caveat::Nonce([n; 16])]).expect("narrows"));
    for n in 0..2 {
        allowed(decide_as(&verifier, &single(&first(n), n), FIRST));
    }
    denied(decide_as(&verifier, &single(&first(3), 3), FIRST), Reason::NonceTableFull);
    allowed(decide_as(&verifier, &single(&task(4), 4), HOLDER));
}
