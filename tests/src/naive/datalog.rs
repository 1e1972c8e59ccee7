//! What a check means: every way to match its body with the facts is tried, and the expressions are evaluated for each.
//!
//! Exponential in the length of a body, which is why no verifier should do it to a token that a stranger wrote.

use super::read::Check;
use std::collections::BTreeMap;

/// A value, or the place of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kinds of Biscuit's terms, by their names there")]
pub enum Value {
    Variable(u32),
    Int(i64),
    Text(String),
    Date(u64),
    Bytes(Vec<u8>),
    Bool(bool),
    Set(Vec<Self>),
}

/// A fact, or in a query the pattern of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its values.
    pub terms: Vec<Value>,
}

/// One step of an expression, which works on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the operators of the profile, by their names")]
pub enum Step {
    Push(Value),
    Not,
    Less,
    LessOrEqual,
    GreaterOrEqual,
    Contains,
    StartsWith,
}

/// One query: holds when some facts match the body and make every expression true.
#[derive(Clone, Debug)]
pub struct Query {
    /// What has to be there.
    pub body: Vec<Fact>,
    /// What has to be true of it.
    pub expressions: Vec<Vec<Step>>,
}

type Bindings = BTreeMap<u32, Value>;

/// Says whether one of the check's queries holds.
pub fn holds(check: &Check, facts: &[Fact]) -> bool {
    check.0.iter().any(|query| search(query, &query.body, &Bindings::new(), facts))
}

fn search(query: &Query, open: &[Fact], bound: &Bindings, facts: &[Fact]) -> bool {
    let Some((pattern, rest)) = open.split_first() else {
        return query.expressions.iter().all(|steps| evaluate(steps, bound) == Some(Value::Bool(true)));
    };
    facts.iter().filter_map(|fact| matched(pattern, fact, bound)).any(|bound| search(query, rest, &bound, facts))
}

/// Returns the bindings with which `pattern` is `fact`.
fn matched(pattern: &Fact, fact: &Fact, bound: &Bindings) -> Option<Bindings> {
    if pattern.name != fact.name || pattern.terms.len() != fact.terms.len() {
        return None;
    }
    let mut bound = bound.clone();
    for (wanted, got) in pattern.terms.iter().zip(&fact.terms) {
        let wanted = match wanted {
            Value::Variable(number) => bound.entry(*number).or_insert_with(|| got.clone()),
            value => value,
        };
        if wanted != got {
            return None;
        }
    }
    Some(bound)
}

/// Evaluates an expression; `None` when its types do not fit, or it is no expression.
fn evaluate(steps: &[Step], bound: &Bindings) -> Option<Value> {
    let mut stack = Vec::new();
    for step in steps {
        let result = match step {
            Step::Push(Value::Variable(number)) => bound.get(number)?.clone(),
            Step::Push(value) => value.clone(),
            Step::Not => match stack.pop()? {
                Value::Bool(truth) => Value::Bool(!truth),
                _ => return None,
            },
            binary => {
                let (right, left) = (stack.pop()?, stack.pop()?);
                Value::Bool(compare(binary, &left, &right)?)
            }
        };
        stack.push(result);
    }
    let result = stack.pop()?;
    stack.is_empty().then_some(result)
}

fn compare(step: &Step, left: &Value, right: &Value) -> Option<bool> {
    match (step, left, right) {
        (Step::Less, Value::Int(a), Value::Int(b)) => Some(a < b),
        (Step::LessOrEqual, Value::Int(a), Value::Int(b)) => Some(a <= b),
        (Step::GreaterOrEqual, Value::Int(a), Value::Int(b)) => Some(a >= b),
        (Step::Less, Value::Date(a), Value::Date(b)) => Some(a < b),
        (Step::LessOrEqual, Value::Date(a), Value::Date(b)) => Some(a <= b),
        (Step::GreaterOrEqual, Value::Date(a), Value::Date(b)) => Some(a >= b),
        (Step::Contains, Value::Set(set), value) => Some(set.contains(value)),
        (Step::StartsWith, Value::Text(text), Value::Text(start)) => Some(text.starts_with(start.as_str())),
        _ => None,
    }
}

