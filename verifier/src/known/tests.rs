//! Each rule of the feed.

use super::*;
use crate::{
    Verifier,
    feed::{Key, Revocation, Target},
    fixture::{
        AUDIENCE, BROKER, OTHER, T0, allowed, ask, at, claims, denied, full, heartbeat, now, peer, revoke, token,
        verifier, verifier_with,
    },
};
use crumb_token::{KeyId, Reason, SessionId, TokenId};

fn session(n: u128) -> Target {
    Target::Session(format!("ses_{n:032x}").parse::<SessionId>().expect("a session id"))
}

fn is_fresh(verifier: &Verifier, s: u64) -> bool {
    matches!(verifier.freshness(now(s)), Freshness::Fresh { .. })
}

#[test]
fn a_heartbeat_keeps_it_fresh() {
    let verifier = verifier();
    for s in 1..30 {
        BROKER.tell(&verifier, heartbeat(s, 0), now(s)).expect("taken");
        assert!(is_fresh(&verifier, s + 5));
        assert!(!is_fresh(&verifier, s + 6));
    }
}

#[test]
fn the_first_message_has_to_be_full() {
    let verifier = Verifier::new(AUDIENCE.parse().expect("an audience"), Limits::default());
    assert_eq!(BROKER.tell(&verifier, heartbeat(0, 0), now(0)), Err(FeedRefused::NotInStep));
    assert_eq!(verifier.freshness(now(0)), Freshness::Never);
}

#[test]
fn a_full_message_is_signed_by_a_key_that_it_lists() {
    let verifier = verifier();
    assert_eq!(OTHER.tell(&verifier, full(1), now(1)), Err(FeedRefused::SignerUnknown(OTHER.id)));
    let both = Message { keys: vec![BROKER.key(), OTHER.key()], ..full(1) };
    assert_eq!(OTHER.tell(&verifier, both, now(1)), Ok(()));
}

#[test]
fn a_full_message_replaces_everything() {
    let verifier = verifier();
    BROKER.tell(&verifier, revoke(1, 1, session(2)), now(1)).expect("taken");
    denied(verifier.decide(&token(&claims()), &ask(), &peer(), now(1)), Reason::TokenRevoked);
    let next = Message { sequence: 2, ..full(2) };
    BROKER.tell(&verifier, next, now(2)).expect("taken");
    allowed(verifier.decide(&token(&claims()), &ask(), &peer(), now(2)));
    let other_keys = Message { sequence: 2, keys: vec![OTHER.key()], ..full(3) };
    OTHER.tell(&verifier, other_keys, now(3)).expect("taken");
    denied(verifier.decide(&token(&claims()), &ask(), &peer(), now(3)), Reason::KeyUnknown);
}

#[test]
fn a_full_message_does_not_go_back() {
    let verifier = verifier();
    BROKER.tell(&verifier, revoke(1, 1, session(9)), now(1)).expect("taken");
    assert_eq!(BROKER.tell(&verifier, full(2), now(2)), Err(FeedRefused::WentBack { have: 1, got: 0 }));
    assert_eq!(BROKER.tell(&verifier, Message { sequence: 1, ..full(0) }, now(2)), Err(FeedRefused::Replayed));
    let anew = Message { epoch: 2, ..full(3) };
    assert_eq!(BROKER.tell(&verifier, anew, now(3)), Ok(()), "a broker that began anew counts anew");
}

#[test]
fn a_message_follows_only_in_its_epoch() {
    let verifier = verifier();
    let other = Message { epoch: 2, ..heartbeat(1, 0) };
    assert_eq!(BROKER.tell(&verifier, other, now(1)), Err(FeedRefused::NotInStep));
    assert!(!is_fresh(&verifier, 1), "the broker began anew, and what it revoked since is not known");
}

#[test]
fn refuses_a_signer_that_is_unknown_ended_or_revoked() {
    let verifier = verifier();
    assert_eq!(OTHER.tell(&verifier, heartbeat(1, 0), now(1)), Err(FeedRefused::SignerUnknown(OTHER.id)));
    let ends = Key { not_after: at(T0 + 2), ..OTHER.key() };
    BROKER.tell(&verifier, Message { keys: vec![ends], ..heartbeat(1, 0) }, now(1)).expect("taken");
    assert_eq!(OTHER.tell(&verifier, heartbeat(2, 0), now(2)), Ok(()));
    let refused = Err(FeedRefused::SignerNotInForce(OTHER.id));
    assert_eq!(OTHER.tell(&verifier, heartbeat(3, 0), now(3)), refused);
    BROKER.tell(&verifier, revoke(4, 1, Target::Key(BROKER.id)), now(4)).expect("its last message");
    assert_eq!(BROKER.tell(&verifier, heartbeat(5, 1), now(5)), Err(FeedRefused::SignerNotInForce(BROKER.id)));
    let revocations = vec![Revocation::whole(1, Target::Key(BROKER.id), at(T0 + 60))];
    let own_goal = Message { sequence: 1, revocations, ..full(6) };
    assert_eq!(BROKER.tell(&verifier, own_goal, now(6)), Err(FeedRefused::SignerNotInForce(BROKER.id)));
}

