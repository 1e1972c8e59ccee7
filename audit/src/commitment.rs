//! Personal fields: committed to in the tree, told beside it, and erasable without harm to either.
//!
//! Before a record becomes an entry, named fields are replaced by `{"committed":"<base64>"}`, a hash over a random salt, the
//! field's place and its value. Salt and value, the [`Disclosure`], are kept outside the tree. Whoever gets it can check it;
//! once it is erased, the hash tells nothing (the salt has 32 random bytes), the tree stays whole, and the entry still says
//! that there was something.
//!
//! ```text
//! SHA-256(0x02 || salt, 32 bytes || length of the place, 4 bytes big-endian || place || value, as it stood in the record)
//! ```
//!
//! The first byte keeps a commitment apart from leaves (0) and nodes (1) of the tree.

use crate::{
    base64_text,
    json_place::{self, InvalidRecord, Member, Step},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The name of the one member of the object that takes a value's place.
const COMMITTED: &str = "committed";

/// 32 random bytes, for one field of one record.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Salt([u8; 32]);

impl Salt {
    /// Takes 32 bytes from a secure source. One that is used twice, or can be guessed, gives away what was erased.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(32 bytes)")
    }
}

/// What opens one commitment.
#[derive(Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// Where in the record, as a JSON Pointer.
    place: String,
    salt: Salt,
    /// The value, as JSON, byte for byte as it stood in the record.
    value: String,
}

/// A record whose personal fields are replaced, and what opens them.
#[derive(Debug)]
pub struct Committed {
    /// The record, for the entry.
    pub body: String,
    /// In the order in which they stand in the record.
    pub disclosures: Vec<Disclosure>,
}

/// A record cannot be committed to, or a body has no well-formed commitments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCommitments {
    /// The record cannot be walked.
    #[error("the record cannot be read")]
    Record(#[from] InvalidRecord),
    /// A member is called `committed` and is no commitment.
    #[error("a member is called `committed` and is not a commitment")]
    NotACommitment,
    /// What was disclosed does not belong there, or is no JSON.
    #[error("a disclosure does not belong to the record")]
    Disclosure,
}

/// Replaces the value of every member whose name is in `fields`, at any depth, by a commitment to it; what is empty
/// (`""`, `null`, `[]`) says nothing of anybody, and stays. `salt` is asked once for each.
///
/// # Errors
///
/// [`InvalidCommitments`] when the record is not a JSON object with unique names, or has a member called `committed`.
pub fn commit(record: &str, fields: &[&str], mut salt: impl FnMut() -> Salt) -> Result<Committed, InvalidCommitments> {
    let (mut body, mut copied) = (String::with_capacity(record.len()), 0);
    let mut disclosures = Vec::new();
    json_place::walk(record, &mut |Member { place, name, value }| {
        if name == COMMITTED {
            return Err(InvalidCommitments::NotACommitment);
        }
        if !fields.contains(&name) || matches!(value, r#""""# | "null" | "[]") {
            return Ok(Step::Into);
        }
        let disclosure = Disclosure { place: place.to_owned(), salt: salt(), value: value.to_owned() };
        let from = json_place::offset(record, value);
        body.push_str(&record[copied..from]);
        body.push_str(&Commitment::text(&disclosure.commitment()));
        copied = from + value.len();
        disclosures.push(disclosure);
        Ok(Step::Over)
    })?;
    body.push_str(&record[copied..]);
    Ok(Committed { body, disclosures })
}

impl Disclosure {
    /// Takes one that was kept. Whether it opens anything is for [`opens`](Commitment::opens).
    pub fn new(place: String, salt: Salt, value: String) -> Self {
        Self { place, salt, value }
    }

    /// Returns where in the record the value stood, as a JSON Pointer.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns the salt's bytes, to be kept where they can be erased.
    pub fn salt(&self) -> &[u8; 32] {
        &self.salt.0
    }

    /// Returns the value as JSON.
    pub fn value(&self) -> &str {
        &self.value
    }

    fn commitment(&self) -> [u8; 32] {
        hash(&self.salt.0, &self.place, &self.value)
    }
}

impl fmt::Debug for Disclosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disclosure({}, {} bytes)", self.place, self.value.len())
    }
}

fn hash(salt: &[u8; 32], place: &str, value: &str) -> [u8; 32] {
    // A place is as long as names in a record of 64 KiB can make it.
    let place_len = u32::try_from(place.len()).unwrap_or(u32::MAX);
    Sha256::new()
        .chain_update([0x02])
        .chain_update(salt)
        .chain_update(place_len.to_be_bytes())
        .chain_update(place)
        .chain_update(value)
        .finalize()
        .into()
}

/// A commitment, found in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    place: String,
    hash: [u8; 32],
    from: usize,
    to: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    committed: String,
}

impl Commitment {
    fn text(hash: &[u8; 32]) -> String {
        format!(r#"{{"{COMMITTED}":"{}"}}"#, base64_text::encode(hash))
    }

    /// Finds all of a body, in its order.
    ///
    /// # Errors
    ///
    /// [`InvalidCommitments`] when the body is no JSON object, or a member called `committed` is no commitment.
    pub fn all_in(body: &str) -> Result<Vec<Self>, InvalidCommitments> {
        let mut found = Vec::new();
        json_place::walk(body, &mut |Member { place, name, value }| {
            if name == COMMITTED {
                return Err(InvalidCommitments::NotACommitment);
            }
            if !value.starts_with(r#"{"committed":"#) {
                return Ok(Step::Into);
            }
            let hash = read(value).ok_or(InvalidCommitments::NotACommitment)?;
            let from = json_place::offset(body, value);
            found.push(Self { place: place.to_owned(), hash, from, to: from + value.len() });
            Ok(Step::Over)
        })?;
        Ok(found)
    }

    /// Returns where it stands, as a JSON Pointer.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Says whether a salt and a value open it. The place is its own: a disclosure of another field opens nothing here.
    pub fn opens(&self, salt: &[u8; 32], value: &str) -> bool {
        hash(salt, &self.place, value) == self.hash
    }
}

/// Reads the object that takes a value's place, in the one spelling that [`commit`] gives it.
fn read(value: &str) -> Option<[u8; 32]> {
    let Written { committed } = serde_json::from_str(value).ok()?;
    let hash = base64_text::decode(&committed)?.try_into().ok()?;
    (Commitment::text(&hash) == value).then_some(hash)
}

/// Writes a body with the values that are disclosed back in their places: the record as it was written, when all are. What is
/// not disclosed stays a commitment.
///
/// # Errors
///
/// [`InvalidCommitments::Disclosure`] when one opens nothing here; otherwise as [`Commitment::all_in`].
pub fn render(body: &str, disclosures: &[Disclosure]) -> Result<String, InvalidCommitments> {
    let (mut record, mut copied, mut opened) = (String::with_capacity(body.len()), 0, 0);
    for commitment in Commitment::all_in(body)? {
        let Some(disclosure) = disclosures.iter().find(|d| d.place == commitment.place) else { continue };
        let opens = commitment.opens(disclosure.salt(), &disclosure.value);
        if !opens || serde_json::from_str::<serde::de::IgnoredAny>(&disclosure.value).is_err() {
            return Err(InvalidCommitments::Disclosure);
        }
        record.push_str(&body[copied..commitment.from]);
        record.push_str(&disclosure.value);
        copied = commitment.to;
        opened += 1;
    }
    record.push_str(&body[copied..]);
    if opened == disclosures.len() { Ok(record) } else { Err(InvalidCommitments::Disclosure) }
}

#[cfg(test)]
mod tests;
