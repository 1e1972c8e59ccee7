//! Evidence: one entry, the proof that it is in the tree, and the checkpoint, in one text that needs nothing else.
//!
//! The format is the field's `tlog-proof@v1`; the entry and its disclosures travel in the line of extra data, as one line of
//! an export. Tools that know the format check the proof; this one checks also that the entry is the leaf.
//!
//! Source: [tlog-proof](https://c2sp.org/tlog-proof).

use crate::{
    Disclosure, Entry, InclusionProof, Problem, Salt, SignedCheckpoint, TreeHash, Trust, VerifiedCheckpoint,
    base64_text,
    checker::{Told, account},
    checkpoint::{InvalidCheckpoint, decimal},
    commitment::{self, InvalidCommitments},
    entry::InvalidEntry,
    export::{self, Line},
    trust::Untrusted,
};
use std::{fmt, str::FromStr};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// An entry with its proof. Well-formed only: nothing of it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    index: u64,
    proof: InclusionProof,
    checkpoint: SignedCheckpoint,
    entry: Vec<u8>,
    disclosures: Vec<Disclosure>,
    erased: Vec<String>,
}

/// A text is not evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvidence {
    /// Longer than [`Evidence::LEN_MAX`].
    #[error("the evidence is too long")]
    TooLong,
    /// The first line names another format.
    #[error("the text does not begin with c2sp.org/tlog-proof@v1")]
    UnknownFormat,
    /// There is no entry in the extra data.
    #[error("the evidence has no entry in its extra data")]
    Extra,
    /// The index is not there, or not a decimal number without leading zeros.
    #[error("the evidence has no index")]
    Index,
    /// A line of the proof is no hash, or there are too many.
    #[error("the evidence's proof is not hashes in base64, one a line")]
    Proof,
    /// The checkpoint is none.
    #[error("the evidence's checkpoint cannot be read")]
    Checkpoint(#[from] InvalidCheckpoint),
}

/// Evidence does not prove what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotProven {
    /// The checkpoint is not one that is trusted.
    #[error("the checkpoint cannot be relied upon")]
    Checkpoint(#[from] Untrusted),
    /// The entry is not in the tree at its index.
    #[error("the entry is not in the tree that was signed")]
    NotIncluded,
    /// The entry's bytes are none.
    #[error("the entry cannot be read")]
    Entry(#[from] InvalidEntry),
    /// The entry's record cannot be searched.
    #[error("the entry's record cannot be read")]
    Body(#[from] InvalidCommitments),
    /// What is disclosed does not fit the entry.
    #[error("{0}")]
    Disclosure(Problem),
}

/// What evidence proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven<'a> {
    /// The position in the trail, from 0.
    pub index: u64,
    /// What was signed.
    pub checkpoint: VerifiedCheckpoint,
    /// The entry.
    pub entry: Entry<'a>,
    /// The record, with what is disclosed in its place.
    pub record: String,
    /// The places of what is not.
    pub erased: &'a [String],
}

impl Evidence {
    /// The longest text, in bytes: a line of an export in base64, a proof and a checkpoint.
    pub const LEN_MAX: usize = 2 * export::LINE_LEN_MAX;

    /// Puts together the proof that `entry` is at `index` of the tree that `checkpoint` is of, what is disclosed of it, and
    /// the places of what is not.
    pub fn new(
        (index, entry): (u64, &Entry<'_>),
        proof: InclusionProof,
        checkpoint: SignedCheckpoint,
        disclosures: Vec<Disclosure>,
        erased: Vec<String>,
    ) -> Self {
        Self { index, proof, checkpoint, entry: entry.encode(), disclosures, erased }
    }

    /// Checks all of it: who signed the tree, that the entry is in it, and that what is disclosed is what was committed to.
    ///
    /// # Errors
    ///
    /// [`NotProven`], for the first thing that does not hold.
    pub fn verify(&self, trust: &Trust) -> Result<Proven<'_>, NotProven> {
        let checkpoint = trust.verify(&self.checkpoint)?;
        let tree = checkpoint.checkpoint();
        let leaf = TreeHash::of_leaf(&self.entry);
        if !self.proof.proves(&leaf, self.index, tree.size, &tree.root) {
            return Err(NotProven::NotIncluded);
        }
        let entry = Entry::read(&self.entry)?;
        let told = self.disclosures.iter();
        let told = told.map(|d| Told { place: d.place(), salt: Some(*d.salt()), value: d.value() });
        let found = account(entry.body(), told, self.erased.iter().map(String::as_str))?;
        if let Some(fault) = found.into_iter().find(Problem::is_fault) {
            return Err(NotProven::Disclosure(fault));
        }
        let record = commitment::render(entry.body(), &self.disclosures)?;
        Ok(Proven { index: self.index, checkpoint, entry, record, erased: &self.erased })
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let erased: Vec<_> = self.erased.iter().map(String::as_str).collect();
        let extra = export::entry_line(&self.entry, &self.disclosures, &erased);
        writeln!(f, "{FIRST_LINE}\nextra {}\nindex {}", base64_text::encode(extra.as_bytes()), self.index)?;
        self.proof.hashes().iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Evidence {
    type Err = InvalidEvidence;

    fn from_str(text: &str) -> Result<Self, InvalidEvidence> {
        if text.len() > Self::LEN_MAX {
            return Err(InvalidEvidence::TooLong);
        }
        // tlog-proof, "Format": "After the inclusion proof lines and an empty line, the checkpoint issued by the log is
        // included verbatim".
        let (head, checkpoint) = text.split_once("\n\n").ok_or(InvalidEvidence::Proof)?;
        let mut lines = head.split('\n');
        // "The first line MUST be the string `c2sp.org/tlog-proof@v1`."
        if lines.next() != Some(FIRST_LINE) {
            return Err(InvalidEvidence::UnknownFormat);
        }
        // "Appications MUST NOT implicitly trust the extra data, as it is not authenticated": `verify` hashes the entry.
        let extra = lines.next().and_then(|line| line.strip_prefix("extra ")).ok_or(InvalidEvidence::Extra)?;
        let (entry, disclosures, erased) = read_extra(extra).ok_or(InvalidEvidence::Extra)?;
        // "The next line MUST start with the string `index` followed by a space (U+0020) and the zero-based index of the entry
        // in the log, represented as an ASCII decimal with no leading zeroes".
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(InvalidEvidence::Index)?;
        let hashes: Vec<_> = lines
            .take(InclusionProof::LEN_MAX + 1)
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| InvalidEvidence::Proof)?;
        let proof = InclusionProof::new(hashes).map_err(|_| InvalidEvidence::Proof)?;
        Ok(Self { index, proof, checkpoint: checkpoint.parse()?, entry, disclosures, erased })
    }
}

fn read_extra(text: &str) -> Option<(Vec<u8>, Vec<Disclosure>, Vec<String>)> {
    let json = base64_text::decode(text)?;
    let Line { entry: Some(entry), disclosed, erased, checkpoint: None } = serde_json::from_slice(&json).ok()? else {
        return None;
    };
    let read = |d: &export::Disclosed<'_>| {
        Some(Disclosure::new(d.at.0.to_string(), Salt::new(d.salt()?), d.value.0.to_string()))
    };
    let disclosures = disclosed.iter().map(read).collect::<Option<_>>()?;
    let erased = erased.into_iter().map(|place| place.0.into_owned()).collect();
    Some((base64_text::decode(&entry.0)?, disclosures, erased))
}

#[cfg(test)]
mod tests;
