//! Makes tokens that were handed on: the authority block that names who may act, hops as a stock Biscuit library writes
//! them, and the signatures of a chain that has some.
//!
//! Apart from [`super::forge`], whose chains have no third party. Nothing of the project's own writing of hops is used, so
//! that it can be compared with this.

use super::{
    forge::{ROOT, ROOT_ID, authority, bound_payload, bytes, next_seed, payload, public, third_party_payload},
    player::{HOLDER, claims, word},
};
use biscuit_auth::{
    PrivateKey, UnverifiedBiscuit,
    builder::{Algorithm, BlockBuilder},
    format::schema::{
        Biscuit, Block, ExternalSignature, Proof, PublicKey, SignedBlock, ThirdPartyBlockContents, proof,
    },
};
use crumb_token::{
    Caveat, Claims,
    attenuate::attenuate,
    handover::{Delegate, DelegationKey, MayAct},
};
use ed25519_dalek::{Signer, SigningKey};
use prost_biscuit::Message;

/// Whom the usual token may be handed to, the agent that each is, and its version.
pub const DELEGATES: [(&str, &str, &str); 2] = [(FIRST, "summariser", "0.3"), (SECOND, "translator", "1.0")];
/// The first of them.
pub const FIRST: &str = "spiffe://acme.example/agent/summariser";
/// The second.
pub const SECOND: &str = "spiffe://acme.example/agent/translator";
/// Nobody of the token's.
pub const STRANGER: &str = "spiffe://acme.example/agent/other";

/// The seed of the key with which holder number `n` hands on: 0 is the one whom the broker gave the token to.
pub fn hop_seed(n: u8) -> [u8; 32] {
    [0x60 + n; 32]
}

/// A block, and the seed of the third party that signs it too.
#[derive(Clone, Debug)]
pub struct Link {
    /// The block's bytes.
    pub block: Vec<u8>,
    /// Its signer.
    pub by: Option<[u8; 32]>,
}

/// A block without a third party.
pub fn plain(block: &Block) -> Link {
    Link { block: block.encode_to_vec(), by: None }
}

/// The usual claims, of a token that may be handed to [`DELEGATES`].
pub fn delegable() -> Claims {
    delegable_to(&DELEGATES)
}

/// The usual claims, of a token that may be handed to `delegates`.
pub fn delegable_to(delegates: &[(&str, &str, &str)]) -> Claims {
    let key = DelegationKey::try_from(&public(hop_seed(0))[..]).expect("a key");
    let delegate = |(holder, agent, version): &(&str, &str, &str)| Delegate {
        holder: word(holder),
        agent: word(agent),
        version: word(version),
    };
    Claims { may_act: Some(MayAct { key, delegates: delegates.iter().map(delegate).collect() }), ..claims() }
}

/// The task token of [`delegable`], alone.
pub fn task() -> Vec<Link> {
    vec![plain(&authority(&delegable()))]
}

