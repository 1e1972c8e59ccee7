//! The exact ask that an approval is bound to.

use crate::exchange::Exchange;
use crumb_token::{Audience, Grants, Intent, SessionId, SpiffeId};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// What is asked: everything that the token would say, and nothing that changes when the same is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// In which session.
    pub session: SessionId,
    /// Who asks.
    pub peer: SpiffeId,
    /// Who will present the token, when not the asker.
    pub holder: Option<SpiffeId>,
    /// At which tool server.
    pub audience: Audience,
    /// Which rights.
    pub grants: Grants,
    /// How long; zero for the default.
    pub ttl: Duration,
    /// Which step of the session.
    pub task: Option<Intent>,
}

impl Wanted {
    /// Returns what `exchange` asks.
    pub fn of(exchange: &Exchange, peer: &SpiffeId) -> Self {
        Self {
            session: exchange.session,
            peer: peer.clone(),
            holder: exchange.holder.clone(),
            audience: exchange.audience.clone(),
            grants: exchange.grants.clone(),
            ttl: exchange.ttl,
            task: exchange.task.clone(),
        }
    }
}

/// Returns SHA-256 over everything that is asked.
pub fn digest(wanted: &Wanted) -> [u8; 32] {
    let mut texts = vec![
        wanted.session.to_string(),
        wanted.peer.to_string(),
        wanted.holder.as_ref().map(ToString::to_string).unwrap_or_default(),
        wanted.audience.to_string(),
        wanted.ttl.as_secs().to_string(),
        wanted.task.as_ref().map(ToString::to_string).unwrap_or_default(),
    ];
    texts.extend(wanted.grants.iter().map(ToString::to_string));
    let mut digest = Sha256::new();
    digest.update(b"crumb.v1.approval\0");
    for text in texts {
        // Lengths first, so that no other cut of the texts has the same digest.
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    digest.finalize().into()
}
