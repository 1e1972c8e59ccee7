//! Handing a task's token on to another agent, and taking one that was handed to us. Both offline.
//!
//! What is handed on is good in the next holder's hands alone: without its SVID it is worth nothing, so unlike a task token
//! it may pass through the two agents. Whether its signatures are right is the tool server's to say, at the first call.

use super::{Begun, Sidecar};
use crate::{cache::Held, caller::Attested};
use crumb_token::{
    Caveat, Denial, Reason, SpiffeId, TaskId, Timestamp, TokenText,
    attenuate::{AttenuateError, Parent},
    handover::DelegationKey,
};
use sha2::{Digest as _, Sha256};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// How far the broker's clock may be ahead.
const SKEW: Duration = Duration::from_secs(5);
/// The longest that any token lives, by the broker's rules.
const LIFE_MAX: Duration = Duration::from_secs(60 * 60);

/// A token that a caller wants to hand on.
#[derive(Clone, Debug)]
pub(crate) struct HandingOver {
    /// The task whose token it is.
    pub(crate) task: TaskId,
    /// The next holder.
    pub(crate) to: SpiffeId,
    /// The next holder's key, when it may hand the token on once more.
    pub(crate) onward: Option<DelegationKey>,
    /// What it may do at most, there.
    pub(crate) caveats: Vec<Caveat>,
    /// How long, at most; zero for as long as the token lives.
    pub(crate) ttl: Duration,
}

impl Sidecar {
    /// Hands `caller`'s task token on. The broker is not asked, unless the token has to be fetched anew.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`]; [`Reason::DelegationRefused`] when the task was not begun for that, or not for this
    /// workload.
    pub(crate) async fn hand_over(
        &self,
        caller: &Attested,
        handing: HandingOver,
    ) -> Result<(TokenText, Timestamp), Denial> {
        let held = match self.handed.find(handing.task, &caller.identity) {
            Some(held) => held,
            None => {
                let key = self.tasks.find(handing.task, &caller.identity, self.now())?;
                self.held(caller, &key).await?
            }
        };
        let mut caveats = handing.caveats;
        let mut end = held.expires_at;
        if !handing.ttl.is_zero() {
            end = end.min(self.now().plus(handing.ttl));
            caveats.push(Caveat::ExpiresAt(end));
        }
        let token = held.token.hand_over(&handing.to, handing.onward, &caveats, self.parts.delegation.pair());
        let token = token.map_err(|why| refused(&why, &handing.to))?;
        tracing::info!(token = %held.id, to = %handing.to, "a token was handed on");
        Ok((TokenText::from_bytes(&token), end))
    }

    /// Takes a token that another agent handed to this workload, for `caller`, and names it by a handle.
    ///
    /// # Errors
    ///
    /// The reason for which a tool server would not read it, [`Reason::HolderMismatch`] when this workload is not its holder,
    /// [`Reason::TokenExpired`], [`Reason::NoIdentity`] or [`Reason::Overloaded`].
    pub(crate) fn accept(&self, caller: &Attested, token: &TokenText) -> Result<Begun, Denial> {
        self.ensure_identity()?;
        let unreadable = |reason| Denial::new(reason).by("token profile", "the sidecar");
        let parent = Parent::read(&token.decode().map_err(unreadable)?).map_err(|why| match why {
            AttenuateError::Refused(reason) => unreadable(reason),
            _ => unreadable(Reason::TokenOutOfProfile),
        })?;
        // A token that nobody handed on was made out to whoever asked for it, and never leaves its sidecar.
        if parent.hops().is_empty() || *parent.holder() != self.parts.own.id() {
            let asked = format!("a token for {}", parent.holder());
            return Err(Denial::new(Reason::HolderMismatch).asked(asked).by("this workload", self.parts.own.id()));
        }
        let (claims, now) = (parent.claims(), self.now());
        if parent.expires_at() <= now {
            return Err(Denial::new(Reason::TokenExpired).asked(claims.token));
        }
        // Nobody has checked a signature yet, and what lives longer than any token would keep its place for as long.
        if claims.issued_at > now.plus(SKEW) || claims.expires_at > claims.issued_at.plus(LIFE_MAX) {
            return Err(unreadable(Reason::TokenNotYetValid).asked(claims.token));
        }
        let held = Arc::new(Held::handed(parent));
        let digest = Sha256::digest(token.expose()).into();
        let fresh = TaskId::from_uuid(Uuid::now_v7());
        let task = self.handed.keep(fresh, &caller.identity, digest, Arc::clone(&held), now)?;
        tracing::info!(token = %held.id, exe = %caller.process.exe, "a handed token was accepted");
        Ok(Begun { task, grants: held.grants.clone(), expires_at: held.expires_at })
    }
}

fn refused(why: &AttenuateError, to: &SpiffeId) -> Denial {
    match why {
        AttenuateError::NotForThem(_) | AttenuateError::NotTheirKey => Denial::new(Reason::DelegationRefused)
            .asked(format!("to {to}, offline"))
            .by("task token, may_act", "the broker")
            .next("begin a task that names who may act, or delegate through the broker"),
        AttenuateError::TooMuch(reason) | AttenuateError::Refused(reason) => {
            Denial::new(*reason).by("task token", "the sidecar")
        }
        _ => Denial::new(Reason::RequestInvalid).by(why, "the token profile"),
    }
}
