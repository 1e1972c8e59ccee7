//! Signed notes.

use super::*;
use crate::fixture::{LogKey, ORIGIN, log_key, witness_key};

/// The example in the documentation of golang.org/x/mod/sumdb/note, which signed notes come from.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn signed() -> SignedNote {
    let Ok(note) = SignedNote::sign("one\ntwo\n".to_owned(), &log_key());
    note
}

fn key() -> VerifierKey {
    log_key().key().clone()
}

#[test]
fn verifies_a_published_note() {
    let (note, key): (SignedNote, VerifierKey) = (GO.parse().expect("a note"), GO_KEY.parse().expect("a key"));
    assert_eq!(note.verify(std::slice::from_ref(&key)).expect("signed"), [&key]);
    assert_eq!(note.to_string(), GO);
}

#[test]
fn a_note_with_any_bit_flipped_is_refused() {
    let keys = [GO_KEY.parse::<VerifierKey>().expect("a key")];
    for at in 0..GO.len() {
        for bit in 0..8 {
            let mut bytes = GO.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let passes = text.parse::<SignedNote>().is_ok_and(|note| note.verify(&keys).is_ok());
            assert!(!passes, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn passes_over_unknown_keys_also_of_a_known_name() {
    let mut note = signed();
    let other = LogKey::new(ORIGIN, 9);
    note.add(NoteSignature::new(other.key(), vec![0; 64])).expect("room");
    note.add(NoteSignature::new(witness_key().key(), vec![0; 3])).expect("room");
    assert_eq!(note.verify(&[key()]).map(|by| by.len()), Ok(1));
    assert_eq!(signed().verify(&[other.key().clone()]), Err(NotSigned::NoKnownKey));
}

#[test]
fn one_wrong_signature_of_a_known_key_refuses_the_note() {
    let mut note = signed();
    let witness = witness_key();
    note.add(NoteSignature::new(witness.key(), vec![0; 72])).expect("room");
    let wrong = NotSigned::WrongSignature(witness.key().name().clone());
    assert_eq!(note.verify(&[key(), witness.key().clone()]), Err(wrong));
}

#[test]
fn refuses_two_signatures_of_one_key() {
    let mut note = signed();
    note.add(note.signatures()[0].clone()).expect("the same again is not added");
    assert_eq!(note.signatures().len(), 1);
    note.add(NoteSignature::new(&key(), vec![0; 64])).expect("room");
    assert_eq!(note.verify(&[key()]), Err(NotSigned::SignedTwice(key().name().clone())));
    let twice = format!("{}{}\n", signed(), signed().signatures()[0]);
    let note: SignedNote = twice.parse().expect("well-formed");
    assert_eq!(note.verify(&[key()]), Err(NotSigned::SignedTwice(key().name().clone())));
}

#[test]
fn a_cosignature_from_after_the_end_of_time_is_wrong() {
    let mut late = vec![0xff; 8];
    late.extend_from_slice(&[0; 64]);
    let witness = witness_key();
    let mut note = signed();
    note.add(NoteSignature::new(witness.key(), late)).expect("room");
    assert!(matches!(note.verify(&[witness.key().clone()]), Err(NotSigned::WrongSignature(_))));
}

#[test]
fn refuses_what_is_not_a_note() {
    let line = signed().signatures()[0].to_string();
    let refused = |text: &str| text.parse::<SignedNote>().expect_err(text);
    assert_eq!(refused(""), InvalidNote::Shape);
    assert_eq!(refused("text\n"), InvalidNote::Shape);
    assert_eq!(refused(&format!("\n\n{line}\n")), InvalidNote::Shape);
    assert_eq!(refused(&format!("text\n\n{line}")), InvalidNote::Shape);
    assert_eq!(refused("text\n\n"), InvalidNote::Shape);
    assert_eq!(refused("text\n\n\n"), InvalidNote::Shape);
    assert_eq!(refused(&format!("text\n\n{line}\njunk\n")), InvalidNote::SignatureLine);
    assert_eq!(refused(&format!("text\n\n{line} \n")), InvalidNote::SignatureLine);
    assert_eq!(refused(&format!("te\rxt\n\n{line}\n")), InvalidNote::ControlCharacter);
    assert_eq!(refused("text\n\n- name AAAAAAA=\n"), InvalidNote::SignatureLine);
    assert_eq!(refused("text\n\n\u{2014} name AAAAAA==\n"), InvalidNote::SignatureLine);
    assert_eq!(refused("text\n\n\u{2014} name AAAAAAB=\n"), InvalidNote::SignatureLine);
    assert_eq!(refused("text\n\n\u{2014} name AAAAAAA\n"), InvalidNote::SignatureLine);
    assert_eq!(refused("text\n\n\u{2014}  AAAAAAA=\n"), InvalidNote::Name(InvalidKeyName));
    assert_eq!(refused("text\n\n\u{2014} a+b AAAAAAA=\n"), InvalidNote::Name(InvalidKeyName));
    assert_eq!(refused(&"x".repeat(SignedNote::LEN_MAX + 1)), InvalidNote::TooLong);
    let many = format!("text\n\n{}", "\u{2014} n AAAAAAA=\n".repeat(SignedNote::SIGNATURES_MAX + 1));
    assert_eq!(refused(&many), InvalidNote::TooManySignatures);
    let enough = format!("text\n\n{}", "\u{2014} n AAAAAAA=\n".repeat(16));
    assert!(enough.parse::<SignedNote>().is_ok(), "16 have to be accepted");
}

#[test]
fn the_text_may_have_blank_lines() {
    let Ok(note) = SignedNote::sign("one\n\ntwo\n".to_owned(), &log_key());
    let read: SignedNote = note.to_string().parse().expect("a note");
    assert_eq!(read, note);
    assert!(read.verify(&[key()]).is_ok());
}

#[test]
fn takes_no_more_signatures_than_it_may() {
    let mut note = signed();
    for n in 1..SignedNote::SIGNATURES_MAX {
        note.add(NoteSignature::new(&key(), vec![u8::try_from(n).expect("few")])).expect("room");
    }
    assert_eq!(note.add(NoteSignature::new(&key(), vec![0xff])), Err(InvalidNote::TooManySignatures));
}
