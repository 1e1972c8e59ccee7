//! Where the hashes come from that proofs are made of, and the hash of any stretch of leaves.
//!
//! A log stores the hash of every full subtree once, when it is filled. Everything else is worked out from those.

use crate::TreeHash;

/// Hands out the hashes of full subtrees.
pub trait Nodes {
    /// Why a hash cannot be had.
    type Error;

    /// Returns the hash over the leaves from `index << level` up to `(index + 1) << level`. Asked for nothing but subtrees
    /// that lie whole within the tree that a proof is about.
    ///
    /// # Errors
    ///
    /// Whatever keeps the hash from being had, also that it is not there.
    fn node(&self, level: u32, index: u64) -> Result<TreeHash, Self::Error>;
}

/// Leaf hashes in memory, as a store of nodes. Works every node out anew: for small trees, and to compare with.
#[derive(Debug, Clone, Copy)]
pub struct Leaves<'a>(pub &'a [TreeHash]);

/// A leaf was asked for that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no such node")]
pub struct NoSuchNode;

impl Nodes for Leaves<'_> {
    type Error = NoSuchNode;

    fn node(&self, level: u32, index: u64) -> Result<TreeHash, NoSuchNode> {
        let Some(below) = level.checked_sub(1) else {
            let index = usize::try_from(index).map_err(|_| NoSuchNode)?;
            return self.0.get(index).copied().ok_or(NoSuchNode);
        };
        let left = index.checked_mul(2).ok_or(NoSuchNode)?;
        Ok(TreeHash::of_node(&self.node(below, left)?, &self.node(below, left | 1)?))
    }
}

/// A stretch of leaves as RFC 6962 cuts them: it begins at a multiple of the smallest power of two that is not below its
/// length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Stretch {
    /// Returns where it is cut: its left part is the largest power of two below its length. `None` for one leaf.
    pub(crate) fn cut(self) -> Option<u64> {
        let last = (self.to - self.from).checked_sub(1).filter(|last| *last > 0)?;
        Some(self.from + (1 << last.ilog2()))
    }

    /// Works its hash out of the full subtrees that it is made of.
    pub(crate) fn hash<N: Nodes>(self, nodes: &N) -> Result<TreeHash, N::Error> {
        let (mut from, mut left) = (self.from, self.to - self.from);
        let mut subtrees = Vec::new();
        while left > 0 {
            let level = left.ilog2();
            subtrees.push(nodes.node(level, from >> level)?);
            from += 1 << level;
            left -= 1 << level;
        }
        let mut from_the_right = subtrees.into_iter().rev();
        let Some(smallest) = from_the_right.next() else { return Ok(TreeHash::of_nothing()) };
        Ok(from_the_right.fold(smallest, |right, left| TreeHash::of_node(&left, &right)))
    }
}

/// Returns the root of the first `size` leaves.
///
/// # Errors
///
/// Whatever `nodes` says.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<TreeHash, N::Error> {
    Stretch { from: 0, to: size }.hash(nodes)
}
