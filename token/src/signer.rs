//! What signs a block: a key that the caller holds, in whatever library keeps it.
//!
//! Apart because signing is most of what a token costs, and the broker's key is better off in a faster library than the one
//! that writes Biscuits. Ed25519 signatures are the same bytes whoever makes them.

use biscuit_auth::KeyPair;
use zeroize::Zeroizing;

/// Signs blocks, and makes the key that signs what comes after one.
pub trait Signer {
    /// Signs `message` with Ed25519; `None` when it cannot.
    fn sign(&self, message: &[u8]) -> Option<[u8; 64]>;

    /// Makes a new Ed25519 key: nobody knew it before, and nobody but the token will. `None` when it cannot.
    fn next(&self) -> Option<NextKey>;
}

/// A key that a token carries.
pub struct NextKey {
    /// The secret: whoever has it may append.
    pub secret: Zeroizing<[u8; 32]>,
    /// Its public half.
    pub public: [u8; 32],
}

impl std::fmt::Debug for NextKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NextKey({} bytes)", self.secret.len())
    }
}

impl Signer for KeyPair {
    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        Self::sign(self, message).ok()?.to_bytes().try_into().ok()
    }

    fn next(&self) -> Option<NextKey> {
        let next = Self::new();
        let secret = Zeroizing::new(next.private().to_bytes()[..].try_into().ok()?);
        Some(NextKey { secret, public: next.public().to_bytes()[..].try_into().ok()? })
    }
}
