//! A token whose signatures have been verified, and the beginning of one that others go on from.
//!
//! Apart from [`crate::authenticate`], which makes them, because these are what the tables hold: flat where every call looks,
//! shared where it does not. Neither says anything about a call, nor whether the facts have changed since.

use crate::{conditions::Rules, ed25519::Key, generation::Stamp, program::Program, table::Held};
use crumb_token::{
    Caveat, Claims, KeyId, SpiffeId, Timestamp,
    contents::{Appended, Contents},
    handover::Hop,
};
use std::sync::Arc;

/// The key that a chain begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// Its number, by the token's own word.
    pub(crate) id: KeyId,
    /// The key that verified the authority block: another one of the same number would not do.
    pub(crate) public: [u8; 32],
}

/// A token whose signatures were verified.
#[derive(Debug)]
pub(crate) struct Authentic {
    pub(crate) stamp: Stamp,
    pub(crate) issued_at: Timestamp,
    /// The earliest end that any block sets.
    pub(crate) expires_at: Timestamp,
    /// Whether it holds a nonce.
    pub(crate) single_use: bool,
    /// The rules, and beside them the received bytes.
    pub(crate) program: Program,
    pub(crate) owner: u64,
    pub(crate) root: Root,
    /// All blocks but the last appended one; shared with every other leaf of the same parent.
    pub(crate) contents: Arc<Contents>,
    /// The last appended block; empty when nothing was appended.
    pub(crate) leaf: Appended,
}

impl Authentic {
    pub(crate) fn claims(&self) -> &Claims {
        self.contents.claims()
    }

    /// Walks the caveats of each appended block, in order.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &[Caveat]> {
        // A hop may have none, and is a block all the same.
        let leaf = (self.leaf.hop.is_some() || !self.leaf.caveats.is_empty()).then_some(&self.leaf.caveats[..]);
        self.contents.blocks().iter().map(Vec::as_slice).chain(leaf)
    }

    /// Returns how many bytes it takes, its contents among them even when they are shared.
    pub(crate) fn memory_len(&self) -> usize {
        size_of::<Self>()
            + self.program.memory_len()
            + self.contents.memory_len()
            + Caveat::memory_len(&self.leaf.caveats)
            + self.leaf.hop.as_ref().map_or(0, Hop::memory_len)
    }

    /// Walks the hops, in order.
    pub(crate) fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.contents.hops().iter().chain(&self.leaf.hop)
    }

    /// Returns who may present it.
    pub(crate) fn holder(&self) -> &SpiffeId {
        self.leaf.hop.as_ref().map_or_else(|| self.contents.holder(), |hop| &hop.to.holder)
    }

    pub(crate) fn rules(&self) -> Rules<'_> {
        let named_in = self.hops().last().map_or(0, |hop| hop.block);
        Rules { claims: self.claims(), holder: self.holder(), named_in, blocks: self.blocks().collect() }
    }
}

/// The bytes are a secret: whoever has them can present them.
impl Drop for Authentic {
    fn drop(&mut self) {
        self.program.wipe();
    }
}

impl Held for Authentic {
    fn key(&self) -> &[u8] {
        self.program.beside()
    }

    fn owner(&self) -> u64 {
        self.owner
    }

    fn has_ended(&self, time: Timestamp) -> bool {
        time >= self.expires_at
    }
}

/// The first blocks of a token, verified up to the last of them. Not a token: it has no proof.
#[derive(Debug)]
pub(crate) struct Parent {
    /// The bytes of a token up to the last of the blocks.
    pub(crate) bytes: Box<[u8]>,
    pub(crate) owner: u64,
    pub(crate) root: Root,
    pub(crate) contents: Arc<Contents>,
    /// The key that signs what comes next.
    pub(crate) key: Key,
    /// The signature over the last of the blocks.
    pub(crate) signature: Box<[u8]>,
}

impl Parent {
    /// Returns how many bytes it takes.
    pub(crate) fn memory_len(&self) -> usize {
        size_of::<Self>() + self.bytes.len() + self.contents.memory_len()
    }
}

impl Held for Parent {
    fn key(&self) -> &[u8] {
        &self.bytes
    }

    fn owner(&self) -> u64 {
        self.owner
    }

    fn has_ended(&self, time: Timestamp) -> bool {
        time >= self.contents.expires_at()
    }
}
