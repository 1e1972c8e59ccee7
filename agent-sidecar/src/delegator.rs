//! The key with which this sidecar hands tokens on.
//!
//! Made at the start and kept in memory alone: the broker writes its public half into the tokens that may be handed on, so a
//! sidecar that starts anew has tokens fetched anew too.

use biscuit_auth::KeyPair;
use crumb_token::handover::DelegationKey;
use std::fmt;

/// The key pair of one sidecar. `Debug` shows the public half.
pub(crate) struct Delegator {
    pair: KeyPair,
    key: DelegationKey,
}

impl Delegator {
    /// Makes a new one.
    pub(crate) fn new() -> Self {
        loop {
            let pair = KeyPair::new();
            // What this library makes is Ed25519; the type only says so once it was looked at.
            if let Some(key) = DelegationKey::of(&pair) {
                return Self { pair, key };
            }
        }
    }

    /// Returns the public half.
    pub(crate) fn key(&self) -> DelegationKey {
        self.key
    }

    /// Returns the pair, to sign with.
    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl fmt::Debug for Delegator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delegator({:?})", self.key)
    }
}
