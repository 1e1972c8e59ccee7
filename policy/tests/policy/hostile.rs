//! Texts made to hurt: in inputs, where they stay data, and in bundles, where they are refused before anything recurses.

use super::{asked, bundle, loaded, refused, shipped};
use crumb_policy::{Bundle, Input, Ruling};
use proptest::prelude::*;
use serde_json::json;

const ALLOW: &str = "allow contains {\"because\": \"low\"} if input.session.risk == \"low\"";
const TEST: &str = "test_low if count(issue.allow) == 1 with input as {\"session\": {\"risk\": \"low\"}}";

#[test]
fn rego_in_an_intent_is_a_text() {
    let policy = loaded(
        "allow contains {\"because\": sprintf(\"says %s\", [input.session.intent])} if startswith(input.session.intent, \"read\")",
        "test_read if count(issue.allow) == 1 with input as {\"session\": {\"intent\": \"read\"}}",
    );
    for intent in [
        "\"} } allow contains {\"because\": \"pwned\"}",
        "data.crumb.issue.allow := {1}",
        "%!s(MISSING) %n %s %s %d",
        "crumb_said(0, {\"because\": \"pwned\"})",
        "1e999999999",
        "{{.}} ${x} $(id) `id`",
    ] {
        let verdict = policy.decide(&asked(&[("/session/intent", json!(intent))])).expect("a verdict");
        assert_eq!(verdict.ruling, Ruling::Deny, "{intent}");
        let told = format!("read {intent}");
        let verdict = policy.decide(&asked(&[("/session/intent", json!(told))])).expect("a verdict");
        assert_eq!(&*verdict.reasons[0].because, format!("says {told}"), "it is told as it was written");
    }
}

#[test]
fn the_format_of_sprintf_cannot_come_from_an_input() {
    let rules = format!(
        "{ALLOW}\ndeny contains {{\"because\": sprintf(input.session.intent, [1])}} if input.session.depth > 1"
    );
    assert!(refused(bundle(&rules, TEST)).contains("a.rego:3: the format of `sprintf` is written out"));
}

/// Each of these would make the engine's own recursion, or its answer, as deep or long as the text.
#[test]
fn deep_and_long_texts_are_refused_and_nothing_overflows() {
    let chains = [
        format!("x := {}1", "1 + ".repeat(8_000)),
        format!("x := {}1", "1 +\n".repeat(8_000)),
        format!("x := {}{{1}}", "{1} | ".repeat(8_000)),
        format!("x if input{}", ".a".repeat(16_000)),
        format!("x if input{}", "\n.a".repeat(16_000)),
        format!("x if input{}", "[1]".repeat(16_000)),
        format!("x if {}1", "1 in ".repeat(8_000)),
        format!("x if {}1", "1 == ".repeat(8_000)),
        format!("x if f{}", "(1)".repeat(8_000)),
        format!("x := {}", "[".repeat(30_000)),
        format!("x := {}", "{".repeat(30_000)),
        format!("x := {}", "(".repeat(30_000)),
        format!("x if {}", "not ".repeat(10_000)),
        format!("x if {}", "{\n".repeat(20_000)),
        format!("x := {}1", "- ".repeat(20_000)),
        format!("x if {}", "every y in [1] {\n".repeat(2_000)),
        format!("x := {}", "[y | y := ".repeat(3_000)),
        format!("x := \"{}", "a".repeat(40_000)),
        format!("{}{} := 1", "x", ".x".repeat(10_000)),
        format!("x if {{ true }} {}", "else := 1 if { false } ".repeat(2_000)),
    ];
    for text in chains {
        let start: String = text.chars().take(20).collect();
        let Err(defects) = bundle(&format!("{ALLOW}\n{text}"), TEST).check() else {
            panic!("{start} is loaded");
        };
        let told: usize = defects.iter().map(|d| d.reason.len()).sum();
        assert!(told < 4_000, "{told} bytes about {start}");
    }
}

#[test]
fn what_nobody_sees_in_a_review_is_refused() {
    let hidden = "deny contains {\"because\": \"x\"} if true";
    for character in ['\u{0}', '\u{1b}', '\u{202e}', '\u{200b}', '\u{feff}', '\u{2028}'] {
        let told = refused(bundle(&format!("{ALLOW}\n# {character}\n{hidden}"), TEST));
        assert_eq!(told, "a.rego:3: has a character that nobody sees", "{character:?}");
        let told = refused(bundle(ALLOW, &format!("{TEST} # {character}")));
        assert_eq!(told, "a_test.rego:3: has a character that nobody sees", "{character:?}");
    }
}

