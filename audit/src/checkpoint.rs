//! Checkpoints: what a log signs about its tree.
//!
//! Three lines: which log, how many leaves, the root over them. A [`SignedCheckpoint`] is well-formed and no more; whether
//! somebody known signed it is for [`Trust`](crate::Trust). Extension lines are refused: nobody could audit them.
//!
//! Source: [tlog-checkpoint](https://c2sp.org/tlog-checkpoint).

use crate::{
    TreeHash,
    note::{InvalidNote, NoteSignature, SignedNote},
    note_key::{InvalidKeyName, KeyName, NoteSigner},
};
use std::{fmt, str::FromStr};

/// What a log says about its tree. Its `Display` is the text that is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log. Its keys have the same name.
    pub origin: KeyName,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: TreeHash,
}

/// A text is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCheckpoint {
    /// The note around it is not well-formed.
    #[error("the checkpoint is not a signed note")]
    Note(#[from] InvalidNote),
    /// Not three lines.
    #[error("a checkpoint is three lines: origin, size, root")]
    Shape,
    /// The origin could not be the name of a key.
    #[error("the checkpoint's origin is no name")]
    Origin(#[source] InvalidKeyName),
    /// The size is not a decimal number without leading zeros.
    #[error("the checkpoint's size is not a decimal number without leading zeros")]
    Size,
    /// The root is not the base64 of 32 bytes.
    #[error("the checkpoint's root is not the base64 of 32 bytes")]
    Root,
}

impl Checkpoint {
    /// Signs it.
    ///
    /// tlog-checkpoint, "Signatures": "A log MUST not sign any checkpoint which is inconsistent with any checkpoint it
    /// previously signed." That is for the caller to keep: the root has to come from the one tree that only grows. The key's
    /// name takes the origin's place: "The log's key name in its signature line SHOULD match the origin line."
    ///
    /// # Errors
    ///
    /// Whatever the signer says.
    pub fn sign<S: NoteSigner>(size: u64, root: TreeHash, signer: &S) -> Result<SignedCheckpoint, S::Error> {
        let checkpoint = Self { origin: signer.key().name().clone(), size, root };
        let note = SignedNote::sign(checkpoint.to_string(), signer)?;
        Ok(SignedCheckpoint { checkpoint, note })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

impl FromStr for Checkpoint {
    type Err = InvalidCheckpoint;

    fn from_str(text: &str) -> Result<Self, InvalidCheckpoint> {
        let lines: Vec<_> = text.strip_suffix('\n').ok_or(InvalidCheckpoint::Shape)?.split('\n').collect();
        // Stricter than tlog-checkpoint, "Note text", where lines may follow.
        let [origin, size, root] = lines.as_slice() else { return Err(InvalidCheckpoint::Shape) };
        // "The origin MUST be non-empty".
        let origin = origin.parse().map_err(InvalidCheckpoint::Origin)?;
        let size = decimal(size).ok_or(InvalidCheckpoint::Size)?;
        let root = root.parse().map_err(|_| InvalidCheckpoint::Root)?;
        Ok(Self { origin, size, root })
    }
}

/// Reads a number as logs write it.
///
/// tlog-checkpoint, "Note text": "the ASCII decimal representation [...], with no leading zeroes (unless the tree is empty, in
/// which case the tree size is `0`)".
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A checkpoint as it travels, with its signatures. None of them has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
}

impl SignedCheckpoint {
    /// Returns what it claims.
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Returns the note around it.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Adds a witness's signature.
    ///
    /// # Errors
    ///
    /// [`InvalidNote::TooManySignatures`].
    pub fn cosign(&mut self, signature: NoteSignature) -> Result<(), InvalidNote> {
        self.note.add(signature)
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

impl FromStr for SignedCheckpoint {
    type Err = InvalidCheckpoint;

    fn from_str(text: &str) -> Result<Self, InvalidCheckpoint> {
        let note: SignedNote = text.parse()?;
        Ok(Self { checkpoint: note.text().parse()?, note })
    }
}

#[cfg(test)]
mod tests;
