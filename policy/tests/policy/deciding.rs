//! What is decided, and which line is named for it.

use super::{asked, bundle, loaded, refused};
use crumb_policy::{Indeterminate, Input, Policy, Ruling, diff};
use serde_json::json;

fn places(policy: &Policy, input: &Input) -> Vec<String> {
    let verdict = policy.decide(input).expect("a verdict");
    verdict.reasons.iter().filter_map(|r| r.rule.as_ref()).map(ToString::to_string).collect()
}

const SAME: &str = "allow contains {\"because\": \"same\"} if input.session.risk == \"low\"\nallow contains {\"because\": \"same\"} if \
                    input.session.depth == 0\n";
const SAME_TEST: &str =
    "test_both if count(issue.allow) == 1 with input as {\"session\": {\"risk\": \"low\", \"depth\": 0}}";

#[test]
fn two_rules_of_one_name_that_say_the_same_are_told_apart() {
    let policy = loaded(SAME, SAME_TEST);
    assert_eq!(places(&policy, &Input::example()), ["a.rego:2", "a.rego:3"]);
    assert_eq!(places(&policy, &asked(&[("/session/depth", json!(1))])), ["a.rego:2"]);
    assert_eq!(places(&policy, &asked(&[("/session/risk", json!("high"))])), ["a.rego:3"]);
}

#[test]
fn what_no_rule_allows_is_denied_without_a_place() {
    let input = asked(&[("/session/risk", json!("high")), ("/session/depth", json!(1))]);
    let verdict = loaded(SAME, SAME_TEST).decide(&input).expect("a verdict");
    assert_eq!(verdict.ruling, Ruling::Deny);
    assert_eq!((verdict.reasons.len(), verdict.reasons[0].rule.as_ref()), (1, None));
    assert_eq!(&*verdict.reasons[0].because, "no rule allows it");
}

/// Heads in every form that the marks have to leave as they were.
#[test]
fn marks_change_no_rule() {
    let rules = r#"
allow contains said if { said := {"because": tier} }
allow contains ({"because": "in brackets"}) if is_low
allow contains {
  "because": sprintf("several %s", ["lines"]),
} if { is_low }
allow contains {"because": concat(" ", [x, "loops"])} if some x in names
clamp contains object.union({"because": "a"}, {"ttl_s": 10 + double(5)}) if is_low
clamp contains {"because": "no body", "budget": 5}
tier := "low" if { is_low } else := "deep" if { input.session.depth > 1 } else := "other"
is_low if input.session.risk == "low"
names contains "one" if is_low
names contains "two"
double(x) := x * 2
double(x) = y if { x > 100; y := x * 2 }
limit["a"] := 1 if is_low
limit.b if is_low
sum_of := limit.a + 1 if limit.b
deny contains {"because": "sum"} if sum_of != 2; is_low
"#;
    let rules = rules.replace(
        "deny contains {\"because\": \"sum\"} if sum_of != 2; is_low\n",
        "deny contains {\"because\": \"sum\"} if { sum_of == 2; input.session.depth > 1 }\n",
    );
    let tests = r#"
low := {"session": {"risk": "low", "depth": 0}}
deep := {"session": {"risk": "high", "depth": 2}}
test_all if {
  issue.allow == {{"because": "low"}, {"because": "in brackets"}, {"because": "several lines"}, {"because": "one loops"}, {"because": "two loops"}} with input as low
  issue.clamp == {{"because": "a", "ttl_s": 20}, {"because": "no body", "budget": 5}} with input as low
  issue.tier == "deep" with input as deep
  issue.tier == "other" with input as {"session": {"risk": "high", "depth": 0}}
  issue.limit == {"a": 1, "b": true} with input as low
  issue.sum_of == 2 with input as low
  issue.double(200) == 400
  count(issue.deny) == 1 with input as {"session": {"risk": "low", "depth": 2}}
}"#;
    let policy = loaded(&rules, tests);
    let verdict = policy.decide(&Input::example()).expect("a verdict");
    assert_eq!(places(&policy, &Input::example()), ["a.rego:3", "a.rego:4", "a.rego:5", "a.rego:8", "a.rego:8"]);
    assert_eq!((verdict.ruling, verdict.clamp.ttl_s, verdict.clamp.budget), (Ruling::Allow, Some(20), Some(5)));
}

#[test]
fn explains_rules_that_matched_and_rules_that_did_not() {
    let policy = loaded(SAME, SAME_TEST);
    let explained = policy.explain(&asked(&[("/session/depth", json!(1))])).expect("an explanation");
    let told: Vec<_> = explained.rules.iter().map(|r| (r.place.to_string(), r.matched)).collect();
    assert_eq!(told, [("a.rego:2".to_owned(), true), ("a.rego:3".to_owned(), false)]);
}

#[test]
fn diff_names_the_inputs_that_are_decided_differently_and_no_others() {
    let old = loaded(SAME, SAME_TEST);
    let new = loaded(
        "allow contains {\"because\": \"other words\"} if input.session.risk == \"low\"",
        "test_low if count(issue.allow) == 1 with input as {\"session\": {\"risk\": \"low\"}}",
    );
    let inputs = [Input::example(), asked(&[("/session/risk", json!("high"))]), asked(&[("/session/depth", json!(7))])];
    let found = diff(&old, &new, &inputs);
    assert_eq!(found.iter().map(|d| d.index).collect::<Vec<_>>(), [1]);
    assert_eq!(found[0].new.as_ref().map(|v| &v.ruling), Ok(&Ruling::Deny));
    assert!(diff(&old, &old, &inputs).is_empty());
}

