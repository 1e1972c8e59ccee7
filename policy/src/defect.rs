//! Where a rule stands, and what is wrong with a bundle.

use serde::{Serialize, Serializer};
use std::{fmt, sync::Arc};

/// A line of a file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file's name in the bundle.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 stands for the whole file.
    pub line: u32,
}

impl Place {
    pub(crate) fn new(file: impl Into<Arc<str>>, line: u32) -> Self {
        Self { file: file.into(), line }
    }

    /// Finds the first place that an engine's message names, written `--> file:line:column`.
    pub(crate) fn in_message(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("--> ")?;
        let mut parts = rest.lines().next()?.rsplitn(3, ':');
        let (_column, line, file) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self::new(file, line.parse().ok()?))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One thing that keeps a bundle from being loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Defect {
    /// The file's name in the bundle; empty when it is the bundle as a whole.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 stands for the whole file.
    pub line: u32,
    /// What is wrong, for people.
    pub reason: String,
}

impl Defect {
    pub(crate) fn at(place: &Place, reason: impl fmt::Display) -> Self {
        Self { file: place.file.clone(), line: place.line, reason: reason.to_string() }
    }

    pub(crate) fn in_file(file: &Arc<str>, line: u32, reason: impl fmt::Display) -> Self {
        Self { file: file.clone(), line, reason: reason.to_string() }
    }

    pub(crate) fn of_bundle(reason: impl fmt::Display) -> Self {
        Self { file: "".into(), line: 0, reason: reason.to_string() }
    }

    /// Reads what the engine or its parser said: the place it names, and its sentence without the drawing around it.
    pub(crate) fn from_message(file: &Arc<str>, message: &str) -> Self {
        let place = Place::in_message(message).unwrap_or_else(|| Place::new(file.clone(), 0));
        Self::at(&place, sentence(message))
    }
}

/// Returns the sentence of an engine's message: what follows `error:`, or its first line.
pub(crate) fn sentence(message: &str) -> String {
    let text = message.rsplit_once("error: ").map_or(message, |(_, sentence)| sentence);
    let line = text.lines().find(|l| !l.trim().is_empty()).unwrap_or("the engine gave no reason");
    line.chars().filter(|c| crumb_token::text::is_printable(*c)).take(SENTENCE_LEN_MAX).collect()
}

/// A sentence of the engine may quote the text it stumbled over; this much of it is enough to find the place.
const SENTENCE_LEN_MAX: usize = 200;

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.file, self.line) {
            ("", _) => f.write_str(&self.reason),
            (file, 0) => write!(f, "{file}: {}", self.reason),
            (file, line) => write!(f, "{file}:{line}: {}", self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_place_and_the_sentence_of_a_message() {
        let message = "\n--> a/b.rego:12:3\n   |\n12 | allow if\n   |   ^\nerror: expected a body\nmore";
        let defect = Defect::from_message(&"x".into(), message);
        assert_eq!(defect.to_string(), "a/b.rego:12: expected a body");
    }

    #[test]
    fn a_message_without_place_keeps_the_file() {
        let defect = Defect::from_message(&"x.rego".into(), "too\u{1b}[1m long\nsecond");
        assert_eq!(defect.to_string(), "x.rego: too[1m long");
    }
}
