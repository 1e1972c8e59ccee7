//! Narrowing: a token and a few caveats become a smaller token, offline, with no key but the one the token carries.
//!
//! This is how a sidecar breaks a call token off a task token. A caveat can only take away.

use crate::{
    Caveat, Claims, Reason, Timestamp,
    block::{self, Place},
    caveat::ArgRule,
    contents::Contents,
    envelope::{Envelope, Proof},
    parse::open,
    profile,
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
}

/// A token that blocks can be appended to: read once, narrowed as often as calls are made.
pub struct Parent {
    /// The token up to its proof.
    signed: Zeroizing<Vec<u8>>,
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
        let [authority, appended @ ..] = &envelope.blocks[..] else {
            return Err(AttenuateError::Refused(Reason::TokenMalformed));
        };
        let mut contents = Contents::authority(authority.block).map_err(AttenuateError::Refused)?;
        for block in appended {
            contents.append(block.block).map_err(AttenuateError::Refused)?;
        }
        let texts = texts(&envelope).ok_or(AttenuateError::Refused(Reason::TokenOutOfProfile))?;
        let end = envelope.blocks.last().map_or(0, |block| block.end);
        Ok(Self { signed: Zeroizing::new(token[..end].to_vec()), key: KeyPair::from(&key), contents, texts })
    }

    /// Returns what the authority block claims.
    pub fn claims(&self) -> &Claims {
        self.contents.claims()
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
        let bounded = (1..=profile::CHECKS_MAX).contains(&caveats.len()) && caveats.iter().all(is_bounded);
        if !bounded {
            return Err(AttenuateError::Caveats);
        }
        let checks: Vec<_> = caveats.iter().map(to_check).collect();
        let block = block::encode(&self.texts, &[], &checks).ok_or(AttenuateError::Caveats)?;
        // What the gate would refuse must never leave.
        self.contents.leaf(&block).map_err(AttenuateError::TooMuch)?;
        let narrowed = block::sign(&self.signed, Place::Appended, block, &self.key).ok_or(AttenuateError::Sealed)?;
        if narrowed.len() > profile::ACCEPTED_LEN_MAX {
            return Err(AttenuateError::TooMuch(Reason::TokenTooLarge));
        }
        Ok(narrowed)
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

/// Reads the texts of all blocks, in the order of their numbers.
fn texts(envelope: &Envelope<'_>) -> Option<SymbolTable> {
    let mut texts = Vec::new();
    for block in &envelope.blocks {
        texts.append(&mut schema::Block::decode(block.block).ok()?.symbols);
    }
    SymbolTable::from(texts).ok()
}

fn is_bounded(caveat: &Caveat) -> bool {
    match caveat {
        Caveat::ToolOneOf(set) => is_set_len(set.len()),
        Caveat::Arg { rule: ArgRule::OneOf(set) | ArgRule::NotOneOf(set), .. } => is_set_len(set.len()),
        Caveat::Arg { rule: ArgRule::OneOfNumbers(set), .. } => is_set_len(set.len()),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
