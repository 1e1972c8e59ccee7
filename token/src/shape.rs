//! The shapes: how each [`Caveat`] is written as a Biscuit check, and how a check is read back.
//!
//! One caveat is one `check if` of one query with one predicate. [`from_check`] knows exactly the shapes that [`to_check`]
//! writes; `None` means the token is outside the profile. Nothing here evaluates anything.

use crate::{
    Caveat, ResourcePattern, Scalar, Timestamp, ToolName,
    args::ArgName,
    caveat::ArgRule,
    profile::{SET_LEN_MAX, ambient},
    symbols::{Op, Symbols, Term, Terms},
};
use biscuit_auth::{
    builder::{self, Binary, Check, CheckKind, Expression, Predicate, Rule, Unary, boolean, bytes, int, string, var},
    format::schema,
};
use std::collections::BTreeSet;

/// Writes a caveat as a check.
pub fn to_check(caveat: &Caveat) -> Check {
    let plain = |name: &str, term: builder::Term| one(name, vec![term], vec![]);
    match caveat {
        Caveat::Tool(tool) => plain(ambient::TOOL, string(tool.as_str())),
        Caveat::ToolOneOf(tools) => {
            one(ambient::TOOL, vec![var("t")], vec![contains(tools.iter().map(|t| string(t.as_str())), "t")])
        }
        Caveat::Operation(operation) => plain(ambient::OPERATION, string(operation.as_str())),
        Caveat::Resource(ResourcePattern::Exact(resource)) => plain(ambient::RESOURCE, string(resource.as_str())),
        Caveat::Resource(ResourcePattern::Under(prefix)) => {
            one(ambient::RESOURCE, vec![var("r")], vec![compare("r", string(prefix), Binary::Prefix)])
        }
        Caveat::Arg { name, rule } => arg(name, rule),
        Caveat::ArgsDigest(digest) => plain(ambient::ARGS_DIGEST, bytes(digest)),
        Caveat::Audience(audience) => plain(ambient::SERVER, string(audience.as_str())),
        Caveat::ExpiresAt(at) => {
            let date = builder::Term::Date(at.as_unix_s());
            one(ambient::TIME, vec![var("t")], vec![compare("t", date, Binary::LessThan)])
        }
        Caveat::Nonce(nonce) => plain(ambient::NONCE, bytes(nonce)),
        Caveat::Holder(holder) => plain(ambient::PEER, string(holder.as_str())),
    }
}

fn arg(name: &ArgName, rule: &ArgRule) -> Check {
    let texts = |set: &BTreeSet<Box<str>>| contains(set.iter().map(|s| string(s)), "v");
    let (value, expressions) = match rule {
        ArgRule::Is(Scalar::Text(s)) => (string(s), vec![]),
        ArgRule::Is(Scalar::Int(i)) => (int(*i), vec![]),
        ArgRule::Is(Scalar::Bool(b)) => (boolean(*b), vec![]),
        ArgRule::Present => (var("v"), vec![]),
        ArgRule::OneOf(set) => (var("v"), vec![texts(set)]),
        ArgRule::OneOfNumbers(set) => (var("v"), vec![contains(set.iter().map(|i| int(*i)), "v")]),
        ArgRule::NotOneOf(set) => {
            let mut not = texts(set);
            not.ops.push(builder::Op::Unary(Unary::Negate));
            // Every text begins with the empty one, and anything else is a type error: a wrong type never passes.
            (var("v"), vec![not, compare("v", string(""), Binary::Prefix)])
        }
        ArgRule::Range { min, max } => (
            var("v"),
            vec![compare("v", int(*min), Binary::GreaterOrEqual), compare("v", int(*max), Binary::LessOrEqual)],
        ),
        ArgRule::Prefix(prefix) => (var("v"), vec![compare("v", string(prefix), Binary::Prefix)]),
    };
    one(ambient::ARG, vec![string(name.as_str()), value], expressions)
}

fn one(name: &str, terms: Vec<builder::Term>, expressions: Vec<Expression>) -> Check {
    let body = vec![Predicate::new(name.to_owned(), terms)];
    Check { queries: vec![query(body, expressions)], kind: CheckKind::One }
}

