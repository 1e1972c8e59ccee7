//! Signing keys: the only place in the house that signs.
//!
//! A key is made in memory when the broker starts and at each rotation, is never written, and ends with the process. Only
//! its public half is kept, with the time after which nothing that it signed can be alive.
//!
//! # Invariants
//!
//! - The next key is published one whole rotation before it signs, so every verifier that is not stale knows it by then.
//! - A key is published until the last token that it can have signed has ended.
//! - Nothing is signed outside a key's time, even when rotation stands still because the store does.

use crate::{clamp, store::PublicKey};
use arc_swap::ArcSwap;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use crumb_token::{
    Claims, KeyId, Timestamp, TokenText,
    mint::{MintError, mint},
    signer::{NextKey, Signer},
};
use crumb_verifier::feed::CONTEXT;
use rand::TryRngCore as _;
use std::{fmt, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// How long a key may go on signing past its rotation when the next one is late: twice the time after which a verifier
/// that has not heard from the broker refuses everything.
pub const OVERLAP: Duration = Duration::from_secs(10);

/// The size up to which claims certainly fit into a token, and nobody has to try.
const SURELY_FITS: usize = 2_048;

/// Something that could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotSigned {
    /// No key may sign now.
    #[error("no signing key is in force")]
    NoKey,
    /// The claims make no token.
    #[error("the token cannot be minted")]
    Mint(#[from] MintError),
    /// The system gave no randomness.
    #[error("the system gave no randomness for a key")]
    Randomness,
}

/// A key made in memory, without a number yet.
pub struct Fresh {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Fresh {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// [`NotSigned::Randomness`].
    pub fn make() -> Result<Self, NotSigned> {
        let next = fresh().ok_or(NotSigned::Randomness)?;
        Ok(Self { secret: next.secret, public: next.public })
    }

    /// Returns the public half.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fresh({} bytes)", self.secret.len())
    }
}

/// A key that signs, between `not_before` and `sign_until`.
struct Held {
    id: KeyId,
    key: RootKey,
    not_before: Timestamp,
    sign_until: Timestamp,
}

/// The secret half. The library wipes it when it is dropped.
struct RootKey(Ed25519KeyPair);

impl Signer for RootKey {
    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        self.0.sign(message).as_ref().try_into().ok()
    }

    fn next(&self) -> Option<NextKey> {
        fresh()
    }
}

/// Makes a key of the system's randomness.
fn fresh() -> Option<NextKey> {
    let mut secret = Zeroizing::new([0; 32]);
    rand::rngs::OsRng.try_fill_bytes(secret.as_mut_slice()).ok()?;
    let pair = Ed25519KeyPair::from_seed_unchecked(secret.as_slice()).ok()?;
    let public = pair.public_key().as_ref().try_into().ok()?;
    Some(NextKey { secret, public })
}

#[derive(Default)]
struct Ring {
    held: Vec<Arc<Held>>,
    published: Vec<PublicKey>,
}

/// The signing keys of this broker, and the public keys that verifiers should know.
pub struct Keys {
    ring: ArcSwap<Ring>,
    rotation: Duration,
}

impl Keys {
    /// Begins with the public keys of earlier starts, and none that signs.
    pub fn new(rotation: Duration, earlier: Vec<PublicKey>) -> Self {
        Self { ring: ArcSwap::from_pointee(Ring { held: Vec::new(), published: earlier }), rotation }
    }

    /// Returns when a key that signs from `not_before` on has been forgotten by everybody.
    pub fn not_after(&self, not_before: Timestamp) -> Timestamp {
        not_before.plus(self.rotation).plus(OVERLAP).plus(clamp::TTL_MAX)
    }

    /// Takes a key that the store has numbered.
    ///
    /// # Errors
    ///
    /// [`NotSigned::NoKey`] when the library does not take the key.
    pub fn take(&self, fresh: &Fresh, id: KeyId, not_before: Timestamp) -> Result<(), NotSigned> {
        let pair = Ed25519KeyPair::from_seed_and_public_key(fresh.secret.as_slice(), &fresh.public);
        let held = Held {
            id,
            key: RootKey(pair.map_err(|_| NotSigned::NoKey)?),
            not_before,
            sign_until: not_before.plus(self.rotation).plus(OVERLAP),
        };
        let public = PublicKey { id, public: fresh.public, not_before, not_after: self.not_after(not_before) };
        let held = Arc::new(held);
        self.ring.rcu(|ring| {
            let mut next = Ring { held: ring.held.clone(), published: ring.published.clone() };
            next.held.push(Arc::clone(&held));
            next.published.push(public.clone());
            next
        });
        Ok(())
    }

