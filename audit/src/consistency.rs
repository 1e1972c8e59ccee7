//! Consistency proofs: the tree with this root has the tree with that root as its beginning.
//!
//! This is what makes a log append-only for somebody who keeps nothing but the last root that was seen. Verified from bytes
//! alone, without panics, in at most 65 hashes.

use crate::{Nodes, TreeHash, inclusion::ProofTooLong, nodes::Stretch};

/// The hashes that lead to both roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof(Vec<TreeHash>);

/// One of two trees: how many leaves, and the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Leaves.
    pub size: u64,
    /// The root over them.
    pub root: TreeHash,
}

impl ConsistencyProof {
    /// One hash for each level of the largest tree, and the one that the walk begins at.
    pub const LEN_MAX: usize = 65;

    /// Takes hashes as they came.
    ///
    /// # Errors
    ///
    /// [`ProofTooLong`] past [`LEN_MAX`](Self::LEN_MAX).
    pub fn new(hashes: Vec<TreeHash>) -> Result<Self, ProofTooLong> {
        if hashes.len() > Self::LEN_MAX { Err(ProofTooLong(hashes.len())) } else { Ok(Self(hashes)) }
    }

    /// Makes the proof that the tree of `new` leaves goes on from that of `old`; `None` when it is the smaller one.
    ///
    /// Source: [RFC 6962 §2.1.2](https://www.rfc-editor.org/rfc/rfc6962.html#section-2.1.2).
    ///
    /// # Errors
    ///
    /// Whatever `nodes` says.
    pub fn make<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Option<Self>, N::Error> {
        if old > new {
            return Ok(None);
        }
        let mut hashes = Vec::new();
        if old == 0 || old == new {
            return Ok(Some(Self(hashes)));
        }
        let mut within = Stretch { from: 0, to: new };
        while let Some(cut) = within.cut().filter(|_| within.to != old) {
            let (left, right) = (Stretch { to: cut, ..within }, Stretch { from: cut, ..within });
            let (side, sibling) = if old <= cut { (left, right) } else { (right, left) };
            hashes.push(sibling.hash(nodes)?);
            within = side;
        }
        // The old tree as a whole need not be told: whoever verifies has its root.
        if within.from != 0 {
            hashes.push(within.hash(nodes)?);
        }
        hashes.reverse();
        Ok(Some(Self(hashes)))
    }

    /// Returns the hashes, in the order in which they are used.
    pub fn hashes(&self) -> &[TreeHash] {
        &self.0
    }

    /// Says whether `new` goes on from `old`.
    ///
    /// Source: [RFC 9162 §2.1.4.2](https://www.rfc-editor.org/rfc/rfc9162.html#section-2.1.4.2); trees without leaves and
    /// of one size, which it leaves to the caller, need no hash: every tree goes on from nothing, and a tree from itself.
    pub fn proves(&self, old: &Tree, new: &Tree) -> bool {
        if old.size == 0 {
            return self.0.is_empty() && old.root == TreeHash::of_nothing();
        }
        if old.size >= new.size {
            return old == new && self.0.is_empty();
        }
        // "If first is an exact power of 2, then prepend first_hash to the consistency_path array."
        let told = if old.size.is_power_of_two() { None } else { self.0.first() };
        let rest = if told.is_some() { self.0.get(1..).unwrap_or_default() } else { self.0.as_slice() };
        let Some(first) = told.or_else(|| old.size.is_power_of_two().then_some(&old.root)) else { return false };
        if self.0.is_empty() {
            return false;
        }
        let unchanged = (old.size - 1).trailing_ones();
        // The RFC calls them fn and sn.
        let (mut at, mut last) = ((old.size - 1) >> unchanged, (new.size - 1) >> unchanged);
        let (mut fr, mut sr) = (*first, *first);
        for hash in rest {
            if last == 0 {
                return false;
            }
            if at & 1 == 1 || at == last {
                fr = TreeHash::of_node(hash, &fr);
                sr = TreeHash::of_node(hash, &sr);
                let unchanged = if at == 0 { 0 } else { at.trailing_zeros() };
                at >>= unchanged;
                last >>= unchanged;
            } else {
                sr = TreeHash::of_node(&sr, hash);
            }
            at >>= 1;
            last >>= 1;
        }
        last == 0 && fr == old.root && sr == new.root
    }
}
