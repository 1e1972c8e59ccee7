//! What goes where: data to stdout, words to stderr, colour only on a terminal, JSON when asked.

use crate::exit::Failure;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// The form of a command's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What `-o` takes. YAML is for manifests alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// Manifests as they are applied.
    Yaml,
}

impl Form {
    /// Returns the form for a command whose data is no manifest.
    pub(crate) fn plain(self) -> Result<Format, Failure> {
        match self {
            Self::Text => Ok(Format::Text),
            Self::Json => Ok(Format::Json),
            Self::Yaml => Err(Failure::usage("-o yaml is for manifests: `crumb get`")),
        }
    }
}

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const DIM: Style = Style::new().dimmed();

/// Writes a line of data to stdout.
pub(crate) fn data(line: impl std::fmt::Display) {
    // A reader that went away (`crumb audit tail | head`) is no error of ours.
    let _ = writeln!(anstream::stdout().lock(), "{line}");
}

/// Writes a value as one line of JSON to stdout.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
        Err(e) => note(format!("cannot be written as JSON: {e}")),
    }
}

/// Writes a line for people to stderr.
pub(crate) fn note(line: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Writes what to do next to stderr.
pub(crate) fn next(line: impl std::fmt::Display) {
    note(format!("{DIM}next:{DIM:#} {line}"));
}

/// Writes a failure to stderr, with what to do next.
pub(crate) fn failure(failure: &Failure) {
    note(format!("{BAD}error:{BAD:#} {}", failure.what));
    if let Some(denial) = &failure.denial {
        for (name, value) in [("asked", &denial.asked), ("rule", &denial.rule), ("by", &denial.author)] {
            if !value.is_empty() {
                note(format!("  {name}: {value}"));
            }
        }
    }
    if !failure.next.is_empty() {
        next(&failure.next);
    }
}

/// Returns `text`, green or red.
pub(crate) fn verdict(good: bool, text: &str) -> String {
    let style = if good { GOOD } else { BAD };
    format!("{style}{text}{style:#}")
}

/// Returns `text`, dimmed.
pub(crate) fn dim(text: &str) -> String {
    format!("{DIM}{text}{DIM:#}")
}

/// Says whether stdout is a terminal, on which a secret is not shown.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
