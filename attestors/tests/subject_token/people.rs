//! People: which claim names them, and what a name may be.

use crumb_attestors::subject_token::{InvalidSubjectToken as Rule, IssuerKind, Issuers};
use serde_json::{Value, json};

use crate::fixture::{
    CORP, check, claims, claims_with, corp, corp_with, good_keys, issuer, list, refuses, signed, signed_with,
};

fn named_by(claim: &str) -> Issuers {
    list(vec![issuer(&CORP.replace("\"email\"", &format!("\"{claim}\"")), &good_keys())])
}

fn access_tokens() -> Issuers {
    corp_with(r#"token = "access""#)
}

#[test]
fn names_a_person_by_the_claim_of_the_entry() {
    let token = signed(&claims_with(&json!({ "preferred_username": "ada", "groups": ["eng", "on call"] })));
    for (claim, name) in [("email", "ada@acme.example"), ("preferred_username", "ada"), ("sub", "u-1")] {
        let facts = check(&token, &named_by(claim)).expect("good");
        assert_eq!(facts.principal.as_str(), name);
        assert_eq!((facts.issuer.as_str(), facts.kind), ("corp", IssuerKind::Oidc));
        let groups: Vec<_> = facts.groups.iter().map(|group| group.as_str()).collect();
        assert_eq!(groups, ["eng", "on call"]);
        assert_eq!((facts.jti, facts.pod, facts.may_act), (None, None, None));
    }
}

#[test]
fn refuses_an_address_that_nobody_verified() {
    for value in [json!(null), json!(false)] {
        refuses(&json!({ "email_verified": value }), Rule::EmailNotVerified);
    }
    for value in [json!("true"), json!(1)] {
        refuses(&json!({ "email_verified": value }), Rule::MalformedClaim);
    }
    let trusting = corp_with("email_verified = false");
    assert!(check(&signed(&claims_with(&json!({ "email_verified": null }))), &trusting).is_ok());
}

#[test]
fn refuses_a_missing_name_even_when_another_claim_has_one() {
    refuses(&json!({ "email": null }), Rule::PrincipalMissing);
    refuses(&json!({ "email": 7 }), Rule::MalformedClaim);
    assert_eq!(check(&signed(&claims()), &named_by("preferred_username")).err(), Some(Rule::PrincipalMissing));
}

#[test]
fn refuses_names_that_cannot_be_a_principal() {
    for email in
        ["", "ada", "@acme.example", "ada@", "a@b@c", "ada@acme.example\n", "ada @acme.example", "\u{430}da@a", "a\"@b"]
    {
        refuses(&json!({ "email": email }), Rule::PrincipalMalformed);
    }
    refuses(&json!({ "email": format!("{}@acme.example", "a".repeat(250)) }), Rule::PrincipalMalformed);
    let user = |name: &str| signed(&claims_with(&json!({ "preferred_username": name })));
    for name in ["", "ada\0", "\u{202e}ada", "ada\u{1b}[2J", "Ada Lovelace"] {
        let refused = check(&user(name), &named_by("preferred_username")).err();
        assert_eq!(refused, Some(Rule::PrincipalMalformed), "{name:?}");
    }
}

#[test]
fn refuses_a_person_who_is_called_as_a_workload() {
    for name in ["system:serviceaccount:prod:deployer", "System:admin", "spiffe://acme.example/a", "SPIFFE://x/y"] {
        let token = signed(&claims_with(&json!({ "preferred_username": name, "sub": name })));
        for claim in ["preferred_username", "sub"] {
            assert_eq!(check(&token, &named_by(claim)).err(), Some(Rule::PrincipalReserved), "{name}");
        }
    }
}

#[test]
fn refuses_subjects_that_are_missing_long_or_hold_control_characters() {
    refuses(&json!({ "sub": null }), Rule::SubjectMissing);
    refuses(&json!({ "sub": 1 }), Rule::MalformedClaim);
    for sub in ["", "u\n1", "u\0", "u\u{7f}", "\u{fc}", "\u{202e}u", &"u".repeat(256)] {
        refuses(&json!({ "sub": sub }), Rule::SubjectMalformed);
    }
    assert!(check(&signed(&claims_with(&json!({ "sub": "u".repeat(255) }))), &corp()).is_ok());
}

#[test]
fn refuses_groups_that_are_too_many_malformed_or_elsewhere() {
    let many: Vec<_> = (0..201).map(|n| format!("g{n}")).collect();
    for groups in
        [json!(many), json!(["a", ""]), json!(["a\nb"]), json!(["\u{202e}a"]), json!(["x".repeat(257)]), json!([7])]
    {
        refuses(&json!({ "groups": groups }), Rule::Groups);
    }
    refuses(&json!({ "groups": "eng" }), Rule::MalformedClaim);
    refuses(&json!({ "_claim_names": { "groups": "src1" }, "_claim_sources": {} }), Rule::Groups);
    let most = check(&signed(&claims_with(&json!({ "groups": many[..200] }))), &corp()).expect("200 groups");
    assert_eq!(most.groups.len(), 200);
}

#[test]
fn reads_no_groups_that_the_entry_does_not_name() {
    let silent = list(vec![issuer(&CORP.replace("groups = \"groups\"", ""), &good_keys())]);
    let facts = check(&signed(&claims_with(&json!({ "groups": 7 }))), &silent).expect("not looked at");
    assert!(facts.groups.is_empty());
}

#[test]
fn an_access_token_is_taken_only_where_the_entry_says_so_and_is_whole() {
    let header = json!({ "alg": "EdDSA", "kid": "ed25519", "typ": "at+jwt" });
    let access = claims_with(&json!({ "client_id": "console", "jti": "t-1", "aud": ["crumb", "other"] }));
    let facts = check(&signed_with(&header, &access), &access_tokens()).expect("good");
    assert_eq!(facts.principal.as_str(), "ada@acme.example");
    assert_eq!(check(&signed_with(&header, &access), &corp()).err(), Some(Rule::WrongType));
    assert_eq!(check(&signed(&access), &access_tokens()).err(), Some(Rule::WrongType));
    for (name, why) in [("client_id", Rule::ClientMissing), ("jti", Rule::TokenId), ("sub", Rule::SubjectMissing)] {
        let lacking = crate::fixture::changed(access.clone(), &json!({ name: Value::Null }));
        assert_eq!(check(&signed_with(&header, &lacking), &access_tokens()).err(), Some(why), "{name}");
    }
}