    /// Takes keys out: they sign nothing more, and are not published.
    pub fn revoke(&self, revoked: &[KeyId]) {
        self.ring.rcu(|ring| Ring {
            held: ring.held.iter().filter(|key| !revoked.contains(&key.id)).cloned().collect(),
            published: ring.published.iter().filter(|key| !revoked.contains(&key.id)).cloned().collect(),
        });
    }

    /// Forgets keys whose time is over: secrets that sign no more, and public keys under which nothing is alive.
    pub fn forget(&self, now: Timestamp) {
        self.ring.rcu(|ring| Ring {
            held: ring.held.iter().filter(|key| now < key.sign_until).cloned().collect(),
            published: ring.published.iter().filter(|key| now < key.not_after).cloned().collect(),
        });
    }

    /// Returns when the next key should begin to sign, when it has to be made now; `None` while there is one.
    pub fn wanted(&self, now: Timestamp) -> Option<Timestamp> {
        let ring = self.ring.load();
        let newest = ring.held.iter().map(|key| key.not_before).max();
        // Without one that signs now there is nothing to overlap with: at the start, and after a revocation.
        let Some(newest) = newest.filter(|_| self.signer(now).is_ok()) else { return Some(now) };
        // Late, it still has to be published before it signs.
        (newest <= now).then(|| newest.plus(self.rotation).max(now.plus(OVERLAP)))
    }

    /// Returns the keys that verifiers should know.
    pub fn published(&self) -> Vec<PublicKey> {
        self.ring.load().published.clone()
    }

    /// Says whether `claims` fit into a token, so that no issuance is recorded that cannot be signed.
    ///
    /// # Errors
    ///
    /// [`NotSigned::Mint`] when they do not.
    pub fn check_fit(&self, claims: &Claims) -> Result<(), NotSigned> {
        if estimate(claims) <= SURELY_FITS {
            return Ok(());
        }
        // A key that nobody knows signs the same bytes as one that counts.
        let nobodys = Fresh::make()?;
        let pair = Ed25519KeyPair::from_seed_unchecked(nobodys.secret.as_slice()).map_err(|_| NotSigned::NoKey)?;
        mint(claims, KeyId(u32::MAX), &RootKey(pair)).map(|_| ()).map_err(NotSigned::Mint)
    }

    /// Signs a token. Claims that were first signed with an earlier key are moved into this key's time.
    ///
    /// # Errors
    ///
    /// [`NotSigned`].
    pub fn sign_token(&self, mut claims: Claims, now: Timestamp) -> Result<TokenText, NotSigned> {
        let key = self.signer(now)?;
        claims.issued_at = claims.issued_at.max(key.not_before);
        let token = mint(&claims, key.id, &key.key)?;
        Ok(TokenText::from_bytes(&token))
    }

    /// Signs a message of the feed.
    ///
    /// # Errors
    ///
    /// [`NotSigned::NoKey`].
    pub fn sign_feed(&self, message: &[u8], now: Timestamp) -> Result<(KeyId, [u8; 64]), NotSigned> {
        let key = self.signer(now)?;
        let signature = key.key.sign(&[CONTEXT, message].concat()).ok_or(NotSigned::NoKey)?;
        Ok((key.id, signature))
    }

    fn signer(&self, now: Timestamp) -> Result<Arc<Held>, NotSigned> {
        let ring = self.ring.load();
        let in_force = ring.held.iter().filter(|key| key.not_before <= now && now < key.sign_until);
        in_force.max_by_key(|key| key.not_before).cloned().ok_or(NotSigned::NoKey)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.ring.load();
        f.debug_struct("Keys")
            .field("held", &ring.held.iter().map(|key| key.id).collect::<Vec<_>>())
            .field("published", &ring.published.iter().map(|key| key.id).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Returns about as many bytes as a token with these claims has, and rather more.
fn estimate(claims: &Claims) -> usize {
    let fixed = 900;
    let grant =
        |g: &crumb_token::Grant| g.tool.as_str().len() + g.operation.as_str().len() + g.resource.to_string().len();
    let grants: usize = claims.grants.iter().map(|g| grant(g) + 32).sum();
    let names = claims.holder.as_str().len() * 2 + claims.audience.as_str().len() * 2 + claims.origin.name().len();
    let subject = claims.subject.as_ref().map_or(0, |s| s.name.as_str().len() + 32);
    let actors: usize = claims.actors.iter().map(|a| a.as_str().len() + 24).sum();
    let ancestors = claims.ancestors.len() * 240;
    let delegates = claims.may_act.iter().flat_map(|may_act| &may_act.delegates);
    let delegates: usize = delegates.map(|to| to.holder.as_str().len() + to.agent.as_str().len() + 80).sum();
    fixed + grants + names + subject + actors + ancestors + delegates
}

#[cfg(test)]
mod tests;
