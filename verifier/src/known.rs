//! What the verifier knows from the feed, and the rules by which a message changes it.
//!
//! Pure: the old state and a message make a new state, or a refusal. Publishing it is [`crate::Verifier`]'s.

use crate::{
    Limits,
    authentic::Root,
    conditions::BROKER,
    ed25519::Key,
    feed::{CONTEXT, FeedRefused, Freshness, Message, Signed},
    keyring::Keyring,
    revoked::Revoked,
    verifier::SERVER,
};
use crumb_token::{Claims, Denial, KeyId, Now, Reason, Timestamp, handover::Hop};
use std::{sync::Arc, time::Duration};

/// Keys and revocations. Changes seldom, so heartbeats share it.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) keys: Keyring,
    pub(crate) revoked: Revoked,
}

impl Facts {
    /// Returns the root key of a token with these claims, when it is in force and not revoked.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenRevoked`] or [`Reason::KeyUnknown`].
    pub(crate) fn key(&self, id: KeyId, claims: &Claims) -> Result<&Key, Denial> {
        // Whoever has a revoked key can sign anything, so what such a token says is not even worth recording.
        if self.revoked.has_key(id) {
            return Err(Denial::new(Reason::TokenRevoked).by("revocation of the key", BROKER));
        }
        let key = self.keys.get(id).filter(|known| known.in_force(claims.issued_at));
        key.map(|known| &known.key).ok_or_else(|| Denial::new(Reason::KeyUnknown).by("signing keys", BROKER))
    }

    /// Says whether the number still has that key.
    pub(crate) fn names(&self, root: Root) -> bool {
        self.keys.get(root.id).is_some_and(|known| *known.key.as_bytes() == root.public)
    }

    /// Holds a token that was authentic once against the keys as they are.
    ///
    /// # Errors
    ///
    /// As [`Self::key`]; [`Reason::SignatureInvalid`] when the number has another key now.
    pub(crate) fn check_root(&self, root: Root, claims: &Claims) -> Result<(), Denial> {
        let key = self.key(root.id, claims)?;
        let same = *key.as_bytes() == root.public;
        // As if it came for the first time: the key of that number did not sign it.
        if same { Ok(()) } else { Err(Denial::new(Reason::SignatureInvalid).by("signatures", SERVER)) }
    }

    /// Holds a token against the revocations of itself, its session and its agent, and of those it was handed to.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenRevoked`].
    pub(crate) fn check_revoked<'h>(&self, claims: &Claims, hops: impl Iterator<Item = &'h Hop>) -> Result<(), Denial> {
        self.revoked.ends(claims, hops).map_or(Ok(()), |what| {
            Err(Denial::new(Reason::TokenRevoked).by(format_args!("revocation of the {what}"), BROKER))
        })
    }

    /// Says whether the keys and revocations leave a token alive.
    pub(crate) fn vouch_for<'h>(&self, root: Root, claims: &Claims, hops: impl Iterator<Item = &'h Hop>) -> bool {
        self.check_root(root, claims).is_ok() && self.check_revoked(claims, hops).is_ok()
    }
}

/// Everything known at one moment; readers take it as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) facts: Arc<Facts>,
    epoch: u64,
    sequence: u64,
    /// The broker's clock in the last message that counted.
    signed_ms: u64,
    /// When that message came.
    heard: Duration,
    /// False from the moment that something is known to be missing, until a full message.
    in_step: bool,
}

impl Known {
    /// Makes what a first, or another, full message says. Nothing of `before` stays but that time goes on.
    ///
    /// # Errors
    ///
    /// [`FeedRefused`], by the first rule that the message breaks.
    pub(crate) fn replace(
        before: Option<&Self>,
        signed: &Signed<'_>,
        message: &Message,
        now: Now,
        limits: &Limits,
    ) -> Result<Self, FeedRefused> {
        let horizon = horizon(message.time_unix_ms, limits);
        if message.keys.len() > limits.keys_max {
            return Err(FeedRefused::TooManyKeys { max: limits.keys_max });
        }
        if message.revocations.len() > limits.revocations_max {
            return Err(FeedRefused::TooManyRevocations { max: limits.revocations_max });
        }
        let facts = Facts {
            keys: Keyring::default().with(&message.keys, horizon, limits.keys_max)?,
            revoked: Revoked::default().with(&message.revocations, horizon, limits.revocations_max),
        };
        check_signature(&facts, signed, message)?;
        check_skew(message, now, limits)?;
        if let Some(before) = before {
            if message.time_unix_ms < before.signed_ms {
                return Err(FeedRefused::Replayed);
            }
            before.check_not_back(message)?;
        }
        if message.revocations.iter().any(|r| r.sequence > message.sequence) {
            return Err(FeedRefused::Gap { have: message.sequence });
        }
        Ok(Self::at(Arc::new(facts), message, now))
    }

