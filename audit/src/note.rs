//! Signed notes: a text, a blank line, and who signed the text.
//!
//! Reading says nothing about whether a signature is right; [`SignedNote::verify`] does, for the keys that it is given, and
//! passes over all others, as the standard demands. It is stricter in two ways: a note with a signature of a known key that
//! is wrong is refused whole, and so is one where a known key signed twice.
//!
//! Source: [signed-note](https://c2sp.org/signed-note).

use crate::{
    base64_text,
    note_key::{InvalidKeyName, KeyName, NoteSigner, VerifierKey},
};
use std::{fmt, str::FromStr};

/// One line below a note: who, and the signature.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    id: [u8; 4],
    signature: Vec<u8>,
}

/// A text with its signatures. Well-formed only: none of them has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A text is not a signed note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNote {
    /// Longer than [`SignedNote::LEN_MAX`].
    #[error("the note is too long")]
    TooLong,
    /// Has a control character other than the newline.
    #[error("the note has a control character")]
    ControlCharacter,
    /// No blank line, no text before it, or no signature after it.
    #[error("the note is not a text, a blank line and signatures, each with a newline at its end")]
    Shape,
    /// A line below the text is not a signature.
    #[error("a line below the note is not an em dash, a key name and a signature in base64")]
    SignatureLine,
    /// A key has an impossible name.
    #[error("a signature of the note has an invalid key name")]
    Name(#[from] InvalidKeyName),
    /// More than [`SignedNote::SIGNATURES_MAX`].
    #[error("the note has too many signatures")]
    TooManySignatures,
}

/// A note is not signed as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSigned {
    /// A known key's signature does not verify.
    #[error("the signature of {0} is wrong")]
    WrongSignature(KeyName),
    /// A known key signed more than once.
    #[error("{0} signed twice")]
    SignedTwice(KeyName),
    /// No known key signed.
    #[error("no known key signed it")]
    NoKnownKey,
}

impl NoteSignature {
    /// Takes a signature that was made elsewhere, such as a witness's.
    pub fn new(key: &VerifierKey, signature: Vec<u8>) -> Self {
        Self { name: key.name().clone(), id: key.id(), signature }
    }

    /// Returns the name of the key that it claims to be of.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == *key.name() && self.id == key.id()
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.signature].concat();
        write!(f, "\u{2014} {} {}", self.name, base64_text::encode(&bytes))
    }
}

impl fmt::Debug for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSignature({}, {})", self.name, hex::encode(self.id))
    }
}

impl FromStr for NoteSignature {
    type Err = InvalidNote;

    /// Reads one line, without its newline.
    fn from_str(line: &str) -> Result<Self, InvalidNote> {
        let rest = line.strip_prefix("\u{2014} ").ok_or(InvalidNote::SignatureLine)?;
        let (name, signature) = rest.split_once(' ').ok_or(InvalidNote::SignatureLine)?;
        // signed-note, "Format": "Signatures are the base64 encoding of 4+n bytes. The first four bytes in the signature are
        // the uint32 key ID stored in big-endian order."
        let bytes = base64_text::decode(signature).ok_or(InvalidNote::SignatureLine)?;
        let (id, signature) = bytes.split_first_chunk::<4>().ok_or(InvalidNote::SignatureLine)?;
        if signature.is_empty() {
            return Err(InvalidNote::SignatureLine);
        }
        Ok(Self { name: name.parse()?, id: *id, signature: signature.to_vec() })
    }
}

impl SignedNote {
    /// The longest note, in bytes: room for [`SIGNATURES_MAX`](Self::SIGNATURES_MAX) post-quantum signatures of 3.4 kB.
    pub const LEN_MAX: usize = 160 * 1024;

    /// The most signatures.
    ///
    /// signed-note, "Format": "Verifiers SHOULD apply a maximum limit to the number of signatures in a note [...], but MUST
    /// accept at least up to 16 signatures."
    pub const SIGNATURES_MAX: usize = 32;

    /// Signs a text, which ends in a newline.
    ///
    /// # Errors
    ///
    /// Whatever the signer says.
    pub(crate) fn sign<S: NoteSigner>(text: String, signer: &S) -> Result<Self, S::Error> {
        let signature = signer.sign(text.as_bytes())?;
        Ok(Self { text, signatures: vec![NoteSignature::new(signer.key(), signature.to_vec())] })
    }

    /// Adds a signature, unless it is there already.
    ///
    /// # Errors
    ///
    /// [`InvalidNote::TooManySignatures`] past [`SIGNATURES_MAX`](Self::SIGNATURES_MAX).
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), InvalidNote> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() >= Self::SIGNATURES_MAX {
            return Err(InvalidNote::TooManySignatures);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Returns the text that is signed, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns who claims to have signed.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks the signatures of `keys`, and returns those of them that signed.
    ///
    /// # Errors
    ///
    /// [`NotSigned::WrongSignature`] and [`NotSigned::SignedTwice`] for a known key, [`NotSigned::NoKnownKey`] when none of
    /// them is there.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NotSigned> {
        let mut signed = Vec::new();
        for key in keys {
            // signed-note, "Signatures": "Verifiers MUST ignore signatures from unknown keys, even if they share a name or ID
            // (but not both) with a known key."
            let mut of_key = self.signatures.iter().filter(|signature| signature.is_of(key));
            let Some(signature) = of_key.next() else { continue };
            if of_key.next().is_some() {
                return Err(NotSigned::SignedTwice(key.name().clone()));
            }
            // "If the key name and ID match a known key, verifiers MUST verify the signature. If a signature from a known key
            // fails to verify, clients SHOULD reject the whole note."
            if !key.signed(&self.text, &signature.signature) {
                return Err(NotSigned::WrongSignature(key.name().clone()));
            }
            signed.push(key);
        }
        // "If no signature from a known key verifies successfully, clients MUST reject the note."
        if signed.is_empty() { Err(NotSigned::NoKnownKey) } else { Ok(signed) }
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl FromStr for SignedNote {
    type Err = InvalidNote;

    fn from_str(note: &str) -> Result<Self, InvalidNote> {
        if note.len() > Self::LEN_MAX {
            return Err(InvalidNote::TooLong);
        }
        // signed-note, "Format": "Signed notes MUST be valid UTF-8 and MUST NOT contain any ASCII control characters (those
        // below U+0020) other than newline."
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(InvalidNote::ControlCharacter);
        }
        // "the text is separated from the signatures by the last empty line in the note."
        let blank = note.rfind("\n\n").ok_or(InvalidNote::Shape)?;
        let (text, below) = (&note[..=blank], &note[blank + 2..]);
        let lines = below.strip_suffix('\n').ok_or(InvalidNote::Shape)?;
        if text == "\n" {
            return Err(InvalidNote::Shape);
        }
        if lines.split('\n').count() > Self::SIGNATURES_MAX {
            return Err(InvalidNote::TooManySignatures);
        }
        let signatures = lines.split('\n').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }
}

#[cfg(test)]
mod tests;
