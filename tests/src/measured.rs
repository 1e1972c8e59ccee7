//! Figures that a test has to show and not to judge: they go to stderr, past the test harness's capture.

use std::{fmt::Display, io::Write};

/// Shows a figure.
pub fn measured(figure: impl Display) {
    let _ = writeln!(std::io::stderr(), "measured: {figure}");
}
