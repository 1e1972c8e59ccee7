//! Key rotation: making the next key in time, and forgetting keys whose time is over.

use crate::{
    keys::{Fresh, Keys, NotSigned},
    store::{Store, StoreError},
};
use crumb_token::Timestamp;

/// A key that could not be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    /// It could not be made.
    #[error("no key could be made")]
    Key(#[from] NotSigned),
    /// It could not be numbered.
    #[error("the key could not be numbered")]
    Store(#[from] StoreError),
}

/// Makes the keys that are wanted now, and forgets old ones. Returns whether there is a new one to announce.
///
/// # Errors
///
/// [`RotationError`]; the keys that are there go on until their time is over.
pub async fn turn(keys: &Keys, store: &dyn Store, now: Timestamp) -> Result<bool, RotationError> {
    keys.forget(now);
    let mut added = false;
    // Twice at most: at the start there is neither a key for now nor one for later.
    for _ in 0..2 {
        let Some(not_before) = keys.wanted(now) else { break };
        let fresh = Fresh::make()?;
        let id = store.add_key(fresh.public(), not_before, keys.not_after(not_before)).await?;
        keys.take(&fresh, id, not_before)?;
        added = true;
    }
    Ok(added)
}
