//! Time, audience, and the claims that make a token something else.

use crumb_attestors::subject_token::InvalidSubjectToken as Rule;
use serde_json::json;

use crate::fixture::{check, check_at, claims, claims_with, corp, corp_with, refuses, signed};

#[test]
fn a_token_is_good_from_its_beginning_to_its_end_with_the_leeway_of_the_entry() {
    let token = signed(&claims());
    for (now, expected) in [
        (1_799_999_994, Some(Rule::IssuedInFuture)),
        (1_799_999_995, None),
        (1_800_000_604, None),
        (1_800_000_605, Some(Rule::Expired)),
        (u64::MAX, Some(Rule::Expired)),
        (0, Some(Rule::IssuedInFuture)),
    ] {
        assert_eq!(check_at(&token, &corp(), now).err(), expected, "{now}");
    }
    let strict = corp_with("clock_skew_s = 0");
    assert_eq!(check_at(&token, &strict, 1_800_000_600).err(), Some(Rule::Expired));
    assert_eq!(check_at(&token, &strict, 1_799_999_999).err(), Some(Rule::IssuedInFuture));
    let facts = check_at(&token, &strict, 1_800_000_599).expect("the last second");
    assert_eq!(facts.expires_at.as_unix_s(), 1_800_000_600);
}

#[test]
fn refuses_a_token_that_never_ends_or_lives_too_long() {
    refuses(&json!({ "exp": null }), Rule::ExpiryMissing);
    refuses(&json!({ "exp": u64::MAX }), Rule::LifetimeTooLong);
    refuses(&json!({ "exp": 1_800_003_601_u64 }), Rule::LifetimeTooLong);
    assert!(check(&signed(&claims_with(&json!({ "exp": 1_800_003_600_u64 }))), &corp()).is_ok());
    // An early `iat` makes no token younger, and a late `nbf` no lifetime shorter.
    refuses(&json!({ "iat": 1_799_990_000_u64 }), Rule::LifetimeTooLong);
    refuses(&json!({ "iat": 1_799_990_000_u64, "nbf": 1_800_000_000_u64 }), Rule::LifetimeTooLong);
}

#[test]
fn refuses_a_token_whose_times_are_out_of_order_or_missing() {
    refuses(&json!({ "nbf": 1_800_000_106_u64 }), Rule::NotYetValid);
    refuses(&json!({ "iat": null }), Rule::IssuedAtMissing);
    refuses(&json!({ "iat": 1_800_000_105_u64, "exp": 1_800_000_105_u64 }), Rule::LifetimeReversed);
    refuses(&json!({ "exp": 1_800_000_099_u64, "nbf": 1_800_000_101_u64 }), Rule::LifetimeReversed);
}

#[test]
fn a_time_of_the_wrong_type_is_refused_and_never_absent() {
    for name in ["exp", "nbf", "iat"] {
        for value in [json!("1800000600"), json!(1.8e9), json!(-1), json!([1_800_000_600_u64]), json!(true)] {
            refuses(&json!({ name: value }), Rule::MalformedClaim);
        }
    }
    let null = claims().to_string().replacen('{', r#"{"nbf":null,"#, 1);
    let token = crate::fixture::signed_raw(
        r#"{"alg":"EdDSA","kid":"ed25519"}"#,
        &null,
        jsonwebtoken::Algorithm::EdDSA,
        &crate::fixture::private("ed25519"),
    );
    assert_eq!(check(&token, &corp()).err(), Some(Rule::MalformedClaim));
}

#[test]
fn refuses_a_token_that_is_for_somebody_else() {
    refuses(&json!({ "aud": null }), Rule::AudienceMissing);
    refuses(&json!({ "aud": [] }), Rule::AudienceMissing);
    for aud in
        [json!("other"), json!(["other"]), json!("CRUMB"), json!("crumb "), json!("crumb/"), json!("*"), json!("")]
    {
        refuses(&json!({ "aud": aud }), Rule::WrongAudience);
    }
    for aud in [json!({ "crumb": true }), json!(["crumb", 7]), json!([["crumb"]]), json!(vec!["crumb"; 17])] {
        refuses(&json!({ "aud": aud }), Rule::MalformedClaim);
    }
}

#[test]
fn refuses_an_id_token_that_somebody_unlisted_holds_as_well() {
    let token = signed(&claims_with(&json!({ "aud": ["crumb", "console"] })));
    assert_eq!(check(&token, &corp()).err(), Some(Rule::SharedAudience));
    let lines = crate::fixture::CORP.replace(r#"["crumb"]"#, r#"["crumb", "console"]"#);
    let both = crate::fixture::list(vec![crate::fixture::issuer(&lines, &crate::fixture::good_keys())]);
    assert!(check(&token, &both).is_ok());
}

#[test]
fn refuses_messages_bound_tokens_and_tokens_that_were_passed_on() {
    refuses(&json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }), Rule::AnotherPurpose);
    refuses(&json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }), Rule::BoundToKey);
    refuses(&json!({ "act": { "sub": "spiffe://acme.example/agent/scout" } }), Rule::AlreadyDelegated);
}

#[test]
fn may_act_admits_the_one_it_names_and_nobody_else() {
    let scout = "spiffe://acme.example/agent/scout".parse().expect("an ID");
    let other = "spiffe://acme.example/agent/other".parse().expect("an ID");
    let free = check(&signed(&claims()), &corp()).expect("good");
    assert!(free.admits(&scout) && free.admits(&other));
    let limited = signed(&claims_with(&json!({ "may_act": { "sub": "spiffe://acme.example/agent/scout" } })));
    let limited = check(&limited, &corp()).expect("good");
    assert!(limited.admits(&scout) && !limited.admits(&other));
    for odd in [json!({}), json!({ "sub": "" }), json!({ "sub": "a", "iss": "b" }), json!({ "client_id": "a" })] {
        refuses(&json!({ "may_act": odd }), Rule::MayAct);
    }
    refuses(&json!({ "may_act": "scout" }), Rule::MalformedClaim);
}

#[test]
fn refuses_an_id_of_its_own_that_is_malformed() {
    for jti in ["", "a b", "a\nb", "\u{1b}[1m", &"x".repeat(257)] {
        refuses(&json!({ "jti": jti }), Rule::TokenId);
    }
    refuses(&json!({ "jti": 7 }), Rule::MalformedClaim);
    let facts = check(&signed(&claims_with(&json!({ "jti": "t-1" }))), &corp()).expect("good");
    assert_eq!(facts.jti.as_ref().map(|jti| jti.as_str()), Some("t-1"));
}
