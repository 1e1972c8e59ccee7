//! What a cache of headers costs by the structure it is kept in: found by its bytes, compared in full, nothing decided.
//!
//! This is what the verifier's own table was chosen by (`docs/decisions/0005-the-hot-path.md`). Each structure holds what
//! the verifier holds, behind a counted pointer, and hashes the whole header with the same keyed hash; the verifier's own
//! table, compiled in here from its file, hashes the tail. `structure:connection` is what a first level for each
//! connection would be: the last few headers behind a lock, since a connection's requests are on several threads at once.

#[path = "../../../verifier/src/table.rs"]
#[expect(dead_code, reason = "the verifier uses the rest of it")]
mod table;

use super::hot::touching;
use crate::{
    meter::{Effort, Subject, side_by_side},
    report::Row,
    world::{self, Call},
};
use ahash::RandomState;
use crumb_token::Timestamp;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, RwLock},
};
use table::{Held, Table};

type Header = Box<[u8]>;

/// How many headers a connection would keep beside it.
const PER_CONNECTION: usize = 4;

impl Held for Header {
    fn key(&self) -> &[u8] {
        self
    }

    fn owner(&self) -> u64 {
        0
    }

    fn has_ended(&self, _: Timestamp) -> bool {
        false
    }
}

/// The last few headers of one connection.
type Recent = Mutex<[Option<Arc<Header>>; PER_CONNECTION]>;

fn recent(calls: &[Call]) -> Vec<Recent> {
    let held = |calls: &[Call]| std::array::from_fn(|i| calls.get(i).map(|call| Arc::new(header(call))));
    calls.chunks(PER_CONNECTION).map(|calls| Mutex::new(held(calls))).collect()
}

fn knows(recent: &Recent, bytes: &[u8]) -> bool {
    recent.lock().is_ok_and(|held| held.iter().flatten().any(|header| ***header == *bytes))
}

pub(super) fn rows(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let sizes = effort.pick(&[1000, 10_000][..], &[8][..]);
    let calls = world::live(*sizes.last().unwrap_or(&1))?;
    let mut rows = Vec::new();
    for &n in sizes {
        rows.extend(of(effort, &calls[..n]));
    }
    Ok(rows)
}

fn of(effort: Effort, calls: &[Call]) -> Vec<Row> {
    let places = calls.len() * 4;
    let locked = RwLock::new(HashMap::with_hasher(RandomState::new()));
    let papaya = papaya::HashMap::with_hasher(RandomState::new());
    let quick = quick_cache::sync::Cache::<Header, Arc<()>, _, _>::with(
        places,
        places as u64,
        quick_cache::UnitWeighter,
        RandomState::new(),
        quick_cache::sync::DefaultLifecycle::default(),
    );
    let moka = moka::sync::Cache::builder().max_capacity(places as u64).build_with_hasher(RandomState::new());
    for call in calls {
        if let Ok(mut map) = locked.write() {
            map.insert(header(call), Arc::new(()));
        }
        papaya.pin().insert(header(call), Arc::new(()));
        quick.insert(header(call), Arc::new(()));
        moka.insert(header(call), Arc::new(()));
    }
    moka.run_pending_tasks();
    let own = Table::new(places, places);
    for call in calls {
        own.insert(Arc::new(header(call)), Timestamp::from_unix_s(0));
    }
    let connections = recent(calls);
    let mut subjects: Vec<Subject<'_>> = vec![
        touching(effort, calls, |_| ()),
        touching(effort, calls, |call| locked.read().is_ok_and(|map| map.get(bytes(call)).cloned().is_some())),
        touching(effort, calls, |call| papaya.pin().get(bytes(call)).is_some()),
        touching(effort, calls, |call| quick.get(bytes(call)).is_some()),
        touching(effort, calls, |call| moka.get(bytes(call)).is_some()),
        touching(effort, calls, |call| own.get(bytes(call)).is_some()),
        touching(effort, calls, |call| knows(&connections[place(calls, call) / PER_CONNECTION], bytes(call))),
    ];
    let series = side_by_side(effort, &mut subjects);
    let names = ["rwlock_hashmap", "papaya", "quick_cache", "moka", "own_table", "connection"];
    let Some((touched, series)) = series.split_first() else { return Vec::new() };
    let row = |(name, series): (&&'static str, &crate::meter::Series)| {
        Row::new(format!("structure:{name}"), "keyed hash of the header, look-up, full comparison")
            .live(calls.len())
            .took(&series.minus(touched))
    };
    names.iter().zip(series).map(row).collect()
}

/// Returns which of `calls` it is: a connection knows its own first level without looking for it.
fn place(calls: &[Call], call: &Call) -> usize {
    (std::ptr::from_ref(call).addr() - calls.as_ptr().addr()) / size_of::<Call>()
}

fn bytes(call: &Call) -> &[u8] {
    call.token.expose().as_bytes()
}

fn header(call: &Call) -> Header {
    bytes(call).into()
}
