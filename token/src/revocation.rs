//! What a revocation is about.

use crate::{AgentName, KeyId, SessionId, TokenId};

/// The tokens that one revocation ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One token, and every call token made from it.
    Token(TokenId),
    /// A session and all its tokens.
    Session(SessionId),
    /// An agent and all its tokens.
    Agent(AgentName),
    /// A signing key and all it signed.
    Key(KeyId),
}
