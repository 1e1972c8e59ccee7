//! Exchanges beside what is measured: another agent asks for tokens on a fixed beat, and goes on whatever is revoked.
//!
//! Its agent, owner and user are others than those that are revoked. What is wider than those, a tool server, a key or
//! everything, ends its session too: it then opens another one, and what it was refused meanwhile is counted.

use crate::{
    meter::{Series, count},
    report::Row,
};
use crumb_proto::wire::{OpenSessionRequest, Origin, origin::Kind};
use crumb_tests::broker::{Client, TestBroker, exchange, files, opening};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::RwLock,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How many exchanges are due each second: enough to keep the broker busy, and not enough to make it fall behind.
pub(super) const RATE: u32 = 200;

/// An agent that asks and asks.
pub(super) struct Background {
    asker: Arc<Asker>,
    stop: CancellationToken,
    beat: JoinHandle<()>,
    began: Instant,
}

struct Asker {
    client: Client,
    session: RwLock<String>,
    came: Mutex<Came>,
}

#[derive(Default)]
struct Came {
    took: Vec<f64>,
    refused: u64,
}

impl Background {
    pub(super) async fn start(broker: &TestBroker) -> anyhow::Result<Self> {
        let client = broker.client("/agent/helper").await;
        let session = RwLock::new(client.open(opening_again()).await?);
        let asker = Arc::new(Asker { client, session, came: Mutex::default() });
        let stop = CancellationToken::new();
        let beat = tokio::spawn(beat(asker.clone(), stop.clone()));
        Ok(Self { asker, stop, beat, began: now() })
    }

    /// Stops asking, and says how it went.
    pub(super) async fn stop(self) -> anyhow::Result<Row> {
        self.stop.cancel();
        self.beat.await?;
        let seconds = self.began.elapsed().as_secs_f64();
        let came = self.asker.came.lock().unwrap_or_else(PoisonError::into_inner);
        let series = Series::of(came.took.clone());
        let row = Row::new("feed:governance:load", "another agent's exchanges meanwhile, due on a fixed beat");
        let row = row.took(&series).slowest(series.max()).failed(came.refused);
        Ok(row.value(count(series.len()) / seconds, "/s"))
    }
}

fn opening_again() -> OpenSessionRequest {
    OpenSessionRequest {
        agent: "helper".into(),
        origin: Some(Origin { kind: Some(Kind::User("dan@a.test".into())) }),
        envelope: vec![files(&[("read_file", "read", "file:///docs/*")])],
        ..opening()
    }
}

async fn beat(asker: Arc<Asker>, stop: CancellationToken) {
    let under_way = TaskTracker::new();
    let mut due = interval(Duration::from_secs(1) / RATE);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while let Some(at) = stop.run_until_cancelled(due.tick()).await {
        let asker = asker.clone();
        under_way.spawn(async move { asker.ask(at).await });
    }
    under_way.close();
    under_way.wait().await;
}

impl Asker {
    async fn ask(&self, due: Instant) {
        let session = self.session.read().await.clone();
        let answer = self.client.exchange(exchange(&session)).await;
        match answer {
            Ok(_) => self.came().took.push(due.elapsed().as_secs_f64() * 1e9),
            Err(_) => {
                self.came().refused += 1;
                self.open_instead_of(&session).await;
            }
        }
    }

    /// Opens another session, unless somebody already has.
    async fn open_instead_of(&self, ended: &str) {
        let mut session = self.session.write().await;
        if *session == ended {
            // Refused while everything is stopped; whoever is refused next tries again.
            if let Ok(opened) = self.client.open(opening_again()).await {
                *session = opened;
            }
        }
    }

    fn came(&self) -> std::sync::MutexGuard<'_, Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Instant {
    // The clock of latencies is the runtime's, which no pure room reads.
    Instant::now()
}
