//! A small world for the unit tests: a broker with a key or two, one holder, one tool server.

use crate::{
    Decision, Limits, Refused, Verified, Verifier,
    feed::{CONTEXT, FeedRefused, Key, Message, Revocation, Signed, Target},
};
use biscuit_auth::{KeyPair, PrivateKey, builder::Algorithm};
use crumb_token::{
    Ask, Caveat, Claims, Grants, KeyId, Now, Origin, Reason, SpiffeId, Timestamp, TokenText, attenuate::attenuate,
    mint::mint,
};
use ed25519_dalek::{Signer, SigningKey};
use std::time::Duration;

/// The second at which everything here happens.
pub(crate) const T0: u64 = 1_800_000_000;
pub(crate) const AUDIENCE: &str = "spiffe://acme.example/tool/files";
pub(crate) const HOLDER: &str = "spiffe://acme.example/agent/research-bot";

pub(crate) fn at(s: u64) -> Timestamp {
    Timestamp::from_unix_s(s)
}

/// Returns `T0` and `s` seconds, on both clocks.
pub(crate) fn now(s: u64) -> Now {
    Now { wall: at(T0 + s), ticks: Duration::from_secs(1000 + s) }
}

pub(crate) fn peer() -> SpiffeId {
    HOLDER.parse().expect("a SPIFFE ID")
}

/// A broker's key, from a fixed seed.
#[derive(Clone, Copy)]
pub(crate) struct Broker {
    pub(crate) id: KeyId,
    pub(crate) seed: [u8; 32],
}

/// The broker's usual key.
pub(crate) const BROKER: Broker = Broker { id: KeyId(7), seed: [7; 32] };
/// Another one.
pub(crate) const OTHER: Broker = Broker { id: KeyId(8), seed: [8; 32] };

impl Broker {
    pub(crate) fn key(self) -> Key {
        let public = SigningKey::from_bytes(&self.seed).verifying_key().to_bytes();
        Key { id: self.id, public, not_before: at(T0 - 3600), not_after: at(T0 + 86_400) }
    }

    pub(crate) fn mint(self, claims: &Claims) -> Vec<u8> {
        let private = PrivateKey::from_bytes(&self.seed, Algorithm::Ed25519).expect("32 bytes");
        mint(claims, self.id, &KeyPair::from(&private)).expect("mints").to_vec()
    }

    /// Signs and applies `message` as a broker and its listener would.
    pub(crate) fn tell(self, verifier: &Verifier, message: Message, now: Now) -> Result<(), FeedRefused> {
        let bytes = format!("{message:?}").into_bytes();
        let payload = [CONTEXT, &bytes].concat();
        let signature = SigningKey::from_bytes(&self.seed).sign(&payload).to_bytes();
        verifier.apply(&Signed { bytes: &bytes, key_id: self.id, signature: &signature }, message, now)
    }
}

/// A full message without revocations, `s` seconds after `T0`.
pub(crate) fn full(s: u64) -> Message {
    Message { full: true, keys: vec![BROKER.key()], ..heartbeat(s, 0) }
}

/// A message that says nothing new, `s` seconds after `T0`.
pub(crate) fn heartbeat(s: u64, sequence: u64) -> Message {
    let time_unix_ms = (T0 + s) * 1000;
    Message { epoch: 1, sequence, time_unix_ms, full: false, keys: vec![], revocations: vec![] }
}

/// A message with one revocation, `s` seconds after `T0`.
pub(crate) fn revoke(s: u64, sequence: u64, target: Target) -> Message {
    let revocation = Revocation::whole(sequence, target, at(T0 + 3600));
    Message { revocations: vec![revocation], ..heartbeat(s, sequence) }
}

/// A verifier that has just heard a full message.
pub(crate) fn verifier() -> Verifier {
    verifier_with(Limits::default())
}

pub(crate) fn verifier_with(limits: Limits) -> Verifier {
    let verifier = Verifier::new(AUDIENCE.parse().expect("an audience"), limits);
    BROKER.tell(&verifier, full(0), now(0)).expect("taken");
    verifier
}

pub(crate) fn grants(rights: &[(&str, &str, &str)]) -> Grants {
    let grants = rights.iter().map(|(tool, operation, resource)| crumb_token::Grant {
        tool: tool.parse().expect("a tool"),
        operation: operation.parse().expect("an operation"),
        resource: resource.parse().expect("a pattern"),
    });
    Grants::try_new(grants).expect("few")
}

/// Claims that allow to read below `file:///docs/`, for ten minutes.
pub(crate) fn claims() -> Claims {
    Claims {
        token: format!("tok_{:032x}", 1).parse().expect("a token id"),
        session: format!("ses_{:032x}", 2).parse().expect("a session id"),
        agent: "research-bot".parse().expect("a name"),
        version: "1.4.0".parse().expect("a version"),
        environment: "production".parse().expect("an environment"),
        holder: peer(),
        subject: None,
        actors: vec![],
        ancestors: vec![],
        may_act: None,
        origin: Origin::from_words("schedule", "nightly", "asserted").expect("an origin"),
        intent_digest: [3; 32],
        audience: AUDIENCE.parse().expect("an audience"),
        grants: grants(&[("read_file", "read", "file:///docs/*"), ("read_file", "stat", "*")]),
        issued_at: at(T0),
        expires_at: at(T0 + 600),
        depth_limit: 8,
        identity_provider: "spire".parse().expect("a provider"),
    }
}

/// The call that the claims allow.
pub(crate) fn ask() -> Ask {
    ask_for("read_file", "read", "file:///docs/a.md")
}

pub(crate) fn ask_for(tool: &str, operation: &str, resource: &str) -> Ask {
    let (tool, operation) = (tool.parse().expect("a tool"), operation.parse().expect("an operation"));
    Ask::new(tool, operation, resource.parse().expect("a resource"))
}

pub(crate) fn token(claims: &Claims) -> TokenText {
    TokenText::from_bytes(&BROKER.mint(claims))
}

/// The usual token, narrowed by one block of `caveats`.
pub(crate) fn narrowed(caveats: &[Caveat]) -> TokenText {
    TokenText::from_bytes(&attenuate(&BROKER.mint(&claims()), caveats).expect("narrows"))
}

pub(crate) fn allowed(decision: Decision) -> Verified {
    decision.into_result().expect("allowed")
}

pub(crate) fn denied(decision: Decision, reason: Reason) -> Refused {
    let refused = decision.into_result().expect_err("denied");
    assert_eq!(refused.denial.reason, reason, "{refused:?}");
    *refused
}