/// Writes one query of a check.
pub(crate) fn query(body: Vec<Predicate>, expressions: Vec<Expression>) -> Rule {
    Rule::new(Predicate::new("query".to_owned(), vec![]), body, expressions, vec![])
}

/// Writes `$variable <operator> right`.
pub(crate) fn compare(variable: &str, right: builder::Term, operator: Binary) -> Expression {
    Expression {
        ops: vec![builder::Op::Value(var(variable)), builder::Op::Value(right), builder::Op::Binary(operator)],
    }
}

fn contains(elements: impl Iterator<Item = builder::Term>, variable: &str) -> Expression {
    let set = builder::set(elements.collect());
    Expression {
        ops: vec![builder::Op::Value(set), builder::Op::Value(var(variable)), builder::Op::Binary(Binary::Contains)],
    }
}

/// Reads one query: its predicates and its expressions; `None` when it has a head, a scope or an unknown operator.
pub(crate) fn read_query<'t>(rule: &'t schema::Rule, symbols: &'t Symbols<'_>) -> Option<Query<'t>> {
    if rule.scope.is_empty() { read_scoped_query(rule, symbols) } else { None }
}

/// Reads one query but for whose facts it trusts, which is the caller's to look at.
pub(crate) fn read_scoped_query<'t>(rule: &'t schema::Rule, symbols: &'t Symbols<'_>) -> Option<Query<'t>> {
    let (head, head_terms) = symbols.predicate(&rule.head)?;
    if head != "query" || !head_terms.is_empty() {
        return None;
    }
    let body = rule.body.iter().map(|p| symbols.predicate(p)).collect::<Option<_>>()?;
    let expressions = rule.expressions.iter().map(|e| symbols.expression(e)).collect::<Option<_>>()?;
    Some(Query { body, expressions })
}

/// A query with its symbols resolved.
pub(crate) struct Query<'t> {
    pub(crate) body: Vec<(&'t str, Terms<'t>)>,
    pub(crate) expressions: Vec<Vec<Op<'t>>>,
}

/// Says whether a check is `check if`, in the one spelling that a version 3 block has for it: no kind at all. A stock
/// verifier refuses a kind there, even that of `check if`.
pub(crate) fn is_check_if(check: &schema::Check) -> bool {
    check.kind.is_none()
}

