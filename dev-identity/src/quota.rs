//! How many of a thing one uid, and everyone together, may hold at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A count for each uid. Bounded, for a uid without slots is not in it.
#[derive(Debug, Clone)]
pub(crate) struct Quota(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    per_uid: usize,
    total: usize,
    held: Mutex<HashMap<u32, usize>>,
}

/// The right to hold one thing; dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Slot {
    quota: Quota,
    uid: u32,
}

impl Quota {
    pub(crate) fn new(per_uid: usize, total: usize) -> Self {
        Self(Arc::new(Inner { per_uid, total, held: Mutex::new(HashMap::new()) }))
    }

    /// Takes a slot for `uid`, if there is one left.
    pub(crate) fn take(&self, uid: u32) -> Option<Slot> {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let of_uid = held.get(&uid).copied().unwrap_or(0);
        if of_uid >= self.0.per_uid || held.values().sum::<usize>() >= self.0.total {
            return None;
        }
        held.insert(uid, of_uid + 1);
        Some(Slot { quota: self.clone(), uid })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.quota.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = held.get(&self.uid).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            held.remove(&self.uid);
        } else {
            held.insert(self.uid, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_uid_cannot_take_the_slots_of_another() {
        let quota = Quota::new(2, 3);
        let _mine = [quota.take(1).expect("first"), quota.take(1).expect("second")];
        assert!(quota.take(1).is_none());
        let theirs = quota.take(2).expect("another uid");
        assert!(quota.take(3).is_none(), "there are three for everyone");
        drop(theirs);
        assert!(quota.take(3).is_some());
    }

    #[test]
    fn a_uid_without_slots_is_forgotten() {
        let quota = Quota::new(1, 1);
        for uid in 0..1000 {
            drop(quota.take(uid).expect("given back each time"));
        }
        assert!(quota.0.held.lock().expect("not poisoned").is_empty());
    }
}
