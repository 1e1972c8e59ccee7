//! How often each agent has been given and refused tokens lately: what policies see as history, and rate limits count.
//!
//! Counters of one broker, in memory: an hour of minutes and a minute of seconds for each agent at each tool server. A
//! restart forgets them, which lets an agent have its rate once more; what a session may spend in all is in the store.
//!
//! # Invariants
//!
//! - Bounded: an entry for each pair of agent and tool server, at most `PAIRS_MAX`; when full, the one that was quiet
//!   longest goes.

use crumb_token::{AgentName, Audience, Timestamp};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// The most pairs that are counted: a thousand agents at a handful of tool servers each.
const PAIRS_MAX: usize = 8_192;

const SECONDS: usize = 60;
const MINUTES: usize = 60;

/// Counts by pair.
#[derive(Debug, Default)]
pub struct Paces(Mutex<HashMap<(AgentName, Audience), Pace>>);

/// What was counted of one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lately {
    /// Tokens in the last minute.
    pub issued_minute: u32,
    /// Tokens in the last hour.
    pub issued_hour: u32,
    /// Refusals in the last hour.
    pub denied_hour: u32,
}

impl Paces {
    /// Counts a token that is about to be issued, unless as many as `most` were within a minute; then it returns `false`.
    /// Counted before it is written, so that many at once are not more than one after the other; one that comes to nothing
    /// counts all the same.
    pub fn take(&self, agent: &AgentName, audience: &Audience, most: Option<u32>, now: Timestamp) -> bool {
        let mut taken = true;
        self.with(agent, audience, now, |pace| {
            taken = most.is_none_or(|most| pace.seconds.sum(now.as_unix_s()) < most);
            if taken {
                pace.seconds.add(now.as_unix_s());
                pace.minutes.add(now.as_unix_s() / 60);
            }
        });
        taken
    }

    /// Counts a refusal.
    pub fn denied(&self, agent: &AgentName, audience: &Audience, now: Timestamp) {
        self.with(agent, audience, now, |pace| pace.denied.add(now.as_unix_s() / 60));
    }

    /// Returns what was counted.
    pub fn lately(&self, agent: &AgentName, audience: &Audience, now: Timestamp) -> Lately {
        let paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pace) = paces.get(&(agent.clone(), audience.clone())) else { return Lately::default() };
        Lately {
            issued_minute: pace.seconds.sum(now.as_unix_s()),
            issued_hour: pace.minutes.sum(now.as_unix_s() / 60),
            denied_hour: pace.denied.sum(now.as_unix_s() / 60),
        }
    }

    fn with(&self, agent: &AgentName, audience: &Audience, now: Timestamp, change: impl FnOnce(&mut Pace)) {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (agent.clone(), audience.clone());
        if paces.len() >= PAIRS_MAX && !paces.contains_key(&key) {
            let quietest = paces.iter().min_by_key(|(_, pace)| pace.last).map(|(key, _)| key.clone());
            quietest.map(|key| paces.remove(&key));
        }
        let pace = paces.entry(key).or_default();
        pace.last = now.as_unix_s();
        change(pace);
    }
}

#[derive(Debug, Default)]
struct Pace {
    last: u64,
    seconds: Ring<SECONDS>,
    minutes: Ring<MINUTES>,
    denied: Ring<MINUTES>,
}

/// Counts of the last `N` ticks.
#[derive(Debug)]
struct Ring<const N: usize> {
    counts: [u32; N],
    newest: u64,
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self { counts: [0; N], newest: 0 }
    }
}

impl<const N: usize> Ring<N> {
    fn add(&mut self, tick: u64) {
        // A clock that went back counts for the newest tick: it must not open a way around the limit.
        let tick = tick.max(self.newest);
        for gone in (self.newest + 1..=tick).take(N) {
            *self.at(gone) = 0;
        }
        if tick - self.newest >= N as u64 {
            self.counts = [0; N];
        }
        self.newest = tick;
        *self.at(tick) = self.at(tick).saturating_add(1);
    }

    fn sum(&self, tick: u64) -> u32 {
        let tick = tick.max(self.newest);
        let behind = tick - self.newest;
        let kept = (N as u64).saturating_sub(behind);
        let oldest = self.newest.saturating_sub(kept.saturating_sub(1));
        if kept == 0 {
            return 0;
        }
        (oldest..=self.newest).map(|tick| self.counts[place::<N>(tick)]).fold(0, u32::saturating_add)
    }

    fn at(&mut self, tick: u64) -> &mut u32 {
        &mut self.counts[place::<N>(tick)]
    }
}

fn place<const N: usize>(tick: u64) -> usize {
    usize::try_from(tick % N as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Timestamp {
        Timestamp::from_unix_s(1_800_000_000 + s)
    }

    fn pair() -> (AgentName, Audience) {
        ("bot".parse().expect("name"), "spiffe://td/tool".parse().expect("audience"))
    }

    #[test]
    fn counts_the_last_minute_and_hour_and_forgets_what_is_older() {
        let (paces, (agent, audience)) = (Paces::default(), pair());
        for s in [0, 0, 30, 59] {
            assert!(paces.take(&agent, &audience, None, at(s)));
        }
        let minute = |s| paces.lately(&agent, &audience, at(s)).issued_minute;
        assert_eq!([minute(59), minute(60), minute(89), minute(90), minute(118), minute(119)], [4, 2, 2, 1, 1, 0]);
        assert_eq!(paces.lately(&agent, &audience, at(3000)).issued_hour, 4);
        assert_eq!(paces.lately(&agent, &audience, at(4000)).issued_hour, 0);
        assert!(paces.take(&agent, &audience, None, at(100_000)));
        assert_eq!(minute(100_000), 1);
    }

    #[test]
    fn a_clock_that_goes_back_opens_no_way_around() {
        let (paces, (agent, audience)) = (Paces::default(), pair());
        for s in [1000, 10, 500] {
            assert!(paces.take(&agent, &audience, None, at(s)));
        }
        assert_eq!(paces.lately(&agent, &audience, at(10)).issued_minute, 3);
    }

    #[test]
    fn the_last_one_within_a_minute_is_the_last_one() {
        let (paces, (agent, audience)) = (Paces::default(), pair());
        let taken = |s| paces.take(&agent, &audience, Some(2), at(s));
        assert_eq!(
            [taken(0), taken(0), taken(59), taken(60), taken(60), taken(61)],
            [true, true, false, true, true, false]
        );
    }

    #[test]
    fn one_pair_counts_nothing_for_another() {
        let (paces, (agent, audience)) = (Paces::default(), pair());
        paces.denied(&agent, &audience, at(0));
        let other = "other".parse().expect("name");
        assert_eq!(paces.lately(&other, &audience, at(0)), Lately::default());
        assert_eq!(paces.lately(&agent, &audience, at(0)).denied_hour, 1);
    }
}
