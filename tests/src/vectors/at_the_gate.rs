//! Bytes that are no token of the profile, by their encoding, envelope or depth; and those whose signatures are wrong,
//! which come after the gate.

use super::{
    Vector,
    accepted::{chain, chain_blocks},
    authority_block,
    forge::{ROOT_ID, authority, base64url, bytes, narrowing, next_seed, payload, seal, sign, sign_with, text},
    player::{NOW, claims, vector, word},
};
use biscuit_auth::{
    KeyPair, PrivateKey,
    builder::Algorithm,
    format::schema::{Biscuit, ExternalSignature, Proof, PublicKey, proof},
};
use crumb_token::{Caveat, Claims, Reason, Timestamp};
use ed25519_dalek::{Signer, SigningKey};
use prost_biscuit::Message;

/// All of them that the gate refuses.
pub fn vectors() -> Vec<Vector> {
    [texts(), envelopes(), depths(), authority_block::vectors()].concat()
}

fn usual() -> Biscuit {
    sign(&[authority(&claims())])
}

fn narrowed() -> Biscuit {
    chain(&[vec![Caveat::Tool(word("read_file"))]])
}

fn texts() -> Vec<Vector> {
    let raw = bytes(&usual());
    let case = |name: &str, why: &str, token: String, reason: Reason| vector(name, why, token, reason.code());
    let unknown = |mut bytes: Vec<u8>| {
        // Field 15, a varint: no version of Biscuit has it.
        bytes.extend([0x78, 0x01]);
        base64url(&bytes)
    };
    let mut inner = usual();
    inner.authority.block.extend([0x78, 0x01]);
    let inner = sign_with(super::forge::ROOT, &[inner.authority.block]);
    let mut repeated = raw.clone();
    repeated.splice(0..0, [0x08, 0x07]);
    let plus = loop_until_plus();
    vec![
        case("empty", "no token", String::new(), Reason::TokenMissing),
        case("text_too_large", "longer than any token's text", "A".repeat(10_925), Reason::TokenTooLarge),
        case("bytes_too_large", "8193 bytes", base64url(&vec![0; 8193]), Reason::TokenTooLarge),
        case("not_base64", "not base64url", "not a token!".into(), Reason::TokenMalformed),
        case("padded", "base64 padding is a second spelling", format!("{}=", text(&usual())), Reason::TokenMalformed),
        case("standard_base64", "`+` is of the other alphabet", plus, Reason::TokenMalformed),
        case(
            "trailing_newline",
            "a newline is a second spelling",
            format!("{}\n", text(&usual())),
            Reason::TokenMalformed,
        ),
        case(
            "trailing_bits",
            "unused bits of the last letter are set: a second spelling",
            "AB".into(),
            Reason::TokenMalformed,
        ),
        case("not_protobuf", "bytes that are no message", base64url(&[0xff; 64]), Reason::TokenMalformed),
        case("truncated", "the last byte is missing", base64url(&raw[..raw.len() - 1]), Reason::TokenMalformed),
        case("truncated_half", "half of it is missing", base64url(&raw[..raw.len() / 2]), Reason::TokenMalformed),
        case(
            "unknown_field",
            "an unknown field at the end: endless spellings",
            unknown(raw.clone()),
            Reason::TokenNotCanonical,
        ),
        case("repeated_field", "the key number comes twice", base64url(&repeated), Reason::TokenNotCanonical),
        case(
            "unknown_field_in_block",
            "signed, but unknown: it could be a condition",
            text(&inner),
            Reason::TokenNotCanonical,
        ),
    ]
}

/// A text with a letter of the other base64 alphabet.
fn loop_until_plus() -> String {
    text(&usual()).replace(['-', '_'], "+")
}

