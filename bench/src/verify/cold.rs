//! Calls with tokens that the verifier has never seen, beside the signatures that have to be checked for them.

use super::floors::Chain;
use crate::{
    meter::{Effort, Subject, again, count, cpu_ns, side_by_side},
    report::Row,
    world::{self, Call},
};
use anyhow::ensure;
use crumb_tests::vectors::forge;
use crumb_verifier::Verifier;
use ed25519_dalek::{Signer, SigningKey};
use std::hint::black_box;

pub(super) fn rows(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let depths = effort.pick(&[0, 1, 2, 3, 5, 8][..], &[0, 2][..]);
    let mut rows = Vec::new();
    for &appended in depths {
        rows.extend(at_depth(effort, appended)?);
    }
    rows.push(fresh_leaf(effort)?);
    Ok(rows)
}

fn at_depth(effort: Effort, appended: usize) -> anyhow::Result<[Row; 2]> {
    let pool = Pool::new(effort, appended)?;
    let chain = Chain::of(&pool.calls[0])?;
    let series = side_by_side(effort, &mut [pool.once_each(), again(effort, || chain.holds())]);
    let (cold, floor) = (&series[0], &series[1]);
    let blocks = appended + 1;
    let ratio = cold.p50() / floor.p50();
    let row = Row::new("cold", "clock, decide, drop: a token never seen before; the ratio is to its signatures");
    let row = row.live(1).blocks(blocks).took(cold).ratio(ratio);
    let floor = Row::new("floor:chain", "the token's signature checks alone, and its proof").blocks(blocks).took(floor);
    let marked = matches!(blocks, 1 | 3);
    Ok([if marked { row.mark("1.3x its signature checks or less", ratio <= 1.3) } else { row }, floor])
}

/// A call token that was just broken off, from a task token whose other call tokens were seen before.
fn fresh_leaf(effort: Effort) -> anyhow::Result<Row> {
    let task = world::task_token(1)?;
    let leaf = |n| world::call_from(&task, 1, n, 1);
    let pool = Pool { calls: (1..=size(effort)).map(leaf).collect::<anyhow::Result<_>>()?, known: leaf(0)? };
    let message = [7; 700];
    let key = SigningKey::from_bytes(&forge::ROOT);
    let (public, signature) = (key.verifying_key(), key.sign(&message));
    let verify_strict = again(effort, move || public.verify_strict(black_box(&message), &signature));
    let series = side_by_side(effort, &mut [pool.once_each(), verify_strict]);
    let ratio = series[0].p50() / series[1].p50();
    let row = Row::new("fresh_leaf", "a new call token of a known task token; the ratio is to one verify_strict");
    let row = row.live(1).blocks(2).took(&series[0]).ratio(ratio);
    Ok(row.mark("1.5x one Ed25519 verify_strict or less", ratio <= 1.5))
}

fn size(effort: Effort) -> usize {
    effort.pick(32, 2)
}

/// Calls that are decided once each, by a verifier that has seen another one only.
pub(super) struct Pool {
    calls: Vec<Call>,
    known: Call,
}

impl Pool {
    /// Makes calls of different task tokens, with `appended` blocks behind the authority block.
    pub(super) fn new(effort: Effort, appended: usize) -> anyhow::Result<Self> {
        let calls = (1..=size(effort)).map(|n| world::call(n, n, appended)).collect::<anyhow::Result<_>>()?;
        let pool = Self { calls, known: world::call(0, 0, 1)? };
        let verifier = pool.verifier()?;
        ensure!(pool.calls.iter().all(|call| call.decide(&verifier)), "a good token was refused");
        Ok(pool)
    }

    /// Makes a verifier that has decided before, so that what is made once is made.
    fn verifier(&self) -> anyhow::Result<Verifier> {
        let verifier = world::verifier()?;
        ensure!(self.known.decide(&verifier), "a good token was refused");
        Ok(verifier)
    }

    /// Makes a subject that decides each call once, with another verifier in every sample.
    pub(super) fn once_each(&self) -> Subject<'_> {
        Box::new(|| {
            // What was possible a moment ago; a sample that is no number would be seen in every figure.
            let Ok(verifier) = self.verifier() else { return f64::NAN };
            let took = cpu_ns(|| {
                for call in &self.calls {
                    black_box(call.decide(&verifier));
                }
            });
            took / count(self.calls.len())
        })
    }
}
