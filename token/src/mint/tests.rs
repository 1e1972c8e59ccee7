//! What cannot be minted, and that what can be reads back.

use super::*;
use crate::{
    Grants,
    fixture::{KEY_ID, claims, grants, root, token},
};

fn refused(claims: &Claims) -> MintError {
    mint(claims, KEY_ID, &root()).expect_err("cannot be minted")
}

#[test]
fn reads_back_what_it_mints() {
    let read = Unverified::parse(&token(&claims())).expect("inside the profile");
    assert_eq!((read.key_id(), read.claims(), read.blocks().len()), (KEY_ID, &claims(), 0));
    assert_eq!(read.expires_at(), claims().expires_at);
}

#[test]
fn refuses_a_token_that_allows_nothing() {
    assert!(matches!(refused(&Claims { grants: Grants::default(), ..claims() }), MintError::NothingGranted));
}

#[test]
fn refuses_a_token_that_ends_before_it_begins() {
    assert!(matches!(refused(&Claims { expires_at: claims().issued_at, ..claims() }), MintError::Lifetime));
}

#[test]
fn refuses_more_depth_or_actors_than_the_profile_has() {
    assert!(matches!(refused(&Claims { depth_limit: 9, ..claims() }), MintError::Depth));
    let actors = vec![claims().holder; 9];
    assert!(matches!(refused(&Claims { actors, ..claims() }), MintError::Depth));
}

#[test]
fn refuses_a_token_past_4_kib() {
    let large = Claims { grants: grants(32, 120), ..claims() };
    assert!(matches!(refused(&large), MintError::TooLarge(n) if n > profile::MINTED_LEN_MAX));
}