fn envelopes() -> Vec<Vector> {
    let case = |name: &str, why: &str, change: &dyn Fn(&mut Biscuit), reason: Reason| {
        let mut token = narrowed();
        change(&mut token);
        vector(name, why, text(&token), reason.code())
    };
    let p256 = KeyPair::from(&PrivateKey::from_bytes(&[0x33; 32], Algorithm::Secp256r1).expect("a P-256 key"));
    let p256_key = PublicKey { algorithm: 1, key: p256.public().to_bytes() };
    let p256_next = |token: &mut Biscuit| {
        token.authority.next_key = p256_key.clone();
        token.authority.signature =
            SigningKey::from_bytes(&super::forge::ROOT).sign(&payload(&token.authority)).to_bytes().to_vec();
    };
    let third_party = |token: &mut Biscuit| {
        let key = SigningKey::from_bytes(&[0x44; 32]);
        let signature = key.sign(&token.blocks[0].block).to_bytes().to_vec();
        let public_key = PublicKey { algorithm: 0, key: key.verifying_key().to_bytes().to_vec() };
        token.blocks[0].external_signature = Some(ExternalSignature { signature, public_key });
        token.blocks[0].signature =
            SigningKey::from_bytes(&next_seed(0)).sign(&payload(&token.blocks[0])).to_bytes().to_vec();
    };
    let out = Reason::TokenOutOfProfile;
    let short = |token: &mut Biscuit| token.blocks[0].signature = vec![0x30; 63];
    let no_proof = |token: &mut Biscuit| token.proof = Proof { content: None };
    let proof_of = |n| move |t: &mut Biscuit| t.proof.content = Some(proof::Content::NextSecret(vec![1; n]));
    let mut vectors = vec![
        case("no_key_id", "names no key", &|t| t.root_key_id = None, out),
        case(
            "signature_version_1",
            "the newer signature payload, and no hop before",
            &|t| t.blocks[0].version = Some(1),
            Reason::TokenVersion,
        ),
        case(
            "signature_version_0",
            "the older one, said aloud",
            &|t| t.authority.version = Some(0),
            Reason::TokenVersion,
        ),
        case("p256_next_key", "the next key is a P-256 one", &p256_next, out),
        case(
            "third_party_block",
            "a block with an outer signature, in the older version",
            &third_party,
            Reason::TokenVersion,
        ),
        case(
            "third_party_block_as_stock",
            "the same in the newer one, and no hop: its Datalog is a plain block's",
            &|t| {
                third_party(t);
                t.blocks[0].version = Some(1);
            },
            Reason::TokenVersion,
        ),
        case("short_signature", "a signature of 63 bytes", &short, out),
        case("short_next_key", "a key of 31 bytes", &|t| t.authority.next_key.key.truncate(31), out),
        case(
            "unknown_algorithm",
            "a key of an algorithm that nobody knows",
            &|t| t.authority.next_key.algorithm = 2,
            out,
        ),
        case("no_proof", "neither a secret nor a seal", &no_proof, out),
        case("long_proof", "a secret of 33 bytes", &proof_of(33), out),
    ];
    vectors.push(p256_root(&p256));
    vectors
}

/// A token whose root key is P-256: the signature is another one, and such a key is never in the feed.
fn p256_root(root: &KeyPair) -> Vector {
    let mut token = usual();
    let signature = root.sign(&payload(&token.authority)).expect("signs");
    token.authority.signature = signature.to_bytes().to_vec();
    let why = "signed by a P-256 root key";
    let public_key = hex::encode(root.public().to_bytes());
    Vector { public_key, ..vector("p256_root", why, text(&token), Reason::TokenOutOfProfile.code()) }
}