/// The shapes of section 3, with each constant as its kind and the one variable as `$`.
const LISTED: [&str; 19] = [
    "tool(text)",
    "tool($), {text}.contains($)",
    "operation(text)",
    "resource(text)",
    "resource($), $.starts_with(text)",
    "server(text)",
    "peer(text)",
    "time($), $ < date",
    "args_digest(bytes)",
    "nonce(bytes)",
    "arg(text, text)",
    "arg(text, integer)",
    "arg(text, truth)",
    "arg(text, $), {text}.contains($)",
    "arg(text, $), {integer}.contains($)",
    "arg(text, $), !{text}.contains($), $.starts_with(text)",
    "arg(text, $), $ >= integer, $ <= integer",
    "arg(text, $), $.starts_with(text)",
    "arg(text, $)",
];

impl Check {
    /// Says whether the check has one of the shapes that an appended block may have.
    pub fn is_listed(&self) -> bool {
        let [query] = &self.0[..] else { return false };
        printed(query).is_some_and(|text| LISTED.contains(&text.as_str()))
    }

    /// Returns the name of what the check is about.
    pub fn subject(&self) -> &str {
        self.0.first().and_then(|query| query.body.first()).map_or("", |fact| &fact.name)
    }

    /// Returns the nonce that the check demands.
    pub fn nonce(&self) -> Option<Vec<u8>> {
        match self.0.first()?.body.first()?.terms.first()? {
            Value::Bytes(bytes) if self.subject() == "nonce" => Some(bytes.clone()),
            _ => None,
        }
    }
}

fn printed(query: &Query) -> Option<String> {
    let [fact] = &query.body[..] else { return None };
    let mut variables = fact.terms.iter().filter(|term| matches!(term, Value::Variable(_)));
    let variable = variables.next();
    if variables.next().is_some() {
        return None;
    }
    let terms: Vec<_> = fact.terms.iter().map(|term| kind(term, variable)).collect::<Option<_>>()?;
    let mut text = format!("{}({})", fact.name, terms.join(", "));
    for steps in &query.expressions {
        text = format!("{text}, {}", infix(steps, variable)?);
    }
    Some(text)
}

fn infix(steps: &[Step], variable: Option<&Value>) -> Option<String> {
    let mut stack: Vec<String> = Vec::new();
    for step in steps {
        let text = match step {
            Step::Push(value) => kind(value, variable)?,
            Step::Not => format!("!{}", stack.pop()?),
            binary => {
                let (right, left) = (stack.pop()?, stack.pop()?);
                match binary {
                    Step::Less => format!("{left} < {right}"),
                    Step::LessOrEqual => format!("{left} <= {right}"),
                    Step::GreaterOrEqual => format!("{left} >= {right}"),
                    Step::Contains => format!("{left}.contains({right})"),
                    _ => format!("{left}.starts_with({right})"),
                }
            }
        };
        stack.push(text);
    }
    let text = stack.pop()?;
    stack.is_empty().then_some(text)
}

fn kind(value: &Value, variable: Option<&Value>) -> Option<String> {
    Some(match value {
        Value::Variable(_) => return (Some(value) == variable).then(|| "$".to_owned()),
        Value::Int(_) => "integer".to_owned(),
        Value::Text(_) => "text".to_owned(),
        Value::Date(_) => "date".to_owned(),
        Value::Bytes(_) => "bytes".to_owned(),
        Value::Bool(_) => "truth".to_owned(),
        Value::Set(set) => {
            let first = kind(set.first()?, None)?;
            let same = set.iter().all(|element| kind(element, None).as_ref() == Some(&first));
            return same.then(|| format!("{{{first}}}"));
        }
    })
}
