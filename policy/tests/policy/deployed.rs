//! The bundle under `deploy/policy`, as it is shipped: loaded, and asked what its comments promise.

use super::{asked, shipped, texts};
use crumb_policy::{Input, Ruling};
use serde_json::json;

#[test]
fn the_default_bundle_passes_its_own_check() {
    let report = shipped().test().expect("the bundle is read");
    assert!(report.defects.is_empty(), "{:#?}", report.defects);
    assert_eq!(report.matched, report.rules);
    shipped().check().expect("nothing is wrong with it");
}

#[test]
fn reads_of_low_risk_are_allowed_and_the_reason_names_its_line() {
    let verdict = shipped().check().expect("a policy").decide(&Input::example()).expect("a verdict");
    assert_eq!(verdict.ruling, Ruling::Allow);
    let places: Vec<_> = verdict.reasons.iter().filter_map(|r| r.rule.as_ref()).map(ToString::to_string).collect();
    assert_eq!(places, ["issue.rego:12", "issue.rego:20", "issue.rego:26"]);
    assert_eq!((verdict.clamp.ttl_s, verdict.clamp.per_minute), (Some(900), Some(60)));
}

#[test]
fn high_risk_in_production_goes_from_denied_to_approval_with_a_verified_user() {
    let policy = shipped().check().expect("a policy");
    let delete =
        json!([{"tool": "delete_file", "operation": "delete", "resource": "file:///docs/a.md", "risk": "high"}]);
    let input = asked(&[("/ask/grants", delete.clone()), ("/subject", json!(null))]);
    let verdict = policy.decide(&input).expect("a verdict");
    assert_eq!(verdict.ruling, Ruling::Deny);
    assert_eq!(verdict.reasons[0].fix.as_deref(), Some("open the session with the user's subject token"));
    let verdict = policy.decide(&asked(&[("/ask/grants", delete)])).expect("a verdict");
    let Ruling::NeedsApproval(approvals) = verdict.ruling else {
        panic!("{verdict:?}");
    };
    assert_eq!(approvals.iter().map(|a| (a.from.as_str(), a.count.get())).collect::<Vec<_>>(), [("files-owners", 1)]);
    assert_eq!(verdict.clamp.ttl_s, Some(60));
}

#[test]
fn explains_every_rule() {
    let policy = shipped().check().expect("a policy");
    let explained = policy.explain(&Input::example()).expect("an explanation");
    let matched: Vec<_> =
        explained.rules.iter().filter(|r| r.matched && r.voice.is_some()).map(|r| r.place.line).collect();
    assert_eq!(matched.len(), 5, "{:#?}", explained.rules);
    assert!(explained.rules.iter().any(|r| !r.matched));
    assert_eq!(explained.verdict, policy.decide(&Input::example()).expect("a verdict"));
}

#[test]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement that is printed and never asserted")]
fn what_a_decision_costs_is_printed() {
    let policy = shipped().check().expect("a policy");
    let input = Input::example();
    let rounds = 500;
    let began = std::time::Instant::now();
    for _ in 0..rounds {
        policy.decide(&input).expect("a verdict");
    }
    let each = began.elapsed() / rounds;
    println!("one decision of the shipped bundle: {each:?}, optimised: {}", !cfg!(debug_assertions));
}

/// Takes the blocks of Rego and the table out of the page that describes all this.
#[test]
fn the_page_about_policies_tells_the_truth() {
    let page = include_str!("../../../docs/policy.md");
    let mut blocks = page.split("```rego\n").skip(1).filter_map(|rest| rest.split("```").next());
    let files = [("a.rego", blocks.next().expect("rules")), ("a_test.rego", blocks.next().expect("tests"))];
    let report = texts(&files).test().expect("the example is read");
    assert!(report.tests.iter().all(|t| t.failure.is_none()), "{:?}", report.tests);
    let example = serde_json::to_value(Input::example()).expect("JSON");
    for (section, fields) in example.as_object().expect("an object") {
        let row = page.lines().filter(|l| l.starts_with(&format!("| `{section}"))).collect::<Vec<_>>().join(" ");
        assert!(!row.is_empty(), "{section} has no row");
        for name in fields.as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(
                row.contains(&format!(".{name}`"))
                    || row.contains(&format!("`{name}`"))
                    || row.contains(&format!("`{section}.{name}")),
                "{section}.{name} is in no row"
            );
        }
    }
}
