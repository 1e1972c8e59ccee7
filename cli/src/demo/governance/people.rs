//! People, and the identity provider that says who they are.
//!
//! Its one key is made when the demo starts and dies with it. The broker believes it about approvers and about nothing
//! else: no session can be opened with what it signs.

use anyhow::anyhow;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crumb_token::Timestamp;
use serde_json::{Value, json};

const ISSUER: &str = "https://login.crumb.invalid";
const AUDIENCE: &str = "crumb-approvals";
const KEY_ID: &str = "demo";

/// Somebody of the group that has to agree, with no part in what is asked.
pub(super) const APPROVER: &str = "eve@acme.example";

/// How long a token of a person is good, in seconds.
const TOKEN_S: u64 = 300;

/// The identity provider.
pub(super) struct People(Ed25519KeyPair);

impl People {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| anyhow!("no key for the identity provider"))
    }

    /// What the broker's configuration says about it.
    pub(super) fn issuers(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "x": x, "use": "sig"}]});
        format!(
            "\n[[approver_issuers]]\nname = \"people\"\nkind = \"oidc\"\niss = \"{ISSUER}\"\n\
             audiences = [\"{AUDIENCE}\"]\nprincipal = \"email\"\njwks = '{keys}'\n"
        )
    }

    /// Says who somebody is, to whoever takes approvals.
    pub(super) fn token(&self, person: &str, now: Timestamp) -> String {
        let header = json!({"alg": "EdDSA", "kid": KEY_ID, "typ": "JWT"});
        let issued = now.as_unix_s();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": person, "email": person, "email_verified": true,
            "iat": issued, "exp": issued + TOKEN_S,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}
