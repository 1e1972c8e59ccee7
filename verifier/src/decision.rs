//! The answer to one call. Only this crate can make a [`Verified`], so having one is proof that a call was allowed.

use crate::{authentic::Authentic, table::Found};
use crumb_token::{Caveat, Claims, Denial, KeyId, SpiffeId, Timestamp, handover::Hop};
use std::{fmt, sync::Arc};

/// Whether one call is allowed. Exhaustive on purpose: whoever asks handles both.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Go on.
    Allowed(Verified),
    /// Do not.
    Denied(Box<Refused>),
}

impl Decision {
    /// Says whether the call is allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Turns the decision into a result, for `?`.
    ///
    /// # Errors
    ///
    /// [`Refused`], when the call was denied.
    pub fn into_result(self) -> Result<Verified, Box<Refused>> {
        match self {
            Self::Allowed(verified) => Ok(verified),
            Self::Denied(refused) => Err(refused),
        }
    }
}

/// A token that was checked, in full, for one call. It says nothing about the next call.
pub struct Verified(Hold);

/// How the token is kept: in the table's own place, which costs nothing, or with a count of its own.
enum Hold {
    Found(Found<Authentic>),
    Own(Arc<Authentic>),
}

impl Verified {
    pub(crate) fn found(found: Found<Authentic>) -> Self {
        Self(Hold::Found(found))
    }

    pub(crate) fn new(token: Arc<Authentic>) -> Self {
        Self(Hold::Own(token))
    }

    fn token(&self) -> &Authentic {
        match &self.0 {
            Hold::Found(found) => found,
            Hold::Own(token) => token,
        }
    }

    /// Returns the same, for whoever keeps it for as long as a call takes. A few may be kept without, in each thread.
    #[must_use]
    pub fn keep(self) -> Self {
        match &self.0 {
            Hold::Found(found) => found.share().map_or(self, Self::new),
            Hold::Own(_) => self,
        }
    }

    /// Returns what the broker said: who acts, in which session, on whose behalf, and what is granted.
    pub fn claims(&self) -> &Claims {
        self.token().claims()
    }

    /// Returns who presented it: the holder whom the last hop names, or the one to whom the broker gave it.
    pub fn holder(&self) -> &SpiffeId {
        self.token().holder()
    }

    /// Walks the hops by which it came from the holder in its claims to [the one who presented it](Self::holder).
    pub fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.token().hops()
    }

    /// Returns the earliest end that any block sets.
    pub fn expires_at(&self) -> Timestamp {
        self.token().expires_at
    }

    /// Walks the caveats of each appended block, in order.
    pub fn blocks(&self) -> impl Iterator<Item = &[Caveat]> {
        self.token().blocks()
    }

    /// Returns the broker's key that signed it.
    pub fn key_id(&self) -> KeyId {
        self.token().root.id
    }
}

impl Clone for Verified {
    fn clone(&self) -> Self {
        match &self.0 {
            Hold::Found(found) => found.share().map_or_else(|| unreachable!("an empty place is not found"), Self::new),
            Hold::Own(token) => Self::new(Arc::clone(token)),
        }
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({}, until {:?})", self.claims().token, self.expires_at())
    }
}

/// A call that was denied.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{denial}")]
pub struct Refused {
    /// Why, and what to do next.
    pub denial: Denial,
    /// What the token says, for the audit trail. Only when its signatures verified: before, anybody could have written it.
    pub claims: Option<Box<Claims>>,
    /// The hops it made since; only with its claims.
    pub hops: Vec<Hop>,
}
