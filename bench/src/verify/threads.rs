//! Whether cores are in each other's way: the same hot calls on one core and on all, with one verifier.

use super::usual;
use crate::{
    meter::{self, Effort, Series, cores, cpu_ns, stay_on_core, wall_ns},
    report::Row,
    world::{self, Call},
};
use anyhow::{Context, ensure};
use crumb_verifier::Verifier;
use std::{hint::black_box, sync::Barrier, thread};

/// How many times as long as a sample a round is, so that starting and ending threads does not count.
const ROUND: f64 = 20.0;

/// What one round on some cores came to.
struct Round {
    /// Calls a second, by the wall.
    rate: f64,
    /// CPU time of one call, in nanoseconds, over all threads.
    cpu_ns: f64,
}

pub(super) fn rows(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let calls = world::live(usual(effort))?;
    let verifier = world::verifier()?;
    ensure!(calls.iter().all(|call| call.decide(&verifier)), "a good token was refused");
    let all = cores();
    let pass = wall_ns(|| {
        black_box(calls.iter().filter(|call| call.decide(&verifier)).count());
    });
    let turns = (1..1_000_000).find(|n| pass * f64::from(*n) >= effort.sample_ns * ROUND).unwrap_or(1);
    let rounds = effort.pick(31, 3);
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(round(&verifier, &calls, 1, turns)?);
        many.push(round(&verifier, &calls, all, turns)?);
    }
    let rate = |rounds: &[Round]| Series::of(rounds.iter().map(|r| r.rate).collect()).p50();
    let (alone, together) = (rate(&one), rate(&many));
    let row = |threads: usize, rounds: &[Round], rate: f64| {
        let cpu = Series::of(rounds.iter().map(|r| r.cpu_ns).collect());
        let what = "the same on that many cores at once; the ratio is of calls a second, by the wall";
        let row = Row::new("hot", what).live(calls.len()).blocks(2).threads(threads).took(&cpu);
        Row { unit: Some("calls/s".into()), value: Some(rate.round()), ..row.ratio(rate / alone) }
    };
    // One thread is measured here as well, the same way, since the ratio is to it.
    let single = Row { name: "hot_by_the_wall".into(), ..row(1, &one, alone) };
    let scaling = together / alone;
    let all_cores = row(all, &many, together);
    let marked = all == 2;
    Ok(vec![single, if marked { all_cores.mark("1.9x one thread or better", scaling >= 1.9) } else { all_cores }])
}

fn round(verifier: &Verifier, calls: &[Call], threads: usize, turns: u32) -> anyhow::Result<Round> {
    let start = Barrier::new(threads + 1);
    let end = Barrier::new(threads + 1);
    let work = |core: usize| {
        stay_on_core(core);
        start.wait();
        let took = cpu_ns(|| {
            for _ in 0..turns {
                // Threads begin at different places, so that they are not after the same entry all the time.
                let (before, after) = calls.split_at(core * calls.len() / threads);
                for call in after.iter().chain(before) {
                    black_box(call.decide(verifier));
                }
            }
        });
        end.wait();
        took
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|core| scope.spawn(move || work(core))).collect();
        start.wait();
        let wall = wall_ns(|| {
            end.wait();
        });
        let cpu: f64 = workers.into_iter().map(|w| w.join().ok()).sum::<Option<f64>>().context("a worker ended")?;
        let done = meter::count(threads * calls.len()) * f64::from(turns);
        Ok(Round { rate: done * 1e9 / wall, cpu_ns: cpu / done })
    })
}
