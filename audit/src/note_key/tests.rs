//! Names and keys of notes.

use super::*;
use crate::fixture::{log_key, witness_key};

/// The key of the example in the documentation of golang.org/x/mod/sumdb/note, which signed notes come from.
const GO: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

#[test]
fn reads_and_writes_a_published_key() {
    let key: VerifierKey = GO.parse().expect("a key");
    assert_eq!(key.name().as_str(), "PeterNeumann");
    assert_eq!(hex::encode(key.id()), "c74f20a3");
    assert_eq!(key.kind(), KeyKind::Log);
    assert_eq!(key.to_string(), GO);
    let witness = witness_key();
    let read: VerifierKey = witness.key().to_string().parse().expect("a key");
    assert_eq!(&read, witness.key());
}

#[test]
fn refuses_a_key_with_any_bit_flipped() {
    for at in 0..GO.len() {
        for bit in 0..7 {
            let mut bytes = GO.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let text = String::from_utf8(bytes).expect("ASCII");
            assert!(text.parse::<VerifierKey>().is_err(), "{text:?}");
        }
    }
}

#[test]
fn refuses_what_is_no_verifier_key() {
    let refused = |text: &str| text.parse::<VerifierKey>().expect_err("refused");
    assert_eq!(refused("a+b"), InvalidVerifierKey::Malformed);
    assert_eq!(refused(""), InvalidVerifierKey::Malformed);
    assert_eq!(refused("a+00000000+"), InvalidVerifierKey::Malformed);
    assert_eq!(refused("a+00000000+AA=="), InvalidVerifierKey::UnknownKind(0));
    assert_eq!(refused("a+00000000+AQA="), InvalidVerifierKey::UnusableKey);
    assert_eq!(refused(&GO.replace("c74f20a3", "C74F20A3")), InvalidVerifierKey::WrongId);
    assert_eq!(refused(&GO.replace("PeterNeumann", "")), InvalidVerifierKey::Name(InvalidKeyName));
    let one = [1].into_iter().chain([0; 31]).collect::<Vec<u8>>().try_into().expect("32 bytes");
    let weak = VerifierKey::new(log_key().key().name().clone(), KeyKind::Log, &one);
    assert_eq!(weak, Err(InvalidVerifierKey::UnusableKey));
}

#[test]
fn refuses_names_that_are_empty_long_or_have_spaces_or_plus() {
    for text in ["", "a b", "a+b", "a\u{a0}b", "a\u{2003}b", "a\nb", "a\u{7f}b", &"n".repeat(256)] {
        assert_eq!(text.parse::<KeyName>(), Err(InvalidKeyName), "{text:?}");
    }
    assert!("n".repeat(255).parse::<KeyName>().is_ok());
    assert!("example.com/log42".parse::<KeyName>().is_ok());
}
