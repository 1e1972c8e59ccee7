//! The claims of a token as JSON formats state them, and the check of a call against them.
//!
//! A JWT or a PASETO is a signed statement; what it means is up to whoever reads it. This is the reading that the least
//! careful server would still have to do.

use crate::world::{Call, now};
use crumb_token::Claims;
use serde::{Deserialize, Serialize};

/// One right.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Right {
    tool: String,
    operation: String,
    resource: String,
}

/// What the broker says, with the registered names of RFC 7519 where there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stated {
    pub(super) aud: String,
    pub(super) exp: u64,
    pub(super) iat: u64,
    pub(super) jti: String,
    pub(super) sub: String,
    pub(super) holder: String,
    pub(super) session: String,
    pub(super) agent: String,
    pub(super) agent_version: String,
    pub(super) environment: String,
    pub(super) origin: String,
    pub(super) actors: Vec<String>,
    pub(super) intent_digest: String,
    pub(super) identity_provider: String,
    pub(super) grants: Vec<Right>,
}

impl Stated {
    pub(super) fn of(claims: &Claims) -> Self {
        let right = |g: &crumb_token::Grant| Right {
            tool: g.tool.to_string(),
            operation: g.operation.to_string(),
            resource: g.resource.to_string(),
        };
        Self {
            aud: claims.audience.to_string(),
            exp: claims.expires_at.as_unix_s(),
            iat: claims.issued_at.as_unix_s(),
            jti: claims.token.to_string(),
            sub: claims.subject.as_ref().map(|s| s.name.to_string()).unwrap_or_default(),
            holder: claims.holder.to_string(),
            session: claims.session.to_string(),
            agent: claims.agent.to_string(),
            agent_version: claims.version.to_string(),
            environment: claims.environment.to_string(),
            origin: claims.origin.name().to_string(),
            actors: claims.actors.iter().map(ToString::to_string).collect(),
            intent_digest: claims.intent_digest.iter().map(|b| format!("{b:02x}")).collect(),
            identity_provider: claims.identity_provider.to_string(),
            grants: claims.grants.iter().map(right).collect(),
        }
    }

    /// Says whether the call is one of the grants, by the holder, now. Whoever calls this has checked the audience.
    pub(super) fn covers(&self, call: &Call) -> bool {
        let ask = &call.ask;
        let covers = |right: &Right| {
            let at_it = match right.resource.strip_suffix('*') {
                Some(prefix) => ask.resource.as_str().starts_with(prefix),
                None => right.resource == ask.resource.as_str(),
            };
            at_it && right.tool == ask.tool.as_str() && right.operation == ask.operation.as_str()
        };
        let alive = now().wall.as_unix_s() < self.exp;
        alive && self.holder == call.peer.as_str() && self.grants.iter().any(covers)
    }
}
