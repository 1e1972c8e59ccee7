//! How many connections each peer holds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crumb_token::SpiffeId;

/// Counts connections by SPIFFE ID. Holds as many entries as there are peers connected, so the total bound covers it.
#[derive(Clone, Debug)]
pub(super) struct PeerSlots {
    most: usize,
    taken: Arc<Mutex<HashMap<SpiffeId, usize>>>,
}

/// One connection of one peer; gives it back on drop.
#[derive(Debug)]
pub(super) struct PeerSlot {
    id: SpiffeId,
    slots: PeerSlots,
}

impl PeerSlots {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    pub(super) fn take(&self, id: &SpiffeId) -> Option<PeerSlot> {
        let mut taken = self.lock();
        let count = taken.entry(id.clone()).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(PeerSlot { id: id.clone(), slots: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SpiffeId, usize>> {
        // A count is changed in one step, so a panic elsewhere leaves it right.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        if let Some(count) = taken.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_slots_back_and_forgets_peers() {
        let slots = PeerSlots::new(2);
        let id: SpiffeId = "spiffe://a.test/x".parse().expect("canonical");
        let other: SpiffeId = "spiffe://a.test/y".parse().expect("canonical");
        let (first, second) = (slots.take(&id), slots.take(&id));
        assert!(first.is_some() && second.is_some());
        assert!(slots.take(&id).is_none());
        assert!(slots.take(&other).is_some());
        drop(first);
        assert!(slots.take(&id).is_some());
        drop(second);
        assert!(slots.lock().is_empty());
    }
}
