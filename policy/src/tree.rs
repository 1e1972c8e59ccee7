//! Walking the engine's syntax tree without recursion, so that a hostile depth is found before anything recurses into it.

use regorus::{
    Value,
    unstable::{Expr, Literal, Query, Ref, Rule, RuleHead},
};

/// Calls `visit` with every expression of a rule, and how deep it is nested. A reference such as `input.ask.ttl_s` is one
/// expression: its beginnings are not visited.
pub(crate) fn each_expr<'a>(rule: &'a Rule, visit: &mut dyn FnMut(&'a Expr, usize)) {
    walk(roots(rule), visit);
}

/// Calls `visit` with an expression and every one inside it.
pub(crate) fn each_in<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    walk(vec![(expr, 1)], &mut |e, _| visit(e));
}

fn walk<'a>(roots: Vec<Nested<'a>>, visit: &mut dyn FnMut(&'a Expr, usize)) {
    let mut open = roots;
    let mut inner = Vec::new();
    while let Some((expr, depth)) = open.pop() {
        visit(expr, depth + chain_len(expr));
        children(expr, &mut inner);
        open.extend(inner.drain(..).map(|(e, below)| (e, depth + below)));
    }
}

/// Returns the statements that must hold for a rule, those of its `else` parts too.
pub(crate) fn statements(rule: &Rule) -> impl Iterator<Item = &Literal> {
    let bodies = match rule {
        Rule::Spec { bodies, .. } => bodies.as_slice(),
        Rule::Default { .. } => &[],
    };
    bodies.iter().flat_map(|body| body.query.stmts.iter().map(|s| &s.literal))
}

/// Returns the expression that names what a rule defines.
pub(crate) fn reference(rule: &Rule) -> &Expr {
    match rule {
        Rule::Default { refr, .. } => refr,
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => refr,
        },
    }
}

/// One step of a path such as `input.ask.grants[_]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A field by name.
    Field(&'a str),
    /// Anything: a variable or an expression between brackets.
    Any,
}

/// Reads a reference as its first variable and the steps from there; `None` for anything else.
pub(crate) fn path(expr: &Expr) -> Option<(&str, Vec<Step<'_>>)> {
    let mut steps = Vec::new();
    let mut at = expr;
    loop {
        match at {
            Expr::Var { span, .. } => {
                steps.reverse();
                return Some((span.text(), steps));
            }
            Expr::RefDot { refr, field, .. } => {
                steps.push(Step::Field(field.0.text()));
                at = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                // The value, not the text: an escape in the text would make another name of it.
                steps.push(match index.as_ref() {
                    Expr::String { value: Value::String(name), .. }
                    | Expr::RawString { value: Value::String(name), .. } => Step::Field(name),
                    _ => Step::Any,
                });
                at = refr;
            }
            _ => return None,
        }
    }
}

/// An expression, and how many levels it is below another.
type Nested<'a> = (&'a Expr, usize);

/// One level below.
fn below(expr: &Ref<Expr>) -> Nested<'_> {
    (expr.as_ref(), 1)
}

fn roots(rule: &Rule) -> Vec<Nested<'_>> {
    let mut found = Vec::new();
    match rule {
        Rule::Default { refr, args, value, .. } => {
            found.extend([below(refr), below(value)]);
            found.extend(args.iter().map(below));
        }
        Rule::Spec { head, bodies, .. } => {
            match head {
                RuleHead::Compr { refr, assign, .. } => {
                    found.push(below(refr));
                    found.extend(assign.iter().map(|a| below(&a.value)));
                }
                RuleHead::Set { refr, key, .. } => {
                    found.push(below(refr));
                    found.extend(key.iter().map(below));
                }
                RuleHead::Func { refr, args, assign, .. } => {
                    found.push(below(refr));
                    found.extend(args.iter().map(below));
                    found.extend(assign.iter().map(|a| below(&a.value)));
                }
            }
            for body in bodies {
                found.extend(body.assign.iter().map(|a| below(&a.value)));
                of_query(&body.query, &mut found);
            }
        }
    }
    found
}

/// The links of a reference: the engine recurses once for each.
fn chain_len(expr: &Expr) -> usize {
    let mut at = expr;
    let mut links = 0usize;
    while let Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } = at {
        links += 1;
        at = refr;
    }
    links
}

/// What stands between the brackets of a reference, and what it begins with when that is no variable.
fn of_chain<'a>(expr: &'a Expr, found: &mut Vec<Nested<'a>>) {
    let mut at = expr;
    loop {
        match at {
            Expr::RefDot { refr, .. } => at = refr,
            Expr::RefBrack { refr, index, .. } => {
                found.push(below(index));
                at = refr;
            }
            Expr::Var { .. } => return,
            other => return found.push((other, 1)),
        }
    }
}

/// The expressions of the statements; those inside an `every` are a level further down.
fn of_query<'a>(query: &'a Query, found: &mut Vec<Nested<'a>>) {
    let mut open = vec![(query, 1)];
    while let Some((query, depth)) = open.pop() {
        let at = |expr: &'a Ref<Expr>| (expr.as_ref(), depth);
        for statement in &query.stmts {
            match &statement.literal {
                Literal::SomeVars { .. } => {}
                Literal::SomeIn { key, value, collection, .. } => {
                    found.extend(key.iter().map(at));
                    found.extend([at(value), at(collection)]);
                }
                Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => found.push(at(expr)),
                Literal::Every { domain, query, .. } => {
                    found.push(at(domain));
                    open.push((query.as_ref(), depth + 1));
                }
            }
            for with in &statement.with_mods {
                found.extend([at(&with.refr), at(&with.r#as)]);
            }
        }
    }
}

fn children<'a>(expr: &'a Expr, found: &mut Vec<Nested<'a>>) {
    match expr {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => {}
        Expr::Array { items, .. } | Expr::Set { items, .. } => found.extend(items.iter().map(below)),
        Expr::Object { fields, .. } => found.extend(fields.iter().flat_map(|(_, k, v)| [below(k), below(v)])),
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            found.push(below(term));
            of_query(query, found);
        }
        Expr::ObjectCompr { key, value, query, .. } => {
            found.extend([below(key), below(value)]);
            of_query(query, found);
        }
        Expr::Call { fcn, params, .. } => {
            found.push(below(fcn));
            found.extend(params.iter().map(below));
        }
        Expr::UnaryExpr { expr, .. } => found.push(below(expr)),
        Expr::RefDot { .. } | Expr::RefBrack { .. } => of_chain(expr, found),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => found.extend([below(lhs), below(rhs)]),
        Expr::Membership { key, value, collection, .. } => {
            found.extend(key.iter().map(below));
            found.extend([below(value), below(collection)]);
        }
    }
}
