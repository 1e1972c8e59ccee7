//! What the blocks of a token say, read one after the other.
//!
//! Apart from [`crate::parse`], which reads whole tokens, because a verifier that knows a token's first blocks reads only
//! the new one. Nothing here is true yet: signatures are the verifier's.

use crate::{
    Caveat, Claims, Reason, SpiffeId, Timestamp, authority,
    handover::{Delegate, DelegationKey, Hop},
    hop,
    profile::{BLOCK_VERSION, CHECKS_MAX, DELEGABLE_VERSION, HOP_BLOCK_VERSION, SYMBOLS_MAX},
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
    hops: Vec<Hop>,
    expires_at: Timestamp,
}

/// What one appended block says.
#[derive(Clone, Debug, Default)]
pub struct Appended {
    /// Its caveats, but for the holder's of a hop.
    pub caveats: Vec<Caveat>,
    /// The hop that it is.
    pub hop: Option<Hop>,
}

impl Contents {
    /// Reads an authority block.
    ///
    /// # Errors
    ///
    /// A `token_*` [`Reason`]: the first rule of the profile that it breaks.
    pub fn authority(block: &[u8]) -> Result<Self, Reason> {
        let block = decode(block, &[BLOCK_VERSION, DELEGABLE_VERSION])?;
        // The version says whether there is a key to trust, as a stock Biscuit writes it.
        if block.public_keys.is_empty() != (block.version == Some(BLOCK_VERSION)) {
            return Err(Reason::TokenOutOfProfile);
        }
        let mut texts = Texts::default();
        let symbols = Symbols::read(&texts, &block).ok_or(Reason::TokenOutOfProfile)?;
        let claims = authority::read(&block, &symbols)?;
        texts.take(block);
        Ok(Self { expires_at: claims.expires_at, claims, texts, blocks: Vec::new(), hops: Vec::new() })
    }

    /// Reads the block that comes next, and goes on after it. `signer` is the third party that signed it.
    ///
    /// # Errors
    ///
    /// As [`Self::leaf`].
    pub fn append(&mut self, block: &[u8], signer: Option<DelegationKey>) -> Result<(), Reason> {
        let (block, Appended { caveats, hop }) = self.read(block, signer)?;
        self.expires_at = earliest(self.expires_at, &caveats);
        // A hop has its own texts: what comes after does not know them.
        if hop.is_none() {
            self.texts.take(block);
        }
        self.blocks.push(caveats);
        self.hops.extend(hop);
        Ok(())
    }

    /// Reads the block that comes next, and stays where it is: nothing is read after it.
    ///
    /// # Errors
    ///
    /// A `token_*` [`Reason`]: the first rule of the profile that it breaks.
    pub fn leaf(&self, block: &[u8], signer: Option<DelegationKey>) -> Result<Appended, Reason> {
        self.read(block, signer).map(|(_, appended)| appended)
    }

    fn read(&self, block: &[u8], signer: Option<DelegationKey>) -> Result<(schema::Block, Appended), Reason> {
        if self.blocks.len() >= usize::from(self.claims.depth_limit) {
            return Err(Reason::TokenTooDeep);
        }
        let version = if signer.is_some() { HOP_BLOCK_VERSION } else { BLOCK_VERSION };
        let block = decode(block, &[version])?;
        if block.checks.is_empty() || block.checks.len() > CHECKS_MAX {
            return Err(Reason::TokenOutOfProfile);
        }
        let appended = match signer {
            None => self.plain(&block),
            Some(signer) => self.hop(&block, signer),
        };
        appended.map(|appended| (block, appended)).ok_or(Reason::TokenOutOfProfile)
    }

    fn plain(&self, block: &schema::Block) -> Option<Appended> {
        if !block.facts.is_empty() || !block.public_keys.is_empty() {
            return None;
        }
        let symbols = Symbols::read(&self.texts, block)?;
        Some(Appended { caveats: caveats(&block.checks, &symbols)?, hop: None })
    }

