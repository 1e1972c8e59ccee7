//! A bundle: the texts of a policy by name, and the check that makes a [`Policy`] of them.

use crate::{
    data,
    defect::Defect,
    dialect::{self, Names},
    engine::Machine,
    graph,
    marks::{self, Mark},
    policy::Policy,
    said::Voice,
    source::{Kind, SourceFile},
    suite::{self, Report},
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, sync::Arc};

/// The most files. A company's whole policy is some dozen.
pub const FILES_MAX: usize = 64;
/// The largest file, in bytes.
pub const FILE_LEN_MAX: usize = 64 * 1024;
/// The most bytes of all files together.
pub const BYTES_MAX: usize = 512 * 1024;
/// The longest name of a file.
pub const NAME_LEN_MAX: usize = 128;

/// Texts by name: `*.rego`, `*_test.rego`, `data.json`, `data.yaml`. Within limits; nothing else about them is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    texts: BTreeMap<Arc<str>, Arc<str>>,
}

impl Bundle {
    /// Collects texts.
    ///
    /// # Errors
    ///
    /// A [`Defect`] for each name that is no name of a bundle's file or comes twice, each file that is too large, and for
    /// too many of them.
    pub fn try_new(texts: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<Defect>> {
        let mut bundle = Self { texts: BTreeMap::new() };
        let mut defects = Vec::new();
        let mut bytes = 0usize;
        for (name, text) in texts {
            if bundle.texts.len() == FILES_MAX {
                defects.push(Defect::of_bundle(format!("has more than {FILES_MAX} files")));
                break;
            }
            let name: Arc<str> = name.into();
            bytes = bytes.saturating_add(text.len());
            if !is_name(&name) {
                let shown: String = name.chars().filter(char::is_ascii_graphic).take(NAME_LEN_MAX).collect();
                defects.push(Defect::of_bundle(format!("`{shown}` is no name of rules, tests or data")));
            } else if text.len() > FILE_LEN_MAX {
                defects.push(Defect::in_file(&name, 0, format!("has more than {FILE_LEN_MAX} bytes")));
            } else if bundle.texts.insert(name.clone(), text.into()).is_some() {
                defects.push(Defect::in_file(&name, 0, "comes twice"));
            }
            if bytes > BYTES_MAX {
                defects.push(Defect::of_bundle(format!("has more than {BYTES_MAX} bytes")));
                break;
            }
        }
        if defects.is_empty() { Ok(bundle) } else { Err(defects) }
    }

    /// Returns SHA-256 of the sorted names and texts, in hex: the same for the same bundle wherever it comes from.
    pub fn version(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"crumb policy bundle v1\0");
        for part in self.texts.iter().flat_map(|(name, text)| [name, text]) {
            // Lengths first, so that no two bundles can be cut differently into the same bytes.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hex::encode(hash.finalize())
    }

    /// Walks the names and texts, sorted by name.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (&**name, &**text))
    }

    /// Makes a policy of the bundle.
    ///
    /// # Errors
    ///
    /// Everything that is wrong at the first step that finds something: syntax, what the dialect refuses, circles and depth,
    /// then tests that fail and rules that no test makes match.
    pub fn check(self) -> Result<Policy, Vec<Defect>> {
        let loaded = self.load()?;
        let report = suite::run(&loaded);
        if report.defects.is_empty() { Ok(Policy::new(self.version().into(), loaded)) } else { Err(report.defects) }
    }

    /// Runs the tests and says how each went.
    ///
    /// # Errors
    ///
    /// What keeps the tests from running at all. Failing tests and rules without a match are in the report.
    pub fn test(&self) -> Result<Report, Vec<Defect>> {
        Ok(suite::run(&self.load()?))
    }

    fn load(&self) -> Result<Loaded, Vec<Defect>> {
        let (files, data) = self.parse()?;
        let names = Names::of(&files);
        let mut defects = graph::check(&files, &names);
        defects.extend(dialect::check(&files, &names));
        if !files.iter().any(|f| f.kind == Kind::Rules) {
            defects.push(Defect::of_bundle("has no rules"));
        }
        if !names.tests.iter().any(|name| suite::is_test(name)) {
            defects.push(Defect::of_bundle("has no tests: rules named `test_*` in files named `*_test.rego`"));
        }
        let voices: Vec<_> = Voice::ALL.iter().map(|v| v.as_str()).filter(|v| names.rules.contains(v)).collect();
        let mut marks = Vec::new();
        let mut texts = Vec::new();
        for file in files.iter().filter(|_| defects.is_empty()) {
            match file.kind {
                Kind::Tests => texts.push(file.text.to_string()),
                Kind::Rules => match marks::mark(file, &mut marks) {
                    Ok(text) => texts.push(text),
                    Err(defect) => return Err(vec![defect]),
                },
            }
        }
        if !defects.is_empty() {
            return Err(defects);
        }
        let texts: Vec<_> =
            files.iter().zip(&texts).map(|(file, text)| (file.kind, &file.name, text.as_str())).collect();
        let of = |tests: bool| {
            let kept = texts.iter().filter(move |(kind, _, _)| tests || *kind == Kind::Rules);
            Machine::build(kept.map(|(_, name, text)| (*name, *text)), &data, &voices).map_err(|d| vec![d])
        };
        let (trial, deciding) = (of(true)?, of(false)?);
        let tests = suite::tests_of(&files)?;
        Ok(Loaded { trial, deciding, marks: marks.into(), tests })
    }

    fn parse(&self) -> Result<(Vec<SourceFile>, Vec<serde_json::Value>), Vec<Defect>> {
        let (mut files, mut data, mut defects) = (Vec::new(), Vec::new(), Vec::new());
        for (name, text) in &self.texts {
            if let Some(line) = first_unprintable_line(text) {
                defects.push(Defect::in_file(name, line, "has a character that nobody sees"));
                continue;
            }
            match Kind::of(name) {
                Some(kind) => match SourceFile::parse(name, text, kind) {
                    Ok(file) => files.push(file),
                    Err(defect) => defects.push(defect),
                },
                None => match data::read(name, text) {
                    Ok(value) => data.push(value),
                    Err(defect) => defects.push(defect),
                },
            }
        }
        if defects.is_empty() { Ok((files, data)) } else { Err(defects) }
    }
}

/// What came of a bundle that parses: not yet tested.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// With the tests in it.
    pub(crate) trial: Machine,
    /// Without.
    pub(crate) deciding: Machine,
    pub(crate) marks: Arc<[Mark]>,
    pub(crate) tests: Vec<suite::Test>,
}

/// What people review is what they see; and the engine takes a NUL for the end of a file.
fn first_unprintable_line(text: &str) -> Option<u32> {
    let seen = |c: char| crumb_token::text::is_printable(c) || matches!(c, '\t' | '\r');
    let line = text.split('\n').position(|line| !line.chars().all(seen))?;
    Some(u32::try_from(line).unwrap_or(u32::MAX).saturating_add(1))
}

fn is_name(name: &str) -> bool {
    let segment = |s: &str| {
        !s.is_empty()
            && !s.starts_with('.')
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    name.len() <= NAME_LEN_MAX && name.split('/').all(segment) && (Kind::of(name).is_some() || data::is_data(name))
}
