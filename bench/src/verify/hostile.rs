//! Tokens that were made to hurt: how long the worst of them holds the verifier.
//!
//! The corpus is that of the test vectors. Each is decided by a verifier that knows the key it is signed with.

use crate::{
    meter::{Effort, Series, cpu_ns},
    report::Row,
    world,
};
use anyhow::{Context, ensure};
use crumb_tests::vectors::{forge, generated_hostile, handed_on, hostile_tokens, player};
use crumb_token::{Now, SpiffeId, Timestamp, TokenText};
use crumb_verifier::Verifier;
use std::{hint::black_box, time::Duration};

/// A refusal may take this long, in nanoseconds.
const MARK_NS: f64 = 200_000.0;

/// How often a refusal that seems slow is measured again: what happens every time is its cost, what happens once is an
/// interrupt.
const AGAIN: usize = 9;

pub(super) fn rows(effort: Effort, generated: u64) -> anyhow::Result<Vec<Row>> {
    let court = Court::new()?;
    let corpus = hostile_tokens().into_iter().map(|(_, token)| token);
    let mutated = (0..effort.pick(generated, 20)).map(generated_hostile);
    Ok(vec![
        court.row("every hostile token of the corpus", corpus)?,
        court.row("valid tokens changed by random seeds", mutated)?,
        court.most_signatures()?,
    ])
}

/// Decides on hostile tokens.
struct Court {
    verifier: Verifier,
    now: Now,
    peer: SpiffeId,
    ask: crumb_token::Ask,
}

impl Court {
    fn new() -> anyhow::Result<Self> {
        let now = Now { wall: Timestamp::from_unix_s(player::NOW), ticks: Duration::ZERO };
        let ask = player::ask(&player::call()).context("a call")?;
        Ok(Self { verifier: world::verifier_at(now, 0)?, now, peer: player::HOLDER.parse()?, ask })
    }

    /// The most that a token without the last secret can make of the verifier: eight hops, two signatures each. No mark is
    /// about it, for whoever has such a token was named by the broker.
    fn most_signatures(&self) -> anyhow::Result<Row> {
        let token = TokenText::from_bytes(&forge::bytes(&handed_on::unproved()));
        let took = (0..AGAIN).map(|_| self.refuse(&token)).collect::<anyhow::Result<Vec<_>>>()?;
        let what = "eight hops: 17 signatures that verify, and a proof that does not";
        Ok(Row::new("hostile:hops", what).live(1).blocks(9).took(&Series::of(took)))
    }

    fn row(&self, what: &str, tokens: impl Iterator<Item = Vec<u8>>) -> anyhow::Result<Row> {
        let refusals = tokens.map(|bytes| self.refuse(&TokenText::from_bytes(&bytes)));
        let took = refusals.collect::<anyhow::Result<Vec<_>>>()?;
        let series = Series::of(took);
        let row = Row::new("hostile", what).live(series.len()).took(&series).slowest(series.max());
        Ok(row.mark("200 µs or less, the worst", series.max() <= MARK_NS))
    }

    fn refuse(&self, token: &TokenText) -> anyhow::Result<f64> {
        let decide = || self.verifier.decide(token, &self.ask, &self.peer, self.now);
        ensure!(!decide().is_allowed(), "a hostile token was allowed");
        let once = || cpu_ns(|| drop(black_box(decide())));
        let first = once();
        let slow = first > MARK_NS / 4.0;
        Ok(if slow { (0..AGAIN).map(|_| once()).fold(first, f64::min) } else { first })
    }
}
