//! A JWT in compact form, taken apart: shape only. Nothing in it is believed yet.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{InvalidSubjectToken, issuer::Kind};
use crate::{
    jwks::Algorithm,
    strict_json::{InvalidJson, Object, WrongType},
};

/// Members with which a token would bring its own key.
const KEY_MEMBERS: &[&str] = &["jku", "jwk", "x5u", "x5c"];

/// Members that are read, and those that name the key a second time and decide nothing.
const KNOWN_MEMBERS: &[&str] = &["alg", "kid", "typ", "x5t", "x5t#S256"];

/// The members of a JWT-SVID's header.
///
/// JWT-SVID §2: "Any header not described here, registered or private, MUST NOT be included in the JWT-SVID JOSE Header."
const SVID_MEMBERS: &[&str] = &["alg", "kid", "typ"];

/// A token's parts.
pub(super) struct Compact<'a> {
    pub(super) header: Header,
    pub(super) claims: Object,
    /// What the signature is over: header and claims, as they were sent.
    pub(super) signed: &'a str,
    pub(super) signature: Zeroizing<Vec<u8>>,
}

/// What a header says.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<Box<str>>,
    media_type: Option<Box<str>>,
    /// Whether it has members that only some kinds allow.
    beyond_svid: bool,
}

impl<'a> Compact<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, InvalidSubjectToken> {
        let (signed, signature) = token.rsplit_once('.').ok_or(InvalidSubjectToken::NotCompact)?;
        let (header, claims) = signed.split_once('.').ok_or(InvalidSubjectToken::NotCompact)?;
        if header.is_empty() || claims.is_empty() || claims.contains('.') {
            return Err(InvalidSubjectToken::NotCompact);
        }
        let (header, claims, signature) = (decoded(header)?, decoded(claims)?, decoded(signature)?);
        Ok(Self {
            header: Header::parse(&Object::parse(&header)?)?,
            claims: Object::parse(&claims)?,
            signed,
            signature,
        })
    }
}

/// Decodes a part. One text per value: padding, other alphabets and stray bits at the end are refused.
fn decoded(part: &str) -> Result<Zeroizing<Vec<u8>>, InvalidSubjectToken> {
    URL_SAFE_NO_PAD.decode(part).map(Zeroizing::new).map_err(|_| InvalidSubjectToken::NotCompact)
}

impl Header {
    fn parse(header: &Object) -> Result<Self, InvalidSubjectToken> {
        let text = |name| header.text(name).map_err(|WrongType| InvalidSubjectToken::MalformedHeader);
        let name = text("alg")?.ok_or(InvalidSubjectToken::MalformedHeader)?;
        // RFC 8725 §3.1: "Libraries MUST enable the caller to specify a supported set of algorithms and MUST NOT use any
        // other algorithms when performing cryptographic operations."
        let algorithm = Algorithm::named(name).ok_or(InvalidSubjectToken::AlgorithmRefused)?;
        // RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not understood and supported by the
        // recipient, then the JWS is invalid."
        if header.has("crit") {
            return Err(InvalidSubjectToken::CriticalHeader);
        }
        if KEY_MEMBERS.iter().any(|name| header.has(name)) {
            return Err(InvalidSubjectToken::KeyInHeader);
        }
        if !header.names().all(|name| KNOWN_MEMBERS.contains(&name)) {
            return Err(InvalidSubjectToken::UnknownHeader);
        }
        Ok(Self {
            algorithm,
            key_id: text("kid")?.map(Into::into),
            media_type: text("typ")?.map(Into::into),
            beyond_svid: !header.names().all(|name| SVID_MEMBERS.contains(&name)),
        })
    }

    /// Checks what the kind of token asks of its header.
    pub(super) fn suits(&self, kind: &Kind) -> Result<(), InvalidSubjectToken> {
        let is = |name: &str| self.media_type.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(name));
        let plain = self.media_type.is_none() || is("JWT");
        let suits = match kind {
            // RFC 9068 §4: "The resource server MUST verify that the "typ" header value is "at+jwt" or
            // "application/at+jwt" and reject tokens carrying any other value."
            Kind::Person(rules) if rules.is_access_token() => is("at+jwt") || is("application/at+jwt"),
            Kind::Person(_) | Kind::Kubernetes => plain,
            // JWT-SVID §2.3: "If set, its value MUST be either `JWT` or `JOSE`."
            Kind::Workload { .. } => plain || is("JOSE"),
        };
        if !suits {
            return Err(InvalidSubjectToken::WrongType);
        }
        if matches!(kind, Kind::Workload { .. }) {
            if self.beyond_svid {
                return Err(InvalidSubjectToken::UnknownHeader);
            }
            // JWT-SVID §2.1: "Validators receiving a token with the `alg` parameter set to a different value MUST reject the
            // token." Its list has RSA and ECDSA.
            if self.algorithm == Algorithm::EdDsa {
                return Err(InvalidSubjectToken::AlgorithmRefused);
            }
        }
        Ok(())
    }
}

impl From<InvalidJson> for InvalidSubjectToken {
    fn from(error: InvalidJson) -> Self {
        match error {
            InvalidJson::Malformed => Self::NotJson,
            InvalidJson::DuplicateName => Self::DuplicateName,
            InvalidJson::TooDeep => Self::TooDeep,
        }
    }
}
