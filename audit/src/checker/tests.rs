//! Checks of exports: each way of tampering, and what is said of it.

use super::*;
use crate::{
    Checkpoint, Leaves,
    fixture::{Log, LogKey, ORIGIN, checkpoint, trust},
};

mod tampering;

fn kept(log: &Log, which: usize) -> VerifiedCheckpoint {
    trust().verify(&log.checkpoints[which]).expect("signed")
}

fn check(lines: &[String], kept: Vec<VerifiedCheckpoint>) -> (Vec<Finding>, Summary) {
    check_with(trust(), lines, kept)
}

fn check_with(trust: Trust, lines: &[String], kept: Vec<VerifiedCheckpoint>) -> (Vec<Finding>, Summary) {
    let mut checker = Checker::new(trust, kept);
    let mut findings: Vec<_> = lines.iter().flat_map(|line| checker.line(line.as_bytes())).collect();
    let (last, summary) = checker.finish();
    findings.extend(last);
    (findings, summary)
}

fn faults(lines: &[String], kept: Vec<VerifiedCheckpoint>) -> Vec<(u64, Problem)> {
    let (findings, summary) = check(lines, kept);
    let faults: Vec<_> = findings.into_iter().filter(|finding| finding.problem.is_fault()).collect();
    assert_eq!(summary.faults, faults.len() as u64);
    faults.into_iter().map(|finding| (finding.line, finding.problem)).collect()
}

/// The line of the entry at a position, and of a checkpoint, in [`Log::filled`].
const ENTRY_4: usize = 6;
const CHECKPOINTS: [usize; 3] = [5, 9, 14];

fn a() -> String {
    "broker-a".to_owned()
}

#[test]
fn a_trail_that_nobody_touched_has_no_fault_and_a_tail() {
    let log = Log::filled();
    let (findings, summary) = check(&log.lines, vec![kept(&log, 2), kept(&log, 0)]);
    assert_eq!(findings, [Finding { line: 18, problem: Problem::Tail(2) }]);
    let expected = Summary { first: 0, end: 13, proven: Some(11), checkpoints: 3, erased: 0, faults: 0 };
    assert_eq!(summary, expected);
}

#[test]
fn a_changed_entry_is_named_by_its_follower_and_by_the_root() {
    let mut log = Log::filled();
    let entry = Entry::read(&log.entries[4]).expect("an entry");
    let (writer, body) = (a().parse().expect("a writer"), entry.body().replace("decision", "exchange"));
    let changed = Entry::new(&writer, entry.number(), entry.previous(), &body).expect("an entry").encode();
    log.lines[ENTRY_4] = crate::export::entry_line(&changed, &log.disclosures[4], &[]);
    let line = ENTRY_4 as u64 + 1;
    let found = faults(&log.lines, vec![]);
    assert_eq!(found[0].1, Problem::Changed { writer: a(), number: entry.number(), line });
    assert_eq!(found[1], (10, Problem::WrongRoot { size: 7, from: 4 }));
    assert_eq!(found.len(), 2, "said once: {found:?}");
}

#[test]
fn a_missing_an_added_and_a_moved_entry_are_told_apart() {
    let log = Log::filled();
    let mut missing = log.lines.clone();
    missing.remove(ENTRY_4);
    let found = faults(&missing, vec![]);
    assert!(matches!(&found[0].1, Problem::Missing { writer, from, to } if *writer == a() && from == to), "{found:?}");
    assert_eq!(found[1].1, Problem::TooFew { size: 7, found: 6 });

    let mut repeated = log.lines.clone();
    repeated.insert(ENTRY_4, repeated[ENTRY_4].clone());
    let found = faults(&repeated, vec![]);
    assert!(matches!(&found[0].1, Problem::Repeated { line: 7, .. }), "{found:?}");
    assert_eq!(found[1].1, Problem::TooMany { size: 7, found: 8 });

    let mut moved = log.lines.clone();
    moved.swap(ENTRY_4 - 2, ENTRY_4);
    let found = faults(&moved, vec![]);
    assert!(found.iter().any(|(_, problem)| matches!(problem, Problem::OutOfOrder { .. })), "{found:?}");

    // Of two writers, so that no chain can tell.
    let mut swapped = log.lines.clone();
    swapped.swap(ENTRY_4, ENTRY_4 + 1);
    assert_eq!(faults(&swapped, vec![]), [(10, Problem::WrongRoot { size: 7, from: 4 })]);
}

