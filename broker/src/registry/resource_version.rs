//! `metadata.resourceVersion`: which version of a manifest somebody read before changing it.
//!
//! It travels in the text, so that "get, edit, apply" notices a change that somebody else made in between, and it is not
//! part of what is kept: the store counts versions itself. Both ways the text is touched in one place only and then read
//! again, so that what comes out says exactly the same otherwise.

use super::line::{self, Step::Key};
use serde_yaml_ng::Value;

const FIELD: &str = "resourceVersion";

/// Takes the version out of a manifest. `None` when it stands in a way that this cannot take it out of.
pub(super) fn without(text: &str) -> Option<String> {
    let mut wanted: Value = serde_yaml_ng::from_str(text).ok()?;
    let removed = wanted.get_mut("metadata").and_then(Value::as_mapping_mut).and_then(|map| map.remove(FIELD));
    if removed.is_none() {
        return Some(text.to_owned());
    }
    let at = line::find(text, &[Key("metadata"), Key(FIELD)])?;
    let candidates = [without_line(text, at), without_entry(text, at)];
    candidates.into_iter().flatten().find(|candidate| says(candidate, &wanted))
}

/// Puts a version into a manifest that has none. `None` when there is no place that this could put it in.
pub(super) fn with(text: &str, version: u64) -> Option<String> {
    let mut wanted: Value = serde_yaml_ng::from_str(text).ok()?;
    wanted.get_mut("metadata")?.as_mapping_mut()?.insert(FIELD.into(), version.into());
    let at = line::find(text, &[Key("metadata"), Key("name")])?;
    let candidates = [with_line(text, at, version), with_entry(text, at, version)];
    candidates.into_iter().flatten().find(|candidate| says(candidate, &wanted))
}

fn says(text: &str, wanted: &Value) -> bool {
    serde_yaml_ng::from_str::<Value>(text).is_ok_and(|value| value == *wanted)
}

/// Cuts the text into what is before the line, the line with its end, and what is after it.
fn cut(text: &str, line: usize) -> Option<(&str, &str, &str)> {
    let start = match line.checked_sub(1)? {
        0 => 0,
        before => text.match_indices('\n').nth(before - 1)?.0 + 1,
    };
    let end = text[start..].find('\n').map_or(text.len(), |at| start + at + 1);
    Some((&text[..start], &text[start..end], &text[end..]))
}

/// The version on a line of its own.
fn without_line(text: &str, line: usize) -> Option<String> {
    let (before, line, after) = cut(text, line)?;
    line.trim_start().starts_with(FIELD).then(|| format!("{before}{after}"))
}

/// The version inside `{ }`, with the comma that parts it from its neighbour.
fn without_entry(text: &str, line: usize) -> Option<String> {
    let (before, line, after) = cut(text, line)?;
    let start = line.find(FIELD)?;
    let end = start + line[start..].find([',', '}'])?;
    let (left, right) = (&line[..start], &line[end..]);
    let line = match right.strip_prefix(',') {
        Some(rest) => format!("{left}{}", rest.trim_start_matches(' ')),
        None => format!("{} {right}", left.trim_end().strip_suffix(',')?),
    };
    Some(format!("{before}{line}{after}"))
}

fn with_line(text: &str, line: usize, version: u64) -> Option<String> {
    let (before, line, after) = cut(text, line)?;
    let indent = line.len() - line.trim_start().len();
    let end = if line.ends_with('\n') { "" } else { "\n" };
    let indent = line.get(..indent)?;
    line.trim_start().starts_with("name").then(|| format!("{before}{line}{end}{indent}{FIELD}: {version}\n{after}"))
}

fn with_entry(text: &str, line: usize, version: u64) -> Option<String> {
    let (before, line, after) = cut(text, line)?;
    let (left, right) = line.split_once('{')?;
    Some(format!("{before}{left}{{ {FIELD}: {version},{right}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_taken_out_again() {
        for text in [
            "kind: Agent\nmetadata:\n  name: bot\nspec: {}\n",
            "kind: Agent\nmetadata:\n    name: bot\nspec: {}",
            "kind: Agent\nmetadata:\n  name: bot",
            "kind: Agent # why\nmetadata: { name: bot }\nspec: {}\n",
            "metadata: {name: bot}\n# the end\n",
        ] {
            let versioned = with(text, 7).unwrap_or_else(|| panic!("{text:?} has a place for it"));
            let value: Value = serde_yaml_ng::from_str(&versioned).expect("yaml");
            assert_eq!(value["metadata"][FIELD], Value::from(7), "{versioned}");
            let back = without(&versioned).unwrap_or_else(|| panic!("{versioned:?} gives it back"));
            let same = |text: &str| text.replace("{ ", "{").trim_end().to_owned();
            assert_eq!(same(&back), same(text));
        }
    }

    #[test]
    fn takes_it_out_wherever_it_stands() {
        for (text, wanted) in [
            ("metadata:\n  resourceVersion: 3\n  name: bot\n", "metadata:\n  name: bot\n"),
            ("metadata: { name: bot, resourceVersion: 3 }\n", "metadata: { name: bot }\n"),
            ("metadata: { resourceVersion: 3, name: bot }\n", "metadata: { name: bot }\n"),
            ("metadata: { name: bot }\n", "metadata: { name: bot }\n"),
        ] {
            assert_eq!(without(text).as_deref(), Some(wanted));
        }
        assert_eq!(without("metadata: { name: bot,\n  ? resourceVersion\n  : 3 }\n"), None);
    }
}