/// Rules that use each other in a chain of some length, each nesting in its own way, and the name of the first.
type Chain = fn(usize) -> (String, &'static str);

/// What is loaded also runs: the longest chain of each kind that loads is loaded and decided on half of an ordinary stack.
#[test]
fn the_deepest_chains_that_load_fit_half_of_an_ordinary_stack() {
    for (kind, chain) in [
        ("rules", chain_of_rules as Chain),
        ("functions", chain_of_functions),
        ("brackets", chain_of_brackets),
        ("comprehensions", chain_of_comprehensions),
        ("every", chain_of_every),
    ] {
        let on_half_a_stack = std::thread::Builder::new().stack_size(1 << 20);
        let thread = on_half_a_stack.spawn(move || deepest(chain)).expect("a thread");
        let deepest = thread.join().expect(kind);
        assert!((2..40).contains(&deepest), "{kind}: {deepest}");
    }
}

fn deepest(chain: Chain) -> usize {
    for rules in 1..40 {
        let (text, first) = chain(rules);
        let rules_text = format!("{ALLOW}\n{text}\nallow contains {{\"because\": \"deep\"}} if {first}");
        let test =
            format!("test_deep if count(issue.allow) == 1 with input as {{\"session\": {{\"depth\": 0}}}}\n{TEST}");
        match bundle(&rules_text, &test).check() {
            Ok(policy) => {
                let verdict = policy.decide(&Input::example()).expect("a verdict");
                assert_eq!((verdict.ruling, verdict.reasons.len()), (Ruling::Allow, 2));
            }
            Err(defects) => {
                assert!(defects.iter().any(|d| d.reason.contains("nests deeper")), "{defects:?}");
                return rules - 1;
            }
        }
    }
    40
}

fn chain_of_rules(length: usize) -> (String, &'static str) {
    let rules: String = (0..length).map(|i| format!("r{i} if r{}\n", i + 1)).collect();
    (format!("{rules}r{length} if input.session.depth == 0"), "r0")
}

fn chain_of_functions(length: usize) -> (String, &'static str) {
    let rules: String = (0..length).map(|i| format!("f{i}(x) := f{}(x) if x >= 0\n", i + 1)).collect();
    (format!("{rules}f{length}(x) := x if x >= 0"), "f0(input.session.depth) == 0")
}

fn chain_of_brackets(length: usize) -> (String, &'static str) {
    let (open, close) = ("array.concat([], [".repeat(12), "])".repeat(12));
    let rules = (0..length).map(|i| format!("f{i}(x) := y if {{ y := {open}f{}(x){close} }}\n", i + 1));
    (format!("{}f{length}(x) := x if x >= 0", rules.collect::<String>()), "count(f0(input.session.depth)) == 1")
}

fn chain_of_comprehensions(length: usize) -> (String, &'static str) {
    let open: String = (0..9).map(|i| format!("[y{i} | some y{i} in ")).collect();
    let close = "]".repeat(9);
    let rules = (0..length).map(|i| format!("f{i}(x) := {open}f{}(x){close} if x >= 0\n", i + 1));
    (format!("{}f{length}(x) := [x] if x >= 0", rules.collect::<String>()), "f0(input.session.depth) == [0]")
}

fn chain_of_every(length: usize) -> (String, &'static str) {
    let (open, close) = ("every y in [1] { y == 1; ".repeat(9), "}".repeat(9));
    let rules = (0..length).map(|i| format!("f{i}(x) if {{ {open} f{}(x) {close} }}\n", i + 1));
    (format!("{}f{length}(x) if x >= 0", rules.collect::<String>()), "f0(input.session.depth)")
}

#[test]
fn hostile_data_is_refused() {
    let with = |name: &str, text: String| {
        let files = [
            ("a.rego", format!("package crumb.issue\n{ALLOW}")),
            ("a_test.rego", format!("package crumb.issue_test\nimport data.crumb.issue\n{TEST}")),
            (name, text),
        ];
        Bundle::try_new(files.map(|(name, text)| (name.to_owned(), text))).expect("within limits")
    };
    let laughs = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, i| {
        format!("{text}a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "))
    });
    for (name, text) in [
        ("data.json", "[".repeat(60_000)),
        ("data.json", "{\"a\":".repeat(12_000)),
        ("data.yaml", "- ".repeat(30_000)),
        ("data.yaml", "{a: ".repeat(10_000)),
        ("data.yaml", laughs),
        ("data.json", "{\"crumb\": {\"issue\": {\"allow\": [1]}}}".to_owned()),
        ("crumb/data.json", "{}".to_owned()),
    ] {
        let told = refused(with(name, text));
        assert!(told.starts_with(name), "{told}");
    }
    assert!(with("data.json", "{\"limits\": {\"a\": 1}}".to_owned()).check().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// The shipped bundle with a piece cut out, doubled or replaced: loaded or refused with a place, never a panic.
    #[test]
    fn a_spoilt_bundle_is_refused_or_loaded(
        file in 0usize..3,
        at in any::<prop::sample::Index>(),
        len in 0usize..40,
        piece in "[\\PC\n\"{}()\\[\\]:=|.]{0,12}",
    ) {
        let mut texts: Vec<(String, String)> = shipped().texts().map(|(n, t)| (n.to_owned(), t.to_owned())).collect();
        let text = &mut texts[file].1;
        let bounds: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        let from = at.index(bounds.len());
        let to = bounds.get(from + len).copied().unwrap_or(text.len());
        text.replace_range(bounds[from]..to, &piece);
        if let Ok(policy) = Bundle::try_new(texts).expect("within limits").check() {
            let _ = policy.decide(&Input::example());
        }
    }
}
