//! Key sets: what is weak, secret, ambiguous or too much is refused; what is for something else is left out.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crumb_attestors::jwks::{InvalidJwks, Jwks, KeyUse};
use serde_json::{Value, json};

use crate::fixture::{changed, good_keys, jwk, key_set};

fn parse(text: &str) -> Result<(usize, usize), InvalidJwks> {
    Jwks::parse(text, KeyUse::Signature).map(|set| (set.len(), set.left_out()))
}

fn refused(key: &Value) -> Option<InvalidJwks> {
    parse(&key_set(std::slice::from_ref(key))).err()
}

/// An RSA key of so many bits, which nobody has the other half of.
fn rsa_of(bits: usize, exponent: &[u8]) -> Value {
    let mut n = vec![0xff_u8; bits.div_ceil(8)];
    n[0] = 0xff >> (n.len() * 8 - bits);
    json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(exponent), "kid": "r" })
}

#[test]
fn reads_every_kind_of_key() {
    assert_eq!(parse(&good_keys()), Ok((4, 0)));
}

#[test]
fn refuses_rsa_keys_that_are_weak_or_take_too_long() {
    assert_eq!(refused(&jwk("rsa_1024")), Some(InvalidJwks::RsaSize));
    for (bits, expected) in [
        (512, Some(InvalidJwks::RsaSize)),
        (2047, Some(InvalidJwks::RsaSize)),
        (2048, None),
        (8192, None),
        (8193, Some(InvalidJwks::RsaSize)),
        (16_384, Some(InvalidJwks::RsaSize)),
    ] {
        assert_eq!(refused(&rsa_of(bits, &[1, 0, 1])), expected, "{bits}");
    }
    for exponent in [&[1_u8][..], &[3], &[0xff, 0xff], &[1, 0, 0], &[4, 0, 0, 0, 1], &[1, 0, 0, 0, 0, 1]] {
        assert_eq!(refused(&rsa_of(2048, exponent)), Some(InvalidJwks::RsaExponent), "{exponent:?}");
    }
    for exponent in [&[][..], &[0, 1, 0, 1]] {
        assert_eq!(refused(&rsa_of(2048, exponent)), Some(InvalidJwks::Malformed), "{exponent:?}");
    }
    let modulus = URL_SAFE_NO_PAD.decode(jwk("rsa")["n"].as_str().expect("n")).expect("base64url");
    let longer = [&[0], modulus.as_slice()].concat();
    let even = [&modulus[..255], &[0x10]].concat();
    for n in [longer, even] {
        let key = changed(jwk("rsa"), &json!({ "n": URL_SAFE_NO_PAD.encode(n) }));
        assert_eq!(refused(&key), Some(InvalidJwks::Malformed));
    }
}

#[test]
fn refuses_points_that_are_not_on_their_curve() {
    let zero = URL_SAFE_NO_PAD.encode([0_u8; 32]);
    let cases = [
        changed(jwk("p256"), &json!({ "x": zero })),
        changed(jwk("p256"), &json!({ "x": zero, "y": zero })),
        changed(jwk("p256"), &json!({ "crv": "P-384" })),
        changed(jwk("p384"), &json!({ "crv": "P-256" })),
        changed(jwk("p256"), &json!({ "x": "AA" })),
        changed(jwk("ed25519"), &json!({ "x": "AA" })),
    ];
    for key in cases {
        assert_eq!(refused(&key), Some(InvalidJwks::NotOnCurve), "{key}");
    }
    for member in ["x", "y"] {
        assert_eq!(refused(&changed(jwk("p256"), &json!({ member: null }))), Some(InvalidJwks::Malformed));
        assert_eq!(refused(&changed(jwk("p256"), &json!({ member: "+/+/" }))), Some(InvalidJwks::Malformed));
    }
}

