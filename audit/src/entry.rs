//! One entry of the trail, as bytes: what a leaf is the hash of.
//!
//! The record's JSON goes in as it was written and is never written anew. Around it stand who wrote it, its number in that
//! writer's own chain, and the hash of the writer's entry before: so a database that several writers share cannot lose or
//! move an entry between two checkpoints without a gap in a chain.
//!
//! ```text
//! "crumb.entry/v1\n"   15 bytes
//! length of the writer  1 byte, then the writer
//! number                8 bytes, big-endian, from 1
//! previous             32 bytes, the leaf hash of the writer's entry before; zeros for number 1
//! length of the body    2 bytes, big-endian, then the body; nothing after it
//! ```

use crate::TreeHash;
use std::{fmt, str::FromStr};

/// What every entry begins with: the format and its version.
const MAGIC: &[u8] = b"crumb.entry/v1\n";

/// Who writes a chain of entries: a broker, by a name that it keeps over restarts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writer(String);

/// A text is not the name of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a writer's name is 1 to 255 visible ASCII characters")]
pub struct InvalidWriter;

impl Writer {
    /// The longest name, in bytes: one byte of the encoding.
    pub const LEN_MAX: usize = 255;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: &str) -> Result<&str, InvalidWriter> {
        let fits = (1..=Self::LEN_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(text) } else { Err(InvalidWriter) }
    }
}

impl FromStr for Writer {
    type Err = InvalidWriter;

    fn from_str(text: &str) -> Result<Self, InvalidWriter> {
        Self::check(text).map(|text| Self(text.to_owned()))
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entry, over the bytes that it was read from or will be written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    writer: &'a str,
    number: u64,
    previous: TreeHash,
    body: &'a str,
}

/// Bytes, or parts, are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEntry {
    /// It does not begin as entries do.
    #[error("the entry is of an unknown format or version")]
    UnknownFormat,
    /// It ends too early, or goes on after its body.
    #[error("the entry's lengths do not fit")]
    Lengths,
    /// The writer's name is none.
    #[error("the entry has an invalid writer")]
    Writer(#[from] InvalidWriter),
    /// Numbers begin at 1, and only the first has nothing before it.
    #[error("the entry's number and the hash of the one before do not fit")]
    Number,
    /// The body is empty or not UTF-8.
    #[error("the entry's body is no text")]
    Body,
    /// Longer than [`Entry::LEN_MAX`].
    #[error("the entry is too long")]
    TooLong,
}

impl<'a> Entry<'a> {
    /// The longest entry, in bytes: logs are served in tiles whose entries have a length of two bytes.
    pub const LEN_MAX: usize = 65_535;

    /// The longest body that fits whatever the writer is called, in bytes.
    pub const BODY_LEN_MAX: usize = Self::LEN_MAX - MAGIC.len() - 1 - Writer::LEN_MAX - 8 - 32 - 2;

    /// Makes the entry that follows `previous` in the writer's chain: `number` is one more than its number.
    ///
    /// # Errors
    ///
    /// [`InvalidEntry::Number`] for number 0, or when only one of number 1 and [`TreeHash::ZERO`] is given;
    /// [`InvalidEntry::Body`] for an empty body, [`InvalidEntry::TooLong`] past [`BODY_LEN_MAX`](Self::BODY_LEN_MAX).
    pub fn new(writer: &'a Writer, number: u64, previous: TreeHash, body: &'a str) -> Result<Self, InvalidEntry> {
        if body.len() > Self::BODY_LEN_MAX {
            return Err(InvalidEntry::TooLong);
        }
        Self { writer: writer.as_str(), number, previous, body }.checked()
    }

    fn checked(self) -> Result<Self, InvalidEntry> {
        let is_first = self.number == 1;
        if self.number == 0 || is_first != (self.previous == TreeHash::ZERO) {
            return Err(InvalidEntry::Number);
        }
        if self.body.is_empty() { Err(InvalidEntry::Body) } else { Ok(self) }
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`InvalidEntry`], whatever the bytes are.
    pub fn read(bytes: &'a [u8]) -> Result<Self, InvalidEntry> {
        if bytes.len() > Self::LEN_MAX {
            return Err(InvalidEntry::TooLong);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(InvalidEntry::UnknownFormat)?;
        let (len, rest) = rest.split_first().ok_or(InvalidEntry::Lengths)?;
        let (writer, rest) = rest.split_at_checked(usize::from(*len)).ok_or(InvalidEntry::Lengths)?;
        let (number, rest) = rest.split_first_chunk().ok_or(InvalidEntry::Lengths)?;
        let (previous, rest) = rest.split_first_chunk().ok_or(InvalidEntry::Lengths)?;
        let (len, body) = rest.split_first_chunk().ok_or(InvalidEntry::Lengths)?;
        if body.len() != usize::from(u16::from_be_bytes(*len)) {
            return Err(InvalidEntry::Lengths);
        }
        let writer = Writer::check(str::from_utf8(writer).map_err(|_| InvalidWriter)?)?;
        let body = str::from_utf8(body).map_err(|_| InvalidEntry::Body)?;
        let previous = TreeHash::from_bytes(*previous);
        Self { writer, number: u64::from_be_bytes(*number), previous, body }.checked()
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        // Both lengths fit: they were looked at when the entry was made.
        let writer_len = u8::try_from(self.writer.len()).unwrap_or(u8::MAX);
        let body_len = u16::try_from(self.body.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(MAGIC.len() + 43 + self.writer.len() + self.body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.push(writer_len);
        bytes.extend_from_slice(self.writer.as_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(self.previous.as_bytes());
        bytes.extend_from_slice(&body_len.to_be_bytes());
        bytes.extend_from_slice(self.body.as_bytes());
        bytes
    }

    /// Hashes it as a leaf. Whoever has the encoded bytes at hand hashes those.
    pub fn leaf_hash(&self) -> TreeHash {
        TreeHash::of_leaf(&self.encode())
    }

    /// Returns who wrote it.
    pub fn writer(&self) -> &'a str {
        self.writer
    }

    /// Returns its number in the writer's chain, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the leaf hash of the writer's entry before; [`TreeHash::ZERO`] for the first.
    pub fn previous(&self) -> TreeHash {
        self.previous
    }

    /// Returns the record, with commitments where personal fields were.
    pub fn body(&self) -> &'a str {
        self.body
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} #{}, {} bytes)", self.writer, self.number, self.body.len())
    }
}

#[cfg(test)]
mod tests;
