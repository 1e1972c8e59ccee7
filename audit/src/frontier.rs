//! The right edge of the tree: all that is needed to go on appending.
//!
//! A tree of any size is a row of full subtrees, one for each bit of its size, the largest on the left. Their hashes are
//! enough to append and to tell the root, so a log keeps at most 63 of them between two starts, and so does a checker that
//! walks a trail of any length. It keeps no leaf: proofs are made from [`Nodes`](crate::Nodes), which
//! [`Frontier::append_storing`] feeds.

use crate::TreeHash;

/// The hashes of the full subtrees of a tree, the largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    hashes: Vec<TreeHash>,
}

/// What was stored is no frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFrontier {
    /// There has to be one hash for each bit that is set in the size.
    #[error("a tree of {size} leaves has {expected} full subtrees, not {found}")]
    WrongCount {
        /// Leaves.
        size: u64,
        /// One for each bit of the size.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The size is past [`Frontier::SIZE_MAX`].
    #[error("a tree of {0} leaves is too large")]
    TooLarge(u64),
}

impl Frontier {
    /// The largest tree: sizes and positions then fit every format that the field uses.
    pub const SIZE_MAX: u64 = i64::MAX as u64;

    /// Begins a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from what [`size`](Self::size) and [`hashes`](Self::hashes) were.
    ///
    /// # Errors
    ///
    /// [`InvalidFrontier`] when there is not one hash for each full subtree, or the size is too large. Whether the hashes
    /// are those of the tree is for a signed root to say.
    pub fn resume(size: u64, hashes: Vec<TreeHash>) -> Result<Self, InvalidFrontier> {
        if size > Self::SIZE_MAX {
            return Err(InvalidFrontier::TooLarge(size));
        }
        let (expected, found) = (size.count_ones() as usize, hashes.len());
        if expected != found {
            return Err(InvalidFrontier::WrongCount { size, expected, found });
        }
        Ok(Self { size, hashes })
    }

    /// Returns how many leaves there are, which is also the position of the next.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the hashes of the full subtrees, the largest first.
    pub fn hashes(&self) -> &[TreeHash] {
        &self.hashes
    }

    /// Appends the hash of a leaf.
    pub fn append(&mut self, leaf: TreeHash) {
        self.append_storing(leaf, |_, _, _| {});
    }

    /// Appends the hash of a leaf, and hands every subtree that it fills to `store`: level (0 for the leaf itself), number
    /// within the level, hash. These are what [`Nodes`](crate::Nodes) is asked for later.
    pub fn append_storing(&mut self, leaf: TreeHash, mut store: impl FnMut(u32, u64, TreeHash)) {
        store(0, self.size, leaf);
        let mut hash = leaf;
        // Each bit that is set from the right is a subtree as large as what was just filled: the two make the next.
        for level in 1..=self.size.trailing_ones() {
            let Some(left) = self.hashes.pop() else { break };
            hash = TreeHash::of_node(&left, &hash);
            store(level, self.size >> level, hash);
        }
        self.hashes.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// Returns the root of the tree as it is now.
    pub fn root(&self) -> TreeHash {
        let mut from_the_right = self.hashes.iter().rev();
        let Some(smallest) = from_the_right.next() else { return TreeHash::of_nothing() };
        from_the_right.fold(*smallest, |right, left| TreeHash::of_node(left, &right))
    }
}
