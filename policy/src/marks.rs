//! How a rule is known to have matched: its head tells.
//!
//! The value in the head of rule 7 becomes `crumb_said(7, value)`. `crumb_said` is a function that we give to the engine: it
//! writes down its arguments and returns the value unchanged, so every rule means what it meant. A head's value is evaluated
//! exactly when its body held, so what is written down is which rules matched, and with what, even where two rules say
//! the same thing. It costs one call for each match; coverage would cost one look-up for each expression and know lines only.
//!
//! In the four sets that decide the value is wrapped once more, `crumb_told(7, [v | v := value])`: a body that holds and a value
//! that cannot be made (its sentence names a subject, say, where there is none) would otherwise be a denial that is not heard.
//!
//! Lines stay what they were, because marks are put into lines. A text that could not be marked faithfully is refused: the
//! marked text is parsed again, and each head compared with what it was.

use crate::{
    defect::{Defect, Place},
    said::Voice,
    source::{self, SourceFile},
    tree,
};
use regorus::unstable::{Expr, Rule, RuleAssign, RuleHead};

/// What our own names begin with. No bundle may have a word that does.
pub(crate) const RESERVED: &str = "crumb_";
/// The function in the heads of rules that others use.
pub(crate) const SAID: &str = "crumb_said";
/// The function in the heads of the four sets.
pub(crate) const TOLD: &str = "crumb_told";

/// One head that can match: of a rule, or of an `else` part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Where it stands.
    pub(crate) place: Place,
    /// What it defines.
    pub(crate) name: Box<str>,
    /// What it speaks for, when it is one of the four that decide.
    pub(crate) voice: Option<Voice>,
}

/// A head's value in the text: what stands there, or where one has to be added.
#[derive(Clone, Copy)]
enum Spot {
    Value { start: u32, end: u32 },
    Missing { at: u32 },
}

/// Marks the heads of a file, adding them to `marks`; returns the marked text.
pub(crate) fn mark(file: &SourceFile, marks: &mut Vec<Mark>) -> Result<String, Defect> {
    let first = marks.len();
    let mut edits: Vec<(u32, String)> = Vec::new();
    for rule in &file.module.policy {
        for (line, spot) in spots(rule) {
            let number = marks.len();
            let (name, voice) = named(rule);
            let place = Place::new(file.name.clone(), line);
            match exact(file, spot) {
                Some(Spot::Value { start, end }) => {
                    let (before, after) = match voice {
                        Some(_) => (format!("{TOLD}({number}, [{RESERVED}value | {RESERVED}value := "), "])"),
                        None => (format!("{SAID}({number}, "), ")"),
                    };
                    edits.push((start, before));
                    edits.push((end, after.to_owned()));
                }
                Some(Spot::Missing { at }) => edits.push((at, format!(" := {SAID}({number}, true)"))),
                None => return Err(Defect::at(&place, NOT_FOLLOWED)),
            }
            marks.push(Mark { place, name, voice });
        }
    }
    let Some(marked) = apply(&file.text, edits) else {
        return Err(Defect::in_file(&file.name, 0, NOT_FOLLOWED));
    };
    let module = source::parse(&file.name, &source::source(&file.name, &marked)?, None)?;
    let mut heads = module.policy.iter().flat_map(|rule| marked_numbers(rule));
    let wrong = (first..marks.len()).find(|number| heads.next().flatten() != Some(*number));
    match wrong.and_then(|i| marks.get(i)) {
        Some(mark) => Err(Defect::at(&mark.place, NOT_FOLLOWED)),
        None if heads.next().is_some() => Err(Defect::in_file(&file.name, 0, NOT_FOLLOWED)),
        None => Ok(marked),
    }
}

const NOT_FOLLOWED: &str = "the value of this head cannot be followed; put it into a variable first";

fn named(rule: &Rule) -> (Box<str>, Option<Voice>) {
    let name = tree::reference(rule).span().text();
    (name.into(), Voice::of(name))
}

/// The heads of a rule: its own, and those of its `else` parts. A constant without body is no rule that could fail to match.
///
/// Only where heads and assignments begin and end is taken from the tree; its spans of values leave out quotes, and of most
/// objects the beginning.
fn spots(rule: &Rule) -> Vec<(u32, Spot)> {
    let Rule::Spec { span, head, bodies } = rule else {
        return Vec::new();
    };
    let assigned = |assign: &RuleAssign| Spot::Value { start: assign.span.start, end: assign.span.end };
    let own = match head {
        RuleHead::Compr { .. } if bodies.is_empty() => None,
        RuleHead::Set { span, .. } => Some(Spot::Value { start: span.start, end: span.end }),
        RuleHead::Compr { span, assign, .. } | RuleHead::Func { span, assign, .. } => {
            Some(assign.as_ref().map_or(Spot::Missing { at: span.end }, assigned))
        }
    };
    let mut found: Vec<_> = own.into_iter().map(|spot| (span.line, spot)).collect();
    for body in bodies.iter().filter(|b| b.is_else) {
        let after_else = Spot::Missing { at: body.span.start.saturating_add(4) };
        found.push((body.span.line, body.assign.as_ref().map_or(after_else, assigned)));
    }
    found
}

