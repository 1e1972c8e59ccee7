//! Evidence of one entry.

use super::*;
use crate::{
    Leaves,
    fixture::{Log, checkpoint, trust},
};

fn evidence() -> (Log, Evidence) {
    let log = Log::filled();
    let proof = InclusionProof::make(&Leaves(&log.leaves), 4, 11).expect("nodes").expect("a leaf");
    let entry = Entry::read(&log.entries[4]).expect("an entry");
    let evidence = Evidence::new((4, &entry), proof, log.checkpoints[2].clone(), log.disclosures[4].clone(), vec![]);
    (log, evidence)
}

#[test]
fn evidence_stands_alone_and_brings_the_record_back() {
    let (_, evidence) = evidence();
    let text = evidence.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra ") && text.contains("\nindex 4\n"), "{text}");
    let read: Evidence = text.parse().expect("evidence");
    assert_eq!(read, evidence);
    let proven = read.verify(&trust()).expect("proven");
    assert_eq!((proven.index, proven.checkpoint.checkpoint().size), (4, 11));
    let record = r#"{"number":4,"kind":"decision","subject":"p4@acme.example","asked":[{"tool":"mail","resource":"box/4"}],"detail":""}"#;
    assert_eq!(proven.record, record);
}

#[test]
fn evidence_with_erased_fields_still_proves_the_entry() {
    let (log, mut evidence) = evidence();
    evidence.disclosures.remove(0);
    assert!(matches!(evidence.verify(&trust()), Err(NotProven::Disclosure(Problem::Undisclosed(_)))));
    evidence.erased.push("/subject".to_owned());
    let read: Evidence = evidence.to_string().parse().expect("evidence");
    let proven = read.verify(&trust()).expect("proven");
    assert_eq!(proven.erased, ["/subject"]);
    assert!(proven.record.contains("committed") && proven.record.contains("box/4"));
    evidence.disclosures = log.disclosures[5].clone();
    evidence.erased.clear();
    assert!(matches!(evidence.verify(&trust()), Err(NotProven::Disclosure(Problem::WrongDisclosure(_)))));
}

#[test]
fn evidence_for_another_entry_position_or_tree_proves_nothing() {
    let (log, evidence) = evidence();
    let refused = |change: &dyn Fn(&mut Evidence)| {
        let mut evidence = evidence.clone();
        change(&mut evidence);
        evidence.verify(&trust()).expect_err("not proven")
    };
    assert_eq!(refused(&|e| e.index = 5), NotProven::NotIncluded);
    assert_eq!(refused(&|e| e.index = u64::MAX), NotProven::NotIncluded);
    assert_eq!(refused(&|e| e.entry = log.entries[5].clone()), NotProven::NotIncluded);
    assert_eq!(refused(&|e| e.checkpoint = checkpoint(11, TreeHash::ZERO)), NotProven::NotIncluded);
    assert_eq!(refused(&|e| e.checkpoint = log.checkpoints[1].clone()), NotProven::NotIncluded);
    let nothing = InclusionProof::new(vec![]).expect("short");
    assert_eq!(refused(&|e| e.proof = nothing.clone()), NotProven::NotIncluded);
    let unsigned = evidence.to_string().replace("\u{2014} audit", "\u{2014} other");
    let unsigned: Evidence = unsigned.parse().expect("evidence");
    assert!(matches!(unsigned.verify(&trust()), Err(NotProven::Checkpoint(_))));
}

#[test]
fn evidence_with_any_bit_flipped_proves_nothing() {
    let (_, evidence) = evidence();
    let (text, expected) = (evidence.to_string(), evidence.verify(&trust()).expect("proven").record);
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1 << (at % 7);
        let Ok(flipped) = String::from_utf8(bytes) else { continue };
        let Ok(read) = flipped.parse::<Evidence>() else { continue };
        let proven = read.verify(&trust()).map(|proven| proven.record);
        assert_ne!(proven, Ok(expected.clone()), "byte {at}: {flipped}");
        assert!(proven.is_err(), "byte {at}: {flipped}");
    }
}

#[test]
fn refuses_texts_that_are_no_evidence() {
    let (_, evidence) = evidence();
    let text = evidence.to_string();
    let refused = |text: &str| text.parse::<Evidence>().expect_err("refused");
    assert_eq!(refused(""), InvalidEvidence::Proof);
    assert_eq!(refused(&text.replacen("@v1", "@v2", 1)), InvalidEvidence::UnknownFormat);
    assert_eq!(refused(&text.replacen("\nextra ", "\nextras ", 1)), InvalidEvidence::Extra);
    assert_eq!(refused(&text.replacen("\nextra ", "\nextra AAAA", 1)), InvalidEvidence::Extra);
    assert_eq!(refused(&text.replacen("index 4", "index 04", 1)), InvalidEvidence::Index);
    assert_eq!(refused(&text.replacen("index 4", "index", 1)), InvalidEvidence::Index);
    assert_eq!(refused(&text.replacen("index 4\n", "index 4\nAAAA\n", 1)), InvalidEvidence::Proof);
    let long = format!("index 4\n{}", format!("{}\n", TreeHash::ZERO).repeat(65));
    assert_eq!(refused(&text.replacen("index 4\n", &long, 1)), InvalidEvidence::Proof);
    assert!(matches!(refused(&format!("{text}junk")), InvalidEvidence::Checkpoint(_)));
    assert_eq!(refused(&"x".repeat(Evidence::LEN_MAX + 1)), InvalidEvidence::TooLong);
}
