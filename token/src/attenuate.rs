//! Narrowing: a token and a few caveats become a smaller token, offline, with no key but the one the token carries.
//!
//! This is how a sidecar breaks a call token off a task token. A caveat can only take away.

use crate::{
    Caveat, Claims, Reason, SpiffeId, Timestamp,
    block::{self, After, Place},
    caveat::ArgRule,
    contents::Contents,
    envelope::{Envelope, Proof},
    handover::Hop,
    parse::{open, read},
    profile::{self, BLOCK_VERSION},
    shape::{is_set_len, to_check},
};
use biscuit_auth::{KeyPair, PrivateKey, builder::Algorithm, datalog::SymbolTable, format::schema};
use prost_biscuit::Message;
use std::fmt;
use zeroize::Zeroizing;

/// A token that cannot be narrowed like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttenuateError {
    /// The token itself would be refused.
    #[error("the token would be refused: {0}")]
    Refused(Reason),
    /// The narrowed token would have more blocks or bytes than verifiers accept.
    #[error("the narrowed token would be refused: {0}")]
    TooMuch(Reason),
    /// No caveat, too many, or a set that is empty or too large.
    #[error("a block has 1 to 16 caveats, and a set 1 to 32 elements")]
    Caveats,
    /// The token is sealed: it cannot be narrowed any more.
    #[error("the token is sealed")]
    Sealed,
    /// It may not be handed to this workload: the broker did not name it, or it held the token before.
    #[error("the token may not be handed to {0}")]
    NotForThem(SpiffeId),
    /// The key is not the one that the token names for its next hop.
    #[error("the token is not handed on with this key")]
    NotTheirKey,
}

/// A token that blocks can be appended to: read once, narrowed as often as calls are made.
pub struct Parent {
    /// The token up to its proof.
    signed: Zeroizing<Vec<u8>>,
    /// The signature of its last block.
    signature: Vec<u8>,
    /// The key that its proof is.
    key: KeyPair,
    contents: Contents,
    texts: SymbolTable,
}

impl Parent {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// [`AttenuateError::Refused`] for what the gate refuses, [`AttenuateError::Sealed`].
    pub fn read(token: &[u8]) -> Result<Self, AttenuateError> {
        let (_, envelope) = open(token).map_err(AttenuateError::Refused)?;
        let Proof::NextSecret(secret) = envelope.proof else { return Err(AttenuateError::Sealed) };
        let key = PrivateKey::from_bytes(secret, Algorithm::Ed25519).map_err(|_| AttenuateError::Sealed)?;
        let contents = read(&envelope).map_err(AttenuateError::Refused)?;
        let texts = texts(&envelope).ok_or(AttenuateError::Refused(Reason::TokenOutOfProfile))?;
        let last = envelope.blocks.last().ok_or(AttenuateError::Refused(Reason::TokenMalformed))?;
        let (signed, signature) = (Zeroizing::new(token[..last.end].to_vec()), last.signature.to_vec());
        Ok(Self { signed, signature, key: KeyPair::from(&key), contents, texts })
    }

    /// Returns what the authority block claims.
    pub fn claims(&self) -> &Claims {
        self.contents.claims()
    }

    /// Returns who may present the token: the holder of the last hop, or the one the broker gave it to.
    pub fn holder(&self) -> &SpiffeId {
        self.contents.holder()
    }

    /// Returns the hops that the token has made, in order.
    pub fn hops(&self) -> &[Hop] {
        self.contents.hops()
    }

    /// Returns the earliest end that any block sets.
    pub fn expires_at(&self) -> Timestamp {
        self.contents.expires_at()
    }

    /// Returns the token with one more block, of `caveats`.
    ///
    /// # Errors
    ///
    /// [`AttenuateError::Caveats`] and [`AttenuateError::TooMuch`]; this token is as good as before.
    pub fn narrow(&self, caveats: &[Caveat]) -> Result<Zeroizing<Vec<u8>>, AttenuateError> {
        if !(1..=profile::CHECKS_MAX).contains(&caveats.len()) || !are_bounded(caveats) {
            return Err(AttenuateError::Caveats);
        }
        let checks: Vec<_> = caveats.iter().map(to_check).collect();
        let block = block::encode(&self.texts, &[], &checks, BLOCK_VERSION).ok_or(AttenuateError::Caveats)?;
        // What the gate would refuse must never leave.
        self.contents.leaf(&block, None).map_err(AttenuateError::TooMuch)?;
        let previous = (!self.hops().is_empty()).then_some(&self.signature[..]);
        let after = After { before: &self.signed, place: Place::Appended, previous, external: None };
        let narrowed = block::sign(&after, block, &self.key).ok_or(AttenuateError::Sealed)?;
        if narrowed.len() > profile::ACCEPTED_LEN_MAX {
            return Err(AttenuateError::TooMuch(Reason::TokenTooLarge));
        }
        Ok(narrowed)
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    pub(crate) fn key(&self) -> &KeyPair {
        &self.key
    }

    /// Returns the token up to its proof, and the signature of its last block.
    pub(crate) fn signed(&self) -> (&[u8], &[u8]) {
        (&self.signed, &self.signature)
    }
}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parent({}, {} bytes)", self.claims().token, self.signed.len())
    }
}

/// Appends one block of `caveats` to `token`.
///
/// # Errors
///
/// [`AttenuateError`]; the token given is unchanged and as good as before.
pub fn attenuate(token: &[u8], caveats: &[Caveat]) -> Result<Zeroizing<Vec<u8>>, AttenuateError> {
    Parent::read(token)?.narrow(caveats)
}

/// Reads the texts of all blocks, in the order of their numbers. A hop has its own.
fn texts(envelope: &Envelope<'_>) -> Option<SymbolTable> {
    let mut texts = Vec::new();
    for block in envelope.blocks.iter().filter(|block| block.external.is_none()) {
        texts.append(&mut schema::Block::decode(block.block).ok()?.symbols);
    }
    SymbolTable::from(texts).ok()
}

/// Says whether every set has a size that the profile takes.
pub(crate) fn are_bounded(caveats: &[Caveat]) -> bool {
    caveats.iter().all(|caveat| match caveat {
        Caveat::ToolOneOf(set) => is_set_len(set.len()),
        Caveat::Arg { rule: ArgRule::OneOf(set) | ArgRule::NotOneOf(set), .. } => is_set_len(set.len()),
        Caveat::Arg { rule: ArgRule::OneOfNumbers(set), .. } => is_set_len(set.len()),
        _ => true,
    })
}

#[cfg(test)]
mod tests;
