//! The least that checking a token can cost on this machine, whoever writes it.

use crate::{
    meter::{Effort, again, side_by_side},
    report::Row,
    world::{self, Call},
};
use ahash::RandomState;
use anyhow::{Context, ensure};
use biscuit_auth::format::schema::{Biscuit, SignedBlock, proof::Content};
use crumb_tests::vectors::forge;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hashbrown::HashTable;
use prost_biscuit::Message as _;
use std::hint::black_box;

/// The simplest cache there is: the header as received, found by a keyed hash and compared in full.
pub(super) struct Table {
    hasher: RandomState,
    headers: HashTable<Box<[u8]>>,
}

impl Table {
    pub(super) fn of(calls: &[Call]) -> Self {
        let mut table = Self { hasher: RandomState::with_seeds(1, 2, 3, 4), headers: HashTable::new() };
        for call in calls {
            let header: Box<[u8]> = call.token.expose().as_bytes().into();
            let hash = table.hasher.hash_one(&*header);
            let hasher = table.hasher.clone();
            table.headers.insert_unique(hash, header, |h| hasher.hash_one(&**h));
        }
        table
    }

    pub(super) fn knows(&self, call: &Call) -> bool {
        let header = call.token.expose().as_bytes();
        self.headers.find(self.hasher.hash_one(header), |known| **known == *header).is_some()
    }
}

/// The single steps.
pub(super) fn rows(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let message = [7; 700];
    let key = SigningKey::from_bytes(&forge::ROOT);
    let (public, signature) = (key.verifying_key(), key.sign(&message));
    let call = world::call(1, 1, 1)?;
    let (one, other) = (call.token.expose().to_owned(), call.token.expose().to_owned());
    let table = Table::of(std::slice::from_ref(&call));
    let series = side_by_side(
        effort,
        &mut [
            again(effort, || public.verify_strict(black_box(&message), &signature)),
            again(effort, || SigningKey::from_bytes(black_box(&forge::ROOT)).verifying_key()),
            again(effort, || black_box(&one) == black_box(&other)),
            again(effort, || table.knows(black_box(&call))),
            again(effort, world::now),
        ],
    );
    let named = [
        ("floor:ed25519", "one Ed25519 verify_strict over 700 bytes"),
        ("floor:proof", "the public key of the proof's secret"),
        ("floor:compare", "one comparison of two equal headers"),
        ("floor:map", "keyed hash of the header, map, full comparison; one token"),
        ("floor:clock", "one reading of the clock"),
    ];
    Ok(named.iter().zip(&series).map(|((name, what), series)| Row::new(*name, *what).took(series)).collect())
}

/// The signatures of one token, ready to be checked: what every verifier of such a chain has to do.
pub(super) struct Chain {
    root: VerifyingKey,
    /// The signed bytes, the signature, and the key that the block names for the next one.
    links: Vec<(Vec<u8>, Signature, [u8; 32])>,
    secret: [u8; 32],
}

impl Chain {
    pub(super) fn of(call: &Call) -> anyhow::Result<Self> {
        let bytes = call.token.decode().map_err(|r| anyhow::anyhow!("{r}"))?;
        let token = Biscuit::decode(&bytes[..])?;
        let link = |signed: &SignedBlock| {
            let signature = Signature::from_slice(&signed.signature)?;
            anyhow::Ok((forge::payload(signed), signature, signed.next_key.key.as_slice().try_into()?))
        };
        let links = std::iter::once(&token.authority).chain(&token.blocks).map(link).collect::<anyhow::Result<_>>()?;
        let Some(Content::NextSecret(secret)) = &token.proof.content else { anyhow::bail!("the token is sealed") };
        let root = VerifyingKey::from_bytes(&forge::public(forge::ROOT))?;
        let chain = Self { root, links, secret: secret.as_slice().try_into().context("the proof's length")? };
        ensure!(chain.holds(), "the token's signatures do not hold");
        Ok(chain)
    }

    /// Checks every signature, and the proof.
    pub(super) fn holds(&self) -> bool {
        let mut key = Ok(self.root);
        for (payload, signature, next) in &self.links {
            let Ok(signer) = key else { return false };
            if signer.verify_strict(payload, signature).is_err() {
                return false;
            }
            key = VerifyingKey::from_bytes(next);
        }
        key.is_ok_and(|last| SigningKey::from_bytes(&self.secret).verifying_key() == last)
    }
}
