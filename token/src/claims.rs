//! The facts of a task token's authority block.

use crate::{
    AgentName, Audience, Environment, Grants, Origin, SessionId, SpiffeId, Timestamp, TokenId, Version, bounded_text,
    handover::MayAct,
    origin::{Assurance, Principal},
};

bounded_text! {
    /// Which identity provider vouched for the holder: `spire`, or `embedded-dev` for the development one.
    IdentityProvider, 32, |c| c.is_ascii_lowercase() || c == '-'
}

/// On whose behalf a token acts.
///
/// Source: the subject of [RFC 8693 §1.1](https://www.rfc-editor.org/rfc/rfc8693#section-1.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Who.
    pub name: Principal,
    /// How the broker knows.
    pub assurance: Assurance,
}

/// A session above another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ancestor {
    /// Which.
    pub session: SessionId,
    /// The agent that acts in it.
    pub agent: AgentName,
    /// The version of that agent.
    pub version: Version,
    /// SHA-256 of its intent sentence.
    pub intent_digest: [u8; 32],
}

/// Everything that the broker says about a task token.
///
/// Plain data: making one gives nobody any right. Rights come from a signature, and only the verifier checks those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// This token.
    pub token: TokenId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The agent that acts.
    pub agent: AgentName,
    /// The version it was registered with.
    pub version: Version,
    /// Where it runs.
    pub environment: Environment,
    /// The SPIFFE ID that may present the token.
    pub holder: SpiffeId,
    /// On whose behalf, when somebody's.
    pub subject: Option<Subject>,
    /// Those who acted before in the chain of delegation, nearest first, at most [`Claims::ACTORS_MAX`].
    pub actors: Vec<SpiffeId>,
    /// The sessions that this one is inside of, the outermost first, at most [`Claims::ANCESTORS_MAX`]: revoking any of
    /// them ends this token.
    pub ancestors: Vec<Ancestor>,
    /// What set off the outermost session: a person or a schedule, never an agent.
    pub origin: Origin,
    /// SHA-256 of the session's intent sentence.
    pub intent_digest: [u8; 32],
    /// The tool server it is good for.
    pub audience: Audience,
    /// What it allows.
    pub grants: Grants,
    /// From when.
    pub issued_at: Timestamp,
    /// Until when, exclusive.
    pub expires_at: Timestamp,
    /// To whom the holder may hand the token on, offline.
    pub may_act: Option<MayAct>,
    /// How many blocks may be appended, at most [`crate::profile::DEPTH_MAX`].
    pub depth_limit: u8,
    /// Who vouched for the holder.
    pub identity_provider: IdentityProvider,
}

impl Claims {
    /// The most prior actors.
    pub const ACTORS_MAX: usize = 8;
    /// The most sessions above.
    pub const ANCESTORS_MAX: usize = 8;
}
