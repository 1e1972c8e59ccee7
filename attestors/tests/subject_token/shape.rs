//! The form of a token and its header: what is refused before any key is looked at.

use crumb_attestors::subject_token::{InvalidSubjectToken as Rule, SubjectTokenText, verify};
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::fixture::{at, check, claims, claims_with, corp, private, signed, signed_raw, signed_with};

#[test]
fn refuses_what_is_not_three_parts_of_canonical_base64url() {
    let good = signed(&claims());
    let (signed_part, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = signed_part.split_once('.').expect("three parts");
    for bad in [
        "x".to_owned(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!("{good}."),
        format!("{good}.x"),
        format!("{header}.{payload}.x.y.{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}="),
        format!("{header}.{payload}.{}/", &signature[1..]),
        format!("{header}.{payload}.\u{e9}"),
    ] {
        assert_eq!(check(&bad, &corp()).err(), Some(Rule::NotCompact), "{bad}");
    }
    assert_eq!(check(&format!("{signed_part}."), &corp()).err(), Some(Rule::BadSignature));
}

#[test]
fn refuses_a_token_of_more_than_8_kib() {
    let huge = signed(&claims_with(&json!({ "note": "x".repeat(8 * 1024) })));
    assert_eq!(check(&huge, &corp()).err(), Some(Rule::TooLarge));
    assert_eq!(check("", &corp()).err(), Some(Rule::Missing));
}

#[test]
fn refuses_duplicate_names_in_header_and_claims() {
    let header = r#"{"alg":"EdDSA","kid":"ed25519"}"#;
    let twice = claims().to_string().replacen('{', r#"{"sub":"u-2","#, 1);
    let deep = claims().to_string().replacen('{', r#"{"x":{"y":[{"a":1,"a":2}]},"#, 1);
    let key = private("ed25519");
    for (header, claims) in [
        (header, twice.as_str()),
        (header, deep.as_str()),
        (r#"{"alg":"EdDSA","alg":"EdDSA","kid":"ed25519"}"#, "{}"),
        (r#"{"alg":"none","\u0061lg":"EdDSA","kid":"ed25519"}"#, "{}"),
    ] {
        let token = signed_raw(header, claims, Algorithm::EdDSA, &key);
        assert_eq!(check(&token, &corp()).err(), Some(Rule::DuplicateName), "{header} {claims}");
    }
}

#[test]
fn refuses_json_that_is_too_deep_or_none_at_all() {
    let header = r#"{"alg":"EdDSA","kid":"ed25519"}"#;
    let key = private("ed25519");
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(2500), "]".repeat(2500));
    let token = signed_raw(header, &deep, Algorithm::EdDSA, &key);
    assert_eq!(check(&token, &corp()).err(), Some(Rule::TooDeep));
    for claims in ["", "[]", "null", "{", "{} {}", "\u{feff}{}"] {
        let token = signed_raw(header, claims, Algorithm::EdDSA, &key);
        let why = if claims.is_empty() { Rule::NotCompact } else { Rule::NotJson };
        assert_eq!(check(&token, &corp()).err(), Some(why), "{claims}");
    }
}

#[test]
fn refuses_headers_that_bring_a_key_or_ask_for_more() {
    let cases = [
        (json!({ "jku": "https://login.acme.example/keys" }), Rule::KeyInHeader),
        (json!({ "x5u": "https://login.acme.example/cert" }), Rule::KeyInHeader),
        (json!({ "jwk": crate::fixture::jwk("ed25519") }), Rule::KeyInHeader),
        (json!({ "x5c": ["MIIB"] }), Rule::KeyInHeader),
        (json!({ "crit": ["b64"], "b64": false }), Rule::CriticalHeader),
        (json!({ "crit": [] }), Rule::CriticalHeader),
        (json!({ "zip": "DEF" }), Rule::UnknownHeader),
        (json!({ "cty": "JWT" }), Rule::UnknownHeader),
        (json!({ "kid": 7 }), Rule::MalformedHeader),
        (json!({ "kid": ["ed25519"] }), Rule::MalformedHeader),
        (json!({ "typ": false }), Rule::MalformedHeader),
        (json!({ "alg": null }), Rule::MalformedHeader),
        (json!({ "alg": 8 }), Rule::MalformedHeader),
    ];
    for (change, why) in cases {
        let header = crate::fixture::changed(json!({ "alg": "EdDSA", "kid": "ed25519" }), &change);
        assert_eq!(check(&signed_with(&header, &claims()), &corp()).err(), Some(why), "{header}");
    }
}

#[test]
fn refuses_tokens_of_another_type() {
    for typ in ["at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "wit+jwt", "", "JWT "] {
        let header = json!({ "alg": "EdDSA", "kid": "ed25519", "typ": typ });
        assert_eq!(check(&signed_with(&header, &claims()), &corp()).err(), Some(Rule::WrongType), "{typ}");
    }
    for header in
        [json!({ "alg": "EdDSA", "kid": "ed25519" }), json!({ "alg": "EdDSA", "kid": "ed25519", "typ": "jwt" })]
    {
        assert!(check(&signed_with(&header, &claims()), &corp()).is_ok(), "{header}");
    }
}

#[test]
fn neither_debug_nor_a_refusal_shows_anything_of_the_token() {
    let text = signed(&claims_with(&json!({ "exp": 1 })));
    let token = SubjectTokenText::from_presented(&text).expect("short");
    let refused = verify(&token, &corp(), at(crate::fixture::NOW_S)).expect_err("expired");
    assert_eq!(format!("{token:?}"), format!("SubjectTokenText({} bytes)", text.len()));
    let shown = format!("{refused:?} {refused} {}", refused.why);
    assert_eq!(
        shown,
        r#"SubjectRefused { why: Expired, issuer: Some("corp") } the subject token is refused the token has expired"#
    );
}
