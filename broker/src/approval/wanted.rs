//! The exact ask that an approval is bound to.

use crate::{exchange::Exchange, session::BoundProcess};
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
    /// The local process that it is asked for, when a sidecar said so.
    pub process: Option<BoundProcess>,
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
            process: exchange.process.as_ref().map(BoundProcess::from),
            // Naming oneself is naming nobody: the same token, so the same ask.
            holder: exchange.holder.clone().filter(|holder| holder != peer),
            audience: exchange.audience.clone(),
            grants: exchange.grants.clone(),
            ttl: exchange.ttl,
            task: exchange.task.clone(),
        }
    }
}

/// Returns SHA-256 over everything that is asked.
pub fn digest(wanted: &Wanted) -> [u8; 32] {
    let task = wanted.task.as_ref().map(ToString::to_string).unwrap_or_default();
    hash(b"crumb.v1.approval\0", &[texts(wanted), vec![wanted.ttl.as_secs().to_string(), task]].concat())
}

/// Returns SHA-256 over what is asked, however long and for whichever step: what a refusal answers.
pub fn gist(wanted: &Wanted) -> [u8; 32] {
    hash(b"crumb.v1.approval.gist\0", &texts(wanted))
}

fn texts(wanted: &Wanted) -> Vec<String> {
    let mut texts = vec![
        wanted.session.to_string(),
        wanted.peer.to_string(),
        wanted.process.as_ref().map(|process| format!("{} {}", process.uid, process.exe)).unwrap_or_default(),
        wanted.holder.as_ref().map(ToString::to_string).unwrap_or_default(),
        wanted.audience.to_string(),
        wanted.grants.len().to_string(),
    ];
    texts.extend(wanted.grants.iter().map(ToString::to_string));
    texts
}

fn hash(domain: &[u8], texts: &[String]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(domain);
    for text in texts {
        // Lengths first, so that no other cut of the texts has the same digest.
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    digest.finalize().into()
}