#[test]
fn an_endless_rule_is_stopped_and_is_no_denial() {
    let loop_ = "slow if { some a in input.ask.grants; some b in input.ask.grants; some c in input.ask.grants; some d in \
                 input.ask.grants; some e in input.ask.grants; some f in input.ask.grants; a.tool == sprintf(\"%s%s%s%s%s\", [b.tool, \
                 c.tool, d.tool, e.tool, f.tool]) }";
    let rules =
        format!("{loop_}\n{}\ndeny contains {{\"because\": \"slow\"}} if slow", SAME.lines().next().expect("one"));
    let tests = "test_slow if count(issue.deny) == 1 with input as {\"ask\": {\"grants\": [{\"tool\": \"\"}]}}\n\
                 test_low if count(issue.allow) == 1 with input as {\"session\": {\"risk\": \"low\"}, \"ask\": {\"grants\": []}}";
    let policy = loaded(&rules, tests);
    let grants: Vec<_> = (0..32)
        .map(|i| json!({"tool": format!("t{i}"), "operation": "read", "resource": "a/*", "risk": "low"}))
        .collect();
    assert_eq!(policy.decide(&asked(&[("/ask/grants", json!(grants))])), Err(Indeterminate::TimeUp));
    // The stop leaves nothing behind.
    assert_eq!(policy.decide(&Input::example()).expect("a verdict").ruling, Ruling::Allow);
}

#[test]
fn a_rule_that_fails_inside_is_indeterminate_and_names_its_line() {
    let rules =
        "allow contains {\"because\": x} if x := issuer\nissuer := substring(\"abc\", input.session.depth - 1, 1)";
    let tests = "test_sub if count(issue.allow) == 1 with input as {\"session\": {\"depth\": 1}}";
    let policy = loaded(rules, tests);
    assert_eq!(policy.decide(&asked(&[("/session/depth", json!(1))])).expect("a verdict").ruling, Ruling::Allow);
    let Err(Indeterminate::Failed { rule: Some(place), detail }) = policy.decide(&Input::example()) else {
        panic!("{:?}", policy.decide(&Input::example()));
    };
    assert_eq!(place.to_string(), "a.rego:3", "{detail}");
}

/// In plain Rego this denial would vanish when there is no subject, and the ask be allowed.
#[test]
fn a_denial_whose_sentence_cannot_be_made_is_heard_all_the_same() {
    let rules = format!(
        "{SAME}deny contains {{\"because\": sprintf(\"not for %s\", [input.subject.name])}} if input.ask.ttl_s > 60"
    );
    let tests = format!(
        "{SAME_TEST}\ntest_bob if count(issue.deny) == 1 with input as {{\"subject\": {{\"name\": \"bob\"}}, \"ask\": {{\"ttl_s\": 61}}}}"
    );
    let policy = loaded(&rules, &tests);
    assert_eq!(policy.decide(&Input::example()).expect("a verdict").ruling, Ruling::Deny);
    let Err(Indeterminate::Failed { rule: Some(place), detail }) = policy.decide(&asked(&[("/subject", json!(null))]))
    else {
        panic!("nothing is decided");
    };
    assert_eq!(place.to_string(), "a.rego:4", "{detail}");
    let told = refused(bundle(
        &rules,
        &format!("{tests}\ntest_none if count(issue.deny) == 0 with input as {{\"ask\": {{\"ttl_s\": 61}}}}"),
    ));
    assert!(told.contains("`test_none` a.rego:4: its body holds, but what it says has no value"), "{told}");
}

#[test]
fn two_values_for_one_name_are_indeterminate() {
    let rules = "allow contains {\"because\": tier}\ntier := \"low\" if input.session.risk == \"low\"\ntier := \"flat\" if input.session.depth == 0";
    let tests = "test_low if count(issue.allow) == 1 with input as {\"session\": {\"risk\": \"low\", \"depth\": 1}}\n\
                 test_flat if count(issue.allow) == 1 with input as {\"session\": {\"risk\": \"high\", \"depth\": 0}}";
    let policy = loaded(rules, tests);
    assert!(matches!(policy.decide(&Input::example()), Err(Indeterminate::Failed { .. })));
}

#[test]
fn refuses_an_input_with_more_grants_or_actors_than_one_token_holds() {
    let policy = loaded(SAME, SAME_TEST);
    let mut input = Input::example();
    input.ask.grants = vec![input.ask.grants[0].clone(); 33];
    assert_eq!(policy.decide(&input), Err(Indeterminate::InputTooLarge));
    let mut input = Input::example();
    input.actors = vec![input.actors[0].clone(); 9];
    assert_eq!(policy.decide(&input), Err(Indeterminate::InputTooLarge));
}

#[test]
fn one_policy_decides_on_many_threads_alike() {
    let policy = loaded(SAME, SAME_TEST);
    let high = asked(&[("/session/risk", json!("high")), ("/session/depth", json!(1))]);
    std::thread::scope(|scope| {
        for i in 0..4 {
            let (policy, high) = (&policy, &high);
            scope.spawn(move || {
                for _ in 0..50 {
                    let (input, ruling) =
                        if i % 2 == 0 { (&Input::example(), Ruling::Allow) } else { (high, Ruling::Deny) };
                    assert_eq!(policy.decide(input).expect("a verdict").ruling, ruling);
                }
            });
        }
    });
}