/// Narrows a spot from `contains value` or `:= value` to the value, by the tokens: what follows the word or the sign.
fn exact(file: &SourceFile, spot: Spot) -> Option<Spot> {
    let Spot::Value { start, end } = spot else {
        return Some(spot);
    };
    let tokens: Vec<_> = file.tokens.iter().filter(|t| t.start >= start && t.start < end).collect();
    let text = |t: &source::Token| file.text.get(usize::try_from(t.start).ok()?..usize::try_from(t.end).ok()?);
    let begins = tokens
        .iter()
        .position(|t| matches!(text(t), Some(":=" | "=")) || (t.is_word && text(t) == Some("contains")))?;
    let value = tokens.get(begins + 1..)?;
    Some(Spot::Value { start: value.first()?.start, end: value.last()?.end })
}

/// Puts the edits into the text; `None` when one of them does not stand between characters.
fn apply(text: &str, mut edits: Vec<(u32, String)>) -> Option<String> {
    edits.sort_by_key(|(at, _)| *at);
    let mut marked = String::with_capacity(text.len() + edits.iter().map(|(_, e)| e.len()).sum::<usize>());
    let mut rest = text;
    let mut done = 0u32;
    for (at, insert) in edits {
        let (before, after) = rest.split_at_checked(usize::try_from(at - done).ok()?)?;
        marked.push_str(before);
        marked.push_str(&insert);
        (rest, done) = (after, at);
    }
    marked.push_str(rest);
    Some(marked)
}

/// The numbers that the heads of a marked rule tell, `None` for one that does not. A head that is nothing but the call holds
/// the whole value, since marks stand between tokens and the call has two arguments.
fn marked_numbers(rule: &Rule) -> Vec<Option<usize>> {
    let Rule::Spec { head, bodies, .. } = rule else {
        return Vec::new();
    };
    let own = match head {
        RuleHead::Compr { .. } if bodies.is_empty() => None,
        RuleHead::Set { key, .. } => Some(key.as_ref().and_then(|k| number(k))),
        RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => {
            Some(assign.as_ref().and_then(|a| number(&a.value)))
        }
    };
    let others = bodies.iter().filter(|b| b.is_else).map(|b| b.assign.as_ref().and_then(|a| number(&a.value)));
    own.into_iter().chain(others).collect()
}

fn number(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Call { fcn, params, .. } if params.len() == 2 && [SAID, TOLD].contains(&fcn.span().text()) => {
            params.first()?.span().text().parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Kind;

    fn marked(text: &str) -> Result<String, Defect> {
        let file = SourceFile::parse(&"a.rego".into(), &format!("package crumb.issue\n{text}").into(), Kind::Rules);
        mark(&file?, &mut Vec::new()).map(|m| m.strip_prefix("package crumb.issue\n").expect("the package").to_owned())
    }

    #[test]
    fn nothing_but_the_heads_changes() {
        for (text, expected) in [
            ("a contains 1 if b\nb := 2 # end", "a contains crumb_said(0, 1) if b\nb := 2 # end"),
            ("a contains \"x\" if true", "a contains crumb_said(0, \"x\") if true"),
            ("a contains `x` if true", "a contains crumb_said(0, `x`) if true"),
            ("a if 1 == 1\n\nb = 2 if a", "a := crumb_said(0, true) if 1 == 1\n\nb = crumb_said(1, 2) if a"),
            (
                "a := 1 if b else := 2 if { c }\nb := 1\nc := 1",
                "a := crumb_said(0, 1) if b else := crumb_said(1, 2) if { c }\nb := 1\nc := 1",
            ),
            (
                "a if b else if c\nb := 1\nc := 1",
                "a := crumb_said(0, true) if b else := crumb_said(1, true) if c\nb := 1\nc := 1",
            ),
            (
                "deny contains {\"because\": x} if x := 1",
                "deny contains crumb_told(0, [crumb_value | crumb_value := {\"because\": x}]) if x := 1",
            ),
            ("f(x) if x", "f(x) := crumb_said(0, true) if x"),
            ("f(x) := [x,\n x]", "f(x) := crumb_said(0, [x,\n x])"),
            ("a contains {\"b\": 1, \"c\": `d`} if true", "a contains crumb_said(0, {\"b\": 1, \"c\": `d`}) if true"),
            ("a contains (1 + 2) * 3 if true", "a contains crumb_said(0, (1 + 2) * 3) if true"),
            ("a contains ((1)) if true", "a contains crumb_said(0, ((1))) if true"),
            ("a contains -1 if true", "a contains crumb_said(0, -1) if true"),
            ("a contains x.contains if true", "a contains crumb_said(0, x.contains) if true"),
            (
                "a.b if true\na[c] := 1 if c := \"d\"",
                "a.b := crumb_said(0, true) if true\na[c] := crumb_said(1, 1) if c := \"d\"",
            ),
            ("default a := 1", "default a := 1"),
            (
                "a contains \"\u{e9}\" if true # \u{1f600}\nb if true",
                "a contains crumb_said(0, \"\u{e9}\") if true # \u{1f600}\nb := crumb_said(1, true) if true",
            ),
        ] {
            assert_eq!(marked(text).as_deref(), Ok(expected));
        }
    }
}
