//! Ten thousand exports that somebody tampered with: each is found out, or means the same as before.
//!
//! What "means the same" is, is judged here by a reader that is as simple as can be and shares nothing with the checker:
//! the same header, and the same entries and disclosures up to the last checkpoint that was kept. What comes after that may
//! differ, a disclosure may be gone if the line says so, and a checkpoint in the middle may be gone: later ones say more.

use super::*;
use crate::{Disclosure, Salt, export};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::Value;

/// How often exports are tampered with.
const CASES: u32 = 10_000;

/// Where the partial export begins, and where the last checkpoint stands.
const FIRST: usize = 5;
const PROVEN: usize = 11;

/// An export of the whole trail, or of a stretch of it.
fn export(whole: bool) -> (Log, Vec<String>) {
    let mut log = Log::new();
    for n in 0..13 {
        if n == FIRST && !whole {
            log.begin_export();
        }
        log.record(if n % 3 == 2 { "broker-b" } else { "broker-a" });
        if [3, 6, 8, 10].contains(&n) {
            log.sign();
        }
    }
    let lines = log.lines.clone();
    (log, lines)
}

/// A header, or an entry with what stands beside it.
type Said = (Value, Vec<Value>);

/// What an export says, up to the kept checkpoint: header, entries, disclosures. `None` when it cannot be read at all.
fn meaning(lines: &[String], first: usize) -> Option<Vec<Said>> {
    let mut said = vec![(serde_json::from_str(lines.first()?).ok()?, vec![])];
    for line in &lines[1..] {
        let line: Value = serde_json::from_str(line).ok()?;
        if line.get("checkpoint").is_none() && said.len() <= PROVEN - first {
            let disclosed = line.get("disclosed").and_then(Value::as_array).cloned().unwrap_or_default();
            let erased = line.get("erased").and_then(Value::as_array).cloned().unwrap_or_default();
            let erased = erased.into_iter().map(|at| serde_json::json!({"erased": at}));
            said.push((line.get("entry")?.clone(), disclosed.into_iter().chain(erased).collect()));
        }
    }
    Some(said)
}

/// Whether two exports mean the same, but for disclosures that the second says are gone.
fn mean_the_same(before: &[String], after: &[String], first: usize) -> bool {
    let (Some(before), Some(after)) = (meaning(before, first), meaning(after, first)) else { return false };
    let same = |((a, beside_a), (b, beside_b)): (&Said, &Said)| {
        let place = |v: &Value| v.get("at").or_else(|| v.get("erased")).cloned();
        let kept = |v: &&Value| v.get("erased").is_none();
        let places = |all: &[Value]| {
            all.iter().filter_map(place).map(|at| at.to_string()).collect::<std::collections::BTreeSet<_>>()
        };
        a == b && places(beside_a) == places(beside_b) && beside_b.iter().filter(kept).all(|v| beside_a.contains(v))
    };
    before.len() == after.len() && before.iter().zip(&after).all(same)
}

/// One act of tampering: which, and three numbers that say where and how.
type Act = (u8, u16, u16, u8);

fn tamper(log: &Log, lines: &mut Vec<String>, (which, x, y, z): Act) {
    let count = lines.len();
    if count < 2 {
        return;
    }
    let (x, y) = (usize::from(x), usize::from(y));
    let (one, other) = (x % count, y % count);
    match which % 15 {
        0 => {
            let mut bytes = lines.join("\n").into_bytes();
            let at = (x << 4 | y & 15) % bytes.len();
            bytes[at] ^= 1 << (z % 8);
            *lines = String::from_utf8_lossy(&bytes).split('\n').map(str::to_owned).collect();
        }
        1 => drop(lines.remove(one)),
        2 => lines.insert(other, lines[one].clone()),
        3 => lines.swap(one, other),
        4 => lines.truncate(one),
        5 => {
            let mut bytes = lines.join("\n").into_bytes();
            bytes.truncate((x << 4 | y & 15) % bytes.len());
            *lines = String::from_utf8_lossy(&bytes).split('\n').map(str::to_owned).collect();
        }
        6 => lines.insert(one, forged(log, lines, other)),
        7 => resign(lines, one, &LogKey::new(ORIGIN, z)),
        8 => swap_checkpoints(lines, x, y),
        9 => disclosures(lines, one, |all, _| drop(all.pop())),
        10 => disclosures(lines, one, |all, erased| {
            // The first, so that both lists stay in the order of the record.
            let first = (!all.is_empty()).then(|| all.remove(0));
            erased.splice(0..0, first.map(|gone| gone["at"].clone()));
        }),
        11 => disclosures(lines, one, |all, _| {
            let Some(first) = all.first_mut() else { return };
            first[if z % 2 == 0 { "value" } else { "salt" }] = Value::String("\"eve@acme.example\"".to_owned());
        }),
        12 => lines[one] = changed(lines, one),
        13 => disclosures(lines, one, |all, _| {
            let copy = all.first().cloned();
            all.extend(copy);
        }),
        _ => rewrite(log, lines, one),
    }
}

