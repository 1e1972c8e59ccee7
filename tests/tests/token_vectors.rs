//! The token vectors, played against our own gate and verifier; and the official Biscuit samples, which are all refused.
//!
//! `CRUMB_REGENERATE=1` writes the files anew; without it they are only read.

use biscuit_auth::{PublicKey, builder::Algorithm};
use crumb_tests::{
    oracle::{self, Answer},
    skip::skipped,
    vectors::{
        self, Vector, player,
        samples::{self, Sample, Verdict},
    },
};
use crumb_token::{Reason, Timestamp, TokenText, parse::Unverified};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// The files, written anew first when that was asked for.
fn files() -> &'static BTreeMap<String, Vec<Vector>> {
    static FILES: LazyLock<BTreeMap<String, Vec<Vector>>> = LazyLock::new(|| {
        if std::env::var_os("CRUMB_REGENERATE").is_some() {
            vectors::write(&vectors::generated());
        }
        vectors::committed()
    });
    &FILES
}

fn all() -> Vec<Vector> {
    files().values().flatten().cloned().collect()
}

#[test]
fn every_vector_gets_its_answer() {
    let wrong: Vec<_> = all()
        .into_iter()
        .map(|v| (player::play(&v), v))
        .filter(|(got, vector)| *got != vector.expect)
        .map(|(got, v)| format!("{}: expected {}, got {got} ({})", v.name, v.expect, v.why))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_files_are_what_the_generator_makes() {
    let (committed, generated) = (files(), vectors::generated());
    let names = |files: &BTreeMap<String, Vec<Vector>>| -> Vec<String> { files.keys().cloned().collect() };
    assert_eq!(names(committed), names(&generated));
    for (file, vectors) in &generated {
        for (was, is) in committed[file].iter().zip(vectors) {
            assert_eq!(was, is, "the profile's encoding has changed, or the vector; see tests/src/vectors.rs");
        }
        assert_eq!(committed[file].len(), vectors.len(), "{file}");
    }
}

#[test]
fn there_are_enough_vectors_and_each_has_a_name_of_its_own() {
    let all = all();
    let names: BTreeSet<_> = all.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "a name comes twice");
    let accepted = all.iter().filter(|v| v.expect == "allowed").count();
    assert!(accepted >= 12 && all.len() - accepted >= 45, "{accepted} of {} are accepted", all.len());
}

#[test]
fn every_reason_that_a_token_can_be_refused_for_has_a_vector() {
    let expected: BTreeSet<String> = all().into_iter().map(|v| v.expect).collect();
    // The feed's state and the size of a table are not the token's; no vector can show them.
    let elsewhere = [Reason::FeedStale, Reason::NonceTableFull, Reason::AuditUnavailable];
    let of_tokens = Reason::ALL.iter().take_while(|r| **r != Reason::SvidInvalid).filter(|r| !elsewhere.contains(r));
    let missing: Vec<_> = of_tokens.filter(|r| !expected.contains(r.code())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// What a stock verifier cannot know: it has no feed, remembers nothing, and reads neither `issued_at` nor `environment`.
const OUTSIDE_DATALOG: [Reason; 6] = [
    Reason::KeyUnknown,
    Reason::TokenRevoked,
    Reason::TokenNotYetValid,
    Reason::EnvironmentMismatch,
    Reason::NonceReplayed,
    Reason::AskMalformed,
];

#[test]
fn a_stock_verifier_gives_the_same_answers_as_far_as_datalog_goes() {
    let files = files();
    let inside = files["accepted"].iter().chain(&files["refused-by-the-call"]);
    let inside = inside.filter(|v| OUTSIDE_DATALOG.iter().all(|reason| reason.code() != v.expect));
    for vector in inside {
        let bytes = TokenText::from_presented(&vector.token).and_then(|t| t.decode()).expect("inside the profile");
        let root = hex::decode(&vector.public_key).expect("hexadecimal");
        let root = PublicKey::from_bytes(&root, Algorithm::Ed25519).expect("an Ed25519 key");
        let ask = player::ask(&vector.ask).expect("a call");
        let (peer, server) = (player::word(&vector.peer), player::word(&vector.audience));
        let answer =
            oracle::evaluate(&bytes, root, &ask, &peer, &server, Timestamp::from_unix_s(vector.now), &[[0x11; 16]]);
        let expected = match vector.expect.as_str() {
            "allowed" => Answer::Allowed,
            "signature_invalid" => Answer::NoToken,
            _ => Answer::Denied,
        };
        assert_eq!(answer, expected, "{}", vector.name);
    }
}

#[test]
fn the_document_lists_every_reason_that_the_vectors_give() {
    let document = include_str!("../../docs/token-profile.md");
    let missing: BTreeSet<_> =
        all().into_iter().map(|v| v.expect).filter(|e| !document.contains(&format!("`{e}`"))).collect();
    assert!(missing.is_empty(), "docs/token-profile.md does not list {missing:?}");
}

/// Returns why the gate refuses a text, by the bytes alone: without key, time, call or evaluation.
fn gate(text: &str) -> Option<Reason> {
    let token = TokenText::from_presented(text).and_then(|t| t.decode()).and_then(|b| Unverified::parse(&b));
    token.err()
}

#[test]
fn hostile_tokens_are_refused_before_anything_in_them_is_evaluated() {
    let files = files();
    let hostile = files["refused-hostile"].iter().chain(&files["refused-at-the-gate"]);
    for vector in hostile {
        let reason = gate(&vector.token).unwrap_or_else(|| panic!("{} passes the gate", vector.name));
        assert_eq!(reason.code(), vector.expect, "{}", vector.name);
    }
}

#[test]
fn what_the_call_decides_passes_the_gate() {
    let files = files();
    for vector in files["accepted"].iter().chain(&files["refused-by-the-call"]) {
        assert_eq!(gate(&vector.token), None, "{}", vector.name);
    }
}

#[test]
fn every_official_biscuit_sample_is_refused_for_its_reason() {
    let folder = match samples::folder() {
        Ok(folder) => folder,
        Err(why) => return skipped("every_official_biscuit_sample_is_refused_for_its_reason", &why),
    };
    let (samples, root) = samples::read(&folder);
    assert_eq!(samples.len(), 38, "the samples of biscuit-auth 6.0.0");
    let refused = |name: &str, bytes: &[u8]| {
        let text = TokenText::from_bytes(bytes).expose().to_owned();
        let at_the_gate = gate(&text).unwrap_or_else(|| panic!("{name} passes the gate"));
        let vector = player::vector(name, "an official sample", text, "");
        let reason = player::play(&Vector { public_key: hex::encode(&root), ..vector }).to_owned();
        assert_eq!(reason, at_the_gate.code(), "{name}: the gate and the verifier differ");
        reason
    };
    let verdict = |sample: Sample| {
        let reason = refused(&sample.name, &sample.bytes);
        let reason_with_key_id = refused(&sample.name, &sample.with_key_id());
        Verdict { name: sample.name, title: sample.title, reason, reason_with_key_id }
    };
    let verdicts: Vec<_> = samples.into_iter().map(verdict).collect();
    if std::env::var_os("CRUMB_REGENERATE").is_some() {
        samples::write(&verdicts);
    }
    assert_eq!(verdicts, samples::committed());
}
