//! The hashes of the tree: of a leaf, of an inner node, and of the tree without leaves.
//!
//! Leaf and node begin with different bytes, so that neither can pass for the other. What a hash is *of* is not in its
//! type: proofs mix leaves, nodes and roots.
//!
//! Source: [RFC 6962 §2.1](https://www.rfc-editor.org/rfc/rfc6962.html#section-2.1).

use crate::base64_text;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// A SHA-256 of the tree. As text it is canonical base64, as in checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TreeHash([u8; 32]);

/// A text is not the base64 of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the base64 of 32 bytes")]
pub struct InvalidTreeHash;

impl TreeHash {
    /// 32 zero bytes: what stands where a writer has no entry before. No input is known that hashes to it.
    pub const ZERO: Self = Self([0; 32]);

    /// Takes 32 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Hashes the tree without leaves.
    ///
    /// RFC 6962 §2.1: "The hash of an empty list is the hash of an empty string".
    pub fn of_nothing() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// Hashes a leaf.
    ///
    /// RFC 6962 §2.1: "The hash of a list with one entry (also known as a leaf hash) is MTH({d(0)}) = SHA-256(0x00 || d(0))".
    pub fn of_leaf(data: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0x00]).chain_update(data).finalize().into())
    }

    /// Hashes a node over its two children.
    ///
    /// RFC 6962 §2.1: "MTH(D\[n\]) = SHA-256(0x01 || MTH(D\[0:k\]) || MTH(D\[k:n\]))".
    pub fn of_node(left: &Self, right: &Self) -> Self {
        Self(Sha256::new().chain_update([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_text::encode(&self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHash({self})")
    }
}

impl FromStr for TreeHash {
    type Err = InvalidTreeHash;

    fn from_str(text: &str) -> Result<Self, InvalidTreeHash> {
        let bytes = base64_text::decode(text).ok_or(InvalidTreeHash)?;
        bytes.try_into().map(Self).map_err(|_| InvalidTreeHash)
    }
}

impl From<TreeHash> for String {
    fn from(hash: TreeHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for TreeHash {
    type Error = InvalidTreeHash;

    fn try_from(text: String) -> Result<Self, InvalidTreeHash> {
        text.parse()
    }
}
