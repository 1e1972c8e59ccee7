//! What is loaded and what is refused, with file and line.

use super::{bundle, loaded, refused, shipped, texts};
use crumb_policy::{Bundle, bundle as limits};

const ALLOW: &str = "allow contains {\"because\": \"low\"} if input.session.risk == \"low\"";
const TEST: &str = "test_low if count(issue.allow) == 1 with input as {\"session\": {\"risk\": \"low\"}}";

/// Says that a bundle of these rules is refused, with these words about them.
#[track_caller]
fn refuses(rules: &str, words: &str) {
    let told = refused(bundle(&format!("{ALLOW}\n{rules}"), TEST));
    assert!(told.contains(words), "{told}");
}

#[test]
fn loads_a_rule_with_a_test_that_makes_it_match() {
    assert_eq!(loaded(ALLOW, TEST).version().len(), 64);
}

#[test]
fn refuses_a_syntax_error_with_its_line() {
    refuses("deny contains if {", "a.rego:3: ");
    refuses("deny[x] { x := 1 }", "a.rego:3: ");
    let told = refused(texts(&[("a.rego", "allow := 1"), ("a_test.rego", "package crumb.issue_test\ntest_x if {")]));
    assert!(told.contains("a.rego:1: ") && told.contains("a_test.rego:2: "), "{told}");
}

#[test]
fn refuses_a_bundle_without_tests_or_without_rules() {
    assert!(refused(texts(&[("a.rego", &format!("package crumb.issue\n{ALLOW}"))])).contains("has no tests"));
    assert!(refused(bundle(ALLOW, "low := 1")).contains("has no tests"));
    assert!(refused(texts(&[("a_test.rego", "package crumb.issue_test\ntest_x if true")])).contains("has no rules"));
    assert!(refused(texts(&[])).contains("has no rules"));
}

#[test]
fn refuses_a_failing_test_with_its_line() {
    let told = refused(bundle(ALLOW, &format!("{TEST}\n\ntest_false if 1 == 2\n")));
    assert_eq!(told, "a_test.rego:5: `test_false` does not hold");
    let told = refused(bundle(ALLOW, &format!("{TEST}\ntest_two := 2")));
    assert_eq!(told, "a_test.rego:4: `test_two` does not hold");
}

#[test]
fn refuses_a_test_that_fails_inside_a_function() {
    let rules = format!("{ALLOW}\ndeny contains {{\"because\": \"x\"}} if upper(input.session.depth) == \"X\"");
    let told = refused(bundle(
        &rules,
        &format!("{TEST}\ntest_up if count(issue.deny) == 0 with input as {{\"session\": {{\"depth\": 1}}}}"),
    ));
    assert!(told.contains("a_test.rego:4: `test_up` a.rego:3: "), "{told}");
}

#[test]
fn refuses_a_rule_that_no_test_makes_match() {
    let rules =
        format!("{ALLOW}\n\ndeny contains {{\"because\": \"never\"}} if {{\n  input.session.risk == \"huge\"\n}}");
    assert_eq!(refused(bundle(&rules, TEST)), "a.rego:4: no test makes this `deny` match");
}

#[test]
fn a_dead_rule_is_found_among_rules_that_say_the_same() {
    let rules = format!("{ALLOW}\n{}", ALLOW.replace("== \"low\"", "== \"high\""));
    assert_eq!(refused(bundle(&rules, TEST)), "a.rego:3: no test makes this `allow` match");
}

#[test]
fn a_dead_helper_and_a_dead_else_are_found_too() {
    let rules = "allow contains {\"because\": tier} if tier\n\ntier := \"a\" if {\n  input.session.risk == \"low\"\n} else := \"b\" if {\n  \
                 input.session.depth == 1\n}\nis_deep if input.session.depth > 3\ndouble(x) := x * 2 if is_deep";
    let told = refused(bundle(rules, TEST));
    let dead = [
        "a.rego:6: no test makes this `tier` match",
        "a.rego:9: no test makes this `is_deep` match",
        "a.rego:10: no test makes this `double` match",
    ];
    assert_eq!(told, dead.join("\n"));
}

#[test]
fn a_field_that_no_input_has_is_refused_even_when_a_test_makes_it_up() {
    refuses(
        "deny contains {\"because\": \"x\"} if input.agent.enviroment == \"production\"",
        "a.rego:3: `input.agent.enviroment` is no field of the input",
    );
    refuses(
        "deny contains {\"because\": \"x\"} if input.ask.grants[_].danger > 3",
        "`input.ask.grants.danger` is no field",
    );
    refuses(
        "deny contains {\"because\": \"x\"} if input.agent.name.first == \"x\"",
        "`input.agent.name` has nothing inside",
    );
    refuses("deny contains {\"because\": \"x\"} if input[\"agents\"]", "`input.agents` is no field");
}

