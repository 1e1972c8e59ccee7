//! The numbers and names of the token profile, version 1. `docs/token-profile.md` is the contract.

/// The profile version that this crate mints and accepts.
pub const VERSION: i64 = 1;
/// The largest token that is minted, in bytes before base64.
pub const MINTED_LEN_MAX: usize = 4 * 1024;
/// The largest token that is accepted, in bytes before base64: a minted one and eight appended blocks.
pub const ACCEPTED_LEN_MAX: usize = 8 * 1024;
/// The most appended blocks.
pub const DEPTH_MAX: u8 = 8;
/// The most checks in one appended block.
pub const CHECKS_MAX: usize = 16;
/// The most symbols in one block.
pub const SYMBOLS_MAX: usize = 256;
/// The most elements in a set.
pub const SET_LEN_MAX: usize = 32;
/// The one Datalog schema version: Biscuit 3.0, the one all implementations read.
pub const BLOCK_VERSION: u32 = 3;
/// That of an authority block whose token may be handed on: Biscuit 3.1, the first with keys to trust.
pub const DELEGABLE_VERSION: u32 = 4;
/// That of a hop: Biscuit 3.2, the first with third-party blocks.
pub const HOP_BLOCK_VERSION: u32 = 5;
/// The version of the signed payload of a hop, and of every block after one.
pub const HOP_PAYLOAD_VERSION: u32 = 1;

/// Predicates that the verifier supplies about the request. No token may carry a fact with one of these names.
pub mod ambient {
    /// `time(date)`: now.
    pub const TIME: &str = "time";
    /// `peer(text)`: the SPIFFE ID of the mTLS peer.
    pub const PEER: &str = "peer";
    /// `server(text)`: the verifier's own audience.
    pub const SERVER: &str = "server";
    /// `tool(text)`: the tool that is called.
    pub const TOOL: &str = "tool";
    /// `operation(text)`: what it does.
    pub const OPERATION: &str = "operation";
    /// `resource(text)`: what it does it to.
    pub const RESOURCE: &str = "resource";
    /// `arg(name, value)`: one scalar argument.
    pub const ARG: &str = "arg";
    /// `args_digest(bytes)`: SHA-256 of the argument bytes.
    pub const ARGS_DIGEST: &str = "args_digest";
    /// `nonce(bytes)`: a nonce that has not been used before.
    pub const NONCE: &str = "nonce";
}

/// Facts of the authority block.
pub mod fact {
    /// `crumb_profile(1)`.
    pub const PROFILE: &str = "crumb_profile";
    /// `token_id(text)`.
    pub const TOKEN_ID: &str = "token_id";
    /// `session(text)`.
    pub const SESSION: &str = "session";
    /// `agent(text)`.
    pub const AGENT: &str = "agent";
    /// `agent_version(text)`.
    pub const AGENT_VERSION: &str = "agent_version";
    /// `environment(text)`.
    pub const ENVIRONMENT: &str = "environment";
    /// `holder(text)`.
    pub const HOLDER: &str = "holder";
    /// `subject(text, assurance)`.
    pub const SUBJECT: &str = "subject";
    /// `actor(position, text)`.
    pub const ACTOR: &str = "actor";
    /// `ancestor(position, session, agent, version, bytes)`.
    pub const ANCESTOR: &str = "ancestor";
    /// `may_act(position, holder, agent, version)`.
    pub const MAY_ACT: &str = "may_act";
    /// `hop(holder, next holder)`, the one fact that an appended block may have: that of a hop.
    pub const HOP: &str = "hop";
    /// `origin(kind, name, assurance)`.
    pub const ORIGIN: &str = "origin";
    /// `intent_digest(bytes)`.
    pub const INTENT_DIGEST: &str = "intent_digest";
    /// `audience(text)`.
    pub const AUDIENCE: &str = "audience";
    /// `grant(tool, operation, "exact" or "under", resource)`.
    pub const GRANT: &str = "grant";
    /// `issued_at(date)`.
    pub const ISSUED_AT: &str = "issued_at";
    /// `expires_at(date)`.
    pub const EXPIRES_AT: &str = "expires_at";
    /// `depth_limit(number)`.
    pub const DEPTH_LIMIT: &str = "depth_limit";
    /// `identity_provider(text)`.
    pub const IDENTITY_PROVIDER: &str = "identity_provider";
}
