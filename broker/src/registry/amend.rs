//! Changing fields of a manifest's `spec` in its text, so that what people wrote around them stays as they wrote it.
//!
//! Apart from what decides on a change because this is about texts. A change is made by lines and then read again: when what
//! comes out does not say exactly what is wanted, as for a `spec` in braces, the whole manifest is written anew, without its
//! comments.

use serde_yaml_ng::{Mapping, Value};

/// What becomes of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Amendment {
    /// It says this: the field with its value as YAML, such as `reviewBy: 2027-01-31`, with a line's end.
    Set(&'static str, String),
    /// It is not there.
    Without(&'static str),
}

impl Amendment {
    fn field(&self) -> &'static str {
        match self {
            Self::Set(field, _) | Self::Without(field) => field,
        }
    }
}

/// Returns the text with the amendments; `None` when it is no manifest.
pub(crate) fn amend(text: &str, amendments: &[Amendment]) -> Option<String> {
    let mut wanted: Value = serde_yaml_ng::from_str(text).ok()?;
    let spec = wanted.get_mut("spec")?.as_mapping_mut()?;
    for amendment in amendments {
        match amendment {
            Amendment::Set(field, yaml) => spec.insert((*field).into(), value_of(field, yaml)?),
            Amendment::Without(field) => spec.remove(*field),
        };
    }
    let by_lines = amendments.iter().try_fold(text.to_owned(), |text, amendment| by_lines(&text, amendment));
    let says = |text: &String| serde_yaml_ng::from_str::<Value>(text).is_ok_and(|value| value == wanted);
    by_lines.filter(says).or_else(|| serde_yaml_ng::to_string(&wanted).ok())
}

fn value_of(field: &str, yaml: &str) -> Option<Value> {
    serde_yaml_ng::from_str::<Mapping>(yaml).ok()?.get(field).cloned()
}

/// Puts a field in the place of its lines, or behind the others.
fn by_lines(text: &str, amendment: &Amendment) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let spec = lines.iter().position(|line| is_key(line, 0, "spec"))?;
    let first = (spec + 1..lines.len()).find(|at| !is_blank(lines[*at]))?;
    let indent = indent(lines[first]);
    let end = (first..lines.len()).find(|at| ends_spec(lines[*at], indent)).unwrap_or(lines.len());
    let own = (first..end).find(|at| is_key(lines[*at], indent, amendment.field()));
    let (from, to) = match own {
        Some(at) => (at, after(&lines[..end], at, indent)),
        None => {
            let last = (first..end).rev().find(|at| !is_blank(lines[*at]))?;
            (last + 1, last + 1)
        }
    };
    let fresh: Vec<String> = match amendment {
        Amendment::Set(_, yaml) => yaml.lines().map(|line| format!("{:indent$}{line}", "")).collect(),
        Amendment::Without(_) => Vec::new(),
    };
    let kept = |part: &[&str]| part.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let all = [kept(&lines[..from]), fresh, kept(&lines[to..])].concat();
    Some(all.join("\n") + "\n")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn is_key(line: &str, at: usize, key: &str) -> bool {
    let rest = line.get(at..).and_then(|rest| rest.strip_prefix(key)).and_then(|rest| rest.strip_prefix(':'));
    indent(line) == at && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn ends_spec(line: &str, within: usize) -> bool {
    !is_blank(line) && indent(line) < within
}

/// Returns the line after the value of the key at `at`. A list may stand as far left as its key.
fn after(lines: &[&str], at: usize, within: usize) -> usize {
    let is_inside =
        |line: &str| indent(line) > within || (indent(line) == within && line.trim_start().starts_with("- "));
    let last = (at + 1..lines.len()).take_while(|n| is_blank(lines[*n]) || is_inside(lines[*n]));
    // Comments and empty lines behind the value belong to what comes next.
    last.filter(|n| !is_blank(lines[*n])).last().unwrap_or(at) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Asked for in March.
kind: Agent
metadata: { name: bot }
spec:
  owner: ada@acme.example  # until June
  scopes:
    - toolServer: files
      # everything that is public
      tools: []

  # Once a year.
  reviewBy: 2026-01-31
status: none
";

    #[test]
    fn a_field_is_set_where_it_stands_and_comments_stay() {
        let day = Amendment::Set("reviewBy", "reviewBy: 2027-01-31\n".into());
        assert_eq!(amend(TEXT, &[day]), Some(TEXT.replace("2026", "2027")));
        let scopes = Amendment::Set("scopes", "scopes:\n  - toolServer: mail\n    tools: []\n".into());
        let amended = amend(TEXT, &[scopes]).expect("a manifest");
        assert!(
            amended.contains("  scopes:\n    - toolServer: mail\n      tools: []\n\n  # Once a year."),
            "{amended}"
        );
        assert!(amended.contains("# until June") && !amended.contains("everything that is public"), "{amended}");
    }

    #[test]
    fn what_is_new_comes_last_and_what_goes_leaves_its_neighbours() {
        let new = Amendment::Set("maxTtlSeconds", "maxTtlSeconds: 60\n".into());
        let amended = amend(TEXT, &[new, Amendment::Without("scopes"), Amendment::Without("persona")]).expect("one");
        assert!(amended.contains("  reviewBy: 2026-01-31\n  maxTtlSeconds: 60\nstatus: none\n"), "{amended}");
        assert!(!amended.contains("files") && amended.contains("# Once a year."), "{amended}");
    }

    #[test]
    fn a_list_may_stand_as_far_left_as_its_key() {
        let text = "spec:\n  bundles:\n  - a\n  - b\n  owner: x\n";
        let amended = amend(text, &[Amendment::Set("bundles", "bundles: [a]\n".into())]);
        assert_eq!(amended.as_deref(), Some("spec:\n  bundles: [a]\n  owner: x\n"));
    }

    #[test]
    fn what_lines_cannot_do_is_written_anew() {
        let amended = amend("spec: { owner: x, bundles: [a] }\n", &[Amendment::Without("bundles")]).expect("one");
        assert_eq!(amended, "spec:\n  owner: x\n");
        for text in ["", "spec: 1", "- a", "spec: {", "kind: Agent"] {
            assert_eq!(amend(text, &[Amendment::Without("bundles")]), None, "{text:?}");
        }
    }
}
