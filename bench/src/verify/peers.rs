//! Other libraries at the same task, in the same rounds: here is a token as it came, may its holder make this call now?
//!
//! Each gets the claims that ours has, in its own form, and checks as much of them as it can: signature, time, audience,
//! holder, tool, operation and resource. What a format cannot say is said in its file. Before anything is timed, each has
//! to allow the call and to refuse it at another resource.

mod biscuit;
mod cedar;
mod jwt;
mod macaroon;
mod paseto;
mod rego;
mod stated;
mod tenuo;

use super::{cold, hot::touching, usual};
use crate::{
    meter::{Effort, Subject, side_by_side},
    report::{Row, tidy},
    world::{self, Call},
};
use anyhow::{Context, ensure};
use std::cell::RefCell;

/// One of those that are compared.
trait Peer {
    /// Its name in a row, after `peer:`.
    fn name(&self) -> &'static str;
    /// What it does for its answer.
    fn what(&self) -> &'static str;
    /// How many blocks its token has, when it has blocks.
    fn blocks(&self) -> usize {
        0
    }
    /// How many calls it is asked about: those that keep something are asked about as many as we are.
    fn keeps(&self) -> bool {
        false
    }
    /// Says whether the call is allowed, now. Those that bring a token of their own pass over the call's.
    fn allows(&mut self, call: &Call) -> bool;
}

fn peers(calls: &[Call]) -> anyhow::Result<Vec<Box<dyn Peer>>> {
    let (claims, call) = (world::claims(0)?, calls.first().context("a call")?);
    Ok(vec![
        Box::new(biscuit::Cold::new(0)?),
        Box::new(biscuit::Cold::new(1)?),
        Box::new(biscuit::Cold::new(2)?),
        Box::new(biscuit::Cached::new(calls.len())?),
        Box::new(jwt::Jwt::eddsa(&claims)?),
        Box::new(jwt::Jwt::es256(&claims)?),
        Box::new(paseto::V4Public::new(&claims)?),
        Box::new(macaroon::Macaroons::new(&claims, call)?),
        Box::new(tenuo::Warrants::new(&claims, call)?),
        Box::new(cedar::PolicyOnly::new(&claims)?),
        Box::new(rego::PolicyOnly::new(&claims)?),
    ])
}

pub(super) fn rows(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let calls = world::live(usual(effort))?;
    let verifier = world::verifier()?;
    ensure!(calls.iter().all(|call| call.decide(&verifier)), "a good token was refused");
    let mut peers = peers(&calls)?;
    let refused = world::elsewhere(&calls[0])?;
    for peer in &mut peers {
        // Those that keep something have then seen all that they are asked about.
        let asked = if peer.keeps() { &calls[..] } else { &calls[..1] };
        ensure!(asked.iter().all(|call| peer.allows(call)), "{} refuses a good call", peer.name());
        ensure!(!peer.allows(&refused), "{} allows the call at another resource", peer.name());
    }
    let facts: Vec<_> = peers.iter().map(|p| (p.name(), p.what(), p.blocks(), p.keeps())).collect();
    let ours = cold::Pool::new(effort, 1)?;
    let mut subjects: Vec<Subject<'_>> = vec![
        touching(effort, &calls, |_| ()),
        touching(effort, &calls, |call| call.decide(&verifier)),
        ours.once_each(),
    ];
    subjects.extend(peers.into_iter().map(|peer| {
        let asked = if peer.keeps() { &calls[..] } else { &calls[..1] };
        let peer = RefCell::new(peer);
        touching(effort, asked, move |call| peer.borrow_mut().allows(call))
    }));
    let series = side_by_side(effort, &mut subjects);
    let [touched, hot, cold, theirs @ ..] = &series[..] else { unreachable!("three subjects of our own") };
    let hot = hot.minus(touched).p50();
    let row = |((name, what, blocks, keeps), series): (&(&str, &str, usize, bool), &_)| {
        let series: &crate::meter::Series = series;
        let live = if *keeps { calls.len() } else { 1 };
        let row = Row::new(format!("peer:{name}"), *what).live(live).blocks(*blocks).took(series);
        Row { ratio_to_hot: Some(tidy(series.p50() / hot)), ..row.ratio(series.p50() / cold.p50()) }
    };
    let what = "our cold call in the same rounds, which the peers' ratio is to";
    let ours = Row::new("cold:beside_peers", what).live(1).blocks(2).took(cold);
    Ok(std::iter::once(ours).chain(facts.iter().zip(theirs).map(row)).collect())
}
