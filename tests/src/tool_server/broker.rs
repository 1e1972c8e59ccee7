//! A broker that does what a test tells it to: a real signed feed, and a trail that can be closed.

use crate::handshake::PATIENCE;
use biscuit_auth::{KeyPair, PrivateKey, builder::Algorithm};
use crumb_identity::Listener;
use crumb_proto::wire::{
    self,
    audit_service_server::{AuditService, AuditServiceServer},
    feed_service_server::{FeedService, FeedServiceServer},
};
use crumb_token::{Claims, KeyId, mint::mint, revocation::Target};
use crumb_verifier::feed::CONTEXT;
use ed25519_dalek::{Signer as _, SigningKey};
use prost::Message as _;
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{Request, Response, Status, transport::Server};

/// How often it says that it is there.
const HEARTBEAT: Duration = Duration::from_millis(100);

const KEY: KeyId = KeyId(7);
const SEED: [u8; 32] = [7; 32];

/// How the stand-in behaves now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mood {
    /// Whether it speaks on the feed. When not, streams end and none begins.
    pub speaks: bool,
    /// Whether its open streams bring anything.
    pub beats: bool,
    /// Whether its feed is signed by the key that it names.
    pub signs: bool,
    /// Whether it takes records.
    pub records: bool,
}

/// A stand-in broker. It ends when dropped.
#[derive(Debug)]
pub struct StandInBroker {
    /// Where it listens.
    pub addr: SocketAddr,
    desk: Arc<Desk>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Desk {
    mood: watch::Sender<Mood>,
    revocations: watch::Sender<Vec<wire::Revocation>>,
    records: watch::Sender<Vec<wire::Decision>>,
    last_ms: AtomicU64,
    /// How many streams have begun.
    watches: AtomicU64,
    order: Mutex<()>,
}

impl StandInBroker {
    /// Starts it at a listener for HTTP/2.
    pub fn start(listener: Listener) -> Self {
        let desk = Arc::new(Desk {
            mood: watch::Sender::new(Mood { speaks: true, beats: true, signs: true, records: true }),
            revocations: watch::Sender::new(Vec::new()),
            records: watch::Sender::new(Vec::new()),
            last_ms: AtomicU64::new(0),
            watches: AtomicU64::new(0),
            order: Mutex::new(()),
        });
        let addr = listener.local_addr();
        let service = Service(Arc::clone(&desk));
        let server = Server::builder()
            .add_service(FeedServiceServer::new(service.clone()))
            .add_service(AuditServiceServer::new(service))
            .serve_with_incoming(listener.incoming(CancellationToken::new()));
        let task = tokio::spawn(async move { server.await.expect("the server runs until it is dropped") });
        Self { addr, desk, _server: AbortOnDropHandle::new(task) }
    }

    /// Changes how it behaves.
    pub fn mood(&self, change: impl FnOnce(&mut Mood)) {
        self.desk.mood.send_modify(change);
    }

    /// Signs claims.
    ///
    /// # Panics
    ///
    /// When they make no token.
    pub fn mint(&self, claims: &Claims) -> Vec<u8> {
        let private = PrivateKey::from_bytes(&SEED, Algorithm::Ed25519).expect("32 bytes");
        mint(claims, KEY, &KeyPair::from(&private)).expect("claims that make a token").to_vec()
    }

    /// Revokes.
    pub fn revoke(&self, target: &Target) {
        self.desk.revocations.send_modify(|all| {
            let what = Some(crumb_proto::feed::to_what(target));
            let until = now_ms() / 1000 + 3600;
            all.push(wire::Revocation { sequence: all.len() as u64 + 1, what, until, issued_until: 0 });
        });
    }

    /// Returns how often the feed was asked for.
    pub fn watches(&self) -> u64 {
        self.desk.watches.load(Ordering::SeqCst)
    }

    /// Returns the records that were committed.
    pub fn records(&self) -> Vec<wire::Decision> {
        self.desk.records.borrow().clone()
    }

