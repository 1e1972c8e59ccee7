//! Keys that open nothing, issuers that trust them, and tokens made with them.

use std::{io, sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use crumb_attestors::subject_token::{InvalidSubjectToken, Issuer, Issuers, SubjectFacts, SubjectTokenText, verify};
use crumb_token::{Now, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

/// When most tests take place: 100 s after the tokens are made.
pub(crate) const NOW_S: u64 = 1_800_000_100;

static VECTORS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("vectors.json")).expect("the vectors are JSON"));

pub(crate) fn at(unix_s: u64) -> Now {
    Now { wall: Timestamp::from_unix_s(unix_s), ticks: Duration::from_secs(unix_s) }
}

/// A public key of the vectors: `rsa`, `p256`, `p384`, `ed25519`, `rsa_1024`.
pub(crate) fn jwk(name: &str) -> Value {
    VECTORS["keys"][name]["jwk"].clone()
}

pub(crate) fn public_pem(name: &str) -> String {
    VECTORS["keys"][name]["public_pem"].as_str().expect("a key with PEM").to_owned()
}

/// A token that another implementation made.
pub(crate) fn foreign_token(algorithm: &str) -> String {
    VECTORS["tokens"][algorithm].as_str().expect("a token").to_owned()
}

pub(crate) fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// The set of every good key.
pub(crate) fn good_keys() -> String {
    key_set(&["rsa", "p256", "p384", "ed25519"].map(jwk))
}

pub(crate) fn private(name: &str) -> EncodingKey {
    let der = STANDARD.decode(VECTORS["keys"][name]["private"].as_str().expect("a key")).expect("base64");
    match name {
        "rsa" | "rsa_1024" => EncodingKey::from_rsa_der(&der),
        "ed25519" => EncodingKey::from_ed_der(&der),
        _ => EncodingKey::from_ec_der(&der),
    }
}

/// One entry's lines, before its keys.
pub(crate) const CORP: &str = r#"
name = "corp"
kind = "oidc"
iss = "https://login.acme.example"
audiences = ["crumb"]
principal = "email"
groups = "groups"
"#;

pub(crate) fn issuer(lines: &str, keys: &str) -> Issuer {
    toml::from_str(&format!("{lines}\njwks = '''{keys}'''")).expect("a good entry")
}

pub(crate) fn list(issuers: Vec<Issuer>) -> Issuers {
    Issuers::new(issuers, |_| Err(io::ErrorKind::NotFound.into())).expect("a good list")
}

/// The list of one provider, with every good key.
pub(crate) fn corp() -> Issuers {
    list(vec![issuer(CORP, &good_keys())])
}

/// The list of one provider, with lines added to its entry.
pub(crate) fn corp_with(lines: &str) -> Issuers {
    list(vec![issuer(&format!("{CORP}{lines}"), &good_keys())])
}

/// What a good token of the provider says.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://login.acme.example", "sub": "u-1", "aud": "crumb", "iat": 1_800_000_000_u64,
        "exp": 1_800_000_600_u64, "email": "ada@acme.example", "email_verified": true,
    })
}

/// Good claims with members put in; null takes one away.
pub(crate) fn claims_with(change: &Value) -> Value {
    changed(claims(), change)
}

pub(crate) fn changed(mut object: Value, change: &Value) -> Value {
    for (name, value) in change.as_object().expect("an object") {
        if value.is_null() {
            object.as_object_mut().expect("an object").remove(name);
        } else {
            object[name] = value.clone();
        }
    }
    object
}

/// Signs two texts as they are with a key of the vectors.
pub(crate) fn signed_raw(header: &str, claims: &str, algorithm: Algorithm, key: &EncodingKey) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).expect("the key signs");
    format!("{message}.{signature}")
}

/// Signs claims with the Ed25519 key.
pub(crate) fn signed(claims: &Value) -> String {
    signed_with(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": "ed25519" }), claims)
}

/// Signs claims under a header, with the Ed25519 key.
pub(crate) fn signed_with(header: &Value, claims: &Value) -> String {
    signed_raw(&header.to_string(), &claims.to_string(), Algorithm::EdDSA, &private("ed25519"))
}

pub(crate) fn check_at(token: &str, issuers: &Issuers, unix_s: u64) -> Result<SubjectFacts, InvalidSubjectToken> {
    let token = SubjectTokenText::from_presented(token)?;
    verify(&token, issuers, at(unix_s)).map_err(|refused| refused.why)
}

pub(crate) fn check(token: &str, issuers: &Issuers) -> Result<SubjectFacts, InvalidSubjectToken> {
    check_at(token, issuers, NOW_S)
}

/// Asserts that the provider's token with these changes is refused by this rule.
#[track_caller]
pub(crate) fn refuses(change: &Value, why: InvalidSubjectToken) {
    assert_eq!(check(&signed(&claims_with(change)), &corp()).err(), Some(why), "{change}");
}
