//! JSON Web Tokens by `jsonwebtoken`, over the same cryptographic library that our TLS uses: EdDSA and ES256.
//!
//! A JWT cannot be narrowed by its holder, so this is a task token, and the call is checked against its grants.

use super::{Peer, stated::Stated};
use crate::world::Call;
use crumb_token::Claims;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

pub(super) struct Jwt {
    name: &'static str,
    what: &'static str,
    token: String,
    key: DecodingKey,
    validation: Validation,
}

impl Jwt {
    pub(super) fn eddsa(claims: &Claims) -> anyhow::Result<Self> {
        let pair = KeyPair::generate_for(&PKCS_ED25519)?;
        let keys = (EncodingKey::from_ed_der(&pair.serialize_der()), DecodingKey::from_ed_der(pair.public_key_raw()));
        Self::new(
            "jwt-eddsa",
            "jsonwebtoken 11, EdDSA: decode, and the claims compared",
            Algorithm::EdDSA,
            keys,
            claims,
        )
    }

    pub(super) fn es256(claims: &Claims) -> anyhow::Result<Self> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let keys = (EncodingKey::from_ec_der(&pair.serialize_der()), DecodingKey::from_ec_der(pair.public_key_raw()));
        Self::new(
            "jwt-es256",
            "jsonwebtoken 11, ES256: decode, and the claims compared",
            Algorithm::ES256,
            keys,
            claims,
        )
    }

    fn new(
        name: &'static str,
        what: &'static str,
        algorithm: Algorithm,
        (sign, key): (EncodingKey, DecodingKey),
        claims: &Claims,
    ) -> anyhow::Result<Self> {
        let token = encode(&Header::new(algorithm), &Stated::of(claims), &sign)?;
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[claims.audience.as_str()]);
        Ok(Self { name, what, token, key, validation })
    }
}

impl Peer for Jwt {
    fn name(&self) -> &'static str {
        self.name
    }

    fn what(&self) -> &'static str {
        self.what
    }

    fn allows(&mut self, call: &Call) -> bool {
        decode::<Stated>(&self.token, &self.key, &self.validation).is_ok_and(|data| data.claims.covers(call))
    }
}
