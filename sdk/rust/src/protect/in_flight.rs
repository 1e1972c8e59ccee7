//! How many calls are under way at once, in total and of one peer, so that no peer takes all the room.

use crumb_token::SpiffeId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The calls that are under way.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    counts: Arc<Mutex<Counts>>,
    max: usize,
    per_peer_max: usize,
}

/// How many; a peer without calls is not kept, so there are never more peers than calls.
#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_peer: HashMap<SpiffeId, usize>,
}

/// One call's room, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    counts: Arc<Mutex<Counts>>,
    peer: SpiffeId,
}

impl InFlight {
    pub(super) fn new(max: usize, per_peer_max: usize) -> Self {
        Self { counts: Arc::default(), max, per_peer_max }
    }

    /// Takes room for one call of `peer`; `None` when there is none.
    pub(super) fn enter(&self, peer: &SpiffeId) -> Option<Room> {
        let mut counts = lock(&self.counts);
        let own = counts.by_peer.get(peer).copied().unwrap_or(0);
        if counts.total >= self.max || own >= self.per_peer_max {
            return None;
        }
        counts.total += 1;
        counts.by_peer.insert(peer.clone(), own + 1);
        Some(Room { counts: Arc::clone(&self.counts), peer: peer.clone() })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.total -= 1;
        if let Some(own) = counts.by_peer.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                counts.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Nothing can panic while it is held, so a poisoned lock has whole counts.
fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SpiffeId {
        format!("spiffe://td/{name}").parse().expect("an ID")
    }

    #[test]
    fn one_peer_cannot_take_all_the_room() {
        let in_flight = InFlight::new(3, 2);
        let a: Vec<_> = (0..3).filter_map(|_| in_flight.enter(&id("a"))).collect();
        assert_eq!(a.len(), 2);
        let b = in_flight.enter(&id("b")).expect("room for another");
        assert!(in_flight.enter(&id("c")).is_none(), "past the total");
        drop(b);
        assert!(in_flight.enter(&id("c")).is_some());
    }

    #[test]
    fn what_ended_makes_room_and_leaves_nothing_behind() {
        let in_flight = InFlight::new(2, 1);
        for _ in 0..5 {
            let room = in_flight.enter(&id("a")).expect("room");
            assert!(in_flight.enter(&id("a")).is_none());
            drop(room);
        }
        let counts = lock(&in_flight.counts);
        assert!(counts.total == 0 && counts.by_peer.is_empty());
    }
}
