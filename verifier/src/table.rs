//! A bounded table of what has been verified, found by the received bytes.
//!
//! A set of eight places for each hash, like a processor's cache: a look-up reads one line of tags and one entry, takes no
//! lock and writes nothing that another thread reads. A tag is a keyed hash of the length and the last bytes, which in a
//! token are its proof or a signature; whatever it points at is compared in full.
//!
//! # Invariants
//!
//! - Never more than its places; nothing grows.
//! - An owner who has his share replaces only what is his own; below it, in a full set, whoever has most there gives way.
//!   So endless encodings of one token, or endless leaves of one parent, displace others a bounded number of times.
//! - What is found is what was put in, byte for byte. Whether it still holds is the caller's question.

use ahash::RandomState;
use arc_swap::{ArcSwapOption, Guard};
use crumb_token::Timestamp;
use std::{
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Places in one set: as many tags as fill a cache line.
const WAYS: usize = 8;

/// The bytes at the end that the hash looks at: of a token most of its proof, of a parent half a signature.
const HASHED_LEN: usize = 32;

/// The parts in which the table is swept.
const SWEEP_PARTS: usize = 16;

/// What a table holds.
pub(crate) trait Held {
    /// The bytes that it is found by.
    fn key(&self) -> &[u8];
    /// Whose it is.
    fn owner(&self) -> u64;
    /// Says whether it can be let go.
    fn has_ended(&self, time: Timestamp) -> bool;
}

/// What a look-up returns: the entry stays while this is held, even when it is replaced meanwhile. Costs no count that
/// threads would share.
pub(crate) struct Found<T>(Guard<Option<Arc<T>>>);

impl<T> Found<T> {
    /// Returns the entry with a count of its own, to keep for longer.
    pub(crate) fn share(&self) -> Option<Arc<T>> {
        self.0.clone()
    }
}

impl<T> Deref for Found<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().expect("an empty place is not found")
    }
}

pub(crate) struct Table<T> {
    hasher: RandomState,
    sets: Box<[Set<T>]>,
    share: usize,
    /// Held to change the table, never to look something up.
    owners: Mutex<Owners>,
}

#[repr(align(64))]
struct Set<T> {
    /// Zero where nothing is.
    tags: [AtomicU64; WAYS],
    places: [ArcSwapOption<T>; WAYS],
}

/// How many entries each owner has, and where the sweep goes on.
#[derive(Debug, Default)]
struct Owners {
    counts: HashMap<u64, usize>,
    len: usize,
    next_part: usize,
}

impl<T: Held> Table<T> {
    /// Makes a table of at least `places`, of which one owner gets `share`.
    pub(crate) fn new(places: usize, share: usize) -> Self {
        let sets = places.div_ceil(WAYS).next_power_of_two();
        let set = || Set { tags: Default::default(), places: Default::default() };
        Self {
            hasher: RandomState::new(),
            sets: std::iter::repeat_with(set).take(sets).collect(),
            share,
            owners: Mutex::default(),
        }
    }

    /// Finds what was put in under exactly these bytes.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Found<T>> {
        let (set, tag) = self.place(key)?;
        for (known, place) in set.tags.iter().zip(&set.places) {
            if known.load(Ordering::Relaxed) == tag {
                let found = place.load();
                if found.as_ref().is_some_and(|entry| entry.key() == key) {
                    return Some(Found(found));
                }
            }
        }
        None
    }

    /// Names an owner.
    pub(crate) fn owner(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    /// Puts an entry in, if there is a place for it: a free one, one that has ended, one of its owner's, or, for an owner
    /// below his share, one of whoever has most in that set.
    pub(crate) fn insert(&self, entry: Arc<T>, now: Timestamp) {
        let Some((set, tag)) = self.place(entry.key()) else { return };
        let mut owners = self.lock();
        let Some(way) = self.way_for(set, &entry, &owners, now) else { return };
        let before = set.take(way);
        owners.leave(before.as_deref());
        owners.enter(&*entry);
        if let (Some(known), Some(place)) = (set.tags.get(way), set.places.get(way)) {
            place.store(Some(entry));
            known.store(tag, Ordering::Release);
        }
    }

    /// Lets go what has ended or is no longer `wanted`, in the next part of the table.
    pub(crate) fn sweep(&self, now: Timestamp, wanted: impl Fn(&T) -> bool) {
        let mut owners = self.lock();
        let part = self.sets.len().div_ceil(SWEEP_PARTS);
        let start = (owners.next_part % SWEEP_PARTS) * part;
        owners.next_part += 1;
        if owners.len == 0 {
            return;
        }
        for set in self.sets.iter().skip(start).take(part) {
            for way in 0..WAYS {
                if set.entry(way).is_some_and(|entry| entry.has_ended(now) || !wanted(&entry)) {
                    owners.leave(set.take(way).as_deref());
                }
            }
        }
    }

    /// Returns how many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len
    }

    fn way_for(&self, set: &Set<T>, entry: &T, owners: &Owners, now: Timestamp) -> Option<usize> {
        let held: Vec<_> = (0..WAYS).map(|way| set.entry(way)).collect();
        let position = |wanted: &dyn Fn(&T) -> bool| held.iter().position(|e| e.as_deref().is_some_and(wanted));
        let owner = entry.owner();
        let own = || {
            let ended = position(&|held| held.owner() == owner && held.has_ended(now));
            ended.or_else(|| position(&|held| held.owner() == owner))
        };
        if let Some(same) = position(&|held| held.key() == entry.key()) {
            return Some(same);
        }
        if owners.count(owner) >= self.share {
            return own();
        }
        let free = held.iter().position(Option::is_none);
        free.or_else(|| position(&|held| held.has_ended(now))).or_else(|| {
            let most = held.iter().flatten().max_by_key(|e| (owners.in_set(&held, e.owner()), e.owner() == owner))?;
            position(&|held| held.owner() == most.owner())
        })
    }

    fn place(&self, key: &[u8]) -> Option<(&Set<T>, u64)> {
        let tail = key.get(key.len().saturating_sub(HASHED_LEN)..)?;
        let hash = self.hasher.hash_one((key.len(), tail));
        let index = usize::try_from(hash >> 32).ok()? & (self.sets.len() - 1);
        // Zero means empty.
        Some((self.sets.get(index)?, hash | 1))
    }

    fn lock(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it holds are secrets.
impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} sets)", self.sets.len())
    }
}

impl<T> Set<T> {
    fn entry(&self, way: usize) -> Option<Arc<T>> {
        self.places.get(way)?.load_full()
    }

    fn take(&self, way: usize) -> Option<Arc<T>> {
        self.tags.get(way)?.store(0, Ordering::Release);
        self.places.get(way)?.swap(None)
    }
}

impl Owners {
    fn count(&self, owner: u64) -> usize {
        self.counts.get(&owner).copied().unwrap_or(0)
    }

    fn in_set<T: Held>(&self, held: &[Option<Arc<T>>], owner: u64) -> usize {
        held.iter().flatten().filter(|entry| entry.owner() == owner).count()
    }

    fn enter<T: Held>(&mut self, entry: &T) {
        *self.counts.entry(entry.owner()).or_default() += 1;
        self.len += 1;
    }

    fn leave<T: Held>(&mut self, entry: Option<&T>) {
        let Some(owner) = entry.map(Held::owner) else { return };
        self.len = self.len.saturating_sub(1);
        if let Some(count) = self.counts.get_mut(&owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&owner);
            }
        }
    }
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
