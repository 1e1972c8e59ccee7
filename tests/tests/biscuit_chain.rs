//! Our check of a Biscuit's chain of signatures against biscuit-auth's, on the official samples of the Biscuit project.

use biscuit_auth::{Biscuit, PublicKey, builder::Algorithm, error, format::schema};
use crumb_tests::{skip::skipped, vectors::samples};
use prost_biscuit::Message;

/// What biscuit-auth says of the signatures; `None` when it refuses the token for something else before it gets there, or
/// after.
fn stock(token: &[u8], root: PublicKey) -> Option<bool> {
    match Biscuit::from(token, root) {
        Ok(_) => Some(true),
        Err(error::Token::Format(error::Format::Signature(_) | error::Format::InvalidSignatureSize(_))) => Some(false),
        Err(_) => None,
    }
}

fn is_all_ed25519(token: &[u8]) -> bool {
    let ed25519 = |block: &schema::SignedBlock| block.next_key.algorithm == 0;
    schema::Biscuit::decode(token).is_ok_and(|t| ed25519(&t.authority) && t.blocks.iter().all(ed25519))
}

#[test]
fn our_chain_says_what_biscuit_auth_says_of_the_official_samples() {
    let folder = match samples::folder() {
        Ok(folder) => folder,
        Err(why) => return skipped("our_chain_says_what_biscuit_auth_says_of_the_official_samples", &why),
    };
    let (samples, root) = samples::read(&folder);
    let public = PublicKey::from_bytes(&root, Algorithm::Ed25519).expect("a key");
    let root: [u8; 32] = root.try_into().expect("32 bytes");
    let (mut signed, mut unsigned, mut other) = (0, 0, 0);
    for samples::Sample { name, bytes: token, .. } in &samples {
        let ours = crumb_verifier::is_signed(&root, token);
        if !is_all_ed25519(token) {
            assert!(!ours, "{name}: Ed25519 only");
            other += 1;
        } else if let Some(theirs) = stock(token, public) {
            assert_eq!(ours, theirs, "{name}");
            *(if theirs { &mut signed } else { &mut unsigned }) += 1;
        }
    }
    assert!(
        signed >= 28 && unsigned >= 4 && other >= 1,
        "{signed} signed, {unsigned} not, {other} of another algorithm"
    );
}

#[test]
fn no_flipped_bit_of_an_official_sample_is_signed() {
    let folder = match samples::folder() {
        Ok(folder) => folder,
        Err(why) => return skipped("no_flipped_bit_of_an_official_sample_is_signed", &why),
    };
    let (samples, root) = samples::read(&folder);
    let root: [u8; 32] = root.try_into().expect("32 bytes");
    for samples::Sample { name, bytes: token, .. } in &samples {
        if !crumb_verifier::is_signed(&root, token) {
            continue;
        }
        for at in (0..token.len()).step_by(7) {
            let mut other = token.clone();
            other[at] ^= 1 << (at % 8);
            assert!(!crumb_verifier::is_signed(&root, &other), "{name}: byte {at}");
        }
    }
}
