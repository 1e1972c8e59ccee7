//! The format `crumb.audit/v1`: a stretch of the trail as JSON Lines, for whoever checks it elsewhere.
//!
//! One [`Header`], then entries and checkpoints in their order: a checkpoint of size n stands behind the entry at position
//! n - 1. Entries are base64 of their bytes, and a disclosed value is a JSON text inside a string, so that tools that
//! re-format JSON change nothing that is hashed. `docs/audit.md` describes every field. Writing is here; reading a whole
//! export is the [`Checker`](crate::Checker)'s.

use crate::{
    Chains, ConsistencyProof, Disclosure, Entry, Frontier, KeyName, SignedCheckpoint, TreeHash, VerifierKey,
    base64_text, chain::ToldHead, json_place::Text,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The longest line, in bytes: the longest entry in base64, its disclosures with every character escaped, and some room.
pub const LINE_LEN_MAX: usize = 1024 * 1024;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    format: Format,
    /// Which log.
    pub origin: KeyName,
    /// The keys that the log says are its own, as texts. For convenience: nobody has to believe them.
    pub vkeys: Vec<String>,
    /// The position of the first entry of this export, from 0.
    pub first: u64,
    /// The hashes of the full subtrees before it, the largest first.
    pub frontier: Vec<TreeHash>,
    /// The last entry of each writer before it.
    pub writers: Vec<ToldHead>,
    /// The proof that the trail goes on from an earlier checkpoint, for whoever kept that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "crumb.audit/v1")]
    V1,
}

/// That the tree before an export goes on from a smaller one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// How many leaves the smaller tree has.
    pub size: u64,
    /// A consistency proof from it to the tree of the header's `first` leaves.
    pub proof: Vec<TreeHash>,
}

impl Header {
    /// Begins an export at the end of `before`, where the writers' chains are at `chains`.
    pub fn new(origin: KeyName, keys: &[VerifierKey], before: &Frontier, chains: &Chains) -> Self {
        Self {
            format: Format::V1,
            origin,
            vkeys: keys.iter().map(ToString::to_string).collect(),
            first: before.size(),
            frontier: before.hashes().to_vec(),
            writers: chains.told(),
            since: None,
        }
    }

    /// Adds the proof that the tree before the export goes on from that of `size` leaves.
    #[must_use]
    pub fn since(mut self, size: u64, proof: &ConsistencyProof) -> Self {
        self.since = Some(Since { size, proof: proof.hashes().to_vec() });
        self
    }

    /// Writes it as a line, without a newline.
    pub fn to_line(&self) -> String {
        to_json(self)
    }
}

/// Writes an entry as a line, without a newline: its bytes, what is disclosed of it, and the places of what is not, each in
/// the order of the record.
pub fn entry_line(entry: &[u8], disclosed: &[Disclosure], erased: &[&str]) -> String {
    let disclosed = disclosed.iter().map(|disclosure| Disclosed {
        at: borrowed(disclosure.place()),
        salt: Text(base64_text::encode(disclosure.salt()).into()),
        value: borrowed(disclosure.value()),
    });
    to_json(&Line {
        entry: Some(Text(base64_text::encode(entry).into())),
        disclosed: disclosed.collect(),
        erased: erased.iter().copied().map(borrowed).collect(),
        checkpoint: None,
    })
}

/// Writes a checkpoint as a line, without a newline.
pub fn checkpoint_line(checkpoint: &SignedCheckpoint) -> String {
    let checkpoint = Some(Text(checkpoint.to_string().into()));
    to_json(&Line { entry: None, disclosed: Vec::new(), erased: Vec::new(), checkpoint })
}

fn borrowed(text: &str) -> Text<'_> {
    Text(Cow::Borrowed(text))
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and lists, which all have a JSON form")
}

/// A line after the header: an entry with what belongs to it, or a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) entry: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) disclosed: Vec<Disclosed<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) erased: Vec<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<Text<'a>>,
}

/// A disclosure as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disclosed<'a> {
    #[serde(borrow)]
    pub(crate) at: Text<'a>,
    #[serde(borrow)]
    pub(crate) salt: Text<'a>,
    #[serde(borrow)]
    pub(crate) value: Text<'a>,
}

impl Disclosed<'_> {
    /// Returns the salt, if it is one.
    pub(crate) fn salt(&self) -> Option<[u8; 32]> {
        base64_text::decode(&self.salt.0)?.try_into().ok()
    }
}

const _: () = assert!(LINE_LEN_MAX > Entry::LEN_MAX.div_ceil(3) * 4 + Entry::LEN_MAX * 6);
