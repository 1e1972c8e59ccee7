//! Key sets: the public keys with which an issuer's tokens are checked, read from a JWKS document.
//!
//! Apart because a key set is trusted and a token is not: what can be wrong with a key is found once, when the document
//! arrives, and every key that comes through can be used as it is.
//!
//! # Invariants
//!
//! - Public signing keys only, none weak, no two with one id. One bad key refuses the document: a set that is half read
//!   would refuse tokens for a reason that nobody can see.
//! - A key that is for something else (encryption, a curve that is not accepted here) is left out, as the standard asks.
//! - Bounded: [`Jwks::LEN_MAX`] bytes and [`Jwks::KEYS_MAX`] keys.
//!
//! # What it does not do
//!
//! It fetches nothing and follows nothing: certificates and addresses in a key are not looked at.

mod algorithm;
mod key;

use std::{collections::HashSet, fmt};

use crate::strict_json::{InvalidJson, Object, WrongType};

pub(crate) use algorithm::Algorithm;
pub(crate) use key::Key;

/// Why a key set is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJwks {
    /// More than [`Jwks::LEN_MAX`] bytes.
    #[error("the key set has more than 64 KiB")]
    TooLarge,
    /// More than [`Jwks::KEYS_MAX`] keys.
    #[error("the key set has more than 64 keys")]
    TooManyKeys,
    /// Not JSON of the right shape.
    #[error("the key set cannot be read")]
    Malformed,
    /// An object has two members of one name.
    #[error("the key set has an object with two members of one name")]
    DuplicateName,
    /// Two keys have the same id.
    #[error("the key set has two keys with one id")]
    DuplicateKeyId,
    /// A private or symmetric key.
    #[error("the key set holds a secret: it is for public keys only")]
    SecretKey,
    /// An RSA modulus of less than 2048 or more than 8192 bits.
    #[error("an RSA key has fewer than 2048 or more than 8192 bits")]
    RsaSize,
    /// An RSA exponent that is even, or less than 65537.
    #[error("an RSA key has a weak exponent")]
    RsaExponent,
    /// A coordinate of the wrong length, or a point that is not on its curve.
    #[error("a key is not a point on its curve")]
    NotOnCurve,
    /// No key that signatures can be checked with.
    #[error("the key set has no key for signatures that are accepted here")]
    NoUsableKey,
}

impl From<InvalidJson> for InvalidJwks {
    fn from(error: InvalidJson) -> Self {
        match error {
            InvalidJson::DuplicateName => Self::DuplicateName,
            InvalidJson::Malformed | InvalidJson::TooDeep => Self::Malformed,
        }
    }
}

impl From<WrongType> for InvalidJwks {
    fn from(_: WrongType) -> Self {
        Self::Malformed
    }
}

/// What the keys of a document have to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// A plain key set: `use` is `sig` or absent.
    Signature,
    /// The bundle of a trust domain: `use` is `jwt-svid`. Where no key of the document says its use at all, it is the
    /// plain set that the Workload API hands out for JWT-SVIDs, and every key counts.
    JwtSvid,
}

/// A key set.
pub struct Jwks {
    keys: Vec<Key>,
    left_out: usize,
}

impl Jwks {
    /// The largest document, in bytes. Sets with certificate chains beside their keys come to about 20 KiB.
    pub const LEN_MAX: usize = 64 * 1024;
    /// The most keys in a document. Large providers publish about ten.
    pub const KEYS_MAX: usize = 64;

    /// Reads a document.
    ///
    /// Source: [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5),
    /// [SPIFFE bundles §4.2](https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md#42-jwk).
    ///
    /// # Errors
    ///
    /// [`InvalidJwks`], by the first rule that is broken. The bundle of a trust domain may be empty: that withdraws every
    /// key. Another set may not.
    pub fn parse(text: &str, key_use: KeyUse) -> Result<Self, InvalidJwks> {
        if text.len() > Self::LEN_MAX {
            return Err(InvalidJwks::TooLarge);
        }
        let document = Object::parse(text.as_bytes())?;
        let entries = document.list("keys")?.ok_or(InvalidJwks::Malformed)?;
        if entries.len() > Self::KEYS_MAX {
            return Err(InvalidJwks::TooManyKeys);
        }
        let entries = entries.iter().map(|entry| entry.as_object()).collect::<Result<Vec<_>, _>>()?;
        let plain = !entries.iter().any(|entry| entry.has("use"));
        let mut set = Self { keys: Vec::new(), left_out: 0 };
        for entry in entries {
            match Key::parse(entry, key_use, plain)? {
                Some(key) => set.keys.push(key),
                None => set.left_out += 1,
            }
        }
        set.check(key_use)?;
        Ok(set)
    }

    fn check(&self, key_use: KeyUse) -> Result<(), InvalidJwks> {
        let mut seen = HashSet::new();
        if !self.keys.iter().filter_map(Key::id).all(|id| seen.insert(id)) {
            return Err(InvalidJwks::DuplicateKeyId);
        }
        // SPIFFE Trust Domain and Bundle §4.1.3: a trust domain whose keys are all gone has revoked them.
        if self.keys.is_empty() && key_use == KeyUse::Signature { Err(InvalidJwks::NoUsableKey) } else { Ok(()) }
    }

    /// Returns how many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Says whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns how many keys of the document are for something else.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Returns the key of exactly this id.
    pub(crate) fn named(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == Some(id))
    }

    /// Returns the key, when there is but one.
    pub(crate) fn only(&self) -> Option<&Key> {
        if let [key] = self.keys.as_slice() { Some(key) } else { None }
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwks({} keys, {} left out)", self.keys.len(), self.left_out)
    }
}
