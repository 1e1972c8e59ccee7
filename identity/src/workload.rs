//! Our own identity, kept fresh.
//!
//! A task follows the Workload API and turns each update into a [`Snapshot`]; everybody else reads the newest one. What
//! takes time (parsing the key, reading the bundles) happens before the swap, so a handshake always finds something
//! whole. When the task ends, for whatever reason, the last snapshot is an empty one.

mod connect;
mod snapshot;
mod verdicts;

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use crumb_attestors::x509_svid::{self, InvalidSvid, SvidFacts};
use crumb_token::{Clock, SpiffeId, Timestamp, TrustDomain};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use crate::{
    clock::SystemClock,
    endpoint::Endpoint,
    peer::{PeerSvid, Peers, Presented, RefusedPeer},
};

pub use connect::NoIdentity;

use snapshot::Snapshot;
use verdicts::Verdicts;

/// The trust domain of the embedded development identity provider; no other one may use it.
pub const DEV_TRUST_DOMAIN: &str = "dev.crumb.invalid";

/// Our own SVID and the bundles of the trust domains that we know, from the Workload API.
///
/// Cheap to clone; all clones show the same. When the last one is dropped, the Workload API is let go.
#[derive(Clone)]
pub struct Workload(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    /// Ends the following task, and with it the connection to the Workload API.
    _stop: DropGuard,
}

/// What the following task writes and everybody else reads.
struct Shared {
    snapshot: ArcSwap<Snapshot>,
    revision: watch::Sender<u64>,
    verdicts: Verdicts,
    clock: Arc<dyn Clock>,
}

impl Workload {
    /// Connects to the Workload API and waits for the first SVID.
    ///
    /// An agent that is not there yet and an entry that does not exist yet look the same to a newcomer, so both are
    /// waited out, with back-off, for as long as `wait`.
    ///
    /// # Errors
    ///
    /// [`NoIdentity`] when `wait` is over, or at once when the Workload API says that waiting will not help.
    pub async fn connect(endpoint: &Endpoint, wait: Duration) -> Result<Self, NoIdentity> {
        connect::connect(endpoint, wait, Arc::new(SystemClock::new())).await
    }

    /// Returns our SPIFFE ID, as of the last SVID that was good.
    pub fn spiffe_id(&self) -> SpiffeId {
        self.snapshot().id.clone()
    }

    /// Returns our own trust domain.
    pub fn trust_domain(&self) -> TrustDomain {
        self.snapshot().id.trust_domain()
    }

    /// Returns when our SVID ends; `None` when it was withdrawn.
    pub fn svid_expires_at(&self) -> Option<Timestamp> {
        self.snapshot().own.as_ref().map(|own| own.not_after)
    }

    /// Returns who issues our identity: `embedded-dev`, or `spire` for every real issuer.
    pub fn provider(&self) -> &'static str {
        if self.trust_domain().as_str() == DEV_TRUST_DOMAIN { "embedded-dev" } else { "spire" }
    }

    /// Checks a peer again, against the bundles of this moment.
    ///
    /// Cheap: a chain is verified once per revision of the bundles, then only its lifetime is compared.
    ///
    /// # Errors
    ///
    /// [`InvalidSvid`] names the rule that no longer holds; [`InvalidSvid::NoBundle`] also when our own identity is
    /// withdrawn or expired, since the bundles came with it.
    pub fn revalidate(&self, peer: &PeerSvid, now: Timestamp) -> Result<(), InvalidSvid> {
        self.judge(&peer.presented, &[peer.id().trust_domain()], now).map(|_| ())
    }

    /// Returns a number that grows with every change of SVID or bundles.
    pub fn revision(&self) -> u64 {
        self.snapshot().revision
    }

    /// Waits for the next change of SVID or bundles.
    pub async fn changed(&self) {
        self.changed_since(self.revision()).await;
    }

    /// Waits until the revision is past `seen`, and returns it. Misses nothing between two calls.
    pub async fn changed_since(&self, seen: u64) -> u64 {
        let mut revisions = self.0.shared.revision.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = revisions.wait_for(|revision| *revision > seen).await;
        self.revision()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.shared.clock
    }

    /// Returns our key and chain, when there is an SVID that is good at `now`.
    pub(crate) fn certified_key(&self, now: Timestamp) -> Option<Arc<CertifiedKey>> {
        self.snapshot().own_at(now).map(|own| Arc::clone(&own.key))
    }

    /// Returns when our SVID ends, when there is one that is good at `now`.
    pub(crate) fn usable_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.snapshot().own_at(now).map(|own| own.not_after)
    }

    /// Judges a chain in a handshake, and whether its owner may be there.
    pub(crate) fn admit(
        &self,
        presented: &Presented,
        peers: &Peers,
        now: Timestamp,
    ) -> Result<Arc<SvidFacts>, RefusedPeer> {
        let local = self.trust_domain();
        let facts = self.judge(presented, &peers.trust_domains(&local), now).map_err(RefusedPeer::Invalid)?;
        if peers.admit(&facts.id, &local) { Ok(facts) } else { Err(RefusedPeer::NotAdmitted(facts.id.clone())) }
    }

    /// The one check, for handshakes and for requests.
    fn judge(
        &self,
        presented: &Presented,
        allowed: &[TrustDomain],
        now: Timestamp,
    ) -> Result<Arc<SvidFacts>, InvalidSvid> {
        let snapshot = self.snapshot();
        if snapshot.own_at(now).is_none() {
            return Err(InvalidSvid::NoBundle);
        }
        if let Some(facts) = self.0.shared.verdicts.find(&presented.digest, snapshot.revision, now) {
            return if allowed.contains(&facts.id.trust_domain()) {
                Ok(facts)
            } else {
                Err(InvalidSvid::ForeignTrustDomain)
            };
        }
        let facts = x509_svid::validate(&presented.chain, &snapshot.bundles, allowed, presented.usage, now)?;
        let facts = Arc::new(facts);
        self.0.shared.verdicts.keep(presented.digest, snapshot.revision, &facts);
        Ok(facts)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.shared.snapshot.load_full()
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workload({}, revision {})", self.spiffe_id(), self.revision())
    }
}