    /// Makes what a message that says only what is new leads to.
    ///
    /// # Errors
    ///
    /// [`FeedRefused`], by the first rule that the message breaks. After [`breaks_step`] ones the caller has to
    /// [`Self::fall_out_of_step`].
    pub(crate) fn follow(
        &self,
        signed: &Signed<'_>,
        message: &Message,
        now: Now,
        limits: &Limits,
    ) -> Result<Self, FeedRefused> {
        check_signature(&self.facts, signed, message)?;
        check_skew(message, now, limits)?;
        if message.time_unix_ms <= self.signed_ms {
            return Err(FeedRefused::Replayed);
        }
        if message.epoch != self.epoch || !self.in_step {
            return Err(FeedRefused::NotInStep);
        }
        self.check_not_back(message)?;
        self.check_continues(message)?;
        let facts = self.facts_with(message, limits)?;
        Ok(Self::at(facts, message, now))
    }

    /// Returns the same knowledge, marked as incomplete: it allows nothing any more.
    pub(crate) fn fall_out_of_step(&self) -> Self {
        Self { in_step: false, ..self.clone() }
    }

    /// Says how lately the broker was heard.
    pub(crate) fn freshness(&self, now: Now, limits: &Limits) -> Freshness {
        let since = now.ticks.saturating_sub(self.heard);
        if self.in_step && since <= limits.stale_after {
            Freshness::Fresh { since }
        } else {
            Freshness::Stale { since }
        }
    }

    /// Returns until when this is fresh enough to decide by; `None` when something is known to be missing.
    pub(crate) fn fresh_until(&self, limits: &Limits) -> Option<Duration> {
        self.in_step.then(|| self.heard.saturating_add(limits.stale_after))
    }

    /// Returns the moment before which what has ended may be forgotten.
    pub(crate) fn horizon(&self, limits: &Limits) -> Timestamp {
        horizon(self.signed_ms, limits)
    }

    fn at(facts: Arc<Facts>, message: &Message, now: Now) -> Self {
        let (epoch, sequence, signed_ms) = (message.epoch, message.sequence, message.time_unix_ms);
        Self { facts, epoch, sequence, signed_ms, heard: now.ticks, in_step: true }
    }

    fn check_not_back(&self, message: &Message) -> Result<(), FeedRefused> {
        if message.epoch == self.epoch && message.sequence < self.sequence {
            return Err(FeedRefused::WentBack { have: self.sequence, got: message.sequence });
        }
        Ok(())
    }

    /// The new revocations are exactly those after ours, up to the message's own number.
    fn check_continues(&self, message: &Message) -> Result<(), FeedRefused> {
        let mut last = self.sequence;
        for revocation in &message.revocations {
            if last.checked_add(1) != Some(revocation.sequence) {
                return Err(FeedRefused::Gap { have: last });
            }
            last = revocation.sequence;
        }
        if last == message.sequence { Ok(()) } else { Err(FeedRefused::Gap { have: last }) }
    }

    fn facts_with(&self, message: &Message, limits: &Limits) -> Result<Arc<Facts>, FeedRefused> {
        if message.keys.is_empty() && message.revocations.is_empty() {
            return Ok(Arc::clone(&self.facts));
        }
        let horizon = horizon(message.time_unix_ms, limits);
        let keys = self.facts.keys.with(&message.keys, horizon, limits.keys_max)?;
        let max = limits.revocations_max;
        let revoked = self.facts.revoked.with(&message.revocations, horizon, max);
        if revoked.len() > max {
            return Err(FeedRefused::TooManyRevocations { max });
        }
        Ok(Arc::new(Facts { keys, revoked }))
    }
}

/// Says whether a refusal of an authentic message means that something is missing from now on.
pub(crate) fn breaks_step(refused: FeedRefused) -> bool {
    matches!(
        refused,
        FeedRefused::Gap { .. }
            | FeedRefused::NotInStep
            | FeedRefused::TooManyRevocations { .. }
            | FeedRefused::TooManyKeys { .. }
            | FeedRefused::InvalidKey(_)
    )
}

/// The moment before which what has ended may be forgotten. It is the broker's signed time, not the verifier's clock, so
/// a clock that was stepped forth and back forgets nothing that is alive; less the skew, and one second for rounding.
fn horizon(signed_ms: u64, limits: &Limits) -> Timestamp {
    let slack_s = limits.clock_skew.as_secs().saturating_add(1);
    Timestamp::from_unix_s((signed_ms / 1000).saturating_sub(slack_s))
}

fn check_signature(facts: &Facts, signed: &Signed<'_>, message: &Message) -> Result<(), FeedRefused> {
    let id = signed.key_id;
    let key = facts.keys.get(id).ok_or(FeedRefused::SignerUnknown(id))?;
    let at = Timestamp::from_unix_s(message.time_unix_ms / 1000);
    if !key.in_force(at) || facts.revoked.has_key(id) {
        return Err(FeedRefused::SignerNotInForce(id));
    }
    let payload = [CONTEXT, signed.bytes].concat();
    if key.key.signed(&payload, signed.signature) { Ok(()) } else { Err(FeedRefused::Signature(id)) }
}

/// The verifier's clock is in whole seconds, so the broker's is compared with that whole second.
fn check_skew(message: &Message, now: Now, limits: &Limits) -> Result<(), FeedRefused> {
    let from_ms = now.wall.as_unix_s().saturating_mul(1000);
    let to_ms = from_ms.saturating_add(999);
    let off_ms = from_ms.saturating_sub(message.time_unix_ms) + message.time_unix_ms.saturating_sub(to_ms);
    let off = Duration::from_millis(off_ms);
    if off > limits.clock_skew { Err(FeedRefused::Skew(off)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