#[test]
fn checkpoints_that_are_swapped_repeated_forged_or_of_another_root_are_found() {
    let log = Log::filled();
    let mut swapped = log.lines.clone();
    swapped.swap(CHECKPOINTS[0], CHECKPOINTS[1]);
    let found = faults(&swapped, vec![]);
    assert_eq!(found[0], (6, Problem::TooFew { size: 7, found: 4 }));
    assert_eq!(found[1], (10, Problem::WentBack { size: 4, before: 7 }));

    let mut repeated = log.lines.clone();
    repeated.insert(CHECKPOINTS[0], repeated[CHECKPOINTS[0]].clone());
    assert_eq!(faults(&repeated, vec![]), [(7, Problem::WentBack { size: 4, before: 4 })]);

    let mut forged = log.lines.clone();
    let root = log.checkpoints[1].unverified().root;
    let Ok(other) = Checkpoint::sign(7, root, &LogKey::new(ORIGIN, 9));
    forged[CHECKPOINTS[1]] = crate::export::checkpoint_line(&other);
    assert!(matches!(faults(&forged, vec![])[..], [(10, Problem::Untrusted(_))]));

    let mut wrong = log.lines.clone();
    wrong[CHECKPOINTS[1]] = crate::export::checkpoint_line(&checkpoint(7, TreeHash::ZERO));
    assert_eq!(faults(&wrong, vec![]), [(10, Problem::WrongRoot { size: 7, from: 4 })]);
}

#[test]
fn a_checkpoint_that_was_kept_shows_a_rewritten_and_a_cut_trail() {
    let log = Log::filled();
    // The log's own key signs another history: nothing in the export itself is wrong.
    let mut rewritten = Log::new();
    for _ in 0..13 {
        rewritten.record("broker-a");
    }
    rewritten.sign();
    assert_eq!(faults(&rewritten.lines, vec![]), []);
    assert_eq!(faults(&rewritten.lines, vec![kept(&log, 1)]), [(8, Problem::Forked(7))]);
    let cut = &log.lines[..CHECKPOINTS[1] + 1];
    assert_eq!(faults(cut, vec![]), []);
    assert_eq!(faults(cut, vec![kept(&log, 2)]), [(11, Problem::Truncated { kept: 11, found: 7 })]);
    // One that fits proves as much as one in the export.
    let without: Vec<_> = log.lines.iter().filter(|line| !line.contains("checkpoint")).cloned().collect();
    assert_eq!(faults(&without, vec![]), [(15, Problem::NothingSigned)]);
    assert_eq!(check(&without, vec![kept(&log, 2)]).1.proven, Some(11));
}

