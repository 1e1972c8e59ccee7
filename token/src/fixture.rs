//! Claims that can be minted, for the unit tests of mint and attenuate.

use crate::{Claims, Grant, Grants, KeyId, Origin, Timestamp, mint::mint};
use biscuit_auth::{KeyPair, PrivateKey, builder::Algorithm};

/// The root key's number.
pub(crate) const KEY_ID: KeyId = KeyId(7);

/// A root key from a fixed seed.
pub(crate) fn root() -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&[7; 32], Algorithm::Ed25519).expect("32 bytes"))
}

/// Collects `n` rights with resources of `len` bytes.
pub(crate) fn grants(n: usize, len: usize) -> Grants {
    let grant = |i: usize| Grant {
        tool: "read_file".parse().expect("a tool"),
        operation: "read".parse().expect("an operation"),
        resource: format!("{i:0len$}").parse().expect("a resource"),
    };
    Grants::try_new((0..n).map(grant)).expect("few")
}

/// Claims of one right, for ten minutes.
pub(crate) fn claims() -> Claims {
    Claims {
        token: format!("tok_{:032x}", 1).parse().expect("a token id"),
        session: format!("ses_{:032x}", 2).parse().expect("a session id"),
        agent: "research-bot".parse().expect("a name"),
        version: "1.4.0".parse().expect("a version"),
        environment: "production".parse().expect("an environment"),
        holder: "spiffe://acme.example/agent/research-bot".parse().expect("a SPIFFE ID"),
        subject: None,
        actors: vec![],
        ancestors: vec![],
        origin: Origin::from_words("schedule", "nightly", "asserted").expect("an origin"),
        intent_digest: [3; 32],
        audience: "spiffe://acme.example/tool/files".parse().expect("an audience"),
        grants: grants(1, 4),
        issued_at: Timestamp::from_unix_s(1000),
        expires_at: Timestamp::from_unix_s(1600),
        may_act: None,
        depth_limit: 8,
        identity_provider: "spire".parse().expect("a provider"),
    }
}

/// The claims, minted.
pub(crate) fn token(claims: &Claims) -> Vec<u8> {
    mint(claims, KEY_ID, &root()).expect("mints").to_vec()
}
