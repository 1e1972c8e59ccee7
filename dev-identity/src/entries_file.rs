//! Entries as a file: TOML, read whole, refused whole.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crumb_token::{SpiffeId, spiffe_id::InvalidSpiffeId};
use serde::Deserialize;

use crate::{
    entries::Entry,
    selector::{InvalidSelector, Selector},
};

/// In bytes; a thousand entries with long paths take half of it.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// A file that is no file of entries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableEntries {
    /// The file cannot be read.
    #[error("the entries file cannot be read")]
    Io(#[from] io::Error),
    /// The file has more than 1 MiB.
    #[error("the entries file is larger than 1 MiB")]
    TooLarge,
    /// Not TOML, or with a key we do not know.
    #[error("the entries file is not as documented")]
    Toml(#[from] toml::de::Error),
    /// An identity that is not canonical.
    #[error("{text:?} is not a spiffe id")]
    SpiffeId {
        /// What stands in the file.
        text: String,
        /// What is wrong with it.
        source: InvalidSpiffeId,
    },
    /// A selector that is none.
    #[error("{text:?} is not a selector")]
    Selector {
        /// What stands in the file.
        text: String,
        /// What is wrong with it.
        source: InvalidSelector,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    entry: Vec<RawEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    spiffe_id: String,
    selectors: Vec<String>,
    hint: Option<String>,
}

pub(crate) fn load(path: &Path) -> Result<Vec<Entry>, UnusableEntries> {
    let mut text = String::new();
    File::open(path)?.take(FILE_LEN_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(UnusableEntries::TooLarge);
    }
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Entry>, UnusableEntries> {
    let file: RawFile = toml::from_str(text)?;
    file.entry.into_iter().map(RawEntry::parse).collect()
}

impl RawEntry {
    fn parse(self) -> Result<Entry, UnusableEntries> {
        let spiffe_id: SpiffeId =
            self.spiffe_id.parse().map_err(|source| UnusableEntries::SpiffeId { text: self.spiffe_id, source })?;
        let selectors = self.selectors.into_iter().map(selector).collect::<Result<_, _>>()?;
        Ok(Entry { spiffe_id, selectors, hint: self.hint })
    }
}

fn selector(text: String) -> Result<Selector, UnusableEntries> {
    text.parse().map_err(|source| UnusableEntries::Selector { text, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_entries_in_order() {
        let entries = parse(
            r#"
            [[entry]]
            spiffe_id = "spiffe://dev.crumb.invalid/broker"
            selectors = ["unix:uid:1000", "unix:path:/usr/bin/crumb"]
            hint = "broker"

            [[entry]]
            spiffe_id = "spiffe://dev.crumb.invalid/agent/scout"
            selectors = ["unix:uid:1001"]
            "#,
        )
        .expect("well-formed");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].selectors[1], Selector::Path("/usr/bin/crumb".into()));
        assert_eq!(entries[0].hint.as_deref(), Some("broker"));
        assert_eq!(entries[1].spiffe_id.path(), "/agent/scout");
        assert_eq!(parse("").expect("an empty file has no entries"), vec![]);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let entry = |body: &str| format!("[[entry]]\n{body}");
        let bad_id = parse(&entry("spiffe_id = \"spiffe://TD/a\"\nselectors = []"));
        assert!(matches!(bad_id, Err(UnusableEntries::SpiffeId { .. })));
        let bad_selector = parse(&entry("spiffe_id = \"spiffe://td/a\"\nselectors = [\"uid:1\"]"));
        assert!(matches!(bad_selector, Err(UnusableEntries::Selector { .. })));
        for text in ["entry = 1", "[[entries]]", "x = 1", &entry("spiffe_id = \"spiffe://td/a\"\nselector = []")] {
            assert!(matches!(parse(text), Err(UnusableEntries::Toml(_))), "{text}");
        }
    }

    #[test]
    fn refuses_a_file_that_has_no_end() {
        assert!(matches!(load(Path::new("/dev/zero")), Err(UnusableEntries::TooLarge)));
        assert!(matches!(load(Path::new("/nonexistent")), Err(UnusableEntries::Io(_))));
    }
}
