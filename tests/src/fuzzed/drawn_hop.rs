//! Hops drawn from bytes: good ones, and such that one thing is wrong with.
//!
//! Apart from [`super::drawn_token`], which draws the other blocks, because a hop is written as a whole and bent then.

use crate::vectors::{
    forge::authority,
    hops::{FIRST, SECOND, STRANGER, delegable, hop_seed, hop_text, third_party},
    player::HOLDER,
};
use arbitrary::{Result, Unstructured};
use biscuit_auth::format::schema::Block;
use std::sync::LazyLock;

/// The authority block of a token that may be handed on.
pub(super) static DELEGABLE: LazyLock<Vec<Block>> = LazyLock::new(|| vec![authority(&delegable())]);

/// From one to another: those that may be, the first of them first, and some that may not.
const HANDS: [[&str; 2]; 7] = [
    [HOLDER, FIRST],
    [FIRST, SECOND],
    [HOLDER, SECOND],
    [SECOND, FIRST],
    [HOLDER, STRANGER],
    [STRANGER, FIRST],
    [FIRST, FIRST],
];

/// Each of those, to keep, to hand on with a key of its own, and with the first holder's.
static HOPS: LazyLock<Vec<Block>> = LazyLock::new(|| {
    let keys = [None, Some(hop_seed(1)), Some(hop_seed(2)), Some(hop_seed(0))];
    let caveats = ["", r#"check if tool("read_file"); check if nonce(hex:11111111111111111111111111111111);"#];
    let texts = HANDS.into_iter().flat_map(|hands| keys.map(|key| (hands, key)));
    texts.flat_map(|(hands, key)| caveats.map(|rest| third_party(&hop_text(hands, key, rest)))).collect()
});

/// Draws a hop and the seed of its signer: mostly one that may stand after `place` others.
pub(super) fn drawn_hop(place: u8, u: &mut Unstructured<'_>) -> Result<(Block, [u8; 32])> {
    // The first goes to the first delegate, who may go on; the second to the second.
    let usual = if place == 0 { 2 } else { 8 };
    let chosen = if u.ratio(1, 2)? { usual } else { u.choose_index(HOPS.len())? };
    let mut block = HOPS[chosen].clone();
    let by = if u.ratio(7, 8)? { place } else { u.int_in_range(0..=3)? };
    if u.ratio(1, 4)? {
        bend(&mut block, u)?;
    }
    Ok((block, hop_seed(by)))
}

fn bend(block: &mut Block, u: &mut Unstructured<'_>) -> Result<()> {
    let other = &HOPS[u.choose_index(HOPS.len())?];
    match u.int_in_range(0..=9)? {
        0 => block.facts.clear(),
        1 => block.facts.extend(other.facts.clone()),
        2 => block.checks.reverse(),
        3 => block.checks.extend(other.checks.clone()),
        4 => block.public_keys.clone_from(&other.public_keys),
        5 => block.symbols.clone_from(&other.symbols),
        6 => block.symbols.reverse(),
        7 => block.facts.clone_from(&other.facts),
        8 => block.version = Some(u.int_in_range(2..=6)?),
        _ => block.checks.clone_from(&other.checks),
    }
    Ok(())
}