    fn hop(&self, block: &schema::Block, signer: DelegationKey) -> Option<Appended> {
        // A plain block before the first hop is not bound to what it follows: with two tokens of the same delegates, a holder
        // could move the hops after it from one to the other. From the first hop on every block is bound.
        if self.hops.is_empty() && !self.blocks.is_empty() {
            return None;
        }
        let none = Texts::default();
        let symbols = Symbols::read(&none, block)?;
        let [holder, rest @ ..] = &block.checks[..] else { return None };
        let (from, to) = hop::read_fact(&block.facts, &symbols)?;
        let to = self.may_hop_to(&to).ok()?.clone();
        let key = hop::read_key(&block.public_keys)?;
        let agrees = match key {
            None => shape::from_check(holder, &symbols)? == Caveat::Holder(to.holder.clone()),
            Some(_) => hop::read_holder_check(holder, &symbols, false)? == to.holder,
        };
        // A key that were named twice would be two holders': whose word a hop is could not be told.
        let own = from == *self.holder() && self.hop_key() == Some(signer) && key.is_none_or(|key| !self.names(key));
        let hop = Hop { to, key, block: self.blocks.len() + 1 };
        let appended = Appended { caveats: caveats(rest, &symbols)?, hop: Some(hop) };
        (agrees && own).then_some(appended)
    }

    fn names(&self, key: DelegationKey) -> bool {
        let first = self.claims.may_act.iter().map(|may_act| may_act.key);
        first.chain(self.hops.iter().filter_map(|hop| hop.key)).any(|named| named == key)
    }

    /// Returns the delegate that `to` is, when the token may be handed there from here.
    pub(crate) fn may_hop_to(&self, to: &SpiffeId) -> Result<&Delegate, Reason> {
        let held = self.claims.holder == *to || self.hops.iter().any(|hop| hop.to.holder == *to);
        let mut named = self.claims.may_act.iter().flat_map(|may_act| &may_act.delegates);
        named.find(|delegate| !held && delegate.holder == *to).ok_or(Reason::TokenOutOfProfile)
    }

    /// Returns the key that the next hop has to be signed with.
    pub(crate) fn hop_key(&self) -> Option<DelegationKey> {
        match self.hops.last() {
            Some(hop) => hop.key,
            None => self.claims.may_act.as_ref().map(|may_act| may_act.key),
        }
    }

    /// Returns who may present the token: the holder of the last hop, or the one the broker gave it to.
    pub fn holder(&self) -> &SpiffeId {
        self.hops.last().map_or(&self.claims.holder, |hop| &hop.to.holder)
    }

    /// Returns the hops, in order.
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// Returns about how many bytes the texts and caveats take in memory; what an authority block claims is bounded by its
    /// own length.
    pub fn memory_len(&self) -> usize {
        let blocks = self.blocks.iter().map(|block| Caveat::memory_len(block)).sum::<usize>();
        self.texts.memory_len() + blocks + self.hops.iter().map(Hop::memory_len).sum::<usize>()
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

fn caveats(checks: &[schema::Check], symbols: &Symbols<'_>) -> Option<Vec<Caveat>> {
    checks.iter().map(|check| shape::from_check(check, symbols)).collect()
}

fn decode(bytes: &[u8], versions: &[u32]) -> Result<schema::Block, Reason> {
    let block = schema::Block::decode(bytes).map_err(|_| Reason::TokenMalformed)?;
    // A field that is not known here could be a condition; to skip it would be to allow more than its author meant.
    if block.encode_to_vec() != bytes {
        return Err(Reason::TokenNotCanonical);
    }
    if !block.version.is_some_and(|version| versions.contains(&version)) {
        return Err(Reason::TokenVersion);
    }
    let closed = block.context.is_none()
        && block.rules.is_empty()
        && block.scope.is_empty()
        && block.symbols.len() <= SYMBOLS_MAX;
    if closed { Ok(block) } else { Err(Reason::TokenOutOfProfile) }
}
