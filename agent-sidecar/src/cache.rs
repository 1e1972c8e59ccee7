//! The task tokens in memory: one for each exact request, fetched once however many ask, renewed before it ends.
//!
//! # Invariants
//!
//! - A token is found only under the [`RequestKey`] it was fetched for, and the key names the caller.
//! - What the broker hands out is held against the request: a token for something else is not kept and not used.
//! - One exchange at a time for one request. A renewal runs in the background; the old token stays good meanwhile.
//! - What people had to approve is not renewed: nobody is asked to approve what no caller has asked for.
//! - Bounded in number, and no token outlives its own end.

use crate::{
    broker::Broker,
    call_tokens::CallTokens,
    own::OwnIdentity,
    request::{Presenter, RequestKey},
};
use crumb_sdk::broker::{Exchange, Handing, LocalProcess, new_request_id};
use crumb_token::{
    Audience, Claims, Clock, Denial, Grants, Reason, SessionId, SpiffeId, Timestamp, TokenId, attenuate::Parent,
    handover::DelegationKey,
};
use moka::{Expiry, policy::EvictionPolicy};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The most task tokens held: as many as there can be handles.
pub(crate) const HELD_MAX: u64 = crate::tasks::TOTAL_MAX as u64;
/// When a token is renewed, in per cent of its life: early enough to try again, spread so that tokens that were fetched
/// together are not renewed together.
const RENEW_AT_PERCENT: std::ops::RangeInclusive<u64> = 50..=80;
/// The pause after a renewal that failed, in seconds.
const RENEW_AGAIN_S: u64 = 5;
/// When a token is renewed that never is.
const NEVER: u64 = u64::MAX;
/// What must be left of a token for it to be used, in seconds: the way to the tool server, and skew.
const LEFT_MIN_S: u64 = 1;

/// A task token that is held.
#[derive(Debug)]
pub(crate) struct Held {
    /// The secret. It never leaves; only what is narrowed from it does.
    pub(crate) token: Parent,
    /// What was narrowed from it lately.
    pub(crate) calls: CallTokens,
    /// Its name.
    pub(crate) id: TokenId,
    /// What it allows.
    pub(crate) grants: Grants,
    /// Its end.
    pub(crate) expires_at: Timestamp,
    holder: SpiffeId,
    /// When to try the next renewal, in Unix seconds; moved on by whoever takes it up.
    renew_at: AtomicU64,
}

impl Held {
    /// Holds a token that was handed to us: it is never renewed.
    pub(crate) fn handed(token: Parent) -> Self {
        let claims = token.claims();
        Self {
            calls: CallTokens::default(),
            id: claims.token,
            grants: claims.grants.clone(),
            expires_at: token.expires_at(),
            holder: token.holder().clone(),
            renew_at: AtomicU64::new(NEVER),
            token,
        }
    }

    /// Returns at which tool server it is good.
    pub(crate) fn audience(&self) -> &Audience {
        &self.token.claims().audience
    }

    /// Says whether `holder` can use it now.
    pub(crate) fn is_good(&self, holder: &SpiffeId, now: Timestamp) -> bool {
        self.holder == *holder && self.expires_at > now.plus(Duration::from_secs(LEFT_MIN_S))
    }

