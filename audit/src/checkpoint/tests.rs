//! Checkpoints, and whom they are trusted from.

use super::*;
use crate::{
    Trust,
    fixture::{LogKey, ORIGIN, checkpoint, log_key, trust, witness_key},
    note::NotSigned,
    trust::{InvalidTrust, Untrusted},
};

fn root() -> TreeHash {
    TreeHash::of_leaf(b"x")
}

#[test]
fn a_checkpoint_reads_as_it_was_written_and_is_trusted_by_its_keys() {
    let signed = checkpoint(7, root());
    let read: SignedCheckpoint = signed.to_string().parse().expect("a checkpoint");
    assert_eq!(read, signed);
    let expected = Checkpoint { origin: ORIGIN.parse().expect("a name"), size: 7, root: root() };
    assert_eq!(trust().verify(&read).expect("signed").checkpoint(), &expected);
}

#[test]
fn refuses_texts_that_are_no_checkpoint() {
    let r = root();
    let refused = |text: &str| text.parse::<Checkpoint>().expect_err(text);
    assert_eq!(refused(&format!("o\n1\n{r}")), InvalidCheckpoint::Shape);
    assert_eq!(refused(&format!("o\n1\n{r}\nextension\n")), InvalidCheckpoint::Shape);
    assert_eq!(refused(&format!("o\n1\n{r}\n\n")), InvalidCheckpoint::Shape);
    assert!(matches!(refused(&format!("\n1\n{r}\n")), InvalidCheckpoint::Origin(_)));
    assert!(matches!(refused(&format!("o o\n1\n{r}\n")), InvalidCheckpoint::Origin(_)));
    for size in ["", "01", "00", "+1", "-1", "1 ", " 1", "0x1", "1e3", "18446744073709551616", "\u{661}"] {
        assert_eq!(refused(&format!("o\n{size}\n{r}\n")), InvalidCheckpoint::Size, "{size}");
    }
    for root in [r.to_string().replace('=', ""), "AAAA".to_owned(), format!("{r} "), String::new()] {
        assert_eq!(refused(&format!("o\n1\n{root}\n")), InvalidCheckpoint::Root, "{root}");
    }
    let loose = format!("{}B=", "A".repeat(42));
    assert_eq!(refused(&format!("o\n1\n{loose}\n")), InvalidCheckpoint::Root, "spare bits are set");
    assert!(format!("o\n0\n{r}\n").parse::<Checkpoint>().is_ok());
    assert!(matches!("o\n1\n".parse::<SignedCheckpoint>(), Err(InvalidCheckpoint::Note(_))));
}

#[test]
fn refuses_checkpoints_of_others_and_with_too_few_witnesses() {
    let Ok(other) = Checkpoint::sign(1, root(), &LogKey::new("other.example", 1));
    assert!(matches!(trust().verify(&other), Err(Untrusted::OtherOrigin { .. })));
    let Ok(stranger) = Checkpoint::sign(1, root(), &LogKey::new(ORIGIN, 7));
    assert_eq!(trust().verify(&stranger), Err(Untrusted::NotSigned(NotSigned::NoKnownKey)));
    let Ok(alone) = Checkpoint::sign(1, root(), &log_key());
    assert_eq!(trust().verify(&alone), Err(Untrusted::TooFewWitnesses { found: 0, wanted: 1 }));
    let Ok(mut witnessed) = Checkpoint::sign(1, root(), &LogKey::new(ORIGIN, 7));
    witness_key().cosign(&mut witnessed, 1);
    assert_eq!(trust().verify(&witnessed), Err(Untrusted::NotByTheLog));
}

#[test]
fn trust_is_in_one_log() {
    let (log, witness) = (log_key().key().clone(), witness_key().key().clone());
    assert_eq!(Trust::new(vec![], 0).expect_err("none"), InvalidTrust::NoLogKey);
    assert_eq!(Trust::new(vec![witness.clone()], 0).expect_err("none"), InvalidTrust::NoLogKey);
    let other = LogKey::new("other.example", 5).key().clone();
    assert!(matches!(Trust::new(vec![log.clone(), other], 0), Err(InvalidTrust::TwoLogs(..))));
    let renamed = LogKey::of_kind("witness.example/w2", 2, crate::note_key::KeyKind::Witness).key().clone();
    let twice = Trust::new(vec![log.clone(), witness.clone(), renamed], 2).expect_err("one key, two names");
    assert!(matches!(twice, InvalidTrust::SameKeyTwice(_)));
    let few = Trust::new(vec![log.clone(), witness], 2).expect_err("few");
    assert_eq!(few, InvalidTrust::TooFewWitnesses { wanted: 2, known: 1 });
    assert_eq!(Trust::new(vec![log; Trust::KEYS_MAX + 1], 0).expect_err("many"), InvalidTrust::TooManyKeys);
}
