//! The chain of signatures: a root key signs the authority block, each block's key the next, and the proof ends it.
//!
//! Biscuit's own verifier checks a whole token or nothing. This one checks block by block, so that a chain whose beginning
//! is known costs only what is new. It knows both versions of the signed payload, third-party signatures and sealed tokens;
//! Ed25519 only. What the profile takes of that is decided before, by the gate. Differential tests hold it to biscuit-auth.
//!
//! Source: [Biscuit specification, "Signature"](https://github.com/eclipse-biscuit/biscuit/blob/main/SPECIFICATIONS.md).

use crate::ed25519::Key;
use crumb_token::{
    envelope::{self, Envelope, Proof, SignedBlock},
    payload,
};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

/// Says whether a Biscuit is signed, from `root` to its proof; whether anything else about it is right is not asked. Ed25519
/// only, both versions of the signed payload. The answer gives nobody any right.
pub fn is_signed(root: &[u8; 32], token: &[u8]) -> bool {
    let chain = || {
        let (key, envelope) = (Key::read(root)?, Envelope::read(token)?);
        let (last, before) = envelope.blocks.split_last()?;
        let key = follow(&key, None, before)?;
        ends(&key, before.last().map(|block| block.signature), last, &envelope.proof)
    };
    chain().is_some()
}

/// Checks `blocks`, the first of which `key` has signed after the block with the signature `previous`.
///
/// Returns the key that the last block names, ready to go on from; `None` when a signature does not verify, or a key is
/// none.
pub(crate) fn follow(key: &Key, previous: Option<&[u8]>, blocks: &[SignedBlock<'_>]) -> Option<Key> {
    let (mut key, mut previous) = (key.clone(), previous);
    for block in blocks {
        check(&key, previous, block)?;
        key = read(block.next_key)?;
        previous = Some(block.signature);
    }
    Some(key)
}

/// Checks the last block of a token, which `key` has signed, and the proof. The key that the block names need not be
/// unpacked for that: either the secret leads to its very bytes, or the final signature needs it.
pub(crate) fn ends(key: &Key, previous: Option<&[u8]>, last: &SignedBlock<'_>, proof: &Proof<'_>) -> Option<()> {
    check(key, previous, last)?;
    let proved = match proof {
        Proof::NextSecret(secret) => leads_to(secret, last.next_key),
        Proof::FinalSignature(signature) => read(last.next_key)?.signed(&payload::of_seal(last), signature),
    };
    proved.then_some(())
}

fn check(key: &Key, previous: Option<&[u8]>, block: &SignedBlock<'_>) -> Option<()> {
    let external = block.external.map(|external| external.signature);
    let payload = payload::of_block(block.version, previous, block.block, external, block.next_key)?;
    key.signed(&payload, block.signature).then_some(())?;
    match block.external {
        None => Some(()),
        // Version 0 does not bind what a third party signed to its place.
        Some(_) if block.version != Some(1) => None,
        Some(external) => {
            let payload = payload::of_third_party(previous?, block.block);
            read(external.key)?.signed(&payload, external.signature).then_some(())
        }
    }
}

fn read(key: envelope::Key<'_>) -> Option<Key> {
    if key.algorithm == envelope::Key::ED25519 { Key::read(key.bytes) } else { None }
}

fn leads_to(secret: &[u8], key: envelope::Key<'_>) -> bool {
    let Ok(secret) = <[u8; 32]>::try_from(secret).map(Zeroizing::new) else { return false };
    key.algorithm == envelope::Key::ED25519 && SigningKey::from_bytes(&secret).verifying_key().as_bytes() == key.bytes
}

#[cfg(test)]
mod tests;
