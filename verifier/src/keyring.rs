//! The broker's signing keys: which are known, since when and until when.

use crate::ed25519;
use crate::feed::{FeedRefused, Key};
use crumb_token::{KeyId, Timestamp};
use std::collections::HashMap;

/// A key, and when it may have signed: tokens and feed messages both.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) key: ed25519::Key,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Known {
    fn read(key: &Key) -> Result<Self, FeedRefused> {
        let (not_before, not_after) = (key.not_before, key.not_after);
        let ready = ed25519::Key::read(&key.public).filter(|_| not_before <= not_after);
        let key = ready.ok_or(FeedRefused::InvalidKey(key.id))?;
        Ok(Self { key, not_before, not_after })
    }

    /// Says whether the key may have signed something at `at`.
    pub(crate) fn in_force(&self, at: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&at)
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
            if before.is_some_and(|b| *b.key.as_bytes() != key.public) {
                return Err(FeedRefused::InvalidKey(key.id));
            }
            if ring.0.len() > max {
                return Err(FeedRefused::TooManyKeys { max });
            }
        }
        Ok(ring)
    }
}
