//! A verifier whose feed is written by the test: it knows the vectors' root key, and is told revocations one by one.

use crate::vectors::{
    forge::{self, ROOT, ROOT_ID},
    player::NOW,
};
use crumb_token::{Ask, Audience, KeyId, Now, SpiffeId, Timestamp, TokenText, revocation::Target};
use crumb_verifier::{
    Decision, Limits, Verifier,
    feed::{CONTEXT, Key, Message, Revocation, Signed},
};
use ed25519_dalek::{Signer, SigningKey};
use std::{sync::Arc, time::Duration};

/// From when and until when the root key is in force.
pub const KEY_IN_FORCE: (u64, u64) = (NOW - 3600, NOW + 7200);

/// A verifier, and where its feed is.
#[derive(Debug)]
pub struct FedVerifier {
    /// The verifier itself, to share with threads.
    pub verifier: Arc<Verifier>,
    sequence: u64,
    signed_ms: u64,
}

impl FedVerifier {
    /// Makes one that has just heard of the root key, at `now_s`.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn new(audience: Audience, now_s: u64) -> Self {
        let verifier = Arc::new(Verifier::new(audience, Limits::default()));
        let (not_before, not_after) = (Timestamp::from_unix_s(KEY_IN_FORCE.0), Timestamp::from_unix_s(KEY_IN_FORCE.1));
        let keys = vec![Key { id: KeyId(ROOT_ID), public: forge::public(ROOT), not_before, not_after }];
        let mut fed = Self { verifier, sequence: 0, signed_ms: 0 };
        fed.apply(true, keys, vec![], now_s);
        fed
    }

    /// Tells it revocations, all in one message; they hold when this returns.
    ///
    /// # Panics
    ///
    /// When told more than 2,000 messages in one second: they would be signed too far in the future.
    pub fn revoke(&mut self, targets: impl IntoIterator<Item = Target>, now_s: u64) {
        let until = Timestamp::from_unix_s(KEY_IN_FORCE.1);
        let numbered = targets.into_iter().zip(self.sequence + 1..);
        let revocations: Vec<_> =
            numbered.map(|(target, sequence)| Revocation::whole(sequence, target, until)).collect();
        self.sequence = revocations.last().map_or(self.sequence, |last| last.sequence);
        self.apply(false, vec![], revocations, now_s);
    }

    fn apply(&mut self, full: bool, keys: Vec<Key>, revocations: Vec<Revocation>, now_s: u64) {
        self.signed_ms = (now_s * 1000).max(self.signed_ms + 1);
        let (sequence, time_unix_ms) = (self.sequence, self.signed_ms);
        let message = Message { epoch: 1, sequence, time_unix_ms, full, keys, revocations };
        let signature = SigningKey::from_bytes(&ROOT).sign(CONTEXT).to_bytes();
        let signed = Signed { bytes: &[], key_id: KeyId(ROOT_ID), signature: &signature };
        self.verifier.apply(&signed, message, at(now_s)).expect("a message that is in order");
    }

    /// Decides a call.
    pub fn decide(&self, token: &[u8], ask: &Ask, peer: &SpiffeId, now_s: u64) -> Decision {
        self.verifier.decide(&TokenText::from_bytes(token), ask, peer, at(now_s))
    }
}

/// Returns a moment; the feed stays fresh at all of them.
pub fn at(now_s: u64) -> Now {
    Now { wall: Timestamp::from_unix_s(now_s), ticks: Duration::ZERO }
}
