//! A task token becomes a call token: one tool, one operation, one resource, seconds.
//!
//! Offline and by value: the caveats can only take away, and what the task token does not grant is refused here already,
//! with the reason that the tool server would give.

use crumb_token::{
    Ask, Caveat, Denial, Grants, Reason, ResourcePattern, Timestamp, TokenText,
    attenuate::{AttenuateError, Parent},
};
use std::time::Duration;

/// The shortest life of a call token, in seconds: less would not survive a slow connection.
pub(crate) const TTL_MIN_S: u32 = 5;
/// The life of a call token when nothing is said, in seconds.
pub(crate) const TTL_DEFAULT_S: u32 = 15;
/// The longest life of a call token, in seconds: what is stolen is of use no longer.
pub(crate) const TTL_MAX_S: u32 = 30;

/// How long a call token is to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallTtl(Duration);

/// A life that a call token cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a call token lives {TTL_MIN_S} to {TTL_MAX_S} seconds")]
pub(crate) struct InvalidCallTtl;

impl CallTtl {
    /// Takes seconds; 0 means [`TTL_DEFAULT_S`].
    ///
    /// # Errors
    ///
    /// [`InvalidCallTtl`] outside the bounds.
    pub(crate) fn try_from_s(seconds: u32) -> Result<Self, InvalidCallTtl> {
        match seconds {
            0 => Ok(Self::default()),
            TTL_MIN_S..=TTL_MAX_S => Ok(Self(Duration::from_secs(seconds.into()))),
            _ => Err(InvalidCallTtl),
        }
    }
}

impl Default for CallTtl {
    fn default() -> Self {
        Self(Duration::from_secs(TTL_DEFAULT_S.into()))
    }
}

/// A call token, and when it ends.
#[derive(Clone, Debug)]
pub(crate) struct CallToken {
    /// The secret.
    pub(crate) token: TokenText,
    /// Its end: never past the task token's.
    pub(crate) expires_at: Timestamp,
}

/// Breaks a call token for `ask` off a task token that grants `grants` until `parent_ends`.
///
/// # Errors
///
/// A denial: of the ask when the grants do not cover it, [`Reason::TokenExpired`] when the parent has ended, and
/// [`Reason::Unforeseen`] when the token cannot be narrowed.
pub(crate) fn narrow(
    parent: &Parent,
    grants: &Grants,
    parent_ends: Timestamp,
    ask: &Ask,
    ttl: CallTtl,
    now: Timestamp,
) -> Result<CallToken, Denial> {
    if !grants.covers(&ask.tool, &ask.operation, &ask.resource) {
        return Err(outside(grants, ask));
    }
    let expires_at = now.plus(ttl.0).min(parent_ends);
    if expires_at <= now {
        return Err(Denial::new(Reason::TokenExpired).asked(ask));
    }
    let mut caveats = vec![
        Caveat::Tool(ask.tool.clone()),
        Caveat::Operation(ask.operation.clone()),
        Caveat::Resource(ResourcePattern::Exact(ask.resource.clone())),
        Caveat::ExpiresAt(expires_at),
    ];
    caveats.extend(ask.args_digest.map(Caveat::ArgsDigest));
    let bytes = parent.narrow(&caveats).map_err(|why| unusable(&why, ask))?;
    Ok(CallToken { token: TokenText::from_bytes(&bytes), expires_at })
}

/// Names the first part of the ask that no grant has.
fn outside(grants: &Grants, ask: &Ask) -> Denial {
    let of_tool = || grants.iter().filter(|g| g.tool == ask.tool);
    let reason = if of_tool().next().is_none() {
        Reason::ToolNotGranted
    } else if !of_tool().any(|g| g.operation == ask.operation) {
        Reason::OperationNotGranted
    } else {
        Reason::ResourceNotGranted
    };
    Denial::new(reason).asked(ask).by("task token, grants", "the broker")
}

fn unusable(why: &AttenuateError, ask: &Ask) -> Denial {
    let reason = match why {
        AttenuateError::TooMuch(reason) | AttenuateError::Refused(reason) => *reason,
        _ => Reason::Unforeseen,
    };
    tracing::warn!(error = %why, "a task token could not be narrowed");
    Denial::new(reason).asked(ask).by("task token", "the sidecar").next("begin the task anew")
}

#[cfg(test)]
mod tests;
