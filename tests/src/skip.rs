//! Saying that a part is absent, so that a run which passed without it does not look like one that passed with it.

use std::{fs::OpenOptions, io::Write};

/// Notes that `part` was skipped, and why: on stderr, past the test harness's capture, and in the file that `./test` shows
/// at its end.
pub fn skipped(part: &str, why: &str) {
    let line = format!("{part}: {why}\n");
    let _ = write!(std::io::stderr(), "skipped: {line}");
    let Some(path) = std::env::var_os("CRUMB_SKIPPED") else { return };
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}
