//! The Rego that a bundle may use: what is refused before anything runs, because it is impure, can never match, or is a
//! well-known way to write something else than was meant.

use crate::{
    builtins,
    defect::Defect,
    input::Input,
    said::Voice,
    source::{Kind, SourceFile},
    tree::{self, Step},
};
use regorus::unstable::{Expr, Import, Literal, Rule, RuleHead};
use serde_json::Value;
use std::collections::BTreeSet;

/// What rules are called, and how a file can name those of the other package.
pub(crate) struct Names<'a> {
    pub(crate) rules: BTreeSet<&'a str>,
    pub(crate) tests: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    pub(crate) fn of(files: &'a [SourceFile]) -> Self {
        let of = |kind| files.iter().filter(move |f| f.kind == kind).flat_map(|f| f.module.policy.iter());
        let root = |rule: &'a Rule| tree::path(tree::reference(rule)).map(|(root, _)| root);
        Self {
            rules: of(Kind::Rules).filter_map(|r| root(r)).collect(),
            tests: of(Kind::Tests).filter_map(|r| root(r)).collect(),
        }
    }

    fn local(&self, kind: Kind) -> &BTreeSet<&'a str> {
        match kind {
            Kind::Rules => &self.rules,
            Kind::Tests => &self.tests,
        }
    }

    /// Finds the rule that a reference in `file` names, if it names one.
    pub(crate) fn resolve<'e>(&self, file: &SourceFile, root: &'e str, steps: &[Step<'e>]) -> Option<(Kind, &'e str)> {
        match (root, steps) {
            ("data", [Step::Field("crumb"), Step::Field("issue"), Step::Field(name), ..]) => Some((Kind::Rules, name)),
            ("data", [Step::Field("crumb"), Step::Field("issue_test"), Step::Field(name), ..]) => {
                Some((Kind::Tests, name))
            }
            (alias, [Step::Field(name), ..]) if is_issue_alias(file, alias) => Some((Kind::Rules, name)),
            (name, _) => self.local(file.kind).contains(name).then_some((file.kind, name)),
        }
    }
}

fn is_issue_alias(file: &SourceFile, alias: &str) -> bool {
    file.module.imports.iter().any(|import| {
        let name = import.r#as.as_ref().map_or("issue", |span| span.text());
        name == alias && import.refr.span().text() == "data.crumb.issue"
    })
}

/// Finds what is wrong with the files, one by one.
pub(crate) fn check(files: &[SourceFile], names: &Names<'_>) -> Vec<Defect> {
    let shape = Input::example().to_json();
    let mut defects = Vec::new();
    for file in files {
        defects.extend(file.module.imports.iter().filter_map(|import| refused_import(file, import)));
        for rule in &file.module.policy {
            let dialect = Dialect { file, names, shape: &shape };
            dialect.check_rule(rule, &mut defects);
        }
    }
    defects
}

fn refused_import(file: &SourceFile, import: &Import) -> Option<Defect> {
    let (root, steps) = tree::path(&import.refr)?;
    let allowed = match (root, steps.as_slice()) {
        ("rego", [Step::Field("v1")]) | ("future", [Step::Field("keywords"), ..]) => true,
        ("data", [Step::Field("crumb"), Step::Field("issue")]) => file.kind == Kind::Tests,
        ("data", [Step::Field("crumb"), ..]) => false,
        ("data", [Step::Field(_), ..]) => true,
        _ => false,
    };
    let text = import.refr.span().text();
    (!allowed).then(|| Defect::in_file(&file.name, import.span.line, format!("`{text}` is not to be imported here")))
}

struct Dialect<'a> {
    file: &'a SourceFile,
    names: &'a Names<'a>,
    shape: &'a Value,
}

