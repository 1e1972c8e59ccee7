//! What a cache of headers costs by the structure it is kept in: found by its bytes, compared in full, nothing decided.
//!
//! This is what the verifier's own table was chosen by (`docs/decisions/0005-the-hot-path.md`). Each structure holds what
//! the verifier holds, behind a counted pointer, and hashes the whole header with the same keyed hash; the verifier's table,
//! which hashes the tail, is not here by itself: the `hot` rows are a whole decision on it.

use super::hot::touching;
use crate::{
    meter::{Effort, Subject, side_by_side},
    report::Row,
    world::{self, Call},
};
use ahash::RandomState;
use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

type Header = Box<[u8]>;

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
    let mut subjects: Vec<Subject<'_>> = vec![
        touching(effort, calls, |_| ()),
        touching(effort, calls, |call| locked.read().is_ok_and(|map| map.get(bytes(call)).cloned().is_some())),
        touching(effort, calls, |call| papaya.pin().get(bytes(call)).is_some()),
        touching(effort, calls, |call| quick.get(bytes(call)).is_some()),
        touching(effort, calls, |call| moka.get(bytes(call)).is_some()),
    ];
    let series = side_by_side(effort, &mut subjects);
    let names = ["structure:rwlock_hashmap", "structure:papaya", "structure:quick_cache", "structure:moka"];
    let Some((touched, series)) = series.split_first() else { return Vec::new() };
    let row = |(name, series): (&&'static str, &crate::meter::Series)| {
        Row::new(*name, "keyed hash of the header, look-up, full comparison")
            .live(calls.len())
            .took(&series.minus(touched))
    };
    names.iter().zip(series).map(row).collect()
}

fn bytes(call: &Call) -> &[u8] {
    call.token.expose().as_bytes()
}

fn header(call: &Call) -> Header {
    bytes(call).into()
}
