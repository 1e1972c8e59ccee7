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
    /// Whose facts count; nobody named means the authority block's.
    pub trusting: Vec<Trusted>,
}

/// Whose facts a query trusts, beside those of the verifier and of its own block: they always count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// The authority block's.
    Authority,
    /// Those of blocks that this key signed as a third party.
    Key(Vec<u8>),
}

/// The facts that there are, by who says them.
#[derive(Clone, Debug)]
pub struct Said {
    /// The verifier's.
    pub ambient: Vec<Fact>,
    /// Those of each block, and the third party that signed it.
    pub blocks: Vec<(Option<Vec<u8>>, Vec<Fact>)>,
}

type Bindings = BTreeMap<u32, Value>;

impl Said {
    /// Says whether one of the queries of a check holds, which stands in block number `place`.
    pub fn fulfils(&self, check: &Check, place: usize) -> bool {
        check.0.iter().any(|query| {
            let facts: Vec<&Fact> = self.trusted(query, place).collect();
            search(query, &query.body, &Bindings::new(), &facts)
        })
    }

    fn trusted<'a>(&'a self, query: &'a Query, place: usize) -> impl Iterator<Item = &'a Fact> {
        let counts = move |(number, signer): (usize, &Option<Vec<u8>>)| {
            number == place
                || number == 0 && query.trusting.is_empty()
                || query.trusting.iter().any(|trusted| match trusted {
                    Trusted::Authority => number == 0,
                    Trusted::Key(key) => signer.as_ref() == Some(key),
                })
        };
        let blocks = self.blocks.iter().enumerate().filter(move |(number, (signer, _))| counts((*number, signer)));
        self.ambient.iter().chain(blocks.flat_map(|(_, (_, facts))| facts))
    }
}

fn search(query: &Query, open: &[Fact], bound: &Bindings, facts: &[&Fact]) -> bool {
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