/// The Datalog of a hop from one to another, who may go on with the key of `onward`; `rest` comes after the holder's check.
pub fn hop_text([from, to]: [&str; 2], onward: Option<[u8; 32]>, rest: &str) -> String {
    let check = match onward {
        None => format!(r#"check if peer("{to}");"#),
        Some(seed) => format!(
            r#"check if peer("{to}") or hop("{to}", $c), may_act($i, $c, $a, $v) trusting authority, {};"#,
            key_text(seed)
        ),
    };
    format!(r#"hop("{from}", "{to}"); {check} {rest}"#)
}

/// How Datalog names the key of `seed`.
pub fn key_text(seed: [u8; 32]) -> String {
    format!("ed25519/{}", hex::encode(public(seed)))
}

/// Returns the block that a stock library writes as a third party for Datalog text, labelled as version 5 whatever it holds.
pub fn third_party(text: &str) -> Block {
    Block { version: Some(5), ..stock_third_party(text) }
}

/// Returns the same with the version that the library gives it.
pub fn stock_third_party(text: &str) -> Block {
    let builder = BlockBuilder::new().code(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let request = UnverifiedBiscuit::from(bytes(&sign_links(&task()))).expect("a token").third_party_request();
    let key = PrivateKey::from_bytes(&hop_seed(0), Algorithm::Ed25519).expect("32 bytes");
    let written = request.expect("not sealed").create_block(&key, builder).expect("writes").serialize();
    let contents = ThirdPartyBlockContents::decode(&written.expect("encodes")[..]).expect("just encoded");
    Block::decode(&contents.payload[..]).expect("just encoded")
}

/// A hop of holder number `by`.
pub fn hop(text: &str, by: u8) -> Link {
    Link { block: third_party(text).encode_to_vec(), by: Some(hop_seed(by)) }
}

/// The usual token in the hands of the first delegate, who may hand it on.
pub fn first() -> Vec<Link> {
    [task(), vec![hop(&hop_text([HOLDER, FIRST], Some(hop_seed(1)), ""), 0)]].concat()
}

/// The usual token after two hops; it goes no further.
pub fn second() -> Vec<Link> {
    [first(), vec![hop(&hop_text([FIRST, SECOND], None, ""), 1)]].concat()
}

/// Returns the block that a sidecar appends to `before` for `caveats`.
pub fn narrowing_link(before: &[Link], caveats: &[Caveat]) -> Link {
    let token = attenuate(&bytes(&sign_links(before)), caveats).expect("a token that can be narrowed");
    let token = Biscuit::decode(&token[..]).expect("just encoded");
    Link { block: token.blocks.last().expect("just appended").block.clone(), by: None }
}

/// Signs a chain: the first block with the root key, each next with the key that the one before names, a third party's
/// with its own too; bound to the block before from the first third party on.
pub fn sign_links(links: &[Link]) -> Biscuit {
    let mut signed: Vec<SignedBlock> = Vec::new();
    for (n, link) in links.iter().enumerate() {
        let seed = if n == 0 { ROOT } else { next_seed(n - 1) };
        let version = links[..=n].iter().any(|link| link.by.is_some()).then_some(1);
        signed.push(sign_link(signed.last(), link, (seed, n), version));
    }
    let authority = signed.remove(0);
    let secret = next_seed(links.len() - 1).to_vec();
    let proof = Proof { content: Some(proof::Content::NextSecret(secret)) };
    Biscuit { root_key_id: Some(ROOT_ID), authority, blocks: signed, proof }
}

fn sign_link(
    before: Option<&SignedBlock>,
    link: &Link,
    (seed, place): ([u8; 32], usize),
    version: Option<u32>,
) -> SignedBlock {
    let previous = before.map_or(&[][..], |block| &block.signature);
    let external_signature = link.by.map(|by| external(by, &third_party_payload(previous, &link.block)));
    let next_key = PublicKey { algorithm: 0, key: public(next_seed(place)).to_vec() };
    let mut signed =
        SignedBlock { block: link.block.clone(), next_key, signature: vec![], external_signature, version };
    let message = if version == Some(1) { bound_payload(&signed, previous) } else { payload(&signed) };
    signed.signature = SigningKey::from_bytes(&seed).sign(&message).to_bytes().to_vec();
    signed
}

/// A third party's signature over any message.
pub fn external(by: [u8; 32], message: &[u8]) -> ExternalSignature {
    let public_key = PublicKey { algorithm: 0, key: public(by).to_vec() };
    ExternalSignature { signature: SigningKey::from_bytes(&by).sign(message).to_bytes().to_vec(), public_key }
}

/// Signs block number `place` again with the token's own key, after it was changed.
///
/// # Panics
///
/// When there is no such block.
pub fn sign_again(token: &mut Biscuit, place: usize) {
    let previous = if place == 1 { &token.authority } else { &token.blocks[place - 2] }.signature.clone();
    let block = &mut token.blocks[place - 1];
    let message = if block.version == Some(1) { bound_payload(block, &previous) } else { payload(block) };
    block.signature = SigningKey::from_bytes(&next_seed(place - 1)).sign(&message).to_bytes().to_vec();
}

/// Seals a token of `links`.
pub fn seal_links(links: &[Link]) -> Biscuit {
    let mut token = sign_links(links);
    let last = token.blocks.last().unwrap_or(&token.authority);
    let message = [&last.block[..], &0i32.to_le_bytes(), &last.next_key.key, &last.signature].concat();
    let signature = SigningKey::from_bytes(&next_seed(links.len() - 1)).sign(&message).to_bytes().to_vec();
    token.proof = Proof { content: Some(proof::Content::FinalSignature(signature)) };
    token
}
