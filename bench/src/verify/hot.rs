//! Calls with tokens that the verifier has seen before, beside the least that such a call can cost.
//!
//! A server has just received the token it decides on, so its bytes are near. Here they lie in a pool of up to a hundred
//! thousand tokens, far away. So each call first touches its token, and what the touching alone takes in the same round
//! is taken off. What the verifier keeps for itself is not touched, and may be as far away as it is.

use super::{floors::Table, usual};
use crate::{
    meter::{Effort, Series, Subject, again, side_by_side},
    report::Row,
    world::{self, Call},
};
use anyhow::ensure;
use crumb_verifier::Verifier;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use std::hint::black_box;

/// Returns the calls in an order without order, again and again.
struct Rounds<'a> {
    calls: Vec<&'a Call>,
    next: usize,
}

impl<'a> Rounds<'a> {
    fn of(calls: &'a [Call]) -> Self {
        let mut calls: Vec<_> = calls.iter().collect();
        calls.shuffle(&mut StdRng::seed_from_u64(7));
        Self { calls, next: 0 }
    }

    fn next(&mut self) -> &'a Call {
        self.next = if self.next + 1 == self.calls.len() { 0 } else { self.next + 1 };
        self.calls[self.next]
    }
}

/// Makes a subject that touches each call's token and then does `then` with the call.
pub(super) fn touching<'a, T>(effort: Effort, calls: &'a [Call], mut then: impl FnMut(&Call) -> T + 'a) -> Subject<'a> {
    let mut rounds = Rounds::of(calls);
    again(effort, move || {
        let call = rounds.next();
        black_box(call.touch());
        then(call)
    })
}

/// What a thousand calls cost with a verifier that has seen all tokens, and what hash, map, comparison and clock alone.
struct HotAndFloor {
    hot: Series,
    floor: Series,
}

fn measure(effort: Effort, verifier: &Verifier, calls: &[Call]) -> anyhow::Result<HotAndFloor> {
    ensure!(calls.iter().all(|call| call.decide(verifier)), "a good token was refused");
    let table = Table::of(calls);
    let series = side_by_side(
        effort,
        &mut [
            touching(effort, calls, |_| ()),
            touching(effort, calls, |call| call.decide(verifier)),
            touching(effort, calls, |call| (table.knows(call), world::now())),
        ],
    );
    let [touched, hot, floor] = &series[..] else { unreachable!("three subjects, three series") };
    Ok(HotAndFloor { hot: hot.minus(touched), floor: floor.minus(touched) })
}

pub(super) fn rows(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let mut rows = super::floors::rows(effort)?;
    let sizes = effort.pick(&[1, 64, 1000, 10_000, 100_000][..], &[1, 8][..]);
    let calls = world::live(*sizes.last().unwrap_or(&1))?;
    for &n in sizes {
        let calls = &calls[..n];
        let measured = measure(effort, &world::verifier_for(n)?, calls)?;
        let (hot, floor) = (measured.hot.p50(), measured.floor.p50());
        let what = "clock, decide, drop: a call token of two blocks that was seen before";
        let row = Row::new("hot", what).live(n).blocks(2).took(&measured.hot).ratio(hot / floor);
        rows.push(match n {
            1000 => row.mark("100 ns or less, and 1.5x the floor or less", hot <= 100.0 && hot <= 1.5 * floor),
            10_000 => row.mark("400 ns or less", hot <= 400.0),
            _ => row,
        });
        let what = "clock, keyed hash of the header, map, full comparison: the least that a cached call costs";
        rows.push(Row::new("floor", what).live(n).took(&measured.floor));
    }
    let verifier = world::verifier()?;
    let refused = world::elsewhere(&calls[0])?;
    ensure!(calls[0].decide(&verifier) && !refused.decide(&verifier), "the wrong call was refused");
    let series = side_by_side(effort, &mut [again(effort, || refused.decide(&verifier))]);
    rows.push(Row::new("refused", "a good token at another resource, seen before").live(1).blocks(2).took(&series[0]));
    Ok(rows)
}

/// The hot call, while more and more has been revoked.
pub(super) fn with_revocations(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let calls = world::live(usual(effort))?;
    let counts = effort.pick(&[1000, 10_000, 100_000, 1_000_000][..], &[100, 1000][..]);
    let verifiers = counts.iter().map(|n| world::verifier_with(*n)).collect::<anyhow::Result<Vec<_>>>()?;
    for verifier in &verifiers {
        ensure!(calls.iter().all(|call| call.decide(verifier)), "a good token was refused");
    }
    let mut subjects = vec![touching(effort, &calls, |_| ())];
    subjects.extend(verifiers.iter().map(|v| touching(effort, &calls, |call| call.decide(v))));
    let series = side_by_side(effort, &mut subjects);
    let (touched, rest) = series.split_first().unwrap_or_else(|| unreachable!("at least one subject"));
    let hot: Vec<Series> = rest.iter().map(|s| s.minus(touched)).collect();
    let first = hot[0].p50();
    let row = |(series, revoked): (&Series, &usize)| {
        let ratio = series.p50() / first;
        let what = "the same while other sessions are revoked; the ratio is to the fewest";
        let row = Row::new("hot", what).live(calls.len()).blocks(2).revocations(*revoked).took(series).ratio(ratio);
        if *revoked == 1_000_000 { row.mark("flat from 10^3 to 10^6: 1.15x or less", ratio <= 1.15) } else { row }
    };
    Ok(hot.iter().zip(counts).map(row).collect())
}