#[test]
fn refuses_other_packages_and_imports() {
    for (file, text, words) in [
        ("b.rego", "package system.authz\nx := 1", "b.rego:1: is not in the package `crumb.issue`"),
        ("b.rego", "package crumb.issue_test\nx := 1", "is not in the package `crumb.issue`"),
        ("b_test.rego", "package crumb.issue\nx := 1", "is not in the package `crumb.issue_test`"),
        ("b.rego", "package crumb.issue.inner\nx := 1", "is not in the package"),
        (
            "b.rego",
            "package crumb.issue\nimport data.crumb.issue_test\nx := 1",
            "b.rego:2: `data.crumb.issue_test` is not to be imported",
        ),
        ("b.rego", "package crumb.issue\nimport input.ask as a\nx := 1", "is not to be imported"),
        ("b.rego", "package crumb.issue\nx := data", "name the part of `data`"),
        ("b.rego", "package crumb.issue\nx := data[input.agent.name]", "name the part of `data`"),
        ("b.rego", "package crumb.issue\nx if data.crumb.issue_test.y", "only `data.crumb.issue` is to be read"),
        ("b.rego", "package crumb.issue\nx if data.crumb.verdict.y", "only `data.crumb.issue` is to be read"),
        (
            "b_test.rego",
            "package crumb.issue_test\ntest_x if data.crumb.verdict.ready",
            "name the rule of `data.crumb`",
        ),
        (
            "b_test.rego",
            "package crumb.issue_test\nimport data.crumb.issue\ntest_x if not issue.denny",
            "`issue.denny` is defined by no rule",
        ),
    ] {
        let told = refused(texts(&[
            ("a.rego", &format!("package crumb.issue\n{ALLOW}")),
            ("a_test.rego", &format!("package crumb.issue_test\nimport data.crumb.issue\n{TEST}")),
            (file, text),
        ]));
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn refuses_what_is_not_pure() {
    for call in [
        "http.send({\"method\": \"get\", \"url\": \"http://x\"}).status_code == 200",
        "time.now_ns() > 5",
        "rand.intn(\"x\", 2) == 1",
        "opa.runtime().env.HOME == \"x\"",
        "uuid.rfc4122(\"x\") != \"\"",
        "trace(\"x\")",
        "print(\"x\")",
        "numbers.range(1, 1000000000)[_] == 1",
        "bits.lsh(1, 1000000000) > 1",
        "to_number(input.agent.version) > 1",
        "json.unmarshal(input.session.intent).x",
        "every x in [1] { net.lookup_ip_addr(\"x\") }",
        "count({x | x := io.jwt.decode(\"x\")}) > 0",
    ] {
        let rules = format!("{ALLOW}\ndeny contains {{\"because\": \"x\"}} if {call}");
        let told = refused(bundle(&rules, TEST));
        let name = call
            .trim_start_matches("every x in [1] { ")
            .trim_start_matches("count({x | x := ")
            .split('(')
            .next()
            .expect("a name");
        assert!(told.contains(&format!("a.rego:3: calls `{name}`, which is not on the list")), "{told}");
    }
    let told = refused(bundle(ALLOW, &format!("{TEST}\ntest_clock if time.now_ns() > 0")));
    assert!(told.contains("a_test.rego:4: calls `time.now_ns`"), "{told}");
}

#[test]
fn refuses_circles_of_rules_and_of_functions() {
    refuses("one if two\ntwo if one", "a.rego:3: `one` uses itself, or what does");
    refuses("f(x) := f(x - 1) if x > 0", "`f` uses itself");
    refuses("f(x) := g(x) if x > 0\ng(x) := data.crumb.issue.f(x) if x > 0", "`g` uses itself");
    refuses("f(x) := 1 if count({y | y := f(x)}) == 0", "`f` uses itself");
    let told = refused(bundle(ALLOW, &format!("{TEST}\ntest_again if test_again")));
    assert!(told.contains("a_test.rego:4: `test_again` uses itself"), "{told}");
}

#[test]
fn refuses_with_in_rules() {
    refuses("deny contains {\"because\": \"x\"} if allow with input as {}", "a.rego:3: `with` belongs in tests");
    refuses(
        "deny contains {\"because\": \"x\"} if every x in [1] { allow with input as {} }",
        "`with` belongs in tests",
    );
}

#[test]
fn refuses_allowing_all_grants_because_of_one() {
    for body in [
        "some g in input.ask.grants\n  g.risk == \"low\"",
        "input.ask.grants[_].risk == \"low\"",
        "input.ask.grants[i].risk == \"low\"",
    ] {
        refuses(
            &format!("allow contains {{\"because\": \"x\"}} if {{\n  {body}\n}}"),
            "a.rego:3: allows an ask when some grant",
        );
    }
}

#[test]
fn refuses_another_form_of_the_four_sets() {
    for rule in [
        "deny := {1}",
        "default deny := {1}",
        "deny(x) := x if x",
        "deny.x := 1",
        "deny[\"x\"] := 1",
        "deny if true",
        "deny.inner contains 1",
    ] {
        refuses(rule, "a.rego:3: `deny` is a set");
    }
}

#[test]
fn refuses_rules_that_say_what_is_not_understood() {
    for (rule, words) in [
        ("deny contains \"no\" if input.session.risk == \"low\"", "a.rego:3: what this `deny` says is not understood"),
        ("deny contains {\"becuase\": \"x\"} if input.session.risk == \"low\"", "unknown field `becuase`"),
        (
            "clamp contains {\"because\": \"x\", \"ttl_s\": -1} if input.session.risk == \"low\"",
            "what this `clamp` says",
        ),
        (
            "approval contains {\"because\": \"x\", \"from\": \"security\"} if input.session.risk == \"low\"",
            "missing field `count`",
        ),
    ] {
        let name = rule.split(' ').next().expect("a name");
        let test = format!(
            "{TEST}\ntest_too if count(issue.{name}) == 1 with input as {{\"session\": {{\"risk\": \"low\"}}}}"
        );
        let told = refused(bundle(&format!("{ALLOW}\n{rule}"), &test));
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn refuses_words_that_are_ours() {
    for rule in [
        "crumb_said(x, y) := y if true",
        "deny contains {\"because\": \"x\"} if crumb_told(0, [1]) == 1",
        "crumb_value := 1",
    ] {
        refuses(rule, "a.rego:3: `crumb_` is the beginning of our own names");
    }
    let told = refused(bundle(ALLOW, &format!("{TEST}\ncrumb_said(x, y) := y if true")));
    assert!(told.contains("a_test.rego:4: `crumb_`"), "{told}");
}

#[test]
fn refuses_two_tests_of_one_name() {
    let told = refused(bundle(ALLOW, &format!("{TEST}\ntest_low if true")));
    assert_eq!(told, "a_test.rego:4: `test_low` is the name of the test at a_test.rego:3 too");
}

#[test]
fn refuses_variables_that_nothing_binds() {
    refuses("deny contains {\"because\": \"x\"} if input.session.risk == lwo", "a.rego:3: ");
}

#[test]
fn refuses_names_that_are_no_files_of_a_bundle() {
    for name in [
        "",
        "a.txt",
        "../a.rego",
        "/a.rego",
        "a//b.rego",
        ".hidden.rego",
        "a b.rego",
        "a\n.rego",
        "x/../a.rego",
        "main.json",
        "a\\b.rego",
        &format!("{}.rego", "a".repeat(200)),
    ] {
        let defects = Bundle::try_new([(name.to_owned(), String::new())]).expect_err(name);
        assert!(defects[0].reason.contains("is no name of rules, tests or data"), "{name:?}");
    }
    let twice = [("a.rego".to_owned(), String::new()), ("a.rego".to_owned(), String::new())];
    assert!(Bundle::try_new(twice).is_err());
}

#[test]
fn refuses_too_many_files_and_bytes() {
    let many = (0..=limits::FILES_MAX).map(|i| (format!("{i}.rego"), String::new()));
    assert!(Bundle::try_new(many).is_err());
    assert!(Bundle::try_new([("a.rego".to_owned(), "#".repeat(limits::FILE_LEN_MAX + 1))]).is_err());
    let large = (0..9).map(|i| (format!("{i}.rego"), "#".repeat(limits::FILE_LEN_MAX)));
    assert!(Bundle::try_new(large).is_err());
}

#[test]
fn the_version_depends_on_every_name_and_byte_and_on_nothing_else() {
    let version = |files: &[(&str, &str)]| texts(files).version();
    let one = version(&[("a.rego", "x"), ("b.rego", "y")]);
    assert_eq!(one, version(&[("b.rego", "y"), ("a.rego", "x")]));
    assert_ne!(one, version(&[("a.rego", "x"), ("c.rego", "y")]));
    assert_ne!(one, version(&[("a.rego", "xb"), ("b.rego", "y")]));
    assert_ne!(one, version(&[("a.rego", "y"), ("b.rego", "x")]));
    assert_eq!(shipped().version(), shipped().check().expect("a policy").version());
}
