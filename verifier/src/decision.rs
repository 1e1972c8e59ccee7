//! The answer to one call. Only this crate can make a [`Verified`], so having one is proof that a call was allowed.

use crumb_token::{Caveat, Claims, Denial, KeyId, Timestamp, parse::Unverified};

/// Whether one call is allowed. Exhaustive on purpose: whoever asks handles both.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Go on.
    Allowed(Verified),
    /// Do not.
    Denied(Refused),
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
    pub fn into_result(self) -> Result<Verified, Refused> {
        match self {
            Self::Allowed(verified) => Ok(verified),
            Self::Denied(refused) => Err(refused),
        }
    }
}

/// A token that was checked, in full, for one call. It says nothing about the next call.
#[derive(Clone, Debug)]
pub struct Verified {
    key_id: KeyId,
    claims: Box<Claims>,
    caveats: Vec<Vec<Caveat>>,
    expires_at: Timestamp,
}

impl Verified {
    /// Keeps what is worth knowing of the token, and not its bytes: those are a secret.
    pub(crate) fn new(token: &Unverified) -> Self {
        Self {
            key_id: token.key_id(),
            claims: Box::new(token.claims().clone()),
            caveats: token.blocks().to_vec(),
            expires_at: token.expires_at(),
        }
    }

    /// Returns what the broker said: who acts, in which session, on whose behalf, and what is granted.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the earliest end that any block sets.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Returns the caveats of each appended block, in order.
    pub fn caveats(&self) -> &[Vec<Caveat>] {
        &self.caveats
    }

    /// Returns the broker's key that signed it.
    pub fn key_id(&self) -> KeyId {
        self.key_id
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
}
