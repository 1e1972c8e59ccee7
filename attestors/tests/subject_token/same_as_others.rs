//! Other implementations: what they make is read here, and what is accepted here they accept.

use crumb_attestors::subject_token::InvalidSubjectToken as Rule;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::Jwk};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::{Value, json};

use crate::fixture::{check, claims_with, corp, foreign_token, jwk, private, signed_raw};

const ALGORITHMS: [(&str, Algorithm, &str); 9] = [
    ("RS256", Algorithm::RS256, "rsa"),
    ("RS384", Algorithm::RS384, "rsa"),
    ("RS512", Algorithm::RS512, "rsa"),
    ("PS256", Algorithm::PS256, "rsa"),
    ("PS384", Algorithm::PS384, "rsa"),
    ("PS512", Algorithm::PS512, "rsa"),
    ("ES256", Algorithm::ES256, "p256"),
    ("ES384", Algorithm::ES384, "p384"),
    ("EdDSA", Algorithm::EdDSA, "ed25519"),
];

#[test]
fn reads_the_tokens_of_another_implementation_in_every_algorithm() {
    for (name, ..) in ALGORITHMS {
        let facts = check(&foreign_token(name), &corp()).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(facts.principal.as_str(), "ada@acme.example");
    }
}

#[test]
fn reads_what_jsonwebtoken_makes_in_every_algorithm() {
    for (name, algorithm, key) in ALGORITHMS {
        let header = json!({ "alg": name, "kid": key }).to_string();
        let token = signed_raw(&header, &claims_with(&json!({})).to_string(), algorithm, &private(key));
        assert!(check(&token, &corp()).is_ok(), "{name}");
        assert!(theirs(&token, key, algorithm), "{name}");
    }
}

/// Whether jsonwebtoken takes a token, told everything that the list of issuers says but the time: it reads a clock.
fn theirs(token: &str, key: &str, algorithm: Algorithm) -> bool {
    let key: Jwk = serde_json::from_value(jwk(key)).expect("a key");
    let mut rules = Validation::new(algorithm);
    rules.validate_exp = false;
    rules.set_issuer(&["https://login.acme.example"]);
    rules.set_audience(&["crumb"]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    decode::<Value>(token, &DecodingKey::from_jwk(&key).expect("a key"), &rules).is_ok()
}

/// Good tokens, and tokens with one or two things wrong, that either of the two might see.
fn tokens() -> impl Strategy<Value = (String, &'static str, Algorithm)> {
    let claim = select(vec!["iss", "aud", "sub", "exp", "nbf", "email", "x"]);
    let value = select(vec![
        json!(null),
        json!("crumb"),
        json!(["crumb"]),
        json!(["other", "crumb"]),
        json!("https://login.acme.example"),
        json!(["https://login.acme.example"]),
        json!(1_800_000_600_u64),
        json!(true),
        json!({}),
    ]);
    let changes = prop::collection::vec((claim, value), 0..3);
    (select(&ALGORITHMS[..]), select(&ALGORITHMS[..]), any::<bool>(), changes).prop_map(
        |((name, algorithm, key), (other, ..), honest, changes)| {
            let said = if honest { name } else { other };
            let change: serde_json::Map<_, _> =
                changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let header = json!({ "alg": said, "kid": key }).to_string();
            let claims = claims_with(&Value::Object(change)).to_string();
            (signed_raw(&header, &claims, algorithm, &private(key)), key, algorithm)
        },
    )
}

#[test]
fn whatever_is_accepted_here_jsonwebtoken_accepts() {
    let issuers = corp();
    let config = Config { cases: 300, rng_seed: RngSeed::Fixed(73), failure_persistence: None, ..Config::default() };
    let accepted = std::cell::Cell::new(0);
    let property = |(token, key, algorithm): (String, &str, Algorithm)| {
        let ours = check(&token, &issuers);
        if ours.is_ok() {
            accepted.set(accepted.get() + 1);
            prop_assert!(theirs(&token, key, algorithm));
        }
        // What they refuse for its signature, issuer or audience is refused here as well, by one of these rules.
        if !theirs(&token, key, algorithm) {
            let why = ours.err();
            let foreseen = [
                Rule::AlgorithmDoesNotFitKey,
                Rule::BadSignature,
                Rule::UnknownIssuer,
                Rule::MalformedClaim,
                Rule::ExpiryMissing,
                Rule::AudienceMissing,
                Rule::WrongAudience,
                Rule::SharedAudience,
                Rule::SubjectMissing,
                Rule::IssuedAtMissing,
            ];
            prop_assert!(why.is_some_and(|why| foreseen.contains(&why)), "{why:?}");
        }
        Ok(())
    };
    TestRunner::new(config).run(&tokens(), property).expect("the two agree");
    assert!(accepted.get() > 50, "{} tokens were accepted", accepted.get());
}
