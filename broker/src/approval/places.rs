//! Places for those who follow requests: so many in all, and so many for each.
//!
//! Apart from the places of other streams, so that nobody who waits for an approval keeps a verifier from the feed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How many follow at once. Whoever finds no place asks again; a listing shows the same.
const FOLLOWERS_MAX: usize = 64;

/// How many of them one peer or operator may be: a workload waits for one request at a time, and asks for few at once.
const FOLLOWERS_EACH_MAX: usize = 4;

type Taken = Arc<Mutex<HashMap<String, usize>>>;

/// The places of one door.
#[derive(Debug, Clone, Default)]
pub struct Places(Taken);

impl Places {
    /// Takes a place for `who`; `None` when there is none, or none for them.
    pub fn take(&self, who: &str) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(who).copied().unwrap_or_default();
        if own >= FOLLOWERS_EACH_MAX || taken.values().sum::<usize>() >= FOLLOWERS_MAX {
            return None;
        }
        taken.insert(who.to_owned(), own + 1);
        Some(Place { who: who.to_owned(), taken: Arc::clone(&self.0) })
    }
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    who: String,
    taken: Taken,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.who) {
            *own = own.saturating_sub(1);
        }
        taken.retain(|_, own| *own > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_his_share_and_a_place_comes_back() {
        let places = Places::default();
        let mut own: Vec<_> = (0..FOLLOWERS_EACH_MAX).map(|_| places.take("a").expect("a place")).collect();
        assert!(places.take("a").is_none());
        assert!(places.take("b").is_some(), "and another one still has room");
        own.pop();
        assert!(places.take("a").is_some());
    }

    #[test]
    fn all_together_take_no_more_than_there_are() {
        let places = Places::default();
        let taken: Vec<_> = (0..FOLLOWERS_MAX).map(|n| places.take(&n.to_string()).expect("a place")).collect();
        assert!(places.take("one more").is_none());
        drop(taken);
        assert!(places.take("one more").is_some() && places.0.lock().expect("no panic").is_empty());
    }
}
