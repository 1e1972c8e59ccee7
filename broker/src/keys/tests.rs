//! Keys over time: which one signs, which are told, and that no secret shows.

use super::*;
use crumb_token::{Grant, Grants, Origin, SessionId, TokenId, parse::Unverified};
use ed25519_dalek::{Signature, VerifyingKey};
use uuid::Uuid;

const START: Timestamp = Timestamp::from_unix_s(1_800_000_000);
const ROTATION: Duration = Duration::from_secs(100);

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// Makes the keys that are wanted, as the rotation task does.
fn turn(keys: &Keys, next_id: &mut u32, now: Timestamp) {
    keys.forget(now);
    while let Some(not_before) = keys.wanted(now) {
        keys.take(&Fresh::make().expect("a key"), KeyId(*next_id), not_before).expect("taken");
        *next_id += 1;
    }
}

fn claims(resource_len: usize) -> Claims {
    let right = |i: usize| Grant {
        tool: "read_file".parse().expect("tool"),
        operation: "read".parse().expect("operation"),
        resource: format!("{i}/{}", "a".repeat(resource_len)).parse().expect("resource"),
    };
    Claims {
        token: TokenId::from_uuid(Uuid::from_u128(1)),
        session: SessionId::from_uuid(Uuid::from_u128(2)),
        agent: "bot".parse().expect("name"),
        version: "1.0".parse().expect("version"),
        environment: "test".parse().expect("environment"),
        holder: "spiffe://td/agent/bot".parse().expect("id"),
        subject: None,
        actors: Vec::new(),
        ancestors: Vec::new(),
        origin: Origin::Schedule { name: "nightly".parse().expect("name") },
        intent_digest: [0; 32],
        audience: "spiffe://td/tool".parse().expect("audience"),
        grants: Grants::try_new((0..8).map(right)).expect("few"),
        issued_at: START,
        expires_at: START.plus(clamp::TTL_MAX),
        may_act: None,
        depth_limit: 8,
        identity_provider: "spire".parse().expect("provider"),
    }
}

fn signer(keys: &Keys, now: Timestamp) -> u32 {
    keys.sign_feed(b"x", now).expect("signed").0.0
}

#[test]
fn the_next_key_is_told_a_whole_rotation_before_it_signs() {
    let (keys, mut next) = (Keys::new(ROTATION, Vec::new()), 1);
    turn(&keys, &mut next, at(0));
    assert_eq!(keys.published().len(), 2);
    assert_eq!(signer(&keys, at(99)), 1);
    assert_eq!(signer(&keys, at(100)), 2);
    turn(&keys, &mut next, at(100));
    let told: Vec<_> = keys.published().iter().map(|k| (k.id.0, k.not_before)).collect();
    assert_eq!(told, [(1, at(0)), (2, at(100)), (3, at(200))]);
}

#[test]
fn a_key_is_told_until_its_last_token_has_ended() {
    let (keys, mut next) = (Keys::new(ROTATION, Vec::new()), 1);
    turn(&keys, &mut next, at(0));
    let last_use = ROTATION + OVERLAP;
    let end = at(0).plus(last_use).plus(clamp::TTL_MAX);
    keys.forget(Timestamp::from_unix_s(end.as_unix_s() - 1));
    assert!(keys.published().iter().any(|k| k.id == KeyId(1)));
    keys.forget(end);
    assert!(!keys.published().iter().any(|k| k.id == KeyId(1)));
}

#[test]
fn nothing_is_signed_when_rotation_stood_still() {
    let (keys, mut next) = (Keys::new(ROTATION, Vec::new()), 1);
    assert!(matches!(keys.sign_feed(b"x", at(0)), Err(NotSigned::NoKey)));
    turn(&keys, &mut next, at(0));
    assert_eq!(signer(&keys, at(209)), 2);
    assert!(matches!(keys.sign_feed(b"x", at(210)), Err(NotSigned::NoKey)));
    turn(&keys, &mut next, at(300));
    assert!(keys.sign_feed(b"x", at(300)).is_ok(), "with nothing held, one begins at once");
}

#[test]
fn a_late_key_is_still_told_before_it_signs() {
    let (keys, mut next) = (Keys::new(ROTATION, Vec::new()), 1);
    turn(&keys, &mut next, at(0));
    turn(&keys, &mut next, at(205));
    let newest = keys.published().iter().map(|k| k.not_before).max();
    assert_eq!(newest, Some(at(215)));
}

#[test]
fn tokens_and_feed_are_signed_with_the_same_key() {
    let (keys, mut next) = (Keys::new(ROTATION, Vec::new()), 1);
    turn(&keys, &mut next, at(0));
    let public = keys.published()[0].public;
    let (_, signature) = keys.sign_feed(b"message", at(1)).expect("signed");
    let verifying = VerifyingKey::from_bytes(&public).expect("a key");
    let signature = Signature::from_bytes(&signature);
    assert!(verifying.verify_strict(b"crumb.v1.feed\0message", &signature).is_ok());
    let token = keys.sign_token(claims(10), at(1)).expect("signed").decode().expect("base64url");
    let root = biscuit_auth::PublicKey::from_bytes(&public, biscuit_auth::Algorithm::Ed25519).expect("a key");
    assert!(biscuit_auth::Biscuit::from(token.as_slice(), root).is_ok());
}

#[test]
fn a_token_signed_anew_is_moved_into_the_time_of_its_key() {
    let (keys, mut next) = (Keys::new(ROTATION, Vec::new()), 1);
    turn(&keys, &mut next, at(0));
    let token = keys.sign_token(claims(10), at(150)).expect("signed").decode().expect("base64url");
    let read = Unverified::parse(&token).expect("inside the profile");
    assert_eq!((read.key_id(), read.claims().issued_at), (KeyId(2), at(100)));
    assert_eq!(Claims { issued_at: START, ..read.claims().clone() }, claims(10));
}

#[test]
fn knows_beforehand_what_fits() {
    let (keys, mut next) = (Keys::new(ROTATION, Vec::new()), 1);
    turn(&keys, &mut next, at(0));
    for len in (0..1000).step_by(25) {
        let fits = keys.check_fit(&claims(len)).is_ok();
        assert_eq!(fits, keys.sign_token(claims(len), at(1)).is_ok(), "{len}");
    }
    assert!(keys.check_fit(&claims(10)).is_ok() && keys.check_fit(&claims(900)).is_err());
}

#[test]
fn debug_does_not_print_a_secret() {
    let fresh = Fresh::make().expect("a key");
    let keys = Keys::new(ROTATION, Vec::new());
    keys.take(&fresh, KeyId(7), at(0)).expect("taken");
    assert_eq!(format!("{fresh:?}"), "Fresh(32 bytes)");
    assert_eq!(format!("{keys:?}"), "Keys { held: [KeyId(7)], published: [KeyId(7)], .. }");
}
