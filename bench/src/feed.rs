//! `crumb-bench feed`: how long what was revoked goes on at tool servers, and whether good tokens suffer when keys turn.
//!
//! The broker is a real one with a store of its own, in this process; each verifier follows its feed over an mTLS
//! connection of its own. A revocation's time is from the moment that the broker's acknowledgement is here to the moment
//! that a verifier's `decide` refuses; when that came first, it is zero.

mod background;
mod governance;

use crate::{
    meter::{Effort, Series, count},
    report::Row,
    world::now,
};
use anyhow::{Context, ensure};
use crumb_identity::SystemClock;
use crumb_sdk::feed::follow;
use crumb_tests::broker::{AGENT_PATH, Client, FILES, Setup, TestBroker, exchange};
use crumb_tests::member::id;
use crumb_token::{Ask, SpiffeId, TokenText};
use crumb_verifier::{Decision, Limits, Verifier};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often a waiting verifier is looked at: a hundredth of a millisecond more or less does not matter here.
const LOOK: Duration = Duration::from_micros(100);

/// How long anything here may take before the run fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many verifiers share a workload: fewer than the connections that the broker gives one.
const PER_PEER: usize = 200;

/// What `feed` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct FeedArgs {
    /// How many verifiers; several numbers make several runs. 1, 50 and 1000 when not given.
    #[arg(long, value_delimiter = ',')]
    verifiers: Vec<usize>,
    /// Each kind of revocation in turn, under a load of exchanges, and nothing else; 50 verifiers unless told.
    #[arg(long)]
    governance: bool,
}

pub(crate) async fn run(args: &FeedArgs, effort: Effort) -> anyhow::Result<Vec<Row>> {
    if args.governance {
        return governance::run(&args.verifiers, effort).await;
    }
    let usual = effort.pick(&[1, 50, 1000][..], &[1, 3][..]);
    let counts = if args.verifiers.is_empty() { usual } else { &args.verifiers };
    let mut rows = Vec::new();
    for &n in counts {
        rows.push(revoked(n, effort).await?);
    }
    rows.push(rotated(effort).await?);
    Ok(rows)
}

/// A broker, an agent, and verifiers that follow.
struct Scene {
    broker: TestBroker,
    agent: Client,
    verifiers: Arc<[Arc<Verifier>]>,
    ask: Ask,
    peer: SpiffeId,
    _followers: DropGuard,
}

/// A session with a token that every verifier allows.
struct Open {
    session: String,
    token: TokenText,
}

impl Scene {
    async fn start(verifiers: usize) -> anyhow::Result<Self> {
        // Keys turn as fast as the broker lets them.
        let config = "key_rotation_s = 12\n[limits]\nwatchers = 4096\n".to_owned();
        Self::start_with(verifiers, Setup { config, ..Setup::default() }).await
    }

    async fn start_with(verifiers: usize, setup: Setup) -> anyhow::Result<Self> {
        let broker = TestBroker::start_with(setup).await;
        let agent = broker.client(AGENT_PATH).await;
        // Several workloads: one has so many connections at most.
        let mut listeners = Vec::new();
        for n in 0..verifiers.div_ceil(PER_PEER) {
            listeners.push(broker.client(&format!("/tool/files-{n}")).await);
        }
        let shutdown = CancellationToken::new();
        let verifier = |n: usize| -> anyhow::Result<Arc<Verifier>> {
            let listener = &listeners[n / PER_PEER];
            let verifier = Arc::new(Verifier::new(FILES.parse()?, Limits::default()));
            let address = broker.ready.addr.to_string();
            let channel = crumb_identity::channel(&listener.member.workload, address, id("/broker"));
            drop(follow(verifier.clone(), channel, Arc::new(SystemClock::new()), shutdown.clone()));
            Ok(verifier)
        };
        let verifiers = (0..verifiers).map(verifier).collect::<anyhow::Result<_>>()?;
        let ask = Ask::new("read_file".parse()?, "read".parse()?, "file:///docs/readme.md".parse()?);
        let _followers = shutdown.drop_guard();
        Ok(Self { broker, agent, verifiers, ask, peer: id(AGENT_PATH), _followers })
    }

    async fn stop(self) -> anyhow::Result<()> {
        let Self { broker, _followers, .. } = self;
        drop(_followers);
        broker.stop().await.context("the broker ended badly")
    }

    async fn token(&self, session: &str) -> anyhow::Result<TokenText> {
        let answer = self.agent.exchange(exchange(session)).await?;
        TokenText::from_presented(&answer.token).map_err(|reason| anyhow::anyhow!("{reason}"))
    }

