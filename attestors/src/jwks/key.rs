//! One public key: what it may be used for, and the check of a signature.
//!
//! Invariant: a [`Key`] fits the algorithms of its own kind only, so a header cannot choose how the key is read.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Algorithm, InvalidJwks, KeyUse};
use crate::strict_json::Object;

/// The members that only a private or symmetric key has.
const SECRET_MEMBERS: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The smallest exponent that is no invitation: 65537, which is also what everybody uses.
const RSA_EXPONENT_MIN: u64 = 65_537;

/// The longest key id, in bytes. Ids are thumbprints or dates; 64 characters are much.
pub(crate) const KEY_ID_LEN_MAX: usize = 256;

/// A public key.
pub(crate) struct Key {
    id: Option<Box<str>>,
    /// The one algorithm that the set allows the key, where it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256(ParsedPublicKey),
    P384(ParsedPublicKey),
    Ed25519(ParsedPublicKey),
}

impl Key {
    /// Reads a key; none when it is for something else. `plain` says that no key of the document names its use.
    pub(super) fn parse(jwk: &Object, key_use: KeyUse, plain: bool) -> Result<Option<Self>, InvalidJwks> {
        if SECRET_MEMBERS.iter().any(|name| jwk.has(name)) {
            return Err(InvalidJwks::SecretKey);
        }
        let id = jwk.text("kid")?;
        if id.is_some_and(|id| !is_key_id(id)) {
            return Err(InvalidJwks::Malformed);
        }
        let algorithm = match jwk.text("alg")? {
            None => None,
            Some(name) => match Algorithm::named(name) {
                Some(algorithm) => Some(algorithm),
                None => return Ok(None),
            },
        };
        if !is_for_signatures(jwk, key_use, plain)? {
            return Ok(None);
        }
        let Some(material) = Material::parse(jwk)? else { return Ok(None) };
        if algorithm.is_some_and(|algorithm| !material.fits(algorithm)) {
            return Err(InvalidJwks::Malformed);
        }
        Ok(Some(Self { id: id.map(Into::into), algorithm, material }))
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Says whether signatures of this algorithm may be checked with this key.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.material.fits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Says whether `signature` is this key's over `message`. An algorithm that does not fit proves nothing.
    pub(crate) fn proves(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        match &self.material {
            Material::Rsa(key) => {
                rsa_parameters(algorithm).is_some_and(|parameters| key.verify(parameters, message, signature).is_ok())
            }
            Material::P256(key) | Material::P384(key) | Material::Ed25519(key) => {
                key.verify_sig(message, signature).is_ok()
            }
        }
    }
}

/// Says whether a text can be a key's id.
pub(crate) fn is_key_id(text: &str) -> bool {
    (1..=KEY_ID_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// Says whether a key is for what is asked: one for X.509 or for encryption is not, and one that may not verify is not.
///
/// Source: [SPIFFE bundles §4.2.2](https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md#422-public-key-use).
fn is_for_signatures(jwk: &Object, key_use: KeyUse, plain: bool) -> Result<bool, InvalidJwks> {
    let named = match (jwk.text("use")?, key_use) {
        (Some(name), KeyUse::Signature) => name == "sig",
        (Some(name), KeyUse::JwtSvid) => name == "jwt-svid",
        (None, KeyUse::Signature) => true,
        (None, KeyUse::JwtSvid) => plain,
    };
    let Some(operations) = jwk.list("key_ops")? else { return Ok(named) };
    let mut verifies = false;
    for operation in operations {
        verifies |= operation.as_text()? == "verify";
    }
    Ok(named && verifies)
}

impl Material {
    fn parse(jwk: &Object) -> Result<Option<Self>, InvalidJwks> {
        let curve = jwk.text("crv")?;
        // RFC 7517 §5: "Implementations SHOULD ignore JWKs within a JWK Set that use "kty" (key type) values that are not
        // understood by them".
        Ok(Some(match (jwk.text("kty")?.ok_or(InvalidJwks::Malformed)?, curve) {
            ("RSA", _) => Self::Rsa(rsa(jwk)?),
            ("EC", Some("P-256")) => Self::P256(point(jwk, 32, &ECDSA_P256_SHA256_FIXED)?),
            ("EC", Some("P-384")) => Self::P384(point(jwk, 48, &ECDSA_P384_SHA384_FIXED)?),
            ("OKP", Some("Ed25519")) => Self::Ed25519(parsed(&ED25519, &fixed(jwk, "x", 32)?)?),
            _ => return Ok(None),
        }))
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa(_) => rsa_parameters(algorithm).is_some(),
            Self::P256(_) => algorithm == Algorithm::Es256,
            Self::P384(_) => algorithm == Algorithm::Es384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}

fn rsa(jwk: &Object) -> Result<RsaPublicKeyComponents<Vec<u8>>, InvalidJwks> {
    let n = decoded(jwk, "n")?;
    let e = decoded(jwk, "e")?;
    // RFC 7518 §2: "The representation MUST utilize the minimum number of octets needed to represent the value."
    let (Some(first), Some(last)) = (n.first(), n.last()) else { return Err(InvalidJwks::Malformed) };
    if *first == 0 || e.first().is_none_or(|byte| *byte == 0) {
        return Err(InvalidJwks::Malformed);
    }
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if !(2048..=8192).contains(&bits) {
        return Err(InvalidJwks::RsaSize);
    }
    if last & 1 == 0 {
        return Err(InvalidJwks::Malformed);
    }
    // The cryptographic library takes exponents of up to 33 bits.
    let exponent = e.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    if e.len() > 5 || exponent >> 33 != 0 || exponent & 1 == 0 || exponent < RSA_EXPONENT_MIN {
        return Err(InvalidJwks::RsaExponent);
    }
    Ok(RsaPublicKeyComponents { n, e })
}

/// Reads a point of an elliptic curve, which the library then finds on the curve or not.
fn point(
    jwk: &Object,
    len_bytes: usize,
    algorithm: &'static dyn VerificationAlgorithm,
) -> Result<ParsedPublicKey, InvalidJwks> {
    // SEC 1 §2.3.3: 0x04, then both coordinates.
    let mut bytes = vec![4];
    bytes.extend(fixed(jwk, "x", len_bytes)?);
    bytes.extend(fixed(jwk, "y", len_bytes)?);
    parsed(algorithm, &bytes)
}

fn parsed(algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> Result<ParsedPublicKey, InvalidJwks> {
    ParsedPublicKey::new(algorithm, bytes).map_err(|_| InvalidJwks::NotOnCurve)
}

fn fixed(jwk: &Object, name: &str, len_bytes: usize) -> Result<Vec<u8>, InvalidJwks> {
    let bytes = decoded(jwk, name)?;
    if bytes.len() == len_bytes { Ok(bytes) } else { Err(InvalidJwks::NotOnCurve) }
}

fn decoded(jwk: &Object, name: &str) -> Result<Vec<u8>, InvalidJwks> {
    let text = jwk.text(name)?.ok_or(InvalidJwks::Malformed)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidJwks::Malformed)
}
