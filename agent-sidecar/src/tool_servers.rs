//! Where the tool servers are, as the registry says, remembered for a while.
//!
//! An address that is known stays in use while the broker is down; one that did not answer is asked for anew.

use crate::broker::Broker;
use crumb_sdk::broker::ToolServer;
use crumb_token::{Audience, Clock, Denial, Reason};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// How long a list is taken as it is. An address changes when somebody applies a manifest.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// The shortest pause between two lists, so that calls to servers that do not exist cannot flood the broker.
const PAUSE: Duration = Duration::from_secs(1);
/// The most tool servers that are remembered; at some hundred bytes each.
const SERVERS_MAX: usize = 4096;

/// The tool servers of the registry.
pub(crate) struct ToolServers {
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    /// Held while the list is fetched, so that the others wait for it instead of fetching too.
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    servers: HashMap<Audience, ToolServer>,
    /// When it was last asked for, successfully or not, on the monotonic clock.
    asked_at: Option<Duration>,
    /// What the broker said then, when it was no list.
    failed: Option<Denial>,
    /// When it was last taken over; `None` also when an address in it did not answer.
    taken_at: Option<Duration>,
}

impl List {
    fn is_fresh(&self, now: Duration) -> bool {
        self.taken_at.is_some_and(|at| now.saturating_sub(at) < FRESH_FOR)
    }

    fn may_ask(&self, now: Duration) -> bool {
        self.asked_at.is_none_or(|at| now.saturating_sub(at) >= PAUSE)
    }
}

impl ToolServers {
    /// Begins with an empty list.
    pub(crate) fn new(broker: Arc<dyn Broker>, clock: Arc<dyn Clock>) -> Self {
        Self { broker, clock, list: Mutex::default() }
    }

    /// Returns the tool server with this audience.
    ///
    /// # Errors
    ///
    /// [`Reason::ToolServerUnknown`] when there is none, or the broker's denial when nothing is known yet.
    pub(crate) async fn find(&self, audience: &Audience) -> Result<ToolServer, Denial> {
        let mut list = self.list.lock().await;
        let now = self.clock.now().ticks;
        let known = list.servers.get(audience).cloned();
        if known.is_some() && list.is_fresh(now) || !list.may_ask(now) {
            return known.ok_or_else(|| list.failed.clone().unwrap_or_else(|| unknown(audience)));
        }
        let answer = self.broker.tool_servers().await;
        // After the wait: those who waited with us do not each wait for the broker again.
        let now = self.clock.now().ticks;
        list.asked_at = Some(now);
        list.failed = answer.as_ref().err().cloned();
        match answer {
            Ok(servers) => {
                let servers = servers.into_iter().take(SERVERS_MAX);
                list.servers = servers.map(|server| (server.audience.clone(), server)).collect();
                list.taken_at = Some(now);
                list.servers.get(audience).cloned().ok_or_else(|| unknown(audience))
            }
            Err(denial) => known.ok_or(denial),
        }
    }

    /// Notes that an address did not answer; the next look-up asks the registry again.
    pub(crate) async fn doubt(&self) {
        self.list.lock().await.taken_at = None;
    }
}

impl std::fmt::Debug for ToolServers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ToolServers")
    }
}

fn unknown(audience: &Audience) -> Denial {
    Denial::new(Reason::ToolServerUnknown).asked(audience).by("the registry's tool servers", "the broker")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{AUDIENCE, FakeBroker, StillClock};
    use std::sync::atomic::Ordering;

    fn bench() -> (Arc<StillClock>, Arc<FakeBroker>, ToolServers, Audience) {
        let clock = StillClock::at(1000);
        let broker = FakeBroker::new(&clock, 900);
        let servers = ToolServers::new(Arc::<FakeBroker>::clone(&broker), Arc::<StillClock>::clone(&clock));
        (clock, broker, servers, AUDIENCE.parse().expect("an audience"))
    }

    #[tokio::test]
    async fn asks_once_for_many_and_again_after_a_while() {
        let (clock, broker, servers, audience) = bench();
        for _ in 0..3 {
            assert_eq!(servers.find(&audience).await.expect("registered").address, "127.0.0.1:1");
        }
        assert_eq!(broker.lists.load(Ordering::SeqCst), 1);
        clock.set(1000 + FRESH_FOR.as_secs());
        servers.find(&audience).await.expect("registered");
        assert_eq!(broker.lists.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_unknown_audience_cannot_flood_the_broker() {
        let (clock, broker, servers, _) = bench();
        let nobody: Audience = "spiffe://td/tool/none".parse().expect("an audience");
        for _ in 0..50 {
            let denial = servers.find(&nobody).await.expect_err("not registered");
            assert_eq!(denial.reason, Reason::ToolServerUnknown);
        }
        assert_eq!(broker.lists.load(Ordering::SeqCst), 1);
        clock.set(1001);
        assert!(servers.find(&nobody).await.is_err());
        assert_eq!(broker.lists.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_known_address_outlives_the_broker_and_a_doubted_one_is_asked_for_again() {
        let (clock, broker, servers, audience) = bench();
        servers.find(&audience).await.expect("registered");
        broker.down.store(true, Ordering::SeqCst);
        clock.set(5000);
        servers.find(&audience).await.expect("still known");
        broker.down.store(false, Ordering::SeqCst);
        clock.set(5010);
        servers.find(&audience).await.expect("registered");
        let before = broker.lists.load(Ordering::SeqCst);
        servers.doubt().await;
        clock.set(5020);
        servers.find(&audience).await.expect("registered");
        assert_eq!(broker.lists.load(Ordering::SeqCst), before + 1);
    }

    #[tokio::test]
    async fn says_that_the_broker_is_down_when_nothing_is_known() {
        let (_, broker, servers, audience) = bench();
        broker.down.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            assert_eq!(servers.find(&audience).await.expect_err("down").reason, Reason::BrokerUnreachable);
        }
        assert_eq!(broker.lists.load(Ordering::SeqCst), 1);
    }
}
