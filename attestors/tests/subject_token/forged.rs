//! Signatures and keys: tokens that the issuer did not make.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crumb_attestors::subject_token::{InvalidSubjectToken as Rule, SubjectTokenText, verify};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::fixture::{
    CORP, at, check, claims, corp, issuer, jwk, key_set, list, private, public_pem, signed, signed_raw, signed_with,
};

#[test]
fn refuses_the_public_key_as_a_shared_secret() {
    let pem = public_pem("rsa");
    let modulus = URL_SAFE_NO_PAD.decode(jwk("rsa")["n"].as_str().expect("n")).expect("base64url");
    let document = jwk("rsa").to_string();
    for secret in [pem.as_bytes(), pem.trim().as_bytes(), &modulus, document.as_bytes()] {
        for (name, algorithm) in [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)]
        {
            let header = json!({ "alg": name, "kid": "rsa" }).to_string();
            let token = signed_raw(&header, &claims().to_string(), algorithm, &EncodingKey::from_secret(secret));
            assert_eq!(check(&token, &corp()).err(), Some(Rule::AlgorithmRefused));
        }
    }
}

#[test]
fn refuses_none_in_every_spelling() {
    let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
    for name in ["none", "None", "NONE", "nOnE", "", " none", "none\0"] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": name, "kid": "rsa" }).to_string());
        for signature in ["", "AA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(check(&token, &corp()).err(), Some(Rule::AlgorithmRefused), "{name:?}");
        }
    }
}

#[test]
fn refuses_algorithms_in_other_spellings_and_unknown_ones() {
    for name in ["eddsa", "EDDSA", "Ed25519", "rs256", "RS1", "RSA-OAEP", "ES512", "ES256K", "dir", "RS256 "] {
        let header = json!({ "alg": name, "kid": "ed25519" });
        assert_eq!(check(&signed_with(&header, &claims()), &corp()).err(), Some(Rule::AlgorithmRefused), "{name}");
    }
}

