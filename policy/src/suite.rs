//! The tests of a bundle: each must hold, and together they must make every rule match.

use crate::{
    bundle::Loaded,
    defect::{Defect, Place},
    engine::Fault,
    policy::UNSAID,
    said::Said,
    source::{ISSUE_TEST, Kind, SourceFile},
    tree,
};
use regorus::{
    Value,
    unstable::{Rule, RuleHead},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long one test may take. Some ten thousand times what a decision takes.
const TEST_TIME_MAX: Duration = Duration::from_secs(2);

/// One rule of the test package.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    name: Box<str>,
    place: Place,
}

/// How one test went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestRun {
    /// The rule, such as `test_reads_are_allowed`.
    pub name: Box<str>,
    /// Where it stands.
    pub place: Place,
    /// Why it failed; `None` when it passed.
    pub failure: Option<String>,
}

/// How a bundle's tests went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every test, in the order of files and lines.
    pub tests: Vec<TestRun>,
    /// How many heads of rules there are.
    pub rules: usize,
    /// How many of them some test makes match.
    pub matched: usize,
    /// What keeps the bundle from being loaded: failures, rules that never matched, and rules that said nonsense.
    pub defects: Vec<Defect>,
}

/// Says whether a rule of this name is a test.
pub(crate) fn is_test(name: &str) -> bool {
    name.starts_with("test_")
}

/// Finds the tests. Two of one name are refused: the engine would take either for both.
pub(crate) fn tests_of(files: &[SourceFile]) -> Result<Vec<Test>, Vec<Defect>> {
    let mut tests: BTreeMap<&str, Test> = BTreeMap::new();
    let mut defects = Vec::new();
    for file in files.iter().filter(|f| f.kind == Kind::Tests) {
        for rule in &file.module.policy {
            let name = tree::reference(rule).span().text();
            if !is_test(name) {
                continue;
            }
            let place = Place::new(file.name.clone(), rule.span().line);
            if !matches!(rule.as_ref(), Rule::Spec { head: RuleHead::Compr { .. }, .. }) {
                defects.push(Defect::at(&place, "a test is a plain rule: write `test_name if {...}`"));
            } else if let Some(first) = tests.get(name) {
                defects.push(Defect::at(&place, format!("`{name}` is the name of the test at {} too", first.place)));
            } else {
                tests.insert(name, Test { name: name.into(), place });
            }
        }
    }
    let mut tests: Vec<_> = tests.into_values().collect();
    tests.sort_by(|a, b| a.place.cmp(&b.place));
    if defects.is_empty() { Ok(tests) } else { Err(defects) }
}

/// Runs the tests.
pub(crate) fn run(loaded: &Loaded) -> Report {
    let mut matched = BTreeSet::new();
    let mut defects = BTreeMap::new();
    let mut tests = Vec::new();
    for test in &loaded.tests {
        let ran = loaded.trial.run(&format!("data.{ISSUE_TEST}.{}", test.name), None, TEST_TIME_MAX);
        let failure = match ran {
            Ok((value, heard)) => {
                for (number, value) in heard {
                    matched.insert(number);
                    defects.extend(nonsense(loaded, number, &value).map(|d| ((d.file.clone(), d.line), d)));
                }
                (value != Value::Bool(true)).then(|| "does not hold".to_owned())
            }
            Err(Fault::TimeUp) => Some("takes too long".to_owned()),
            Err(Fault::TooMuch) => Some("makes rules say too much".to_owned()),
            Err(Fault::Unsaid { mark }) => {
                let place = loaded.marks.get(mark).map(|m| m.place.to_string()).unwrap_or_default();
                Some(format!("{place}: {UNSAID}"))
            }
            Err(Fault::Failed { place, detail }) => {
                Some(place.map_or_else(|| detail.clone(), |place| format!("{place}: {detail}")))
            }
        };
        tests.push(TestRun { name: test.name.clone(), place: test.place.clone(), failure });
    }
    let failed =
        tests.iter().filter_map(|t| Some(Defect::at(&t.place, format!("`{}` {}", t.name, t.failure.as_ref()?))));
    let dead = loaded.marks.iter().enumerate().filter(|(number, _)| !matched.contains(number));
    let dead = dead.map(|(_, mark)| Defect::at(&mark.place, format!("no test makes this `{}` match", mark.name)));
    let defects = defects.into_values().chain(failed).chain(dead).collect();
    Report { tests, rules: loaded.marks.len(), matched: matched.len(), defects }
}

fn nonsense(loaded: &Loaded, number: usize, value: &Value) -> Option<Defect> {
    let mark = loaded.marks.get(number)?;
    let wrong = Said::read(mark.voice?, value).err()?;
    Some(Defect::at(&mark.place, format!("what this `{}` says is not understood: {wrong}", mark.name)))
}