/// Reads a check as the caveat it writes, or `None` when it is no shape of the profile.
pub fn from_check(check: &schema::Check, symbols: &Symbols<'_>) -> Option<Caveat> {
    let [rule] = &check.queries[..] else { return None };
    if !is_check_if(check) {
        return None;
    }
    let query = read_query(rule, symbols)?;
    let [(name, terms)] = &query.body[..] else { return None };
    let expressions: Vec<&[Op<'_>]> = query.expressions.iter().map(Vec::as_slice).collect();
    match (&terms[..], &expressions[..]) {
        ([Term::Text(arg_name), value], rest) if *name == ambient::ARG => {
            let rule = arg_rule(*value, rest, symbols)?;
            Some(Caveat::Arg { name: arg_name.parse().ok()?, rule })
        }
        ([term], []) => plain(name, *term),
        ([Term::Var(v)], [expression]) => constrained(name, *v, expression, symbols),
        _ => None,
    }
}

fn plain(name: &str, term: Term<'_>) -> Option<Caveat> {
    match (name, term) {
        (ambient::TOOL, Term::Text(s)) => s.parse().ok().map(Caveat::Tool),
        (ambient::OPERATION, Term::Text(s)) => s.parse().ok().map(Caveat::Operation),
        (ambient::RESOURCE, Term::Text(s)) => s.parse().ok().map(|r| Caveat::Resource(ResourcePattern::Exact(r))),
        (ambient::SERVER, Term::Text(s)) => s.parse().ok().map(Caveat::Audience),
        (ambient::PEER, Term::Text(s)) => s.parse().ok().map(Caveat::Holder),
        (ambient::ARGS_DIGEST, Term::Bytes(b)) => b.try_into().ok().map(Caveat::ArgsDigest),
        (ambient::NONCE, Term::Bytes(b)) => b.try_into().ok().map(Caveat::Nonce),
        _ => None,
    }
}

fn constrained(name: &str, v: u32, expression: &[Op<'_>], symbols: &Symbols<'_>) -> Option<Caveat> {
    let var = Op::Value(Term::Var(v));
    match (name, expression) {
        (ambient::TIME, [left, Op::Value(Term::Date(d)), Op::LessThan]) if *left == var => {
            Some(Caveat::ExpiresAt(Timestamp::from_unix_s(*d)))
        }
        (ambient::RESOURCE, [left, Op::Value(Term::Text(prefix)), Op::Prefix]) if *left == var => {
            // Reading it as a pattern holds the prefix to its rule: it ends at a separator, or is empty.
            format!("{prefix}*").parse().ok().map(Caveat::Resource)
        }
        (ambient::TOOL, [Op::Value(Term::Set(set)), right, Op::Contains]) if *right == var => {
            let tools = texts(set, symbols)?.iter().map(|s| s.parse().ok()).collect::<Option<BTreeSet<ToolName>>>()?;
            Some(Caveat::ToolOneOf(tools))
        }
        _ => None,
    }
}

fn arg_rule(value: Term<'_>, expressions: &[&[Op<'_>]], symbols: &Symbols<'_>) -> Option<ArgRule> {
    let Term::Var(v) = value else {
        return if expressions.is_empty() { scalar(value).map(ArgRule::Is) } else { None };
    };
    let var = Op::Value(Term::Var(v));
    match expressions {
        [] => Some(ArgRule::Present),
        [[Op::Value(Term::Set(set)), right, Op::Contains]] if *right == var => one_of(set, symbols),
        [[left, Op::Value(Term::Text(prefix)), Op::Prefix]] if *left == var => short(prefix).map(ArgRule::Prefix),
        [
            [Op::Value(Term::Set(set)), right, Op::Contains, Op::Negate],
            [left, Op::Value(Term::Text("")), Op::Prefix],
        ] if *right == var && *left == var => texts(set, symbols).map(ArgRule::NotOneOf),
        [[a, Op::Value(Term::Int(min)), Op::GreaterOrEqual], [b, Op::Value(Term::Int(max)), Op::LessOrEqual]]
            if *a == var && *b == var =>
        {
            Some(ArgRule::Range { min: *min, max: *max })
        }
        _ => None,
    }
}

fn scalar(term: Term<'_>) -> Option<Scalar> {
    match term {
        Term::Text(s) => Scalar::text(s).ok(),
        Term::Int(i) => Some(Scalar::Int(i)),
        Term::Bool(b) => Some(Scalar::Bool(b)),
        Term::Var(_) | Term::Date(_) | Term::Bytes(_) | Term::Set(_) => None,
    }
}

fn one_of(set: &[schema::Term], symbols: &Symbols<'_>) -> Option<ArgRule> {
    if let Some(texts) = texts(set, symbols) {
        return Some(ArgRule::OneOf(texts));
    }
    let numbers = set.iter().map(|t| match symbols.term(t) {
        Some(Term::Int(i)) => Some(i),
        _ => None,
    });
    let numbers = numbers.collect::<Option<BTreeSet<i64>>>()?;
    is_set_len(numbers.len()).then_some(ArgRule::OneOfNumbers(numbers))
}

fn texts(set: &[schema::Term], symbols: &Symbols<'_>) -> Option<BTreeSet<Box<str>>> {
    let texts = set.iter().map(|t| match symbols.term(t) {
        Some(Term::Text(s)) => short(s),
        _ => None,
    });
    let texts = texts.collect::<Option<BTreeSet<_>>>()?;
    is_set_len(texts.len()).then_some(texts)
}

fn short(s: &str) -> Option<Box<str>> {
    (s.len() <= Scalar::LEN_MAX).then(|| s.into())
}

/// Says whether a set has a size that the profile takes: not empty, for that allows nothing and says so badly.
pub(crate) fn is_set_len(n: usize) -> bool {
    (1..=SET_LEN_MAX).contains(&n)
}