#[test]
fn refuses_every_algorithm_that_is_not_the_key_s() {
    let families: [(&str, &[&str]); 4] = [
        ("rsa", &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        ("p256", &["ES256"]),
        ("p384", &["ES384"]),
        ("ed25519", &["EdDSA"]),
    ];
    for (key, own) in families {
        for (_, others) in families.iter().filter(|(other, _)| *other != key) {
            for name in *others {
                let token = signed_with(&json!({ "alg": name, "kid": key }), &claims());
                assert_eq!(check(&token, &corp()).err(), Some(Rule::AlgorithmDoesNotFitKey), "{name} with {key}");
            }
        }
        for name in own {
            // The right family, and a signature by somebody else's key.
            let token =
                signed_with(&json!({ "alg": name, "kid": key }), &crate::fixture::claims_with(&json!({"x": 1})));
            let own_key = key == "ed25519";
            assert_eq!(check(&token, &corp()).is_ok(), own_key, "{name} with {key}");
        }
    }
}

#[test]
fn refuses_an_algorithm_that_the_key_set_does_not_give_the_key() {
    let mut only = jwk("rsa");
    only["alg"] = json!("RS256");
    let issuers = list(vec![issuer(CORP, &key_set(&[only]))]);
    let made = |name: &str, algorithm| {
        signed_raw(&json!({ "alg": name, "kid": "rsa" }).to_string(), &claims().to_string(), algorithm, &private("rsa"))
    };
    assert!(check(&made("RS256", Algorithm::RS256), &issuers).is_ok());
    assert_eq!(check(&made("PS256", Algorithm::PS256), &issuers).err(), Some(Rule::AlgorithmDoesNotFitKey));
    assert!(check(&made("PS256", Algorithm::PS256), &corp()).is_ok());
}

#[test]
fn refuses_a_header_that_names_another_hash_than_was_signed_with() {
    let header = json!({ "alg": "RS384", "kid": "rsa" }).to_string();
    let token = signed_raw(&header, &claims().to_string(), Algorithm::RS256, &private("rsa"));
    assert_eq!(check(&token, &corp()).err(), Some(Rule::BadSignature));
}

#[test]
fn a_key_id_is_only_ever_compared() {
    for id in ["", "RSA", "ed25519 ", "ed25519\0", "../../../dev/null", "' OR '1'='1", "https://evil.example/k", "*"] {
        let token = signed_with(&json!({ "alg": "EdDSA", "kid": id }), &claims());
        assert_eq!(check(&token, &corp()).err(), Some(Rule::UnknownKey), "{id:?}");
    }
}

#[test]
fn an_unknown_key_asks_for_new_keys_and_names_the_issuer() {
    let token = signed_with(&json!({ "alg": "EdDSA", "kid": "next" }), &claims());
    let text = SubjectTokenText::from_presented(&token).expect("short");
    let refused = verify(&text, &corp(), at(crate::fixture::NOW_S)).expect_err("no such key");
    assert!(refused.may_be_new_key());
    assert_eq!(refused.issuer.as_ref().map(|name| name.as_str()), Some("corp"));
    let forged = signed(&claims()).replace("eyJ", "eyK");
    let text = SubjectTokenText::from_presented(&forged).expect("short");
    assert!(!verify(&text, &corp(), at(crate::fixture::NOW_S)).expect_err("forged").may_be_new_key());
}

#[test]
fn a_token_without_key_id_is_taken_from_an_issuer_with_one_key_alone() {
    let header = json!({ "alg": "EdDSA" });
    let token = signed_with(&header, &claims());
    assert_eq!(check(&token, &corp()).err(), Some(Rule::KeyIdMissing));
    let one = list(vec![issuer(CORP, &key_set(&[jwk("ed25519")]))]);
    assert!(check(&token, &one).is_ok());
    let other = list(vec![issuer(CORP, &key_set(&[jwk("p256")]))]);
    assert_eq!(check(&token, &other).err(), Some(Rule::AlgorithmDoesNotFitKey));
}

#[test]
fn keys_of_one_issuer_prove_nothing_for_another() {
    let other = CORP.replace("corp", "other").replace("login.acme", "login.other");
    let issuers = list(vec![issuer(CORP, &key_set(&[jwk("p256")])), issuer(&other, &key_set(&[jwk("ed25519")]))]);
    let token = signed(&claims());
    assert_eq!(check(&token, &issuers).err(), Some(Rule::UnknownKey));
    let nameless = signed_with(&json!({ "alg": "ES256" }), &claims());
    assert_eq!(check(&nameless, &issuers).err(), Some(Rule::BadSignature));
}

#[test]
fn refuses_every_token_with_one_bit_turned() {
    let cases: [(&str, Algorithm, &str); 3] = [
        ("EdDSA", Algorithm::EdDSA, "ed25519"),
        ("ES256", Algorithm::ES256, "p256"),
        ("RS256", Algorithm::RS256, "rsa"),
    ];
    let issuers = corp();
    for (name, algorithm, key) in cases {
        let header = json!({ "alg": name, "kid": key, "typ": "JWT" }).to_string();
        let good = signed_raw(&header, &claims().to_string(), algorithm, &private(key));
        assert!(check(&good, &issuers).is_ok());
        for place in 0..good.len() {
            for bit in 0..7 {
                let mut bytes = good.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                let turned = String::from_utf8(bytes).expect("seven bits are ASCII");
                assert!(check(&turned, &issuers).is_err(), "{name}: bit {bit} of byte {place}");
            }
        }
    }
}

#[test]
fn refuses_ecdsa_signatures_of_zero_and_in_der() {
    let header = json!({ "alg": "ES256", "kid": "p256" }).to_string();
    let good = signed_raw(&header, &claims().to_string(), Algorithm::ES256, &private("p256"));
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let fixed = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut der = vec![0x30, 68, 0x02, 32];
    der.extend(&fixed[..32]);
    der.extend([0x02, 32]);
    der.extend(&fixed[32..]);
    for bad in [vec![0; 64], der, fixed[..63].to_vec(), [fixed.as_slice(), &[0]].concat()] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bad));
        assert_eq!(check(&token, &corp()).err(), Some(Rule::BadSignature));
    }
}

#[test]
fn a_signature_written_in_a_second_way_is_the_same_token() {
    // The order of P-256's group: (r, n - s) is a signature whenever (r, s) is.
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let header = json!({ "alg": "ES256", "kid": "p256" }).to_string();
    let good = signed_raw(&header, &claims().to_string(), Algorithm::ES256, &private("p256"));
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut borrow = 0_i16;
    for place in (0..32).rev() {
        let order = i16::from_str_radix(&ORDER[place * 2..place * 2 + 2], 16).expect("hex");
        let left = order - i16::from(bytes[32 + place]) - borrow;
        borrow = i16::from(left < 0);
        bytes[32 + place] = u8::try_from(left.rem_euclid(256)).expect("a byte");
    }
    let second = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let (first, second) = (check(&good, &corp()).expect("good"), check(&second, &corp()).expect("good as well"));
    assert_eq!(first.token_digest, second.token_digest);
}

#[test]
fn refuses_issuers_that_only_look_like_the_one_on_the_list() {
    for iss in [
        json!("https://login.acme.example/"),
        json!("https://login.acme.example."),
        json!("https://LOGIN.acme.example"),
        json!("https://login.acme.example:443"),
        json!("http://login.acme.example"),
        json!("https://login.acme.example.evil.example"),
        json!("https://login.acme.example\u{0}"),
        json!(" https://login.acme.example"),
        json!("https://login.\u{430}cme.example"),
        json!(""),
        Value::Null,
    ] {
        crate::fixture::refuses(&json!({ "iss": iss }), Rule::UnknownIssuer);
    }
    crate::fixture::refuses(&json!({ "iss": ["https://login.acme.example"] }), Rule::MalformedClaim);
}
