//! Held to biscuit-auth, on tokens of both payload versions. The official samples are played in `tests/tests/biscuit_chain.rs`.

use super::*;
use biscuit_auth::{
    Biscuit, BiscuitBuilder, KeyPair, PrivateKey,
    builder::{Algorithm, BlockBuilder},
};
use crumb_token::envelope::Envelope;

fn public() -> [u8; 32] {
    root().public().to_bytes().try_into().expect("32 bytes")
}

fn root() -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&[7; 32], Algorithm::Ed25519).expect("32 bytes"))
}

/// A token of `blocks` blocks. With `v6`, in the newer payload version; with `third`, with a third party's block.
fn token(blocks: usize, v6: bool, third: bool, sealed: bool) -> Vec<u8> {
    let authority = if v6 { "check if 1 == 1" } else { "check if true" };
    let mut token = BiscuitBuilder::new().code(authority).expect("code").build(&root()).expect("a token");
    for _ in 0..blocks {
        token = token.append(BlockBuilder::new().code("check if true").expect("code")).expect("appends");
    }
    if third {
        let keys = KeyPair::from(&PrivateKey::from_bytes(&[9; 32], Algorithm::Ed25519).expect("32 bytes"));
        let request = token.third_party_request().expect("a request");
        let block = request.create_block(&keys.private(), BlockBuilder::new().fact("f(1)").expect("a fact"));
        token = token.append_third_party(keys.public(), block.expect("a block")).expect("appends");
    }
    let token = if sealed { token.seal().expect("seals") } else { token };
    token.to_vec().expect("bytes")
}

#[test]
fn takes_both_payload_versions_third_parties_and_seals_and_refuses_any_flipped_bit() {
    let public = public();
    for (blocks, v6, third, sealed) in [
        (0, false, false, false),
        (2, false, false, true),
        (1, true, false, false),
        (2, true, false, true),
        (1, false, true, false),
        (0, true, true, true),
    ] {
        let token = token(blocks, v6, third, sealed);
        assert!(is_signed(&public, &token), "{blocks} {v6} {third} {sealed}");
        assert!(Biscuit::from(&token, root().public()).is_ok());
        for at in 0..token.len() {
            let mut other = token.clone();
            other[at] ^= 1 << (at % 8);
            // The number of the key is a hint, and may be any.
            let same =
                Envelope::read(&other).is_some_and(|e| e.key_id != Envelope::read(&token).and_then(|t| t.key_id));
            assert!(same || !is_signed(&public, &other), "{blocks} {v6} {third} {sealed}: byte {at}");
        }
        assert!(!is_signed(&[8; 32], &token));
    }
}

#[test]
fn refuses_a_block_that_was_cut_off_or_moved() {
    let public = public();
    let token = token(3, false, false, false);
    let envelope = Envelope::read(&token).expect("canonical");
    let root = Key::read(&public).expect("a key");
    for cut in 0..3 {
        let (last, before) = envelope.blocks[..=cut].split_last().expect("some");
        let key = follow(&root, None, before).expect("signed");
        assert!(ends(&key, None, last, &envelope.proof).is_none(), "the proof is of the last block only");
    }
    let swapped = [envelope.blocks[0], envelope.blocks[2], envelope.blocks[1]];
    assert!(follow(&root, None, &swapped).is_none());
}
