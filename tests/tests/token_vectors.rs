//! The token vectors, played against our own gate and verifier; and the official Biscuit samples, which are all refused.
//!
//! `CRUMB_REGENERATE=1` writes the files anew; without it they are only read.

use biscuit_auth::{PublicKey, builder::Algorithm};
use crumb_tests::{
    naive,
    oracle::{self, Answer},
    skip::skipped,
    vectors::{
        self, Vector, hops,
        player::{self, NOW},
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

/// Plays a vector's call by `peer` against stock Datalog.
fn stock(vector: &Vector, peer: &str) -> Answer {
    let bytes = TokenText::from_presented(&vector.token).and_then(|t| t.decode()).expect("bytes");
    let root = hex::decode(&vector.public_key).expect("hexadecimal");
    let root = PublicKey::from_bytes(&root, Algorithm::Ed25519).expect("an Ed25519 key");
    let ask = player::ask(&vector.ask).expect("a call");
    let (peer, server) = (player::word(peer), player::word(&vector.audience));
    oracle::evaluate(&bytes, root, &ask, &peer, &server, Timestamp::from_unix_s(vector.now), &[[0x11; 16]])
}

#[test]
fn a_stock_verifier_gives_the_same_answers_as_far_as_datalog_goes() {
    let files = files();
    let inside = files["accepted"].iter().chain(&files["refused-by-the-call"]);
    let inside = inside.filter(|v| OUTSIDE_DATALOG.iter().all(|reason| reason.code() != v.expect));
    for vector in inside {
        let answer = stock(vector, &vector.peer);
        let expected = match vector.expect.as_str() {
            "allowed" => Answer::Allowed,
            "signature_invalid" => Answer::NoToken,
            _ => Answer::Denied,
        };
        assert_eq!(answer, expected, "{}", vector.name);
    }
}

/// Hops that, at a stock verifier without the gate, let in whoever presents them: a holder's check is missing, or is met
/// by what stands beside it.
const OPEN_TO_ANYBODY: [&str; 4] =
    ["hop_without_check", "hop_check_of_anybody", "hop_open_to_any_hop", "hop_open_to_itself"];

#[test]
fn without_the_gate_a_holder_could_let_in_anybody() {
    for name in OPEN_TO_ANYBODY {
        let vector = files()["refused-at-the-gate"].iter().find(|v| v.name == name).expect("a vector");
        assert_eq!(stock(vector, hops::STRANGER), Answer::Allowed, "{name}");
        assert_eq!(gate(&vector.token), Some(Reason::TokenOutOfProfile), "{name}");
    }
}

/// Plays a vector against the verifier that is written from the document alone.
fn naively(vector: &Vector) -> &'static str {
    let Some(ask) = player::ask(&vector.ask) else { return Reason::AskMalformed.code() };
    let bytes = TokenText::from_presented(&vector.token).and_then(|t| t.decode()).map_err(Reason::code);
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(code) => return code,
    };
    let key = hex::decode(&vector.public_key).expect("hexadecimal").try_into().expect("32 bytes");
    let whole = |text: &String| text.split_once(" <= ").is_none_or(|(_, until)| player::word::<u64>(until) >= NOW - 60);
    let mut world = naive::World {
        audience: vector.audience.clone(),
        environment: vector.environment.clone(),
        key: (vector.root_key_id, key),
        key_in_force: (vector.key_not_before, vector.key_not_after),
        revoked: vector.revoked.iter().filter(|text| whole(text)).map(|text| target(text)).collect(),
        used: BTreeSet::new(),
        seen: 0,
    };
    let mut decide = || world.decide(&bytes, &ask, &vector.peer, vector.now).map_or_else(Reason::code, |()| "allowed");
    if vector.again {
        assert_eq!(decide(), "allowed", "{}", vector.name);
    }
    decide()
}

/// What is revoked, without the time until which.
fn target(text: &str) -> String {
    text.split_once(" <= ").map_or(text, |(target, _)| target).to_owned()
}

#[test]
fn the_naive_verifier_gives_the_same_answers_past_the_gate() {
    let files = files();
    let wrong: Vec<_> = files["accepted"]
        .iter()
        .chain(&files["refused-by-the-call"])
        .map(|v| (naively(v), v))
        .filter(|(got, vector)| *got != vector.expect)
        .map(|(got, v)| format!("{}: expected {}, got {got} ({})", v.name, v.expect, v.why))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_naive_verifier_allows_nothing_that_the_gate_refuses_for_what_hops_say() {
    let files = files();
    // It holds neither words nor sizes nor encodings to their rules, nor counts blocks.
    let lenient = [
        "may_act_not_canonical",
        "may_act_no_agent",
        "may_act_no_version",
        "hop_not_canonical",
        "hop_of_257_symbols",
        "hop_symbol_of_every_implementation",
        "hop_symbol_twice",
        "hop_of_depth_limit_0",
        "hops_past_the_depth_limit",
        "nine_blocks_with_hops",
    ];
    let of_hops = |v: &&Vector| {
        ["hop", "may_act", "key", "two_keys", "delegable", "third_party"].iter().any(|w| v.name.contains(w))
    };
    let allowed: Vec<_> = files["refused-at-the-gate"]
        .iter()
        .filter(of_hops)
        .filter(|v| hex::decode(&v.public_key).is_ok_and(|key| key.len() == 32) && naively(v) == "allowed")
        .map(|v| v.name.as_str())
        .collect();
    let strict: Vec<_> = allowed.iter().filter(|name| !lenient.contains(name)).collect();
    assert!(strict.is_empty(), "{strict:?}");
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
