//! What stands, and is told when it begins: agents without an owner, past their days, taken out of work; strangers; issuers
//! without keys; and requests for approval that came to an end by themselves.
//!
//! Looked at again and again, held against what was told, and told once for each time that it comes to be so, whether the
//! broker was started anew meanwhile or not.
//!
//! # Invariants
//!
//! - At most [`STRANGERS_MAX`] strangers are told of in an hour, whatever names they make up.
//! - Nothing is told of a state of a life that began before anybody was told of anything.

use super::{AgentFacts, Data, Event, IssuerFacts, Kind, Moment, StrangerFacts, ends_within};
use crate::{
    broker::Broker,
    registry::{Agent, Flag, Lifecycle, Registry},
    store::{StoreError, Telling},
    strangers::Stranger,
    subjects::{KeysState, Purpose},
};
use crumb_token::Timestamp;
use std::{collections::BTreeMap, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// How many strangers are told of in [`STRANGERS_WITHIN_MS`].
const STRANGERS_MAX: usize = 32;
const STRANGERS_WITHIN_MS: u64 = 3600 * 1000;

/// After so long a stranger who still comes is told of again.
const STRANGERS_FORGOTTEN_MS: u64 = 30 * 24 * 3600 * 1000;

/// Noted when everything was looked at once.
const BEGUN: &str = "begun";

/// Looks and tells until `stop`.
pub(super) async fn watch(broker: &Broker, stop: &CancellationToken) {
    let mut standing = loop {
        match broker.store.told().await {
            Ok(told) => break Standing { told },
            Err(error) => tracing::error!(%error, "what was told is not known"),
        }
        if ends_within(LOOK, stop).await {
            return;
        }
    };
    loop {
        if let Err(error) = look(broker, &mut standing).await {
            tracing::error!(%error, "what stands cannot be told");
        }
        if ends_within(LOOK, stop).await {
            return;
        }
    }
}

async fn look(broker: &Broker, standing: &mut Standing) -> Result<(), StoreError> {
    let now = Moment::from_unix_ms(broker.clock.unix_ms());
    let clock = broker.clock.as_ref();
    let tellings = standing.tellings(&Seen {
        registry: &broker.registry(),
        strangers: &broker.strangers.list(),
        keys: &[(Purpose::Subjects, broker.subjects.keys(clock)), (Purpose::Approvers, broker.approvers.keys(clock))],
        wall: clock.now().wall,
        now,
    });
    if !tellings.is_empty() {
        broker.store.tell(tellings.clone(), now).await?;
        standing.note(&tellings, now);
    }
    broker.store.tell_expired(now).await
}

/// What is so now.
struct Seen<'a> {
    registry: &'a Registry,
    strangers: &'a [Stranger],
    keys: &'a [(Purpose, Vec<KeysState>)],
    wall: Timestamp,
    now: Moment,
}

/// What was told, each with when: the store's table, in memory. Nobody else writes it.
#[derive(Debug, Default)]
struct Standing {
    told: BTreeMap<String, Moment>,
}

impl Standing {
    /// Returns what has changed.
    fn tellings(&self, seen: &Seen<'_>) -> Vec<Telling> {
        let mut tellings = self.of_agents(seen);
        tellings.extend(self.of_strangers(seen));
        tellings.extend(self.of_issuers(seen));
        if !self.told.contains_key(BEGUN) {
            tellings.push(Telling::Was(BEGUN.to_owned()));
        }
        tellings
    }

    /// Takes note of what was told.
    fn note(&mut self, tellings: &[Telling], now: Moment) {
        for telling in tellings {
            match telling {
                Telling::Is(what, _) | Telling::Was(what) => drop(self.told.insert(what.clone(), now)),
                Telling::IsNot(what) => drop(self.told.remove(what)),
            }
        }
    }