#[test]
fn refuses_any_change_of_bytes_key_or_signature() {
    let verifier = verifier();
    let message = heartbeat(1, 0);
    let refused = |signed: &Signed<'_>| verifier.apply(signed, message.clone(), now(1)).expect_err("refused");
    let zeros = Signed { bytes: b"x", key_id: BROKER.id, signature: &[0; 64] };
    assert_eq!(refused(&zeros), FeedRefused::Signature(BROKER.id));
    assert_eq!(refused(&Signed { signature: &[0; 63], ..zeros }), FeedRefused::Signature(BROKER.id));
    let forger = crate::fixture::Broker { id: BROKER.id, ..OTHER };
    assert_eq!(forger.tell(&verifier, message.clone(), now(1)), Err(FeedRefused::Signature(BROKER.id)));
}

#[test]
fn refuses_a_replay() {
    let verifier = verifier();
    BROKER.tell(&verifier, heartbeat(1, 0), now(1)).expect("taken");
    assert_eq!(BROKER.tell(&verifier, heartbeat(1, 0), now(2)), Err(FeedRefused::Replayed));
    assert_eq!(verifier.counters().feed_refused, 1);
    assert!(!is_fresh(&verifier, 7), "a replay does not count as hearing the broker");
}

#[test]
fn a_clock_that_differs_too_much_makes_it_stale() {
    let verifier = verifier();
    let off = |ms: u64| Message { time_unix_ms: (T0 + 10) * 1000 + 999 + ms, ..heartbeat(10, 0) };
    let refused = Err(FeedRefused::Skew(Duration::from_millis(2001)));
    assert_eq!(BROKER.tell(&verifier, off(2001), now(10)), refused);
    let late = Message { time_unix_ms: (T0 + 10) * 1000 - 2001, ..heartbeat(10, 0) };
    let late_full = Message { time_unix_ms: late.time_unix_ms, ..full(10) };
    assert_eq!(BROKER.tell(&verifier, late, now(10)), refused);
    assert_eq!(BROKER.tell(&verifier, late_full, now(10)), refused);
    assert!(!is_fresh(&verifier, 10));
    assert_eq!(BROKER.tell(&verifier, off(2000), now(10)), Ok(()));
    assert!(is_fresh(&verifier, 10));
}

#[test]
fn a_gap_refuses_everything_until_a_full_message() {
    let verifier = verifier();
    assert_eq!(BROKER.tell(&verifier, heartbeat(1, 1), now(1)), Err(FeedRefused::Gap { have: 0 }));
    denied(verifier.decide(&token(&claims()), &ask(), &peer(), now(1)), Reason::FeedStale);
    assert_eq!(BROKER.tell(&verifier, heartbeat(2, 0), now(2)), Err(FeedRefused::NotInStep));
    assert_eq!(BROKER.tell(&verifier, revoke(3, 1, session(9)), now(3)), Err(FeedRefused::NotInStep));
    BROKER.tell(&verifier, Message { sequence: 1, ..full(4) }, now(4)).expect("taken");
    allowed(verifier.decide(&token(&claims()), &ask(), &peer(), now(4)));
}

#[test]
fn revocations_continue_without_a_gap_inside_a_message() {
    let numbered = |numbers: &[u64], sequence| {
        let revocations = numbers.iter().map(|n| Revocation::whole(*n, session(9), at(T0 + 60))).collect();
        Message { revocations, ..heartbeat(1, sequence) }
    };
    for (numbers, sequence) in [(&[1, 3][..], 3), (&[2][..], 2), (&[1, 1][..], 1), (&[2, 1][..], 2), (&[1][..], 2)] {
        let told = BROKER.tell(&verifier(), numbered(numbers, sequence), now(1));
        assert!(matches!(told, Err(FeedRefused::Gap { .. })), "{numbers:?} up to {sequence}: {told:?}");
    }
    assert_eq!(BROKER.tell(&verifier(), numbered(&[1, 2, 3], 3), now(1)), Ok(()));
    let beyond = Message { full: true, keys: vec![BROKER.key()], ..numbered(&[1, 2], 1) };
    assert_eq!(BROKER.tell(&verifier(), beyond, now(1)), Err(FeedRefused::Gap { have: 1 }));
}

