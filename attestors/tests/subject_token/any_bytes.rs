//! Whatever is presented, the answer is a refusal and never a panic; and facts, where there are any, keep their bounds.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crumb_attestors::jwks::{Jwks, KeyUse};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::{Value, json};

use crate::fixture::{NOW_S, check, check_at, claims_with, corp, good_keys, signed_with};

fn holds<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value)) {
    let config = Config { cases, rng_seed: RngSeed::Fixed(33), failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(strategy, |value| {
        test(value);
        Ok(())
    });
    ran.expect("it holds for every case");
}

#[test]
fn refuses_arbitrary_text_and_arbitrary_parts() {
    let issuers = corp();
    let part = prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let parts = prop::collection::vec(part, 0..6).prop_map(|parts| parts.join("."));
    let lossy =
        prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    holds(3000, &prop_oneof![parts, lossy, ".{0,200}"], |text| assert!(check(&text, &issuers).is_err()));
}

/// JSON of any shape, small and a little deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        select(vec!["crumb", "JWT", "EdDSA", "ed25519", "https://login.acme.example", "spiffe://a/b"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

#[test]
fn signed_tokens_of_any_claims_are_refused_or_keep_their_bounds() {
    let issuers = corp();
    let names = vec![
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "email",
        "email_verified",
        "groups",
        "act",
        "may_act",
        "cnf",
        "events",
        "_claim_names",
        "kubernetes.io",
    ];
    let changes = prop::collection::vec((select(names), any_json()), 0..3);
    let accepted = std::cell::Cell::new(0);
    holds(3000, &(changes, 0..2_000_u64), |(changes, after)| {
        let change: serde_json::Map<_, _> = changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let header = json!({ "alg": "EdDSA", "kid": "ed25519" });
        let token = signed_with(&header, &claims_with(&Value::Object(change)));
        let now = NOW_S - 100 + after;
        if let Ok(facts) = check_at(&token, &issuers, now) {
            accepted.set(accepted.get() + 1);
            assert!(facts.expires_at.as_unix_s() > now && facts.expires_at.as_unix_s() <= now + 3600 + 5);
            assert!(facts.groups.len() <= 200);
            assert!(facts.principal.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
        }
    });
    assert!(accepted.get() > 100, "{} tokens were accepted", accepted.get());
}

#[test]
fn signed_tokens_of_any_header_are_refused_or_mean_what_they_say() {
    let issuers = corp();
    let names = vec!["alg", "kid", "typ", "crit", "jku", "x5t", "b64", "zip"];
    let changes = prop::collection::vec((select(names), any_json()), 1..3);
    holds(2000, &changes, |changes| {
        let change: serde_json::Map<_, _> = changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let header = crate::fixture::changed(json!({ "alg": "EdDSA", "kid": "ed25519" }), &Value::Object(change));
        if check(&signed_with(&header, &claims_with(&json!({}))), &issuers).is_ok() {
            assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &json!("ed25519")), "{header}");
            assert!(
                header
                    .as_object()
                    .expect("an object")
                    .keys()
                    .all(|name| { matches!(name.as_str(), "alg" | "kid" | "typ" | "x5t") })
            );
        }
    });
}

#[test]
fn key_sets_of_any_shape_are_refused_or_kept_within_their_bounds() {
    let good: Value = serde_json::from_str(&good_keys()).expect("JSON");
    let names = vec!["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "key_ops", "d"];
    let strategy = (0..4_usize, select(names), any_json(), any_json());
    holds(3000, &strategy, |(place, name, value, other)| {
        let mut set = good.clone();
        set["keys"][place][name] = value;
        for key_use in [KeyUse::Signature, KeyUse::JwtSvid] {
            for document in [&set, &other, &json!({ "keys": other })] {
                if let Ok(keys) = Jwks::parse(&document.to_string(), key_use) {
                    assert!(keys.len() + keys.left_out() <= Jwks::KEYS_MAX);
                }
            }
        }
    });
}