impl Dialect<'_> {
    fn check_rule(&self, rule: &Rule, defects: &mut Vec<Defect>) {
        if self.file.kind == Kind::Rules {
            defects.extend(self.wrong_head(rule));
            defects.extend(self.some_instead_of_every(rule));
        }
        tree::each_expr(rule, &mut |expr, _| {
            let wrong = match expr {
                Expr::Call { fcn, params, .. } => self.wrong_call(fcn, params.first().map(AsRef::as_ref)),
                _ => tree::path(expr).and_then(|(root, steps)| self.wrong_reference(root, &steps)),
            };
            defects.extend(wrong.map(|reason| Defect::in_file(&self.file.name, expr.span().line, reason)));
        });
    }

    /// The four sets have one form, so that a rule cannot replace what another says.
    fn wrong_head(&self, rule: &Rule) -> Option<Defect> {
        let reference = tree::reference(rule);
        let (root, _) = tree::path(reference)?;
        let voice = Voice::of(root)?;
        let is_set = matches!(rule, Rule::Spec { head: RuleHead::Set { refr, key: Some(_), .. }, .. } if matches!(refr.as_ref(), Expr::Var { .. }));
        (!is_set).then(|| {
            let name = voice.as_str();
            let reason = format!("`{name}` is a set: write `{name} contains {{\"because\": ...}} if {{...}}`");
            Defect::in_file(&self.file.name, rule.span().line, reason)
        })
    }

    /// An ask holds several grants; a rule that allows when *some* grant is harmless allows the others with it.
    fn some_instead_of_every(&self, rule: &Rule) -> Option<Defect> {
        let (root, _) = tree::path(tree::reference(rule))?;
        (root == Voice::Allow.as_str()).then_some(())?;
        let found = tree::statements(rule).any(|statement| match statement {
            Literal::SomeIn { collection, .. } => collection.span().text() == "input.ask.grants",
            Literal::Expr { expr, .. } => {
                let mut found = false;
                tree::each_in(expr, &mut |e| found |= picks_a_grant(e));
                found
            }
            _ => false,
        });
        found.then(|| {
            let reason =
                "allows an ask when some grant of it is harmless: write `every grant in input.ask.grants {...}`";
            Defect::in_file(&self.file.name, rule.span().line, reason)
        })
    }

    fn wrong_call(&self, function: &Expr, first: Option<&Expr>) -> Option<String> {
        let name = function.span().text();
        let (root, steps) = tree::path(function)?;
        if let Some((kind, rule)) = self.names.resolve(self.file, root, &steps) {
            let known = self.names.local(kind).contains(rule);
            return (!known).then(|| format!("calls `{name}`, which no rule defines"));
        }
        if !builtins::is_pure(name) {
            return Some(format!("calls `{name}`, which is not on the list of pure functions"));
        }
        let literal = matches!(first, Some(Expr::String { .. } | Expr::RawString { .. }));
        (name == "sprintf" && !literal).then(|| "the format of `sprintf` is written out, never computed".to_owned())
    }

    fn wrong_reference(&self, root: &str, steps: &[Step<'_>]) -> Option<String> {
        match (root, steps, self.file.kind) {
            ("input", steps, Kind::Rules) => unknown_field(self.shape, steps),
            ("data", [Step::Field("crumb"), Step::Field("issue"), Step::Field(name), ..], _) => {
                (!self.names.rules.contains(name)).then(|| format!("`data.crumb.issue.{name}` is defined by no rule"))
            }
            ("data", [Step::Field("crumb"), ..], Kind::Rules) => {
                Some("only `data.crumb.issue` is to be read".to_owned())
            }
            ("data", [Step::Field("crumb"), Step::Field("issue_test"), Step::Field(_), ..], Kind::Tests) => None,
            ("data", [Step::Field("crumb"), ..], Kind::Tests) => {
                Some("name the rule of `data.crumb` that is meant".to_owned())
            }
            ("data", [Step::Field(_), ..], _) => None,
            ("data", _, _) => Some("name the part of `data` that is meant".to_owned()),
            (alias, [Step::Field(name), ..], Kind::Tests) if is_issue_alias(self.file, alias) => {
                (!self.names.rules.contains(name)).then(|| format!("`{alias}.{name}` is defined by no rule"))
            }
            _ => None,
        }
    }
}

fn picks_a_grant(expr: &Expr) -> bool {
    let Some(("input", steps)) = tree::path(expr) else {
        return false;
    };
    matches!(steps.as_slice(), [Step::Field("ask"), Step::Field("grants"), Step::Any, ..])
}

/// A field that no input has makes a rule that never matches; with a deny rule nobody would notice.
fn unknown_field(shape: &Value, steps: &[Step<'_>]) -> Option<String> {
    let mut at = shape;
    let mut path = "input".to_owned();
    for step in steps {
        at = match (step, at) {
            (Step::Field(name), Value::Object(fields)) => {
                path = format!("{path}.{name}");
                match fields.get(*name) {
                    Some(value) => value,
                    None => return Some(format!("`{path}` is no field of the input")),
                }
            }
            (Step::Any, Value::Array(items)) => items.first()?,
            (Step::Any, Value::Object(_)) => return None,
            _ => return Some(format!("`{path}` has nothing inside")),
        };
    }
    None
}
