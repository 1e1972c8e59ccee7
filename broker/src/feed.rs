//! The feed: what verifiers are told, signed, in order.
//!
//! One head, under one lock that is never held across an await: a listener gets its full message and its place in the
//! stream at the same moment, so nothing falls between the two. Revocations come in from the thread that committed them, in
//! the order of their commits.
//!
//! # Invariants
//!
//! - The time of a message is later than that of the one before it; a full message's is no earlier.
//! - A listener that cannot keep up is cut off and starts anew with a full message; nothing is dropped in silence.
//! - When no key may sign, nothing is sent, and verifiers go stale and refuse.

use crate::{
    keys::Keys,
    store::{Beginning, PublicKey, Revocation},
};
use crumb_proto::{
    feed::{to_issued_until, to_what},
    wire,
};
use crumb_token::{Clock, Timestamp};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::broadcast;

/// How often something is sent at least. Verifiers want one a second; this leaves room for a late one.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// How many messages a listener may lag behind: two minutes of heartbeats, or a burst of closing sessions.
const LAG_MAX: usize = 256;

/// The most revocations in force: as many as fit into one full message of 4 MiB, gRPC's usual limit for a client.
pub const REVOCATIONS_MAX: u32 = 40_000;

/// A signed message, ready to send.
pub type Signed = wire::SignedFeedMessage;

/// The feed of one broker.
pub struct Feed {
    head: Mutex<Head>,
    sender: broadcast::Sender<Signed>,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    /// The second of the newest revocation.
    newest_s: AtomicU64,
}

struct Head {
    epoch: u64,
    sequence: u64,
    last_ms: u64,
    revocations: BTreeMap<u64, Revocation>,
    /// The full message as of the last message, so that a thousand listeners who come back at once cost one signature.
    full: Option<Signed>,
}

/// What a message adds to the head's numbers.
#[derive(Default)]
struct News {
    full: bool,
    keys: Vec<PublicKey>,
    revocations: Vec<Revocation>,
}

impl Feed {
    /// Begins with what the store knew.
    pub fn new(beginning: Beginning, keys: Arc<Keys>, clock: Arc<dyn Clock>) -> Self {
        let revocations = beginning.revocations.into_iter().map(|r| (r.sequence, r)).collect();
        let head = Head { epoch: beginning.epoch, sequence: beginning.sequence, last_ms: 0, revocations, full: None };
        Self {
            head: Mutex::new(head),
            sender: broadcast::Sender::new(LAG_MAX),
            keys,
            clock,
            newest_s: AtomicU64::new(0),
        }
    }

    /// Returns a full message, and everything that comes after it. `None` while no key may sign.
    pub fn listen(&self) -> Option<(Signed, broadcast::Receiver<Signed>)> {
        let mut head = self.head();
        let news =
            News { full: true, keys: self.keys.published(), revocations: head.revocations.values().cloned().collect() };
        let full = self.sign(&mut head, news)?;
        Some((full, self.sender.subscribe()))
    }

    /// Sends a heartbeat, and forgets revocations that nothing alive can be under.
    pub fn beat(&self) {
        let mut head = self.head();
        let now = self.clock.now().wall;
        head.revocations.retain(|_, revocation| now < revocation.until);
        self.send(&mut head, News::default());
    }

    /// Sends revocations. Called in the order of their numbers.
    pub fn revoke(&self, revocations: &[Revocation]) {
        let Some(newest) = revocations.last() else { return };
        self.newest_s.fetch_max(self.clock.unix_ms() / 1000, Ordering::Relaxed);
        let mut head = self.head();
        head.sequence = newest.sequence;
        head.revocations.extend(revocations.iter().map(|r| (r.sequence, r.clone())));
        self.send(&mut head, News { revocations: revocations.to_vec(), ..News::default() });
    }

    /// Says whether something was revoked in the second of `at`, or later: what is issued at such a moment may be over
    /// already.
    pub fn has_revoked_since(&self, at: Timestamp) -> bool {
        self.newest_s.load(Ordering::Relaxed) >= at.as_unix_s()
    }

    /// Sends the keys that verifiers should know.
    pub fn announce_keys(&self) {
        let keys = self.keys.published();
        self.send(&mut self.head(), News { keys, ..News::default() });
    }

    fn send(&self, head: &mut Head, news: News) {
        head.full = None;
        if let Some(signed) = self.sign(head, news) {
            // Nobody listening is no error.
            let _ = self.sender.send(signed);
        }
    }

    fn sign(&self, head: &mut Head, news: News) -> Option<Signed> {
        let now_ms = self.clock.unix_ms();
        let least_ms = if news.full { head.last_ms } else { head.last_ms.saturating_add(1) };
        head.last_ms = now_ms.max(least_ms);
        let message = wire::FeedMessage {
            epoch: head.epoch,
            sequence: head.sequence,
            time_unix_ms: head.last_ms,
            full: news.full,
            keys: news.keys.iter().map(to_key).collect(),
            revocations: news.revocations.iter().map(to_revocation).collect(),
        };
        let message = message.encode_to_vec();
        match self.keys.sign_feed(&message, Timestamp::from_unix_s(now_ms / 1000)) {
            Ok((key, signature)) => Some(Signed { message, key_id: key.0, signature: signature.to_vec() }),
            Err(error) => {
                tracing::error!(%error, "the feed is silent");
                None
            }
        }
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        // A panic between two lines of plain assignments leaves nothing half done.
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head();
        f.debug_struct("Feed").field("epoch", &head.epoch).field("sequence", &head.sequence).finish_non_exhaustive()
    }
}

fn to_key(key: &PublicKey) -> wire::SigningKey {
    wire::SigningKey {
        key_id: key.id.0,
        public_key: key.public.to_vec(),
        not_before: key.not_before.as_unix_s(),
        not_after: key.not_after.as_unix_s(),
    }
}

fn to_revocation(revocation: &Revocation) -> wire::Revocation {
    wire::Revocation {
        sequence: revocation.sequence,
        until: revocation.until.as_unix_s(),
        issued_until: to_issued_until(revocation.issued_until),
        what: Some(to_what(&revocation.target)),
    }
}
