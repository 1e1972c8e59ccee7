//! Narrowing: a token and a few caveats become a smaller token, offline, with no key but the one the token carries.
//!
//! This is how a sidecar breaks a call token off a task token. A caveat can only take away.

use crate::{
    Caveat, Reason,
    caveat::ArgRule,
    parse::Unverified,
    profile,
    shape::{is_set_len, to_check},
};
use biscuit_auth::{UnverifiedBiscuit, builder::BlockBuilder};
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

/// Appends one block of `caveats` to `token`.
///
/// # Errors
///
/// [`AttenuateError`]; the token given is unchanged and as good as before.
pub fn attenuate(token: &[u8], caveats: &[Caveat]) -> Result<Zeroizing<Vec<u8>>, AttenuateError> {
    // The library's own parser is only ever shown what the gate has passed.
    Unverified::parse(token).map_err(AttenuateError::Refused)?;
    let bounded = (1..=profile::CHECKS_MAX).contains(&caveats.len()) && caveats.iter().all(is_bounded);
    if !bounded {
        return Err(AttenuateError::Caveats);
    }
    let mut block = BlockBuilder::new();
    for caveat in caveats {
        block = block.check(to_check(caveat)).map_err(|_| AttenuateError::Caveats)?;
    }
    let narrowed = UnverifiedBiscuit::from(token)
        .and_then(|t| t.append(block))
        .and_then(|t| t.to_vec())
        .map(Zeroizing::new)
        .map_err(|_| AttenuateError::Sealed)?;
    Unverified::parse(&narrowed).map_err(AttenuateError::TooMuch)?;
    Ok(narrowed)
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
