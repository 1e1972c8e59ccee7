//! One broker from start to end: everything it needs is put together here, and taken apart again in order.

use crate::{
    admin::{AdminSocket, UnusableSocket},
    answers::Answers,
    audit::{Kind, Record},
    broker::{Broker, at_start, describe, ending_of},
    config::Config,
    feed::{Feed, HEARTBEAT},
    grpc::{Door, Services, StreamLimits},
    keys::Keys,
    leases::Leases,
    notify::{self, UnusableWebhook, Webhooks},
    pace::Paces,
    registry::{
        Author, Edits, Shelf, UnusableRegistry,
        plan::{Plan, Wanted},
    },
    rotation::{self, RotationError},
    serve,
    stops::Switch,
    store::{Applied, Ending, OpenError, PublicKey, SqliteStore, Store, StoreError},
    strangers::Strangers,
    subjects::{Purpose, Subjects, UnusableIssuers},
};
use arc_swap::ArcSwap;
use crumb_identity::{Alpn, Listener, NoIdentity, Peers, SystemClock, Workload};
use crumb_token::{AgentName, Clock, RecordId, SpiffeId, claims::IdentityProvider, revocation::Target};
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, broadcast, oneshot},
    task::JoinSet,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long open requests and streams get to end after the call to stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How often key rotation is looked at.
const ROTATION_TICK: Duration = Duration::from_secs(1);

/// How long a connection lives at most, before it is asked to make room for one with a newer SVID.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// The least that this is shortened to, when the broker starts with an SVID that is about to be renewed.
const CONNECTION_AGE_MIN: Duration = Duration::from_secs(20);

/// How many changes a follower of approvals may be behind; then it looks again by itself.
const APPROVAL_NEWS_MAX: usize = 256;

/// How many operators may follow the trail at once.
const FOLLOWERS_MAX: usize = 16;

/// What a broker says when it serves.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Where mTLS is served.
    pub addr: SocketAddr,
    /// Where operators connect.
    pub admin_socket: PathBuf,
    /// Who the broker is.
    pub spiffe_id: SpiffeId,
}

