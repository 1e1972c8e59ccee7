//! The table, with plain entries: what is found, who gives way, what is let go.

use super::*;

#[derive(Debug)]
struct Entry {
    key: Vec<u8>,
    owner: u64,
    ends: u64,
}

impl Held for Entry {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn owner(&self) -> u64 {
        self.owner
    }

    fn has_ended(&self, time: Timestamp) -> bool {
        time.as_unix_s() >= self.ends
    }
}

const NOW: Timestamp = Timestamp::from_unix_s(100);

fn entry(owner: u64, n: u64) -> Arc<Entry> {
    Arc::new(Entry { key: format!("{owner}-{n}").into_bytes(), owner, ends: 200 })
}

fn has(table: &Table<Entry>, owner: u64, n: u64) -> bool {
    table.get(&entry(owner, n).key).is_some()
}

#[test]
fn finds_only_the_very_bytes() {
    let table = Table::new(64, 64);
    let mut key = vec![7; 200];
    table.insert(Arc::new(Entry { key: key.clone(), owner: 1, ends: 200 }), NOW);
    assert!(table.get(&key).is_some());
    // The same tail, so the same hash, and other bytes before it.
    key[0] = 8;
    assert!(table.get(&key).is_none());
    assert!(table.get(&key[1..]).is_none() && table.get(&[]).is_none());
}

#[test]
fn an_owner_with_his_share_displaces_nobody() {
    let table = Table::new(64, 8);
    for n in 0..24 {
        table.insert(entry(n, 0), NOW);
    }
    let there: Vec<_> = (0..24).filter(|n| has(&table, *n, 0)).collect();
    for n in 0..8 {
        table.insert(entry(100, n), NOW);
    }
    let before: Vec<_> = there.iter().filter(|n| has(&table, **n, 0)).collect();
    for n in 8..10_000 {
        table.insert(entry(100, n), NOW);
    }
    let after: Vec<_> = there.iter().filter(|n| has(&table, **n, 0)).collect();
    assert_eq!(before, after);
    assert!(table.lock().count(100) <= 8);
}

#[test]
fn in_a_full_set_whoever_has_most_gives_way() {
    let table = Table::new(1, 8);
    for n in 0..7 {
        table.insert(entry(1, n), NOW);
    }
    table.insert(entry(2, 0), NOW);
    table.insert(entry(3, 0), NOW);
    assert!(has(&table, 2, 0) && has(&table, 3, 0));
    let of_one = table.lock().count(1);
    assert_eq!((of_one, table.len()), (6, 8));
}

#[test]
fn never_grows_past_its_places() {
    let table = Table::new(64, usize::MAX);
    for n in 0..1000 {
        table.insert(entry(n % 7, n), NOW);
        assert!(table.len() <= 64);
    }
    let counted: usize = table.lock().counts.values().sum();
    assert_eq!(counted, table.len());
}

#[test]
fn what_has_ended_gives_way_and_is_swept() {
    let table = Table::new(1, 8);
    for n in 0..8 {
        table.insert(entry(n, 0), NOW);
    }
    let later = Timestamp::from_unix_s(200);
    table.insert(Arc::new(Entry { key: b"new".to_vec(), owner: 99, ends: 300 }), later);
    assert_eq!(table.len(), 8);
    for _ in 0..SWEEP_PARTS {
        table.sweep(later, |_| true);
    }
    assert_eq!(table.len(), 1);
    for _ in 0..SWEEP_PARTS {
        table.sweep(later, |entry| entry.owner != 99);
    }
    assert_eq!(table.len(), 0);
    assert!(table.lock().counts.is_empty());
}

#[test]
fn an_entry_that_is_replaced_stays_for_whoever_found_it() {
    let table = Table::new(8, 1);
    table.insert(entry(1, 0), NOW);
    let found = table.get(&entry(1, 0).key).expect("found");
    while has(&table, 1, 0) {
        for n in 1..64 {
            table.insert(entry(1, n), NOW);
        }
    }
    assert_eq!(found.key, b"1-0");
}