    /// Opens a session, and waits until every verifier allows its token.
    async fn open(&self) -> anyhow::Result<Open> {
        let session = self.agent.session().await;
        let open = Open { token: self.token(&session).await?, session };
        let until = Instant::now() + PATIENCE;
        for verifier in self.verifiers.iter() {
            while !self.decide(verifier, &open.token).is_allowed() {
                ensure!(Instant::now() < until, "a verifier does not allow a good token");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(open)
    }

    fn decide(&self, verifier: &Verifier, token: &TokenText) -> Decision {
        verifier.decide(token, &self.ask, &self.peer, now())
    }

    /// Returns a watch that ends with the moment at which each verifier refused the token.
    fn watch(&self, token: &TokenText) -> impl FnOnce() -> anyhow::Result<Vec<Instant>> + Send + use<> {
        let (verifiers, token) = (self.verifiers.clone(), token.clone());
        let (ask, peer) = (self.ask.clone(), self.peer.clone());
        // Deciding is looking, and costs; that something was revoked at all is cheaper to see.
        let before: Vec<u64> = verifiers.iter().map(|v| v.counters().feed_taken).collect();
        move || {
            let until = Instant::now() + PATIENCE;
            let mut refused: Vec<Option<Instant>> = vec![None; verifiers.len()];
            while refused.iter().any(Option::is_none) {
                ensure!(Instant::now() < until, "a verifier still allows a revoked token");
                for ((verifier, before), at) in verifiers.iter().zip(&before).zip(&mut refused) {
                    // A message counts as taken a moment before it is in force, so one look after that is not enough: the
                    // next message may be a heartbeat, half a second later.
                    if at.is_none() && verifier.counters().feed_taken != *before {
                        *at = (!verifier.decide(&token, &ask, &peer, now()).is_allowed()).then(Instant::now);
                    }
                }
                thread::sleep(LOOK);
            }
            Ok(refused.into_iter().flatten().collect())
        }
    }
}

/// Closes sessions, and sees how long each verifier goes on.
async fn revoked(verifiers: usize, effort: Effort) -> anyhow::Result<Row> {
    let scene = Scene::start(verifiers).await?;
    let rounds = effort.pick(if verifiers > 100 { 20 } else { 100 }, 2);
    let mut took = Vec::with_capacity(rounds * verifiers);
    for _ in 0..rounds {
        let open = scene.open().await?;
        let watch = tokio::task::spawn_blocking(scene.watch(&open.token));
        scene.agent.close(&open.session).await?;
        let acknowledged = Instant::now();
        let refused = watch.await??;
        took.extend(refused.iter().map(|at| at.saturating_duration_since(acknowledged).as_secs_f64() * 1e9));
    }
    scene.stop().await?;
    let series = Series::of(took);
    let row = Row::new("feed:revocation", "a closed session: from acknowledged to refused, at every verifier");
    let row = row.live(verifiers).revocations(rounds).took(&series).slowest(series.max());
    Ok(if verifiers == 50 { row.mark("p99 100 ms or less", series.p99() <= 100e6) } else { row })
}

/// Decides on good tokens without a pause while signing keys turn.
async fn rotated(effort: Effort) -> anyhow::Result<Row> {
    let scene = Arc::new(Scene::start(1).await?);
    let open = scene.open().await?;
    let (stop, tokens) = (Arc::new(AtomicBool::new(false)), Arc::new(std::sync::Mutex::new(vec![open.token])));
    let deciding = tokio::task::spawn_blocking({
        let (scene, stop, tokens) = (scene.clone(), stop.clone(), tokens.clone());
        move || {
            let (mut decided, mut refused, mut keys) = (0_usize, 0_u64, BTreeSet::new());
            while !stop.load(Relaxed) {
                let tokens = tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                for token in &tokens {
                    decided += 1;
                    match scene.decide(&scene.verifiers[0], token) {
                        Decision::Allowed(verified) => drop(keys.insert(verified.key_id())),
                        Decision::Denied(_) => refused += 1,
                    }
                }
                // Leaves the core to the broker now and then.
                thread::sleep(LOOK);
            }
            (decided, refused, keys.len())
        }
    });
    // Three keys of twelve seconds; a token of each second, so that old keys stay in use beside new ones.
    for _ in 0..effort.pick(30, 1) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let fresh = scene.token(&open.session).await?;
        tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(fresh);
    }
    stop.store(true, Relaxed);
    let (decided, refused, keys) = deciding.await?;
    Arc::into_inner(scene).context("nobody decides any more")?.stop().await?;
    let row = Row::new("feed:rotation", format!("good tokens decided on while {keys} keys signed"));
    let row = row.live(1).value(count(decided), "decisions").failed(refused);
    Ok(row.mark("no good token refused", refused == 0 && (effort.quick || keys >= 2)))
}