    fn of_agents(&self, seen: &Seen<'_>) -> Vec<Telling> {
        let mut so = BTreeMap::new();
        for agent in seen.registry.agents() {
            for kind in states(agent, seen) {
                so.insert(format!("agent/{}/{}", agent.name, kind.as_str()), (kind, agent));
            }
        }
        let over = self.under("agent/").filter(|(what, _)| !so.contains_key(*what));
        let mut tellings: Vec<Telling> = over.map(|(what, _)| Telling::IsNot(what.clone())).collect();
        for (what, (kind, agent)) in so.into_iter().filter(|(what, _)| !self.told.contains_key(what)) {
            let is_history = matches!(kind, Kind::AgentQuarantined | Kind::AgentRetired);
            tellings.push(if is_history && !self.told.contains_key(BEGUN) {
                Telling::Was(what)
            } else {
                is(what, kind, seen.now, Data::Agent(AgentFacts::from(agent)))
            });
        }
        tellings
    }

    fn of_strangers(&self, seen: &Seen<'_>) -> Vec<Telling> {
        let age = |at: &Moment| seen.now.as_unix_ms().saturating_sub(at.as_unix_ms());
        let lately = self.under("stranger/").filter(|(_, at)| age(at) < STRANGERS_WITHIN_MS).count();
        let forgotten = self.under("stranger/").filter(|(_, at)| age(at) > STRANGERS_FORGOTTEN_MS);
        let forgotten = forgotten.map(|(what, _)| Telling::IsNot(what.clone()));
        let is_registered =
            |stranger: &Stranger| stranger.agent.parse().is_ok_and(|name| seen.registry.agent(&name).is_some());
        let fresh = seen.strangers.iter().filter(|stranger| !is_registered(stranger));
        let fresh = fresh.map(|stranger| (format!("stranger/{}/{}", stranger.peer, stranger.agent), stranger));
        let fresh = fresh.filter(|(what, _)| !self.told.contains_key(what));
        let fresh = fresh.take(STRANGERS_MAX.saturating_sub(lately)).map(|(what, stranger)| {
            is(what, Kind::AgentUnknown, seen.now, Data::Stranger(StrangerFacts::from(stranger)))
        });
        forgotten.chain(fresh).collect()
    }

    fn of_issuers(&self, seen: &Seen<'_>) -> Vec<Telling> {
        let mut tellings = Vec::new();
        let all = seen.keys.iter().flat_map(|(purpose, states)| states.iter().map(move |state| (*purpose, state)));
        for (purpose, state) in all {
            let what = format!("issuer/{purpose}/{}", state.issuer);
            match (state.are_held, self.told.contains_key(&what)) {
                (Some(false), false) => {
                    tracing::error!(issuer = %state.issuer, %purpose, "tokens are refused: there are no keys of the issuer");
                    let facts = Data::Issuer(IssuerFacts::new(purpose, state));
                    tellings.push(is(what, Kind::IssuerKeysUnavailable, seen.now, facts));
                }
                (Some(true), true) => tellings.push(Telling::IsNot(what)),
                _ => {}
            }
        }
        tellings
    }

    fn under(&self, prefix: &'static str) -> impl Iterator<Item = (&String, &Moment)> {
        self.told.range(prefix.to_owned()..).take_while(move |(what, _)| what.starts_with(prefix))
    }
}

fn is(what: String, kind: Kind, now: Moment, data: Data) -> Telling {
    Telling::Is(what, Box::new(Event::new(kind, now, data)))
}

/// Returns what is to be told of an agent. Of one that is retired, nothing else matters any more.
fn states(agent: &Agent, seen: &Seen<'_>) -> Vec<Kind> {
    if agent.lifecycle == Lifecycle::Retired {
        return vec![Kind::AgentRetired];
    }
    let flags = seen.registry.flags(agent, seen.wall).into_iter().map(|flag| match flag {
        Flag::Orphaned => Kind::AgentOrphaned,
        Flag::Expired => Kind::AgentExpired,
        Flag::ReviewOverdue => Kind::AgentReviewOverdue,
    });
    let quarantined = (agent.lifecycle == Lifecycle::Quarantined).then_some(Kind::AgentQuarantined);
    flags.chain(quarantined).collect()
}

#[cfg(test)]
mod tests;
