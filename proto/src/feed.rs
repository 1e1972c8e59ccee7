//! Revocations between the wire and the vocabulary.
//!
//! The verifier has its own plain message type; the async shells carry one to the other, so that neither proto nor
//! verifier needs to know the other.

use crate::wire;
use crumb_token::{KeyId, Timestamp, revocation::Target};

/// Reads what a revocation is about. `None` when it is not well-formed; the feed must then be refused as a whole, since a
/// revocation that is skipped is a token that lives.
pub fn target(revocation: &wire::Revocation) -> Option<Target> {
    use wire::revocation::What;
    let (kind, name) = match revocation.what.as_ref()? {
        What::TokenId(id) => ("token", id),
        What::SessionId(id) => ("session", id),
        What::Agent(name) => ("agent", name),
        What::Version(name) => ("version", name),
        What::ToolServer(audience) => ("tool_server", audience),
        What::Subject(name) => ("subject", name),
        What::KeyId(id) => return Some(Target::Key(KeyId(*id))),
    };
    Target::from_words(kind, name)
}

/// Writes what a revocation is about.
pub fn to_what(target: &Target) -> wire::revocation::What {
    use wire::revocation::What;
    match target {
        Target::Token(_) => What::TokenId(target.name()),
        Target::Session(_) => What::SessionId(target.name()),
        Target::Agent(_) => What::Agent(target.name()),
        Target::Version(..) => What::Version(target.name()),
        Target::ToolServer(_) => What::ToolServer(target.name()),
        Target::Subject(_) => What::Subject(target.name()),
        Target::Key(id) => What::KeyId(id.0),
    }
}

/// Reads until when a revocation reaches what was issued; zero stands for the end of time.
pub fn issued_until(revocation: &wire::Revocation) -> Timestamp {
    Timestamp::from_unix_s(if revocation.issued_until == 0 { u64::MAX } else { revocation.issued_until })
}

/// Writes it.
pub fn to_issued_until(at: Timestamp) -> u64 {
    if at.as_unix_s() == u64::MAX { 0 } else { at.as_unix_s() }
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
