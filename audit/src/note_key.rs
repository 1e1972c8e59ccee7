//! The keys of signed notes: their names, their ids, and the text in which a verifier is told one (`vkey`).
//!
//! Two kinds are known, both Ed25519: a log's own signature, and a witness's cosignature, which also says when. Private keys
//! stay with whoever implements [`NoteSigner`].
//!
//! Source: [signed-note](https://c2sp.org/signed-note), [tlog-cosignature](https://c2sp.org/tlog-cosignature).

use crate::base64_text;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// The name of a key: by custom a URL without its scheme, such as `audit.acme.example/broker`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeyName(String);

/// A text is not the name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key name has 1 to 255 bytes, and no space, plus or control character")]
pub struct InvalidKeyName;

impl KeyName {
    /// The longest name, in bytes: what cosignatures leave room for.
    pub const LEN_MAX: usize = 255;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = InvalidKeyName;

    fn from_str(text: &str) -> Result<Self, InvalidKeyName> {
        // signed-note, "Format": "Key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus (U+002B)
        // characters."
        let forbidden = |c: char| c.is_whitespace() || c == '+' || c.is_control();
        let well_formed = !text.is_empty() && text.len() <= Self::LEN_MAX && !text.contains(forbidden);
        if well_formed { Ok(Self(text.to_owned())) } else { Err(InvalidKeyName) }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

impl TryFrom<String> for KeyName {
    type Error = InvalidKeyName;

    fn try_from(text: String) -> Result<Self, InvalidKeyName> {
        text.parse()
    }
}

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The text of the note, with Ed25519: the log's own key.
    Log,
    /// The text of a checkpoint and the time, with Ed25519: a witness.
    Witness,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Witness => 0x04,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Log),
            0x04 => Some(Self::Witness),
            _ => None,
        }
    }
}

/// A public key, its name, and what it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    kind: KeyKind,
    key: VerifyingKey,
}

/// A text is not a key that notes can be verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidVerifierKey {
    /// Not `<name>+<id>+<base64>`.
    #[error(
        "a verifier key is written <name>+<id>+<key>: the id in 8 lower-case hexadecimal digits, the key in base64"
    )]
    Malformed,
    /// The name is none.
    #[error("the verifier key has an invalid name")]
    Name(#[from] InvalidKeyName),
    /// Of another kind than Ed25519, for a log or a witness.
    #[error("the verifier key is of kind {0:#04x}; only 0x01 (Ed25519) and 0x04 (Ed25519 cosignature) are known")]
    UnknownKind(u8),
    /// The id does not follow from name and key.
    #[error("the verifier key's id does not belong to its name and key")]
    WrongId,
    /// The bytes are no Ed25519 key, or one that anybody can sign for.
    #[error("the verifier key is no usable Ed25519 key")]
    UnusableKey,
}

impl VerifierKey {
    /// Makes one of an Ed25519 public key.
    ///
    /// # Errors
    ///
    /// [`InvalidVerifierKey::UnusableKey`] when the bytes are no key, or one of small order.
    pub fn new(name: KeyName, kind: KeyKind, key: &[u8; 32]) -> Result<Self, InvalidVerifierKey> {
        let key = VerifyingKey::from_bytes(key).map_err(|_| InvalidVerifierKey::UnusableKey)?;
        if key.is_weak() { Err(InvalidVerifierKey::UnusableKey) } else { Ok(Self { name, kind, key }) }
    }

    /// Returns the name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Returns what it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the id, which with the name says which key made a signature.
    pub fn id(&self) -> [u8; 4] {
        // signed-note, "Signatures": "key ID = SHA-256(key name || 0x0A || signature type || public key)[:4]"
        let hash: [u8; 32] = Sha256::new()
            .chain_update(self.name.as_str())
            .chain_update([b'\n', self.kind.byte()])
            .chain_update(self.key.as_bytes())
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        [a, b, c, d]
    }

    /// Says whether it is the same public key, for the same purpose, under whatever name.
    pub(crate) fn is_same_key(&self, other: &Self) -> bool {
        self.kind == other.kind && self.key == other.key
    }

    /// Says whether `signature` is this key's on a note with this text.
    pub(crate) fn signed(&self, text: &str, signature: &[u8]) -> bool {
        match self.kind {
            KeyKind::Log => self.signed_bytes(text.as_bytes(), signature),
            KeyKind::Witness => cosigned(text, signature)
                .is_some_and(|(message, signature)| self.signed_bytes(message.as_bytes(), signature)),
        }
    }

    fn signed_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

/// Returns what a witness signs, and its bare signature.
fn cosigned<'a>(text: &str, signature: &'a [u8]) -> Option<(String, &'a [u8])> {
    // tlog-cosignature, "Format": "The signature MUST be a timestamped_signature structure."
    let (time, bare) = signature.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    // "It MUST NOT exceed 2^63 - 1".
    let in_range = i64::try_from(time).is_ok();
    in_range.then(|| (cosignature_message(time, text), bare))
}

/// Returns what a witness signs when it cosigns the checkpoint `text` at `time_unix_s`.
///
/// tlog-cosignature, "Ed25519 signed message": "The signed message MUST be two newline (U+000A) terminated lines (one header
/// line and one timestamp line) followed by the whole note body of the cosigned checkpoint".
pub fn cosignature_message(time_unix_s: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time_unix_s}\n{text}")
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), base64_text::encode(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidVerifierKey;

    fn from_str(text: &str) -> Result<Self, InvalidVerifierKey> {
        // Base64 may have a plus in it, names and ids never.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidVerifierKey::Malformed);
        };
        let bytes = base64_text::decode(key).ok_or(InvalidVerifierKey::Malformed)?;
        let (kind, key) = bytes.split_first().ok_or(InvalidVerifierKey::Malformed)?;
        let kind = KeyKind::from_byte(*kind).ok_or(InvalidVerifierKey::UnknownKind(*kind))?;
        let key = key.try_into().map_err(|_| InvalidVerifierKey::UnusableKey)?;
        let read = Self::new(name.parse()?, kind, key)?;
        // As text: upper case and short ids would be a second spelling.
        if hex::encode(read.id()) == id { Ok(read) } else { Err(InvalidVerifierKey::WrongId) }
    }
}

/// Whoever holds a log's private key.
pub trait NoteSigner {
    /// Why it did not sign.
    type Error;

    /// Returns the public half, of kind [`KeyKind::Log`].
    fn key(&self) -> &VerifierKey;

    /// Signs a note's text with Ed25519.
    ///
    /// # Errors
    ///
    /// Whatever keeps the key from signing.
    fn sign(&self, text: &[u8]) -> Result<[u8; 64], Self::Error>;
}

#[cfg(test)]
mod tests;
