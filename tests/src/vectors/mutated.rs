//! Valid tokens, changed until nobody may accept them: what somebody sends who has seen real ones.
//!
//! Apart from [`super::hostile`], whose tokens are written by hand, because these come from a number: every seed is another
//! token, and the same one each time.
//!
//! Invariant: no verifier of the profile accepts any of them, whatever the call. They say nothing about the reason.

use super::{
    accepted::chain_blocks,
    forge::{ROOT, bytes, sign, sign_with},
    hostile, out_of_profile,
    player::{NOW, word},
};
use biscuit_auth::format::schema::{Biscuit, Block};
use crumb_token::{Caveat, Timestamp, TokenText, profile::ACCEPTED_LEN_MAX};
use prost_biscuit::Message;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use std::sync::LazyLock;

/// Valid tokens, from a task token to the longest chain.
static VALID: LazyLock<Vec<Biscuit>> = LazyLock::new(|| {
    let end = |i: u64| vec![Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + 60 - i))];
    let call = vec![vec![Caveat::Tool(word("read_file")), Caveat::Operation(word("read")), Caveat::Nonce([0x11; 16])]];
    let pair = vec![vec![Caveat::Resource(word("file:///docs/*"))], vec![Caveat::Tool(word("read_file"))]];
    [vec![], call, pair, (0..8).map(end).collect()].iter().map(|blocks| sign(&chain_blocks(blocks))).collect()
});

/// Blocks that the gate refuses behind the usual authority block, encoded.
static OUTSIDE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let last = |token: &str| {
        let bytes = TokenText::from_presented(token).ok()?.decode().ok()?;
        let token = Biscuit::decode(&bytes[..]).ok().filter(|t| t.blocks.len() == 1)?;
        Some(token.blocks.into_iter().next()?.block)
    };
    let vectors = out_of_profile::vectors().into_iter().chain(hostile::vectors());
    vectors.filter_map(|v| last(&v.token)).filter(|block| block.len() < ACCEPTED_LEN_MAX / 2).collect()
});

/// Makes the mutation that `seed` names, at most 8 KiB.
///
/// # Panics
///
/// Never.
pub fn generated_hostile(seed: u64) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(seed);
    let valid = VALID.choose(&mut rng).expect("four");
    let mut token = match rng.random_range(0..8) {
        0 | 1 => flipped(valid, &mut rng),
        2 => truncated(valid, &mut rng),
        3 => overwritten(valid, &mut rng),
        4 => rearranged(valid.clone(), &mut rng),
        5 => grafted(valid.clone(), &mut rng),
        6 => signed_outside(&mut rng),
        _ => signed_noise(&mut rng),
    };
    token.truncate(ACCEPTED_LEN_MAX);
    // Two changes can undo each other.
    if VALID.iter().any(|valid| bytes(valid) == token) {
        token[0] ^= 0xff;
    }
    token
}

/// Flips 1 to 8 bits.
fn flipped(valid: &Biscuit, rng: &mut StdRng) -> Vec<u8> {
    let mut token = bytes(valid);
    for _ in 0..rng.random_range(1..=8) {
        let place = rng.random_range(0..token.len());
        token[place] ^= 1 << rng.random_range(0..8);
    }
    token
}

fn truncated(valid: &Biscuit, rng: &mut StdRng) -> Vec<u8> {
    let mut token = bytes(valid);
    token.truncate(rng.random_range(1..token.len()));
    token
}

/// Puts noise, or another part of the same token, over up to 40 bytes, or between two.
fn overwritten(valid: &Biscuit, rng: &mut StdRng) -> Vec<u8> {
    let mut token = bytes(valid);
    let len = rng.random_range(1..=40);
    let from = rng.random_range(0..token.len() - len);
    let mut part = token[from..from + len].to_vec();
    if rng.random() {
        rng.fill_bytes(&mut part);
    }
    let to = rng.random_range(0..token.len() - len);
    let end = if rng.random() { to } else { to + len };
    token.splice(to..end, part);
    token
}

/// Swaps, repeats or drops a signed block.
fn rearranged(mut token: Biscuit, rng: &mut StdRng) -> Vec<u8> {
    let n = token.blocks.len();
    if n == 0 {
        token.blocks.push(token.authority.clone());
        return bytes(&token);
    }
    let (a, b) = (rng.random_range(0..n), rng.random_range(0..n));
    match rng.random_range(0..3) {
        0 if a != b => token.blocks.swap(a, b),
        0 | 1 => drop(token.blocks.remove(a)),
        _ => token.blocks.insert(b, token.blocks[a].clone()),
    }
    bytes(&token)
}

/// Gives a token the proof, the last block or the next key of another.
fn grafted(mut token: Biscuit, rng: &mut StdRng) -> Vec<u8> {
    let other = VALID.choose(rng).expect("four");
    match rng.random_range(0..3) {
        0 => token.proof = other.proof.clone(),
        1 => token.blocks.extend(other.blocks.last().cloned()),
        _ => token.authority.next_key = other.blocks.last().unwrap_or(&other.authority).next_key.clone(),
    }
    bytes(&token)
}

/// Appends and signs 1 to 3 blocks that are outside the profile: the first alone is reason enough.
fn signed_outside(rng: &mut StdRng) -> Vec<u8> {
    let mut blocks: Vec<Vec<u8>> = chain_blocks(&[]).iter().map(Message::encode_to_vec).collect();
    for _ in 0..rng.random_range(1..=3) {
        let next = OUTSIDE.choose(rng).expect("many");
        if blocks.iter().map(Vec::len).sum::<usize>() + next.len() < ACCEPTED_LEN_MAX - 1000 {
            blocks.push(next.clone());
        }
    }
    bytes(&sign_with(ROOT, &blocks))
}

/// Signs noise as a block, or a block that says nothing but a version.
fn signed_noise(rng: &mut StdRng) -> Vec<u8> {
    let mut noise = vec![0; rng.random_range(1..200)];
    rng.fill_bytes(&mut noise);
    let hollow = Block { version: Some(rng.random_range(0..8)), ..Block::default() };
    let last = if rng.random() { noise } else { hollow.encode_to_vec() };
    bytes(&sign_with(ROOT, &[chain_blocks(&[])[0].encode_to_vec(), last]))
}