/// An entry that follows in its writer's chain as it should, and that nobody signed.
fn forged(log: &Log, lines: &[String], after: usize) -> String {
    let before = (0..=after).rev().find_map(|at| entry_of(lines, at)).unwrap_or_else(|| log.entries[0].clone());
    let hash = TreeHash::of_leaf(&before);
    let number = Entry::read(&before).map_or(1, |entry| entry.number());
    let writer = "broker-a".parse().expect("a writer");
    let entry = Entry::new(&writer, number + 1, hash, r#"{"kind":"decision"}"#).expect("an entry");
    export::entry_line(&entry.encode(), &[], &[])
}

fn entry_of(lines: &[String], at: usize) -> Option<Vec<u8>> {
    let line: Value = serde_json::from_str(lines.get(at)?).ok()?;
    base64_text::decode(line.get("entry")?.as_str()?)
}

fn resign(lines: &mut [String], from: usize, key: &LogKey) {
    let (before, after) = lines.split_at_mut(from);
    for line in after.iter_mut().chain(before) {
        let Some(signed) = checkpoint_of(line) else { continue };
        let Checkpoint { size, root, .. } = signed.unverified().clone();
        let Ok(other) = Checkpoint::sign(size, root, key);
        *line = export::checkpoint_line(&other);
        return;
    }
}

fn checkpoint_of(line: &str) -> Option<SignedCheckpoint> {
    let line: Value = serde_json::from_str(line).ok()?;
    line.get("checkpoint")?.as_str()?.parse().ok()
}

fn swap_checkpoints(lines: &mut [String], x: usize, y: usize) {
    let all: Vec<_> = (0..lines.len()).filter(|at| checkpoint_of(&lines[*at]).is_some()).collect();
    if !all.is_empty() {
        lines.swap(all[x % all.len()], all[y % all.len()]);
    }
}

fn disclosures(lines: &mut [String], at: usize, change: impl FnOnce(&mut Vec<Value>, &mut Vec<Value>)) {
    let Ok(mut line) = serde_json::from_str::<Value>(&lines[at]) else { return };
    let list = |line: &Value, name| line.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    if line.get("entry").is_none() {
        return;
    }
    let (mut disclosed, mut erased) = (list(&line, "disclosed"), list(&line, "erased"));
    change(&mut disclosed, &mut erased);
    line["disclosed"] = disclosed.into();
    line["erased"] = erased.into();
    lines[at] = line.to_string();
}

/// The same entry with another record, and with disclosures that fit.
fn changed(lines: &[String], at: usize) -> String {
    let Some(bytes) = entry_of(lines, at) else { return lines[at].clone() };
    let Ok(entry) = Entry::read(&bytes) else { return lines[at].clone() };
    let writer = entry.writer().parse().expect("a writer");
    let salt = || Salt::new([3; 32]);
    let committed = crate::commit(r#"{"kind":"decision","subject":"eve"}"#, &["subject"], salt).expect("a record");
    let other = Entry::new(&writer, entry.number(), entry.previous(), &committed.body).expect("an entry");
    export::entry_line(&other.encode(), &committed.disclosures, &[])
}

/// Everything from a line on, written anew with whole chains; checkpoints stay as they were signed.
fn rewrite(log: &Log, lines: &mut [String], from: usize) {
    let mut chains = Chains::default();
    for at in 0..lines.len() {
        let Some(bytes) = entry_of(lines, at) else { continue };
        let Ok(entry) = Entry::read(&bytes) else { continue };
        let writer = entry.writer().parse().expect("a writer");
        let head = chains.head(entry.writer());
        let previous = head.map_or_else(|| entry.previous(), |head| head.hash);
        let body = if at == from { r#"{"kind":"lift"}"# } else { entry.body() };
        let Ok(anew) = Entry::new(&writer, entry.number(), previous, body) else { continue };
        let _ = chains.follow(&anew, anew.leaf_hash(), 0);
        let told: Vec<Disclosure> = if at == from {
            vec![]
        } else {
            let position = log.entries.iter().position(|entry| *entry == bytes);
            position.map(|position| log.disclosures[position].clone()).unwrap_or_default()
        };
        lines[at] = export::entry_line(&anew.encode(), &told, &[]);
    }
}

#[test]
fn ten_thousand_tamperings_are_found_or_mean_the_same() {
    let trust = trust();
    let exports = [export(true), export(false)].map(|(log, lines)| {
        let last = log.checkpoints.last().expect("a checkpoint");
        let kept = trust.verify(last).expect("signed");
        (log, lines, kept)
    });
    let config =
        Config { cases: CASES, rng_seed: RngSeed::Fixed(6962), failure_persistence: None, ..Config::default() };
    let acts = prop::collection::vec(any::<Act>(), 1..3);
    let (mut found_out, mut same) = (std::cell::Cell::new(0u32), std::cell::Cell::new(0u32));
    let outcome = TestRunner::new(config).run(&(any::<bool>(), acts), |(whole, acts)| {
        let (log, before, kept) = &exports[usize::from(!whole)];
        let mut lines = before.clone();
        for act in acts {
            tamper(log, &mut lines, act);
        }
        let (_, summary) = check_with(trust.clone(), &lines, vec![kept.clone()]);
        if summary.faults > 0 {
            found_out.set(found_out.get() + 1);
        } else {
            same.set(same.get() + 1);
            prop_assert!(mean_the_same(before, &lines, if whole { 0 } else { FIRST }), "not found out: {lines:#?}");
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failed| panic!("{failed}"));
    let (found_out, same) = (*found_out.get_mut(), *same.get_mut());
    assert!(found_out > CASES / 2 && same > 0, "{found_out} found out, {same} the same");
}

#[test]
fn random_bytes_never_panic() {
    let header = Log::filled().lines[0].clone().into_bytes();
    let config = Config { cases: 2_000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() };
    let part = prop_oneof![
        any::<Vec<u8>>(),
        "[ -~\\n]{0,80}".prop_map(String::into_bytes),
        "\\{\"entry\":\"[A-Za-z0-9+/]{0,200}={0,2}\"(,\"erased\":\\[\"/a\"\\])?\\}".prop_map(String::into_bytes),
        "\\{\"checkpoint\":\"[a-z.]{0,9}\\\\\\\\n[0-9]{0,20}\\\\\\\\n[A-Za-z0-9+/]{43}=\\\\\\\\n\\\\\\\\n— [a-z]{1,5} [A-Za-z0-9+/]{8}\\\\\\\\n\"\\}"
            .prop_map(String::into_bytes),
    ];
    let lines = prop::collection::vec(part, 0..6);
    let outcome = TestRunner::new(config).run(&(any::<bool>(), lines), |(with_header, lines)| {
        let mut checker = Checker::new(trust(), vec![]);
        if with_header {
            let _ = checker.line(&header);
        }
        for line in &lines {
            let _ = checker.line(line);
            let text = String::from_utf8_lossy(line);
            let _ = (text.parse::<SignedCheckpoint>(), text.parse::<crate::SignedNote>());
            let _ = (text.parse::<VerifierKey>(), text.parse::<crate::Evidence>(), Entry::read(line));
            let _ = (crate::commit(&text, &["a"], || Salt::new([0; 32])), crate::commitment::render(&text, &[]));
        }
        prop_assert!(checker.finish().1.faults > 0);
        Ok(())
    });
    outcome.unwrap_or_else(|failed| panic!("{failed}"));
}
