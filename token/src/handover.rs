//! Handing a token on, offline: who may act in the holder's place, and the hop that says who does.
//!
//! The broker writes into a task token to whom its holder may hand it ([`MayAct`]), each with the agent that it is, and the
//! public half of a key that the holder's sidecar keeps for this. A *hop* is a block that is signed with that key as a
//! third-party block: it names the next holder, who alone may present the token from there on, and perhaps that holder's
//! own key, with which the token may be handed on once more. Everything else of the token goes along: session, intent,
//! origin, subject and every caveat so far.
//!
//! Apart from [`crate::attenuate`], whose blocks need no key but the token's own: those only narrow, and whoever got hold
//! of a token could write them. A hop moves a token to another holder, so only its holder's key can sign one.
//!
//! # Invariants
//!
//! - A hop goes only to somebody whom the broker named, and never to one who has held the token before.
//! - The first hop comes right after the authority block, so that everything from there on is bound to this very token; what
//!   is taken away on the way stands in the hop itself.
//! - Each hop is signed with the key that the hop before, or the broker, names; no key is named twice.
//!
//! How hops are read out of blocks is `hop`'s. Source of the word: `may_act`,
//! [RFC 8693 §4.4](https://www.rfc-editor.org/rfc/rfc8693#section-4.4).

use crate::{
    AgentName, Caveat, Reason, SpiffeId, Version,
    attenuate::{AttenuateError, Parent, are_bounded},
    block::{self, After, Place},
    hop,
    profile::{self, HOP_BLOCK_VERSION},
};
use biscuit_auth::{KeyPair, PublicKey, builder::Algorithm, datalog::SymbolTable};
use zeroize::Zeroizing;

/// The public half of the key that a holder signs hops with: a point of Ed25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DelegationKey([u8; 32]);

impl DelegationKey {
    /// Returns its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the public half of `pair`; `None` when it is no key of Ed25519.
    pub fn of(pair: &KeyPair) -> Option<Self> {
        Self::try_from(&pair.public().to_bytes()[..]).ok()
    }

    pub(crate) fn to_public(self) -> Option<PublicKey> {
        PublicKey::from_bytes(&self.0, Algorithm::Ed25519).ok()
    }
}

/// Bytes that are no key of Ed25519.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not an Ed25519 public key: 32 bytes that are a point of the curve")]
pub struct NoKey;

impl TryFrom<&[u8]> for DelegationKey {
    type Error = NoKey;

    fn try_from(bytes: &[u8]) -> Result<Self, NoKey> {
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| NoKey)?;
        Self(bytes).to_public().map(|_| Self(bytes)).ok_or(NoKey)
    }
}

/// A workload that may be handed a token, and the agent that it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delegate {
    /// Who may present the token then.
    pub holder: SpiffeId,
    /// The agent that acts.
    pub agent: AgentName,
    /// The version it was registered with.
    pub version: Version,
}

/// To whom a token may be handed on, and the key that its holder signs that with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MayAct {
    /// The holder's key.
    pub key: DelegationKey,
    /// Different ones, none of them the holder; 1 to [`MayAct::DELEGATES_MAX`].
    pub delegates: Vec<Delegate>,
}

impl MayAct {
    /// The most workloads that one token may be handed to.
    pub const DELEGATES_MAX: usize = 8;

    /// Says whether the list has a size and members that the profile takes, for a token that `holder` holds.
    pub fn is_bounded(&self, holder: &SpiffeId) -> bool {
        let ids: Vec<_> = self.delegates.iter().map(|delegate| &delegate.holder).collect();
        (1..=Self::DELEGATES_MAX).contains(&ids.len())
            && ids.iter().enumerate().all(|(i, id)| *id != holder && !ids[..i].contains(id))
    }
}

/// One step of a token from a holder to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who holds the token from here on.
    pub to: Delegate,
    /// The key that the next hop has to be signed with; `None` when the token goes no further.
    pub key: Option<DelegationKey>,
    /// Which appended block says so, from 1.
    pub block: usize,
}

impl Hop {
    /// Returns about how many bytes it takes in memory.
    pub fn memory_len(&self) -> usize {
        let Delegate { holder, agent, version } = &self.to;
        size_of::<Self>() + holder.as_str().len() + agent.as_str().len() + version.as_str().len()
    }
}

impl Parent {
    /// Returns the token as it is handed to `to`, narrowed by `caveats` on the way. `by` is the key of the one who holds it
    /// now; `onward` is that of `to`, when the token may go further from there.
    ///
    /// # Errors
    ///
    /// [`AttenuateError::NotForThem`] for somebody whom the broker did not name or who held it before,
    /// [`AttenuateError::NotTheirKey`], and those of [`Parent::narrow`]; this token is as good as before.
    pub fn hand_over(
        &self,
        to: &SpiffeId,
        onward: Option<DelegationKey>,
        caveats: &[Caveat],
        by: &KeyPair,
    ) -> Result<Zeroizing<Vec<u8>>, AttenuateError> {
        // One check is the holder's.
        if caveats.len() >= profile::CHECKS_MAX || !are_bounded(caveats) {
            return Err(AttenuateError::Caveats);
        }
        self.contents().may_hop_to(to).map_err(|_| AttenuateError::NotForThem(to.clone()))?;
        let key = self.contents().hop_key();
        if key.is_none() || key != DelegationKey::of(by) {
            return Err(AttenuateError::NotTheirKey);
        }
        let checks = hop::checks(to, onward, caveats).ok_or(AttenuateError::NotTheirKey)?;
        let block = block::encode(&SymbolTable::new(), &[hop::fact(self.holder(), to)], &checks, HOP_BLOCK_VERSION)
            .ok_or(AttenuateError::Caveats)?;
        let (before, signature) = self.signed();
        let external = block::external(signature, &block, by).ok_or(AttenuateError::NotTheirKey)?;
        // What the gate would refuse must never leave.
        self.contents().leaf(&block, key).map_err(AttenuateError::TooMuch)?;
        let after = After { before, place: Place::Appended, previous: Some(signature), external: Some(external) };
        let handed = block::sign(&after, block, self.key()).ok_or(AttenuateError::Sealed)?;
        if handed.len() > profile::ACCEPTED_LEN_MAX {
            return Err(AttenuateError::TooMuch(Reason::TokenTooLarge));
        }
        Ok(handed)
    }
}

#[cfg(test)]
mod tests;
