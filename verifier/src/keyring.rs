//! The broker's signing keys: which are known, since when and until when.

use crate::feed::{FeedRefused, Key};
use biscuit_auth::{PublicKey, builder::Algorithm};
use crumb_token::{KeyId, Timestamp};
use ed25519_dalek::{Signature, VerifyingKey};
use std::collections::HashMap;

/// A key, ready for both of its uses: the signatures of tokens, and of feed messages.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    public: [u8; 32],
    pub(crate) tokens: PublicKey,
    messages: VerifyingKey,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Known {
    fn read(key: &Key) -> Result<Self, FeedRefused> {
        let invalid = FeedRefused::InvalidKey(key.id);
        let tokens = PublicKey::from_bytes(&key.public, Algorithm::Ed25519).map_err(|_| invalid)?;
        let messages = VerifyingKey::from_bytes(&key.public).map_err(|_| invalid)?;
        // A key of small order verifies signatures that nobody made.
        if messages.is_weak() || key.not_after < key.not_before {
            return Err(invalid);
        }
        let (not_before, not_after) = (key.not_before, key.not_after);
        Ok(Self { public: key.public, tokens, messages, not_before, not_after })
    }

    /// Says whether the key may have signed something at `at`.
    pub(crate) fn in_force(&self, at: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&at)
    }

    /// Says whether `signature` over `message` is by this key.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|s| self.messages.verify_strict(message, &s).is_ok())
    }
}

/// All keys known at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring(HashMap<KeyId, Known>);

impl Keyring {
    /// Returns the key by its number.
    pub(crate) fn get(&self, id: KeyId) -> Option<&Known> {
        self.0.get(&id)
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns this ring without keys that ended before `horizon`, and with `keys`.
    ///
    /// # Errors
    ///
    /// [`FeedRefused::InvalidKey`] when a key is none or its number has another one; [`FeedRefused::TooManyKeys`].
    pub(crate) fn with(&self, keys: &[Key], horizon: Timestamp, max: usize) -> Result<Self, FeedRefused> {
        let mut ring = self.clone();
        ring.0.retain(|_, known| known.not_after >= horizon);
        for key in keys {
            let known = Known::read(key)?;
            let before = ring.0.insert(key.id, known);
            if before.is_some_and(|b| b.public != key.public) {
                return Err(FeedRefused::InvalidKey(key.id));
            }
            if ring.0.len() > max {
                return Err(FeedRefused::TooManyKeys { max });
            }
        }
        Ok(ring)
    }
}
