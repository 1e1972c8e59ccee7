//! How many connections there are, by user and in all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The most connections of one user. Each costs three file descriptors: the socket, a pidfd and a `/proc` directory.
pub(crate) const PER_UID_MAX: usize = 64;
/// The most connections of a user who is not served: enough to be told so.
pub(crate) const PER_REFUSED_UID_MAX: usize = 4;
/// The most connections: with three descriptors each, under the usual limit of 1,024.
pub(crate) const TOTAL_MAX: usize = 256;

/// The count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(Arc<Mutex<HashMap<u32, usize>>>);

/// One connection; dropped with it.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    uid: u32,
}

impl Slots {
    /// Takes a slot for a connection of `uid`, or `None` when it has, or all have, enough.
    pub(crate) fn take(&self, uid: u32, served: bool) -> Option<Slot> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = counts.values().sum();
        let own = counts.get(&uid).copied().unwrap_or(0);
        let own_max = if served { PER_UID_MAX } else { PER_REFUSED_UID_MAX };
        if own >= own_max || total >= TOTAL_MAX {
            return None;
        }
        counts.insert(uid, own + 1);
        Some(Slot { slots: self.clone(), uid })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.uid) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                counts.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_is_not_served_gets_few() {
        let slots = Slots::default();
        let taken: Vec<_> = std::iter::from_fn(|| slots.take(7, false)).collect();
        assert_eq!(taken.len(), PER_REFUSED_UID_MAX);
        assert!(slots.take(8, true).is_some());
    }

    #[test]
    fn slots_come_back() {
        let slots = Slots::default();
        let taken: Vec<_> = std::iter::from_fn(|| slots.take(7, true)).collect();
        assert_eq!(taken.len(), PER_UID_MAX);
        drop(taken);
        assert!(slots.0.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn all_users_together_are_bounded() {
        let slots = Slots::default();
        let taken: Vec<_> = (0..).map_while(|uid| slots.take(uid, true)).collect();
        assert_eq!(taken.len(), TOTAL_MAX);
    }
}