    /// Takes up the renewal, if it is due. Of many who ask, one gets it.
    fn take_renewal(&self, now: Timestamp) -> bool {
        let due = self.renew_at.load(Ordering::Relaxed);
        let next = now.as_unix_s().saturating_add(RENEW_AGAIN_S);
        due <= now.as_unix_s()
            && self.renew_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Lets a token go at its own end.
struct AtItsEnd(Arc<dyn Clock>);

impl AtItsEnd {
    fn left(&self, held: &Held) -> Option<Duration> {
        Some(held.expires_at.since(self.0.now().wall))
    }
}

impl Expiry<Arc<RequestKey>, Arc<Held>> for AtItsEnd {
    fn expire_after_create(&self, _: &Arc<RequestKey>, held: &Arc<Held>, _: Instant) -> Option<Duration> {
        self.left(held)
    }

    fn expire_after_update(
        &self,
        _: &Arc<RequestKey>,
        held: &Arc<Held>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.left(held)
    }
}

/// The task tokens in memory. Cheap to clone; all clones are one cache.
#[derive(Clone)]
pub(crate) struct Cache {
    held: moka::future::Cache<Arc<RequestKey>, Arc<Held>>,
    /// Requests that people had to approve at least once.
    by_people: moka::future::Cache<Arc<RequestKey>, ()>,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    own: Arc<dyn OwnIdentity>,
    /// With which tokens are handed on that were asked for so.
    delegation: DelegationKey,
    renewals: TaskTracker,
    shutdown: CancellationToken,
}

impl Cache {
    /// Makes an empty cache. Renewals end with `shutdown`.
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        clock: Arc<dyn Clock>,
        own: Arc<dyn OwnIdentity>,
        delegation: DelegationKey,
        shutdown: CancellationToken,
    ) -> Self {
        let held = moka::future::Cache::builder()
            .max_capacity(HELD_MAX)
            // The default policy may turn a new entry away; a token that was just minted has to stay.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(AtItsEnd(Arc::clone(&clock)))
            .build();
        let by_people = moka::future::Cache::builder().max_capacity(HELD_MAX).eviction_policy(EvictionPolicy::lru());
        let by_people = by_people.build();
        Self { held, by_people, broker, clock, own, delegation, renewals: TaskTracker::new(), shutdown }
    }

    /// Returns a token for exactly this request, from memory or from the broker, for `process` of the request's caller.
    ///
    /// # Errors
    ///
    /// The broker's denial, or [`Reason::BrokerUnreachable`].
    pub(crate) async fn get(&self, key: &Arc<RequestKey>, process: &LocalProcess) -> Result<Arc<Held>, Denial> {
        let now = self.clock.now().wall;
        if let Some(held) = self.held.get(key).await {
            if held.is_good(&self.holder_of(key), now) {
                if held.take_renewal(now) {
                    self.renew(Arc::clone(key), process.clone());
                }
                return Ok(held);
            }
            self.held.invalidate(key).await;
        }
        let fetch = self.fetch(Arc::clone(key), process.clone());
        self.held.try_get_with(Arc::clone(key), fetch).await.map_err(|denial: Arc<Denial>| (*denial).clone())
    }

    /// Lets every token of a session go.
    pub(crate) async fn remove_session(&self, session: SessionId) {
        let keys: Vec<_> = self.held.iter().map(|(key, _)| key).filter(|key| key.session == session).collect();
        for key in keys {
            self.held.invalidate(&*key).await;
        }
        let keys: Vec<_> = self.by_people.iter().map(|(key, ())| key).filter(|key| key.session == session).collect();
        for key in keys {
            self.by_people.invalidate(&*key).await;
        }
        // Only then are the bytes dropped, and wiped.
        self.held.run_pending_tasks().await;
    }

    /// Returns how many tokens are held.
    pub(crate) async fn count(&self) -> u64 {
        self.held.run_pending_tasks().await;
        self.held.entry_count()
    }

    /// Waits until no renewal is running; call it after the shutdown.
    pub(crate) async fn finished(&self) {
        self.renewals.close();
        self.renewals.wait().await;
    }

    fn holder_of(&self, key: &RequestKey) -> SpiffeId {
        match &key.presenter {
            Presenter::Sidecar => self.own.id(),
            Presenter::Agent(id) => id.clone(),
        }
    }

    fn renew(&self, key: Arc<RequestKey>, process: LocalProcess) {
        let cache = self.clone();
        let renewal = async move {
            match cache.fetch(Arc::clone(&key), process).await {
                Ok(held) => cache.held.insert(key, held).await,
                // The old token is good until its end; the next use tries again, but asks people no second time.
                Err(denial) => {
                    tracing::warn!(session = %key.session, reason = %denial.reason, "a renewal failed");
                    if let (Reason::ApprovalNeeded, Some(held)) = (denial.reason, cache.held.get(&key).await) {
                        held.renew_at.store(NEVER, Ordering::Relaxed);
                    }
                }
            }
        };
        self.renewals.spawn(self.shutdown.clone().run_until_cancelled_owned(renewal));
    }

    async fn fetch(&self, key: Arc<RequestKey>, process: LocalProcess) -> Result<Arc<Held>, Denial> {
        let holder = self.holder_of(&key);
        let exchange = Exchange {
            request: new_request_id(),
            session: key.session,
            task: key.task.clone(),
            audience: key.audience.clone(),
            grants: key.grants.clone(),
            ttl: (key.ttl_s != 0).then(|| Duration::from_secs(key.ttl_s.into())),
            holder: match &key.presenter {
                Presenter::Sidecar => None,
                Presenter::Agent(id) => Some(id.clone()),
            },
            process: Some(process),
            handing: (!key.may_act.is_empty()).then(|| Handing { key: self.delegation, to: key.may_act.clone() }),
        };
        let exchanged = self.broker.exchange(exchange).await;
        if exchanged.as_ref().is_err_and(|denial| denial.reason == Reason::ApprovalNeeded) {
            self.by_people.insert(Arc::clone(&key), ()).await;
        }
        let minted = exchanged?;
        let bytes = minted.token.decode().map_err(|why| not_what_was_asked(minted.id, &why))?;
        let token = Parent::read(&bytes).map_err(|why| not_what_was_asked(minted.id, &why))?;
        check(&key, &holder, self.delegation, token.claims())?;
        tracing::info!(token = %minted.id, session = %key.session, audience = %key.audience, "a task token was fetched");
        let (claims, end, now) = (token.claims(), token.expires_at(), self.clock.now().wall);
        let renew_at = if self.by_people.contains_key(&key) { NEVER } else { renew_at(now, end) };
        Ok(Arc::new(Held {
            id: claims.token,
            grants: claims.grants.clone(),
            expires_at: end,
            renew_at: AtomicU64::new(renew_at),
            token,
            calls: CallTokens::default(),
            holder,
        }))
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({} tokens)", self.held.entry_count())
    }
}

/// Holds what the broker minted against what was asked; a sidecar that mixes tokens up would be everybody's deputy.
fn check(key: &RequestKey, holder: &SpiffeId, own: DelegationKey, claims: &Claims) -> Result<(), Denial> {
    let wrong = if claims.session != key.session {
        "session"
    } else if claims.audience != key.audience {
        "audience"
    } else if claims.holder != *holder {
        "holder"
    } else if claims.grants.first_outside(&key.grants).is_some() {
        "grants"
    } else if !may_act_as_asked(key, own, claims) {
        "may_act"
    } else {
        return Ok(());
    };
    Err(not_what_was_asked(claims.token, &wrong))
}

fn may_act_as_asked(key: &RequestKey, own: DelegationKey, claims: &Claims) -> bool {
    let Some(may_act) = &claims.may_act else { return key.may_act.is_empty() };
    let named = may_act.delegates.iter().map(|delegate| (&delegate.agent, &delegate.holder));
    may_act.key == own && named.eq(key.may_act.iter().map(|(agent, holder)| (agent, holder)))
}

fn not_what_was_asked(token: TokenId, what: &dyn std::fmt::Display) -> Denial {
    tracing::error!(%token, %what, "the broker handed out a token that is not what was asked for");
    Denial::new(Reason::Unforeseen).by(format!("{token}, {what}"), "the broker")
}

fn renew_at(now: Timestamp, expires_at: Timestamp) -> u64 {
    let life_s = expires_at.since(now).as_secs();
    now.as_unix_s() + life_s * rand::random_range(RENEW_AT_PERCENT) / 100
}

#[cfg(test)]
mod tests;