    /// Waits until there are `count` records, and returns them.
    ///
    /// # Panics
    ///
    /// When they do not come in time.
    pub async fn await_records(&self, count: usize) -> Vec<wire::Decision> {
        let mut records = self.desk.records.subscribe();
        let there = time::timeout(PATIENCE, records.wait_for(|records| records.len() >= count)).await;
        there.expect("records in time").expect("the desk is there").clone()
    }
}

fn now_ms() -> u64 {
    let now = ::time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    u64::try_from(now).expect("after 1970")
}

impl Desk {
    /// Writes a message with everything, or with the revocations after the first `told`.
    fn message(&self, full: bool, told: usize) -> (wire::SignedFeedMessage, usize) {
        let _one_at_a_time = self.order.lock().expect("nobody panics here");
        let revocations = self.revocations.borrow().clone();
        let time_unix_ms = now_ms().max(self.last_ms.load(Ordering::SeqCst) + 1);
        self.last_ms.store(time_unix_ms, Ordering::SeqCst);
        let seconds = time_unix_ms / 1000;
        let key = wire::SigningKey {
            key_id: KEY.0,
            public_key: SigningKey::from_bytes(&SEED).verifying_key().to_bytes().to_vec(),
            not_before: seconds - 7200,
            not_after: seconds + 7200,
        };
        let message = wire::FeedMessage {
            epoch: 1,
            sequence: revocations.len() as u64,
            time_unix_ms,
            full,
            keys: if full { vec![key] } else { vec![] },
            revocations: revocations[if full { 0 } else { told }..].to_vec(),
        };
        let message = message.encode_to_vec();
        let seed = if self.mood.borrow().signs { SEED } else { [8; 32] };
        let signature = SigningKey::from_bytes(&seed).sign(&[CONTEXT, &message].concat()).to_bytes().to_vec();
        (wire::SignedFeedMessage { message, key_id: KEY.0, signature }, revocations.len())
    }

    /// Speaks on one stream until the listener leaves or the mood changes.
    async fn speak(self: Arc<Self>, stream: mpsc::Sender<Result<wire::SignedFeedMessage, Status>>) {
        let mut mood = self.mood.subscribe();
        let mut revocations = self.revocations.subscribe();
        let (first, mut told) = self.message(true, 0);
        let mut next = first;
        while stream.send(Ok(next)).await.is_ok() {
            tokio::select! {
                () = time::sleep(HEARTBEAT) => {}
                _ = revocations.changed() => {}
                _ = mood.wait_for(|mood| !mood.speaks) => return,
            }
            if mood.wait_for(|mood| mood.beats).await.is_err() {
                return;
            }
            (next, told) = self.message(false, told);
        }
    }
}

#[derive(Clone)]
struct Service(Arc<Desk>);

#[tonic::async_trait]
impl FeedService for Service {
    type WatchStream = ReceiverStream<Result<wire::SignedFeedMessage, Status>>;

    async fn watch(&self, _: Request<wire::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.0.watches.fetch_add(1, Ordering::SeqCst);
        if !self.0.mood.borrow().speaks {
            return Err(Status::unavailable("told to be silent"));
        }
        let (stream, messages) = mpsc::channel(1);
        tokio::spawn(Arc::clone(&self.0).speak(stream));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

#[tonic::async_trait]
impl AuditService for Service {
    type TailStream = Pin<Box<dyn Stream<Item = Result<wire::AuditRecord, Status>> + Send>>;

    async fn record_decisions(
        &self,
        request: Request<wire::RecordDecisionsRequest>,
    ) -> Result<Response<wire::RecordDecisionsResponse>, Status> {
        if !self.0.mood.borrow().records {
            return Err(Status::unavailable("told to take nothing"));
        }
        let decisions = request.into_inner().decisions;
        self.0.records.send_modify(|records| {
            for decision in decisions {
                // The same record twice is kept once.
                if records.iter().all(|known| known.record_id != decision.record_id) {
                    records.push(decision);
                }
            }
        });
        Ok(Response::new(wire::RecordDecisionsResponse {}))
    }

    async fn tail(&self, _: Request<wire::TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        Err(Status::unimplemented("a stand-in has no trail to read"))
    }
}
