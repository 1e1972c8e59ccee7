//! biscuit-auth, the library that our tokens are made with: the very same token, checked by its own Datalog. Once anew
//! for every call, and once behind a plain cache of decisions.
//!
//! The cache answers by token and call alone: what it has allowed stays allowed, whatever is revoked and whatever the
//! time. It is what people build first, and is here for its speed.

use super::Peer;
use crate::world::{self, Call, now};
use anyhow::Context;
use biscuit_auth::{
    AuthorizerBuilder, AuthorizerLimits, Biscuit, PublicKey,
    builder::{Algorithm, Fact, Term, string},
};
use crumb_tests::vectors::forge::{ROOT, public};
use crumb_token::{Claims, profile::ambient};
use moka::sync::Cache;
use std::time::Duration;

/// Signatures and Datalog, for every call.
pub(super) struct Cold {
    root: PublicKey,
    claims: Claims,
    /// The policy and the limits; each call adds its facts to a copy.
    policy: AuthorizerBuilder,
    token: Option<Call>,
    blocks: usize,
}

impl Cold {
    pub(super) fn new(appended: usize) -> anyhow::Result<Self> {
        let limits = AuthorizerLimits { max_time: Duration::from_secs(1), ..AuthorizerLimits::default() };
        Ok(Self {
            root: PublicKey::from_bytes(&public(ROOT), Algorithm::Ed25519)?,
            claims: world::claims(0)?,
            policy: AuthorizerBuilder::new().policy("allow if true")?.set_limits(limits),
            token: Some(world::call(0, 0, appended)?),
            blocks: appended + 1,
        })
    }

    /// Checks the token that the call itself brings.
    fn check(&self, call: &Call) -> Option<()> {
        let token = self.token.as_ref().unwrap_or(call);
        let token = Biscuit::from(token.token.decode().ok()?, self.root).ok()?;
        let fact = |name: &str, term: Term| Fact::new(name.to_owned(), vec![term]);
        let facts = [
            fact(ambient::TIME, Term::Date(now().wall.as_unix_s())),
            fact(ambient::PEER, string(call.peer.as_str())),
            fact(ambient::SERVER, string(self.claims.audience.as_str())),
            fact(ambient::TOOL, string(call.ask.tool.as_str())),
            fact(ambient::OPERATION, string(call.ask.operation.as_str())),
            fact(ambient::RESOURCE, string(call.ask.resource.as_str())),
        ];
        let builder = facts.into_iter().try_fold(self.policy.clone(), AuthorizerBuilder::fact).ok()?;
        builder.build(&token).ok()?.authorize().ok().map(drop)
    }
}

impl Peer for Cold {
    fn name(&self) -> &'static str {
        "biscuit-auth"
    }

    fn what(&self) -> &'static str {
        "biscuit-auth 6: from() and authorize() of the same token"
    }

    fn blocks(&self) -> usize {
        self.blocks
    }

    fn allows(&mut self, call: &Call) -> bool {
        self.check(call).is_some()
    }
}

/// The same behind a cache of decisions.
pub(super) struct Cached {
    cold: Cold,
    decisions: Cache<(String, String), bool, ahash::RandomState>,
}

impl Cached {
    pub(super) fn new(live: usize) -> anyhow::Result<Self> {
        let room = u64::try_from(live * 4).context("few calls")?;
        let decisions = Cache::builder().max_capacity(room).build_with_hasher(ahash::RandomState::new());
        Ok(Self { cold: Cold { token: None, blocks: 2, ..Cold::new(1)? }, decisions })
    }
}

impl Peer for Cached {
    fn name(&self) -> &'static str {
        "biscuit-auth+moka"
    }

    fn what(&self) -> &'static str {
        "biscuit-auth 6 behind a moka cache of (token, call): no time, no revocation, no holder"
    }

    fn blocks(&self) -> usize {
        self.cold.blocks
    }

    fn keeps(&self) -> bool {
        true
    }

    fn allows(&mut self, call: &Call) -> bool {
        let key = (call.token.expose().to_owned(), call.ask.to_string());
        if let Some(known) = self.decisions.get(&key) {
            return known;
        }
        let allowed = self.cold.check(call).is_some();
        self.decisions.insert(key, allowed);
        allowed
    }
}