#[test]
fn refuses_sets_that_hold_a_secret() {
    for name in ["rsa", "p256", "ed25519"] {
        assert_eq!(refused(&changed(jwk(name), &json!({ "d": "AQAB" }))), Some(InvalidJwks::SecretKey));
    }
    let shared = json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "h" });
    assert_eq!(parse(&key_set(&[jwk("rsa"), shared])), Err(InvalidJwks::SecretKey));
}

#[test]
fn refuses_two_keys_with_one_id_and_two_members_with_one_name() {
    let twin = changed(jwk("p256"), &json!({ "kid": "rsa" }));
    assert_eq!(parse(&key_set(&[jwk("rsa"), twin.clone()])), Err(InvalidJwks::DuplicateKeyId));
    let encrypts = changed(twin, &json!({ "use": "enc" }));
    assert_eq!(parse(&key_set(&[jwk("rsa"), encrypts])), Ok((1, 1)));
    let text = good_keys().replacen(r#""kid":"rsa""#, r#""kid":"rsa","kid":"other""#, 1);
    assert_eq!(parse(&text), Err(InvalidJwks::DuplicateName));
}

#[test]
fn leaves_out_keys_that_are_for_something_else() {
    let others = [
        changed(jwk("rsa"), &json!({ "kid": "1", "use": "enc" })),
        changed(jwk("rsa"), &json!({ "kid": "2", "alg": "RSA-OAEP" })),
        changed(jwk("rsa"), &json!({ "kid": "3", "key_ops": ["encrypt"] })),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AA" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
    ];
    for other in &others {
        assert_eq!(refused(other), Some(InvalidJwks::NoUsableKey), "{other}");
        assert_eq!(parse(&key_set(&[jwk("p256"), other.clone()])), Ok((1, 1)), "{other}");
    }
    let verifies = changed(jwk("rsa"), &json!({ "key_ops": ["verify"] }));
    assert_eq!(parse(&key_set(&[verifies])), Ok((1, 0)));
}

#[test]
fn takes_the_jwt_keys_of_a_trust_domain_alone() {
    let bundle = |text: &str| Jwks::parse(text, KeyUse::JwtSvid).map(|set| (set.len(), set.left_out()));
    let used = |name: &str, value: Value| changed(jwk(name), &json!({ "use": value }));
    let mixed = key_set(&[used("p256", json!("jwt-svid")), used("p384", json!("x509-svid")), used("rsa", Value::Null)]);
    assert_eq!(bundle(&mixed), Ok((1, 2)));
    assert_eq!(bundle(&good_keys()), Ok((0, 4)));
    let plain = key_set(&[used("p256", Value::Null), used("rsa", Value::Null)]);
    assert_eq!(bundle(&plain), Ok((2, 0)));
    assert_eq!(bundle(r#"{"keys":[],"spiffe_sequence":7}"#), Ok((0, 0)));
}

#[test]
fn refuses_documents_of_another_shape_or_size() {
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[{}]}"#, r#"{"keys":null}"#] {
        assert_eq!(parse(text), Err(InvalidJwks::Malformed), "{text}");
    }
    assert_eq!(parse(r#"{"keys":[]}"#), Err(InvalidJwks::NoUsableKey));
    for kid in [json!(""), json!("a\nb"), json!("x".repeat(257)), json!(7), json!("\u{fc}")] {
        assert_eq!(refused(&changed(jwk("rsa"), &json!({ "kid": kid }))), Some(InvalidJwks::Malformed), "{kid}");
    }
    assert_eq!(refused(&changed(jwk("p256"), &json!({ "alg": "RS256" }))), Some(InvalidJwks::Malformed));
    let many: Vec<_> = (0..65).map(|n| changed(jwk("ed25519"), &json!({ "kid": n.to_string() }))).collect();
    assert_eq!(parse(&key_set(&many)), Err(InvalidJwks::TooManyKeys));
    assert_eq!(parse(&key_set(&many[..64])), Ok((64, 0)));
    let long = format!("{}{}", good_keys(), " ".repeat(Jwks::LEN_MAX));
    assert_eq!(parse(&long), Err(InvalidJwks::TooLarge));
}