#[test]
fn a_disclosure_that_is_altered_stray_or_silently_gone_is_found_and_an_erasure_is_told() {
    let log = Log::filled();
    let (entry, all) = (&log.entries[4], &log.disclosures[4]);
    let with = |disclosed: &[crate::Disclosure], erased: &[&str]| {
        let mut lines = log.lines.clone();
        lines[ENTRY_4] = crate::export::entry_line(entry, disclosed, erased);
        check(&lines, vec![]).0.into_iter().map(|finding| finding.problem).collect::<Vec<_>>()
    };
    let (subject, resource, tail) = ("/subject", "/asked/0/resource", Problem::Tail(2));
    assert_eq!(with(&all[1..], &[]), [Problem::Undisclosed(subject.into()), tail.clone()]);
    assert_eq!(with(&all[1..], &[subject]), [Problem::Erased(subject.into()), tail.clone()]);
    let erased = [Problem::Erased(subject.into()), Problem::Erased(resource.into()), tail.clone()];
    assert_eq!(with(&[], &[subject, resource]), erased);
    let other = crate::Disclosure::new(subject.into(), crate::Salt::new([4; 32]), r#""eve@acme.example""#.into());
    assert_eq!(with(&[other, all[1].clone()], &[]), [Problem::WrongDisclosure(subject.into()), tail.clone()]);
    assert_eq!(with(all, &[subject]), [Problem::StrayDisclosure(subject.into()), tail]);
}

#[test]
fn a_stretch_is_proven_from_its_header_and_tied_to_what_was_kept() {
    let mut log = Log::filled();
    log.begin_export();
    let (leaves, first) = (log.leaves.clone(), log.frontier.size());
    let since = |size| ConsistencyProof::make(&Leaves(&leaves), size, first).expect("nodes").expect("grown");
    let header = log.header().since(7, &since(7)).to_line();
    for _ in 0..5 {
        log.record("broker-a");
    }
    log.sign();
    let (findings, summary) = check(&log.lines, vec![]);
    let told = Problem::UnprovenHead("broker-b".into());
    assert_eq!(findings.into_iter().map(|finding| finding.problem).collect::<Vec<_>>(), [told]);
    assert_eq!((summary.first, summary.end, summary.proven), (13, 18, Some(18)));
    let not_tied = Problem::NotTied { kept: 7, first: 13 };
    assert_eq!(faults(&log.lines, vec![kept(&log, 1)]), [(1, not_tied.clone())]);
    log.lines[0] = header;
    assert_eq!(faults(&log.lines, vec![kept(&log, 1)]), []);
    assert_eq!(faults(&log.lines, vec![kept(&log, 0)]), [(1, Problem::NotTied { kept: 4, first: 13 })]);
    // The header's edge cannot be another: the root would not come out.
    let mut other = log.header();
    other.first = 13;
    other.frontier = vec![TreeHash::of_leaf(b"x"); 3];
    other.writers.clear();
    log.lines[0] = other.to_line();
    let found = faults(&log.lines, vec![]);
    assert!(found.iter().any(|(_, problem)| matches!(problem, Problem::WrongRoot { from: 13, .. })), "{found:?}");
    assert!(found.iter().any(|(_, problem)| *problem == Problem::NothingSigned));
}

#[test]
fn a_history_that_does_not_go_on_from_what_was_kept_is_a_fork() {
    let mut other = Log::new();
    for _ in 0..13 {
        other.record("broker-a");
    }
    let proof = ConsistencyProof::make(&Leaves(&other.leaves), 7, 13).expect("nodes").expect("grown");
    other.begin_export();
    other.lines[0] = other.header().since(7, &proof).to_line();
    other.record("broker-a");
    other.sign();
    assert_eq!(faults(&other.lines, vec![kept(&Log::filled(), 1)]), [(1, Problem::Forked(7))]);
}

#[test]
fn what_is_no_export_is_told_once() {
    let unreadable = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        faults(&lines, vec![]).into_iter().map(|(_, problem)| problem).collect::<Vec<_>>()
    };
    assert_eq!(unreadable(&[]), [Problem::Unreadable(Unreadable::NoHeader)]);
    assert_eq!(unreadable(&["", "{}", "x"]), [Problem::Unreadable(Unreadable::NoHeader)]);
    let log = Log::filled();
    for junk in
        ["", "{}", "[]", r#"{"entry":"AA==","x":1}"#, r#"{"entry":null}"#, r#"{"checkpoint":"","erased":["/a"]}"#]
    {
        let mut lines = log.lines.clone();
        lines.insert(3, junk.to_owned());
        assert_eq!(faults(&lines, vec![]), [(4, Problem::Unreadable(Unreadable::Malformed))], "{junk}");
    }
    let mut lines = log.lines.clone();
    lines.insert(3, " ".repeat(LINE_LEN_MAX + 1));
    assert_eq!(faults(&lines, vec![]), [(4, Problem::Unreadable(Unreadable::TooLong))]);
    lines[3] = r#"{"entry":"AA"}"#.to_owned();
    assert_eq!(faults(&lines, vec![]), [(4, Problem::Unreadable(Unreadable::Base64))]);
}

#[test]
fn an_export_of_another_log_or_with_another_key_is_a_fault() {
    let mut log = Log::filled();
    let key = LogKey::new(ORIGIN, 9);
    let key = crate::NoteSigner::key(&key).clone();
    let mut header = Log::new().header();
    header.vkeys.push(key.to_string());
    log.lines[0] = header.to_line();
    assert_eq!(faults(&log.lines, vec![]), [(1, Problem::UntrustedKey(key.to_string()))]);
    header = Log::new().header();
    header.origin = "other.example".parse().expect("a name");
    log.lines[0] = header.to_line();
    assert_eq!(faults(&log.lines, vec![]), [(1, Problem::OtherOrigin("other.example".into()))]);
}

#[test]
fn what_a_strangers_text_could_do_to_a_terminal_is_escaped() {
    let committed = crate::commitment::Commitment::all_in("{}");
    assert_eq!(committed.map(|all| all.len()), Ok(0));
    let stray = account("{}", std::iter::empty(), ["/\u{1b}[2J\u{202e}"].into_iter()).expect("a body");
    assert_eq!(stray, [Problem::StrayDisclosure(r"/\u{1b}[2J\u{202e}".into())]);
}
