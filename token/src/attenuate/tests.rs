//! What cannot be narrowed, and that narrowing appends exactly the caveats given.

use super::*;
use crate::{
    Scalar,
    args::ArgName,
    fixture::{claims, root, token},
    parse::Unverified,
};
use biscuit_auth::Biscuit;
use std::collections::BTreeSet;

fn end(s: u64) -> Caveat {
    Caveat::ExpiresAt(Timestamp::from_unix_s(s))
}

#[test]
fn appends_the_caveats_and_nothing_else() {
    let caveats = [end(1500), Caveat::Operation("read".parse().expect("an operation"))];
    let narrowed = attenuate(&token(&claims()), &caveats).expect("narrows");
    let read = Unverified::parse(&narrowed).expect("inside the profile");
    assert_eq!(read.blocks(), &[caveats.to_vec()]);
    assert_eq!(read.claims(), &claims());
    assert_eq!(read.expires_at(), Timestamp::from_unix_s(1500));
}

#[test]
fn refuses_what_the_gate_refuses() {
    let refused = attenuate(b"no token", &[end(1)]).expect_err("no token");
    assert!(matches!(refused, AttenuateError::Refused(Reason::TokenMalformed)));
}

#[test]
fn refuses_more_blocks_than_the_broker_allowed() {
    let claims = Claims { depth_limit: 1, ..claims() };
    let once = attenuate(&token(&claims), &[end(1)]).expect("narrows");
    let refused = attenuate(&once, &[end(1)]).expect_err("too deep");
    assert!(matches!(refused, AttenuateError::TooMuch(Reason::TokenTooDeep)));
}

#[test]
fn refuses_no_caveat_too_many_and_sets_that_are_empty_or_too_large() {
    let name = || "n".parse::<ArgName>().expect("a name");
    let of = |n: i64| Caveat::Arg { name: name(), rule: ArgRule::OneOfNumbers((0..n).collect()) };
    let none = Caveat::Arg { name: name(), rule: ArgRule::NotOneOf(BTreeSet::new()) };
    for caveats in [vec![], vec![end(1); 17], vec![of(0)], vec![of(33)], vec![none], vec![Caveat::ToolOneOf([].into())]]
    {
        let refused = attenuate(&token(&claims()), &caveats).expect_err("out of bounds");
        assert!(matches!(refused, AttenuateError::Caveats), "{caveats:?}");
    }
    assert!(attenuate(&token(&claims()), &[of(32)]).is_ok());
}

#[test]
fn refuses_a_text_that_no_verifier_would_take() {
    let long =
        Caveat::Arg { name: "n".parse().expect("a name"), rule: ArgRule::Is(Scalar::Text("a".repeat(1025).into())) };
    let refused = attenuate(&token(&claims()), &[long]).expect_err("too long");
    assert!(matches!(refused, AttenuateError::TooMuch(Reason::TokenOutOfProfile)));
}

#[test]
fn refuses_a_sealed_token() {
    let sealed = Biscuit::from(token(&claims()), root().public()).and_then(|t| t.seal()).and_then(|t| t.to_vec());
    let refused = attenuate(&sealed.expect("seals"), &[end(1)]).expect_err("sealed");
    assert!(matches!(refused, AttenuateError::Sealed));
}

#[test]
fn debug_does_not_print_the_secret() {
    let parent = Parent::read(&token(&claims())).expect("a token");
    assert_eq!(format!("{parent:?}"), format!("Parent({}, {} bytes)", claims().token, parent.signed.len()));
}