fn depths() -> Vec<Vector> {
    let step = || vec![Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + 60))];
    let mut blocks = chain_blocks(&(0..8).map(|_| step()).collect::<Vec<_>>());
    blocks.push(blocks[8].clone());
    let nine = text(&sign(&blocks));
    let limited = |limit: u8, depth: usize| {
        let base = authority(&Claims { depth_limit: 8, ..claims() });
        let mut blocks = vec![base];
        for _ in 0..depth {
            blocks.push(narrowing(&blocks, &step()));
        }
        blocks[0] = authority_block::with_depth_limit(blocks[0].clone(), i64::from(limit));
        text(&sign(&blocks))
    };
    let case = |name: &str, why: &str, token, reason: Reason| vector(name, why, token, reason.code());
    vec![
        case("nine_blocks", "one block more than the profile takes", nine, Reason::TokenTooDeep),
        case("deeper_than_its_limit", "two blocks, and the broker allowed one", limited(1, 2), Reason::TokenTooDeep),
        case("depth_limit_0", "one block, and the broker allowed none", limited(0, 1), Reason::TokenTooDeep),
        case("depth_limit_past_the_bound", "the broker cannot allow nine", limited(9, 0), Reason::TokenOutOfProfile),
        case(
            "depth_limit_negative",
            "nor minus one",
            text(&sign(&[authority_block::with_depth_limit(authority(&claims()), -1)])),
            Reason::TokenOutOfProfile,
        ),
    ]
}

/// Tokens inside the profile whose signatures are wrong: past the gate, refused by the signatures.
pub fn wrong_signatures() -> Vec<Vector> {
    let invalid = Reason::SignatureInvalid;
    let case = |name: &str, why: &str, change: &dyn Fn(&mut Biscuit), reason: Reason| {
        let mut token = narrowed();
        change(&mut token);
        vector(name, why, text(&token), reason.code())
    };
    let foreign = sign_with([0x99; 32], &[authority(&claims()).encode_to_vec()]);
    let lengthened = |token: &mut Biscuit| {
        let longer = Claims { expires_at: Timestamp::from_unix_s(NOW + 3600), ..claims() };
        token.authority.block = authority(&longer).encode_to_vec();
    };
    let others_seal = |token: &mut Biscuit| token.proof = seal(&[authority(&claims())]).proof;
    let reordered = {
        let mut token = chain(&[vec![Caveat::Tool(word("read_file"))], vec![Caveat::Operation(word("read"))]]);
        // Both blocks use only symbols that the authority block has, so the gate sees nothing wrong.
        token.blocks.swap(0, 1);
        text(&token)
    };
    vec![
        vector("foreign_key", "signed by a key that is not the broker's", text(&foreign), invalid.code()),
        case(
            "key_id_rewritten",
            "the key's number is not signed, and names nothing now",
            &|t| t.root_key_id = Some(ROOT_ID + 70),
            Reason::KeyUnknown,
        ),
        case("authority_replaced", "an authority block that ends later, under the old signature", &lengthened, invalid),
        case("flip_authority_signature", "one bit of the first signature", &|t| t.authority.signature[5] ^= 1, invalid),
        case(
            "flip_authority_next_key",
            "one bit of the first next key",
            &|t| t.authority.next_key.key[5] ^= 1,
            invalid,
        ),
        case(
            "flip_block_signature",
            "one bit of the second signature",
            &|t| t.blocks[0].signature[40] ^= 0x80,
            invalid,
        ),
        case("flip_proof", "one bit of the proof", &|t| flip_proof(t), invalid),
        case(
            "malleable_signature",
            "the group order added to the scalar",
            &|t| add_group_order(&mut t.authority.signature),
            invalid,
        ),
        case("last_block_stripped", "a holder cannot take a block off again", &|t| drop(t.blocks.pop()), invalid),
        case("seal_of_another", "the seal of the token without its block", &others_seal, invalid),
        vector("blocks_reordered", "the same blocks in another order", reordered, invalid.code()),
    ]
}

fn flip_proof(token: &mut Biscuit) {
    if let Some(proof::Content::NextSecret(secret)) = &mut token.proof.content {
        secret[9] ^= 4;
    }
}

/// Adds the order of the group to the scalar of an Ed25519 signature: a lax verifier takes it for the same.
fn add_group_order(signature: &mut [u8]) {
    const ORDER_LE: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0u16;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER_LE) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
}
