//! Inclusion proofs: this leaf is at this position of the tree with this root.
//!
//! Made from stored nodes, verified from bytes alone. Every input is somebody's: no position, size or length panics, and a
//! proof costs at most 64 hashes.

use crate::{Nodes, TreeHash, nodes::Stretch};

/// The hashes beside the way from a leaf up to the root, the leaf's sibling first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof(Vec<TreeHash>);

/// A proof has more hashes than a tree has levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a proof of {0} hashes is too long")]
pub struct ProofTooLong(pub usize);

impl InclusionProof {
    /// One hash for each level of the largest tree.
    pub const LEN_MAX: usize = 64;

    /// Takes hashes as they came.
    ///
    /// # Errors
    ///
    /// [`ProofTooLong`] past [`LEN_MAX`](Self::LEN_MAX).
    pub fn new(hashes: Vec<TreeHash>) -> Result<Self, ProofTooLong> {
        if hashes.len() > Self::LEN_MAX { Err(ProofTooLong(hashes.len())) } else { Ok(Self(hashes)) }
    }

    /// Makes the proof for the leaf at `index` of the tree of `size` leaves; `None` when there is no such leaf.
    ///
    /// Source: [RFC 6962 §2.1.1](https://www.rfc-editor.org/rfc/rfc6962.html#section-2.1.1).
    ///
    /// # Errors
    ///
    /// Whatever `nodes` says.
    pub fn make<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Option<Self>, N::Error> {
        if index >= size {
            return Ok(None);
        }
        let mut within = Stretch { from: 0, to: size };
        let mut hashes = Vec::new();
        while let Some(cut) = within.cut() {
            let (left, right) = (Stretch { to: cut, ..within }, Stretch { from: cut, ..within });
            let (side, sibling) = if index < cut { (left, right) } else { (right, left) };
            hashes.push(sibling.hash(nodes)?);
            within = side;
        }
        hashes.reverse();
        Ok(Some(Self(hashes)))
    }

    /// Returns the hashes, the leaf's sibling first.
    pub fn hashes(&self) -> &[TreeHash] {
        &self.0
    }

    /// Says whether `leaf` is at `index` of the tree of `size` leaves with this `root`.
    ///
    /// Source: [RFC 9162 §2.1.3.2](https://www.rfc-editor.org/rfc/rfc9162.html#section-2.1.3.2).
    pub fn proves(&self, leaf: &TreeHash, index: u64, size: u64, root: &TreeHash) -> bool {
        if index >= size {
            return false;
        }
        // The RFC calls them fn, sn and r.
        let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
        for sibling in &self.0 {
            if last == 0 {
                return false;
            }
            if at & 1 == 1 || at == last {
                hash = TreeHash::of_node(sibling, &hash);
                // Where this is the last node of its level and a left one, it goes up unchanged until it is a right one.
                let unchanged = if at == 0 { 0 } else { at.trailing_zeros() };
                at >>= unchanged;
                last >>= unchanged;
            } else {
                hash = TreeHash::of_node(&hash, sibling);
            }
            at >>= 1;
            last >>= 1;
        }
        last == 0 && hash == *root
    }
}
