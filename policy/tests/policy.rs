//! Bundles from the outside: what is loaded, what is refused and where, what is decided, and what hostile texts achieve.

#[path = "policy/deciding.rs"]
mod deciding;
#[path = "policy/deployed.rs"]
mod deployed;
#[path = "policy/hostile.rs"]
mod hostile;
#[path = "policy/loading.rs"]
mod loading;

use crumb_policy::{Bundle, Defect, Input, Policy};
use serde_json::Value;
use std::{fs, path::Path};

/// The bundle that is shipped.
fn shipped() -> Bundle {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/policy");
    let names = ["issue.rego", "issue_test.rego", "data.yaml"];
    let texts = names.map(|name| (name.to_owned(), fs::read_to_string(folder.join(name)).expect(name)));
    Bundle::try_new(texts).expect("within limits")
}

/// A bundle of one file of rules and one of tests. The rules begin on line 2, the tests on line 3.
fn bundle(rules: &str, tests: &str) -> Bundle {
    texts(&[
        ("a.rego", &format!("package crumb.issue\n{rules}")),
        ("a_test.rego", &format!("package crumb.issue_test\nimport data.crumb.issue\n{tests}")),
    ])
}

fn texts(files: &[(&str, &str)]) -> Bundle {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Bundle::try_new(files).expect("within limits")
}

fn loaded(rules: &str, tests: &str) -> Policy {
    bundle(rules, tests).check().unwrap_or_else(|defects| panic!("{defects:#?}"))
}

/// What is wrong with a bundle, as text.
fn refused(bundle: Bundle) -> String {
    let defects = bundle.check().expect_err("something is wrong with it");
    assert!(!defects.is_empty());
    defects.iter().map(Defect::to_string).collect::<Vec<_>>().join("\n")
}

/// The example input with some values replaced.
fn asked(changes: &[(&str, Value)]) -> Input {
    let mut input = serde_json::to_value(Input::example()).expect("JSON");
    for (pointer, value) in changes {
        *input.pointer_mut(pointer).expect(pointer) = value.clone();
    }
    serde_json::from_value(input).expect("an input")
}
