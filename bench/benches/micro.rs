//! Criterion's view of single operations, for work on the hot path: `cargo bench -p crumb-bench --bench micro`.
//!
//! The figures that count are those of `crumb-bench verify`; these are for before and after.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use crumb_bench::Micro;

fn operations(criterion: &mut Criterion) {
    let micro = Micro::new().expect("good tokens");
    criterion.bench_function("hot_8_calls", |b| b.iter(|| micro.hot()));
    criterion.bench_function("cold", |b| {
        b.iter_batched_ref(|| micro.unseeing(), |verifier| micro.leaf(verifier), BatchSize::PerIteration);
    });
    criterion.bench_function("fresh_leaf", |b| {
        b.iter_batched_ref(|| micro.knowing_the_task(), |verifier| micro.leaf(verifier), BatchSize::PerIteration);
    });
    criterion.bench_function("gate", |b| b.iter(|| micro.gate()));
}

criterion_group!(benches, operations);
criterion_main!(benches);
