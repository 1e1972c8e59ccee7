//! People who prove who they are: an identity provider whose key is known, and the tokens that it makes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crumb_identity::SystemClock;
use crumb_token::Clock as _;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

const ISSUER: &str = "https://people.a.test";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[0x5a; 32])
}

/// Returns the lines of a broker's configuration by which it believes the provider about who approves and reviews.
pub fn approver_issuers() -> String {
    let x = URL_SAFE_NO_PAD.encode(key().verifying_key().as_bytes());
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x, "use": "sig"}]});
    format!(
        "[[approver_issuers]]\nname = \"people\"\nkind = \"oidc\"\niss = \"{ISSUER}\"\naudiences = [\"approvals\"]\n\
         principal = \"email\"\njwks = '{keys}'\n"
    )
}

/// Returns a token that says who somebody is.
pub fn token_of(person: &str) -> String {
    let now = SystemClock::new().now().wall.as_unix_s();
    let header = json!({"alg": "EdDSA", "kid": "k1", "typ": "JWT"});
    let claims = json!({
        "iss": ISSUER, "aud": "approvals", "sub": person, "email": person, "email_verified": true,
        "iat": now, "exp": now + 300,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key().sign(signed.as_bytes()).to_bytes()))
}
