//! Makes tokens from any blocks, right or wrong, with fixed keys: what a broker, a holder or an attacker could sign.
//!
//! Ed25519 signs deterministically, so the same blocks give the same bytes.

use biscuit_auth::{
    KeyPair, PrivateKey, UnverifiedBiscuit,
    builder::{Algorithm, BlockBuilder},
    datalog::SymbolTable,
    format::schema::{Biscuit, Block, Fact, Predicate, Proof, PublicKey, SignedBlock, Term, proof, term},
};
use crumb_token::{Caveat, Claims, KeyId, TokenText, attenuate::attenuate, mint::mint};
use ed25519_dalek::{Signer, SigningKey};
use prost_biscuit::Message;

/// The number of the root key.
pub const ROOT_ID: u32 = 7;
/// The seed of the root key.
pub const ROOT: [u8; 32] = [0x52; 32];

/// Returns the public half of an Ed25519 seed.
pub fn public(seed: [u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(&seed).verifying_key().to_bytes()
}

/// Returns the seed of the key that block number `n` names as the next.
pub fn next_seed(n: usize) -> [u8; 32] {
    [0xa0 + u8::try_from(n).expect("few blocks"); 32]
}

/// Returns the authority block that the broker makes of `claims`.
pub fn authority(claims: &Claims) -> Block {
    let private = PrivateKey::from_bytes(&ROOT, Algorithm::Ed25519).expect("32 bytes");
    let token = mint(claims, KeyId(ROOT_ID), &KeyPair::from(&private)).expect("the claims can be minted");
    let token = Biscuit::decode(&token[..]).expect("just encoded");
    block(&token.authority)
}

/// Returns the block that a sidecar appends to `before` for `caveats`.
pub fn narrowing(before: &[Block], caveats: &[Caveat]) -> Block {
    let token = attenuate(&bytes(&sign(before)), caveats).expect("a token that can be narrowed");
    block(Biscuit::decode(&token[..]).expect("just encoded").blocks.last().expect("just appended"))
}

/// Returns the block that a stock Biscuit library appends to `before` for Datalog text, labelled as version 3 whatever it
/// holds: an attacker would.
pub fn datalog(before: &[Block], text: &str) -> Block {
    Block { version: Some(3), ..stock(before, text) }
}

/// Returns the same with the version that the library gives it.
pub fn stock(before: &[Block], text: &str) -> Block {
    let builder = BlockBuilder::new().code(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let token = UnverifiedBiscuit::from(bytes(&sign(before))).expect("a token");
    let token = token.append(builder).expect("not sealed").to_vec().expect("encodes");
    block(Biscuit::decode(&token[..]).expect("just encoded").blocks.last().expect("just appended"))
}

fn block(signed: &SignedBlock) -> Block {
    Block::decode(&signed.block[..]).expect("just encoded")
}

/// Signs a chain of blocks: the first with the root key, each next with the key that the one before names.
pub fn sign(blocks: &[Block]) -> Biscuit {
    sign_with(ROOT, &blocks.iter().map(Message::encode_to_vec).collect::<Vec<_>>())
}

/// Signs a chain of block bytes, with `root` as the first key.
pub fn sign_with(root: [u8; 32], blocks: &[Vec<u8>]) -> Biscuit {
    let signed = |n: usize, bytes: &Vec<u8>| {
        let seed = if n == 0 { root } else { next_seed(n - 1) };
        let next_key = PublicKey { algorithm: 0, key: public(next_seed(n)).to_vec() };
        let mut signed =
            SignedBlock { block: bytes.clone(), next_key, signature: vec![], external_signature: None, version: None };
        signed.signature = SigningKey::from_bytes(&seed).sign(&payload(&signed)).to_bytes().to_vec();
        signed
    };
    let mut all = blocks.iter().enumerate().map(|(n, bytes)| signed(n, bytes));
    let authority = all.next().expect("an authority block");
    let secret = next_seed(blocks.len() - 1).to_vec();
    let proof = Proof { content: Some(proof::Content::NextSecret(secret)) };
    Biscuit { root_key_id: Some(ROOT_ID), authority, blocks: all.collect(), proof }
}

/// What a block's key signs, in signature version 0.
pub fn payload(signed: &SignedBlock) -> Vec<u8> {
    let external = signed.external_signature.as_ref().map_or(&[][..], |e| &e.signature);
    [&signed.block[..], external, &signed.next_key.algorithm.to_le_bytes(), &signed.next_key.key].concat()
}

/// What a block's key signs of a hop, and of a block after one: signature version 1, after the signature `previous`.
pub fn bound_payload(signed: &SignedBlock, previous: &[u8]) -> Vec<u8> {
    let mut payload = b"\0BLOCK\0\0VERSION\0\x01\0\0\0\0PAYLOAD\0".to_vec();
    payload.extend([&signed.block[..], b"\0ALGORITHM\0", &signed.next_key.algorithm.to_le_bytes()].concat());
    payload.extend([b"\0NEXTKEY\0", &signed.next_key.key[..], b"\0PREVSIG\0", previous].concat());
    if let Some(external) = &signed.external_signature {
        payload.extend([b"\0EXTERNALSIG\0", &external.signature[..]].concat());
    }
    payload
}

/// What a third party signs of a block that comes after the signature `previous`.
pub fn third_party_payload(previous: &[u8], block: &[u8]) -> Vec<u8> {
    [b"\0EXTERNAL\0\0VERSION\0\x01\0\0\0\0PAYLOAD\0", block, b"\0PREVSIG\0", previous].concat()
}

/// Seals a token of `blocks`: its holder gives up the right to append.
pub fn seal(blocks: &[Block]) -> Biscuit {
    let mut token = sign(blocks);
    let last = token.blocks.last().unwrap_or(&token.authority);
    let key = SigningKey::from_bytes(&next_seed(blocks.len() - 1));
    let signature = key.sign(&[payload(last), last.signature.clone()].concat()).to_bytes().to_vec();
    token.proof = Proof { content: Some(proof::Content::FinalSignature(signature)) };
    token
}

/// Returns the token's bytes.
pub fn bytes(token: &Biscuit) -> Vec<u8> {
    token.encode_to_vec()
}

/// Returns the token as it travels.
pub fn text(token: &Biscuit) -> String {
    base64url(&bytes(token))
}

/// Writes any bytes as a token travels.
pub fn base64url(bytes: &[u8]) -> String {
    TokenText::from_bytes(bytes).expose().to_owned()
}

/// Returns the number of a text in an authority block, adding it when it is new.
pub fn symbol(block: &mut Block, text: &str) -> u64 {
    if let Some(known) = SymbolTable::new().get(text) {
        return known;
    }
    let place = block.symbols.iter().position(|s| s == text).unwrap_or_else(|| {
        block.symbols.push(text.to_owned());
        block.symbols.len() - 1
    });
    1024 + u64::try_from(place).expect("few symbols")
}

/// Returns the term of a text in an authority block.
pub fn string(block: &mut Block, text: &str) -> Term {
    Term { content: Some(term::Content::String(symbol(block, text))) }
}

/// Adds a fact to an authority block.
pub fn add_fact(block: &mut Block, name: &str, terms: Vec<Term>) {
    let name = symbol(block, name);
    block.facts.push(Fact { predicate: Predicate { name, terms } });
}

/// Removes the facts called `name` from an authority block, and returns them.
pub fn take_facts(block: &mut Block, name: &str) -> Vec<Fact> {
    let wanted = symbol(block, name);
    let (taken, kept) = std::mem::take(&mut block.facts).into_iter().partition(|f| f.predicate.name == wanted);
    block.facts = kept;
    taken
}