#[test]
fn a_forged_gap_changes_nothing() {
    let verifier = verifier();
    let forger = crate::fixture::Broker { id: BROKER.id, ..OTHER };
    assert!(forger.tell(&verifier, heartbeat(1, 5), now(1)).is_err());
    assert!(is_fresh(&verifier, 1));
}

#[test]
fn too_many_revocations_refuse_everything_rather_than_forget_one() {
    let limits = Limits { revocations_max: 2, ..Limits::default() };
    let verifier = verifier_with(limits);
    BROKER.tell(&verifier, revoke(1, 1, session(11)), now(1)).expect("taken");
    BROKER.tell(&verifier, revoke(2, 2, session(12)), now(2)).expect("taken");
    let refused = Err(FeedRefused::TooManyRevocations { max: 2 });
    assert_eq!(BROKER.tell(&verifier, revoke(3, 3, session(13)), now(3)), refused);
    assert!(!is_fresh(&verifier, 3));
    let revocations = (1..=3).map(|n| Revocation::whole(n, session(9), at(T0 + 60))).collect();
    assert_eq!(BROKER.tell(&verifier, Message { sequence: 3, revocations, ..full(4) }, now(4)), refused);
    assert!(!is_fresh(&verifier, 4));
}

#[test]
fn forgets_revocations_only_when_nothing_they_end_can_be_alive() {
    let limits = Limits { revocations_max: 1, ..Limits::default() };
    let verifier = verifier_with(limits);
    let until = |n, s: u64, until_s| {
        let revocations = vec![Revocation::whole(n, session(n.into()), at(T0 + until_s))];
        Message { revocations, ..heartbeat(s, n) }
    };
    BROKER.tell(&verifier, until(1, 1, 2), now(1)).expect("taken");
    BROKER.tell(&verifier, heartbeat(4, 1), now(4)).expect("taken");
    let early = Err(FeedRefused::TooManyRevocations { max: 1 });
    assert_eq!(BROKER.tell(&verifier, until(2, 5, 60), now(5)), early, "until plus skew plus a second is not over");
    let rest = Revocation::whole(1, session(1), at(T0 + 2));
    BROKER.tell(&verifier, Message { sequence: 1, revocations: vec![rest], ..full(5) }, now(5)).expect("taken");
    assert_eq!(BROKER.tell(&verifier, until(2, 6, 60), now(6)), Ok(()));
    assert_eq!(verifier.counters().revocations, 1);
}

#[test]
fn a_storm_of_revocations_loses_none() {
    let verifier = verifier();
    for n in 1..=3000u64 {
        let message = Message { time_unix_ms: T0 * 1000 + n, ..revoke(0, n, session(n.into())) };
        BROKER.tell(&verifier, message, now(1)).expect("taken");
    }
    assert_eq!(verifier.counters().revocations, 3000);
    for n in [1, 1024, 1025, 2048, 2999, 3000u128] {
        let claims = Claims {
            session: format!("ses_{n:032x}").parse().expect("a session id"),
            token: format!("tok_{n:032x}").parse::<TokenId>().expect("a token id"),
            ..claims()
        };
        denied(verifier.decide(&token(&claims), &ask(), &peer(), now(1)), Reason::TokenRevoked);
    }
}

#[test]
fn keys_are_bounded_and_no_number_gets_another_key() {
    let swapped = Key { id: BROKER.id, ..OTHER.key() };
    let refused = Err(FeedRefused::InvalidKey(BROKER.id));
    let told = |keys: Vec<Key>| BROKER.tell(&verifier(), Message { keys, ..heartbeat(1, 0) }, now(1));
    assert_eq!(told(vec![swapped.clone()]), refused);
    assert_eq!(BROKER.tell(&verifier(), Message { keys: vec![BROKER.key(), swapped], ..full(1) }, now(1)), refused);
    let weak = Key { id: KeyId(9), public: [0; 32], ..OTHER.key() };
    assert_eq!(told(vec![weak]), Err(FeedRefused::InvalidKey(KeyId(9))));
    let many = |n: u32| (0..n).map(|i| Key { id: KeyId(100 + i), ..OTHER.key() }).collect::<Vec<_>>();
    assert_eq!(told(many(63)), Ok(()));
    assert_eq!(told(many(64)), Err(FeedRefused::TooManyKeys { max: 64 }));
}

#[test]
fn a_key_is_forgotten_when_nothing_it_signed_can_be_alive() {
    let verifier = verifier();
    let ends = Key { not_after: at(T0 + 2), ..OTHER.key() };
    BROKER.tell(&verifier, Message { keys: vec![ends], ..heartbeat(1, 0) }, now(1)).expect("taken");
    assert_eq!(verifier.counters().keys, 2);
    BROKER.tell(&verifier, revoke(6, 1, session(9)), now(6)).expect("taken");
    assert_eq!(verifier.counters().keys, 1);
}
