//! Revocations between the wire and the vocabulary.
//!
//! The verifier has its own plain message type; the async shells carry one to the other, so that neither proto nor
//! verifier needs to know the other.

use crate::wire;
use crumb_token::{KeyId, revocation::Target};

/// Reads what a revocation is about. `None` when it is not well-formed; the feed must then be refused as a whole, since a
/// revocation that is skipped is a token that lives.
pub fn target(revocation: &wire::Revocation) -> Option<Target> {
    use wire::revocation::What;
    match revocation.what.as_ref()? {
        What::TokenId(id) => id.parse().ok().map(Target::Token),
        What::SessionId(id) => id.parse().ok().map(Target::Session),
        What::Agent(name) => name.parse().ok().map(Target::Agent),
        What::KeyId(id) => Some(Target::Key(KeyId(*id))),
    }
}

/// Writes what a revocation is about.
pub fn to_what(target: &Target) -> wire::revocation::What {
    use wire::revocation::What;
    match target {
        Target::Token(id) => What::TokenId(id.to_string()),
        Target::Session(id) => What::SessionId(id.to_string()),
        Target::Agent(name) => What::Agent(name.to_string()),
        Target::Key(id) => What::KeyId(id.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_without_target_is_not_well_formed() {
        assert_eq!(target(&wire::Revocation::default()), None);
        let what = Some(wire::revocation::What::SessionId("ses_x".into()));
        assert_eq!(target(&wire::Revocation { what, ..Default::default() }), None);
    }
}
