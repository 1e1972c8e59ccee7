//! What the blocks of a token say, read one after the other.
//!
//! Apart from [`crate::parse`], which reads whole tokens, because a verifier that knows a token's first blocks reads only
//! the new one. Nothing here is true yet: signatures are the verifier's.

use crate::{
    Caveat, Claims, Reason, Timestamp, authority,
    profile::{BLOCK_VERSION, CHECKS_MAX, SYMBOLS_MAX},
    shape,
    symbols::{Symbols, Texts},
};
use biscuit_auth::format::schema;
use prost_biscuit::Message;

/// The authority block and the appended blocks up to one of them.
#[derive(Clone, Debug)]
pub struct Contents {
    claims: Claims,
    texts: Texts,
    blocks: Vec<Vec<Caveat>>,
    expires_at: Timestamp,
}

impl Contents {
    /// Reads an authority block.
    ///
    /// # Errors
    ///
    /// A `token_*` [`Reason`]: the first rule of the profile that it breaks.
    pub fn authority(block: &[u8]) -> Result<Self, Reason> {
        let block = decode(block)?;
        let mut texts = Texts::default();
        let symbols = Symbols::read(&texts, &block).ok_or(Reason::TokenOutOfProfile)?;
        let claims = authority::read(&block, &symbols)?;
        texts.take(block);
        Ok(Self { expires_at: claims.expires_at, claims, texts, blocks: Vec::new() })
    }

    /// Reads the block that comes next, and goes on after it.
    ///
    /// # Errors
    ///
    /// As [`Self::leaf`].
    pub fn append(&mut self, block: &[u8]) -> Result<(), Reason> {
        let (block, caveats) = self.read(block)?;
        self.expires_at = earliest(self.expires_at, &caveats);
        self.texts.take(block);
        self.blocks.push(caveats);
        Ok(())
    }

    /// Reads the block that comes next, and stays where it is: nothing is read after it.
    ///
    /// # Errors
    ///
    /// A `token_*` [`Reason`]: the first rule of the profile that it breaks.
    pub fn leaf(&self, block: &[u8]) -> Result<Vec<Caveat>, Reason> {
        self.read(block).map(|(_, caveats)| caveats)
    }

    fn read(&self, block: &[u8]) -> Result<(schema::Block, Vec<Caveat>), Reason> {
        if self.blocks.len() >= usize::from(self.claims.depth_limit) {
            return Err(Reason::TokenTooDeep);
        }
        let block = decode(block)?;
        if !block.facts.is_empty() || block.checks.is_empty() || block.checks.len() > CHECKS_MAX {
            return Err(Reason::TokenOutOfProfile);
        }
        let symbols = Symbols::read(&self.texts, &block).ok_or(Reason::TokenOutOfProfile)?;
        let caveats = block.checks.iter().map(|check| shape::from_check(check, &symbols)).collect::<Option<_>>();
        let caveats = caveats.ok_or(Reason::TokenOutOfProfile)?;
        Ok((block, caveats))
    }

    /// Returns about how many bytes the texts and caveats take in memory; what an authority block claims is bounded by its
    /// own length.
    pub fn memory_len(&self) -> usize {
        self.texts.memory_len() + self.blocks.iter().map(|block| Caveat::memory_len(block)).sum::<usize>()
    }

    /// Returns what the authority block claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the caveats of each appended block, in order.
    pub fn blocks(&self) -> &[Vec<Caveat>] {
        &self.blocks
    }

    /// Returns the earliest end that any block sets.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// Returns the earliest of `end` and the ends that `caveats` set.
pub fn earliest(end: Timestamp, caveats: &[Caveat]) -> Timestamp {
    let ends = caveats.iter().filter_map(|caveat| match caveat {
        Caveat::ExpiresAt(at) => Some(*at),
        _ => None,
    });
    ends.fold(end, Ord::min)
}

fn decode(bytes: &[u8]) -> Result<schema::Block, Reason> {
    let block = schema::Block::decode(bytes).map_err(|_| Reason::TokenMalformed)?;
    // A field that is not known here could be a condition; to skip it would be to allow more than its author meant.
    if block.encode_to_vec() != bytes {
        return Err(Reason::TokenNotCanonical);
    }
    if block.version != Some(BLOCK_VERSION) {
        return Err(Reason::TokenVersion);
    }
    let closed = block.context.is_none()
        && block.rules.is_empty()
        && block.scope.is_empty()
        && block.public_keys.is_empty()
        && block.symbols.len() <= SYMBOLS_MAX;
    if closed { Ok(block) } else { Err(Reason::TokenOutOfProfile) }
}
