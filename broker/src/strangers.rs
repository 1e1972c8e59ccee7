//! Workloads that asked in the name of agents nobody registered: what an inventory lacks, and what to look at first.
//!
//! In memory: it is a hint for people, not a record; the trail has every refusal.
//!
//! # Invariants
//!
//! - At most [`LEN_MAX`], however many ask; the one that was quiet longest goes.

use crumb_token::{SpiffeId, Timestamp};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// The most that are remembered.
pub const LEN_MAX: usize = 256;

/// One who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The workload.
    pub peer: SpiffeId,
    /// The name that it asked by.
    pub agent: String,
    /// Since when.
    pub first_seen: Timestamp,
    /// Last.
    pub last_seen: Timestamp,
    /// How often.
    pub times: u64,
}

/// All who asked lately.
#[derive(Debug, Default)]
pub struct Strangers(Mutex<HashMap<(SpiffeId, String), Stranger>>);

impl Strangers {
    /// Notes one.
    pub fn note(&self, peer: &SpiffeId, agent: &str, now: Timestamp) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (peer.clone(), agent.to_owned());
        if seen.len() >= LEN_MAX && !seen.contains_key(&key) {
            let quietest = seen.iter().min_by_key(|(_, stranger)| stranger.last_seen).map(|(key, _)| key.clone());
            quietest.map(|key| seen.remove(&key));
        }
        let (peer, agent) = key.clone();
        let fresh = Stranger { peer, agent, first_seen: now, last_seen: now, times: 0 };
        let stranger = seen.entry(key).or_insert(fresh);
        stranger.last_seen = now;
        stranger.times = stranger.times.saturating_add(1);
    }

    /// Returns them, the latest first.
    pub fn list(&self) -> Vec<Stranger> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = seen.values().cloned().collect();
        list.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.agent.cmp(&b.agent)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: usize) -> SpiffeId {
        format!("spiffe://td/w/{n}").parse().expect("an id")
    }

    #[test]
    fn counts_who_comes_again_and_forgets_who_was_quiet_longest() {
        let strangers = Strangers::default();
        for n in 0..=LEN_MAX {
            strangers.note(&peer(n), "shadow", Timestamp::from_unix_s(n as u64));
        }
        strangers.note(&peer(LEN_MAX), "shadow", Timestamp::from_unix_s(1000));
        let list = strangers.list();
        assert_eq!((list.len(), list[0].times, list[0].peer.clone()), (LEN_MAX, 2, peer(LEN_MAX)));
        assert!(list.iter().all(|stranger| stranger.peer != peer(0)), "the first was quiet longest");
    }
}