/// A broker that did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The manifests are wrong.
    #[error("the registry cannot be used")]
    Registry(#[from] UnusableRegistry),
    /// The data directory cannot be used.
    #[error("the store cannot be opened")]
    Store(#[from] OpenError),
    /// The first write failed.
    #[error("the store cannot be written to")]
    FirstWrite(#[from] StoreError),
    /// No identity of its own.
    #[error("the broker has no identity")]
    Identity(#[from] NoIdentity),
    /// Another identity provider than the configuration names.
    #[error("identities come from `{0}`, and the configuration wants another provider")]
    Provider(String),
    /// The issuers of people's tokens cannot be used.
    #[error("the issuers of people's tokens cannot be used")]
    Subjects(#[from] UnusableIssuers),
    /// The files of a webhook cannot be used.
    #[error("the webhooks cannot be used")]
    Webhooks(#[from] UnusableWebhook),
    /// No first key.
    #[error("no signing key")]
    Keys(#[from] RotationError),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The admin socket cannot be made.
    #[error("no admin socket")]
    Admin(#[from] UnusableSocket),
    /// A server ended.
    #[error("a server ended")]
    Serve(#[from] tonic::transport::Error),
    /// A server ended without an error and without being asked to.
    #[error("a server ended by itself")]
    Ended,
    /// gRPC reflection does not take the descriptors of this build.
    #[error("the descriptors of crumb.v1 cannot be served")]
    Reflection,
}

/// Runs a broker until `shutdown`. Tells `ready` once it serves.
///
/// # Errors
///
/// [`RunError`], when it cannot start or a server ends by itself.
pub async fn run(config: Config, shutdown: CancellationToken, ready: oneshot::Sender<Ready>) -> Result<(), RunError> {
    let webhooks = Webhooks::load(config.webhooks.clone())?;
    let wanted = config.registry_dir.as_deref().map_or_else(|| Ok(Wanted::nothing()), Wanted::directory)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    if !config.data_dir.exists() {
        // A first start has nothing but these: wrong ones are told before anything is made.
        at_start(&Shelf::default(), &wanted, clock.now().wall).map_err(UnusableRegistry::Defects)?;
    }
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.data_dir)?);
    let plan = at_start(&store.shelf().await?, &wanted, clock.now().wall).map_err(UnusableRegistry::Defects)?;
    let workload = tokio::select! {
        workload = Workload::connect(&config.workload_api, config.identity_wait) => workload?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let outlets = notify::begin(store.as_ref(), webhooks).await?;
    let broker = Arc::new(assemble(&config, plan, store, workload.clone(), Arc::clone(&clock)).await?);
    let listener = Listener::bind(config.listen, workload.clone(), Peers::TrustDomain, clock, Alpn::H2)
        .await
        .map_err(|source| RunError::Listen { addr: config.listen, source })?;
    let admin = AdminSocket::bind(&config.admin_socket)?;
    let addr = listener.local_addr();

    let mut tasks = JoinSet::new();
    let stop = shutdown.child_token();
    let age = connection_age(&workload, &broker);
    let limits = StreamLimits { streams_max: config.limits.watchers, stream_age: age };
    let health = serve::Health::new(Arc::clone(&broker.store)).await;
    let network = Services::new(Arc::clone(&broker), Door::Network, limits, stop.clone());
    tasks.spawn(serve::network(network, health.service(), listener, age, stop.clone()));
    let limits = StreamLimits { streams_max: FOLLOWERS_MAX, stream_age: age };
    let operators = Services::new(Arc::clone(&broker), Door::Admin, limits, stop.clone());
    tasks.spawn(serve::admin(operators, health.service(), admin, stop.clone()));
    let beating = tokio::spawn(beat(Arc::clone(&broker), health, stop.clone()));
    let rotating = tokio::spawn(rotate(Arc::clone(&broker), stop.clone()));
    let fetching = tokio::spawn(keep_keys(Arc::clone(&broker), stop.clone()));
    let telling = tokio::spawn(notify::run(Arc::clone(&broker), outlets, stop.clone()));

    // Nobody waiting to hear it is no reason to stop.
    let _ = ready.send(Ready { addr, admin_socket: config.admin_socket, spiffe_id: workload.spiffe_id() });
    tracing::info!(%addr, registry = broker.registry().version(), "serving");
    let outcome = tokio::select! {
        // First, since the servers end on the same call.
        biased;
        () = shutdown.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => ended.unwrap_or(Ok(())).and(Err(RunError::Ended)),
    };
    stop.cancel();
    drain(tasks).await;
    let _ = tokio::join!(beating, rotating, fetching, telling);
    close(broker).await;
    outcome
}

async fn assemble(
    config: &Config,
    plan: Plan,
    store: Arc<dyn Store>,
    workload: Workload,
    clock: Arc<dyn Clock>,
) -> Result<Broker, RunError> {
    let found = workload.provider();
    let provider: Option<IdentityProvider> = found.parse().ok();
    let provider = provider.filter(|_| config.identity_provider.accepts(found));
    let provider = provider.ok_or_else(|| RunError::Provider(found.to_owned()))?;
    let id = RecordId::from_uuid(Uuid::now_v7());
    let Plan { changes, registry, edits, stopped } = plan;
    let mut record = Record::new(id, clock.unix_ms(), Kind::BrokerStart, registry.version());
    record.peer = workload.spiffe_id().to_string();
    if !edits.edits.is_empty() {
        describe(&mut record, &changes, "as kept", registry.version());
    }
    record.allow();
    let now = clock.now().wall;
    let beginning = store.begin(record, now).await?;
    let is_revoked = |key: &PublicKey| beginning.revocations.iter().any(|r| r.target == Target::Key(key.id));
    let earlier = beginning.keys.iter().filter(|key| !is_revoked(key)).cloned().collect();
    let keys = Arc::new(Keys::new(config.key_rotation, earlier));
    rotation::turn(&keys, store.as_ref(), now).await?;
    let feed = Arc::new(Feed::new(beginning, Arc::clone(&keys), Arc::clone(&clock)));
    if !edits.edits.is_empty() {
        let revoking =
            Record::new(RecordId::from_uuid(Uuid::now_v7()), clock.unix_ms(), Kind::Revoke, registry.version());
        apply(edits, ending_of(&stopped, revoking, &clock), store.as_ref(), &feed).await?;
    }
    let stops = Arc::new(Switch::new(store.stops().await?));
    let leases = Leases::new(store.leases().await?);
    let broker = Broker {
        workload,
        provider,
        registry: Arc::new(ArcSwap::from_pointee(registry)),
        environment: config.environment.clone(),
        subjects: Subjects::load(Purpose::Subjects, config.subject_issuers.clone())?,
        approvers: Subjects::load(Purpose::Approvers, config.approver_issuers.clone())?,
        paces: Paces::default(),
        approval_news: broadcast::Sender::new(APPROVAL_NEWS_MAX),
        leases,
        strangers: Strangers::default(),
        stops,
        store,
        keys,
        feed,
        clock,
        answers: Answers::new(),
        in_flight: Semaphore::new(config.limits.in_flight),
        sessions_max: config.limits.sessions_per_agent,
        drift: config.drift,
    };
    // Those that time has stopped: what manifests stop was ended with them.
    let registry = broker.registry();
    let stands = |name: &AgentName| registry.agent(name).is_some_and(|agent| registry.standing(agent, now).is_ok());
    let acting = broker.store.acting_agents(None, now).await?;
    let left_behind: Vec<AgentName> = acting.into_iter().filter(|name| !stands(name)).collect();
    broker.end_tokens(&left_behind, Author::DIRECTORY).await.map_err(|_| StoreError::Unavailable)?;
    Ok(broker)
}

/// Writes what the registry directory says anew, and ends what that stops. The record of the start is theirs as well.
async fn apply(
    edits: Edits,
    mut ending: Option<(Ending, Record)>,
    store: &dyn Store,
    feed: &Arc<Feed>,
) -> Result<(), StoreError> {
    if let Some((_, record)) = &mut ending {
        Author::DIRECTORY.clone_into(&mut record.peer);
    }
    let feed = Arc::clone(feed);
    let committed = Box::new(move |revocations: &[_]| feed.revoke(revocations));
    match store.apply_manifests(edits, None, ending, committed).await? {
        Applied::Done => Ok(()),
        // Nobody else can have written: a data directory has one broker. And without the endings nothing is served.
        Applied::NothingEnded | Applied::Conflict => Err(StoreError::Unavailable),
    }
}

/// Returns how long a connection may live, so that it is replaced well before the SVIDs at its ends run out.
fn connection_age(workload: &Workload, broker: &Broker) -> Duration {
    let now = broker.clock.now().wall;
    let left = workload.svid_expires_at().map_or(Duration::ZERO, |end| end.since(now));
    (left / 3).clamp(CONNECTION_AGE_MIN, CONNECTION_AGE_MAX)
}

async fn beat(broker: Arc<Broker>, health: serve::Health, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                broker.feed.beat();
                health.update().await;
            }
            () = stop.cancelled() => return,
        }
    }
}

async fn rotate(broker: Arc<Broker>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(ROTATION_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        broker.end_leases().await;
        match rotation::turn(&broker.keys, broker.store.as_ref(), broker.clock.now().wall).await {
            Ok(true) => broker.feed.announce_keys(),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "key rotation stands still"),
        }
    }
}

async fn keep_keys(broker: Arc<Broker>, stop: CancellationToken) {
    let clock = broker.clock.as_ref();
    let keeping = async { tokio::join!(broker.subjects.keep_keys(clock), broker.approvers.keep_keys(clock)) };
    tokio::select! {
        () = stop.cancelled() => {}
        _ = keeping => {}
    }
}

/// Waits for the servers to end, and ends them when they take too long.
async fn drain(mut tasks: JoinSet<Result<(), RunError>>) {
    let ended = tokio::time::timeout(DRAIN_MAX, async { while tasks.join_next().await.is_some() {} });
    if ended.await.is_err() {
        tracing::warn!("connections were still open after {} s", DRAIN_MAX.as_secs());
        tasks.shutdown().await;
    }
}

/// Lets the store finish what it has; its threads are waited for where waiting blocks nobody.
async fn close(broker: Arc<Broker>) {
    let closing = tokio::task::spawn_blocking(move || drop(broker));
    if tokio::time::timeout(DRAIN_MAX, closing).await.is_err() {
        tracing::warn!("the store did not end in {} s", DRAIN_MAX.as_secs());
    }
}
