//! How a refusal looks over HTTP.

use bytes::Bytes;
use crumb_proto::status::http_code;
use crumb_token::{Audience, Denial, Reason, denial::Class};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};

/// An error of somebody else's body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer, the tool's or ours.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// Makes any body an [`AnswerBody`].
pub(super) fn body<A>(body: A) -> AnswerBody
where
    A: Body<Data = Bytes> + Send + 'static,
    A::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// Writes a refusal as a status and a JSON body.
pub(super) fn http(denial: &Denial, audience: &Audience) -> Response<AnswerBody> {
    let class = denial.reason.class();
    let json = serde_json::json!({ "error": {
        "reason": denial.reason.code(),
        "title": denial.reason.sentence(),
        "asked": denial.asked,
        "rule": denial.rule,
        "author": denial.author,
        "next": denial.next,
    }});
    let mut answer = Response::new(body(Full::from(json.to_string())));
    *answer.status_mut() = StatusCode::from_u16(http_code(class)).unwrap_or(StatusCode::FORBIDDEN);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = challenge(denial.reason, audience) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

/// Returns the challenge, for refusals that another token would cure.
///
/// RFC 6750 §3: "If the protected resource request does not include authentication credentials or does not contain an
/// access token that enables access to the protected resource, the resource server MUST include the HTTP
/// "WWW-Authenticate" response header field".
fn challenge(reason: Reason, audience: &Audience) -> Option<HeaderValue> {
    let error = match reason.class() {
        // RFC 6750 §3.1: "If the request lacks any authentication information [...], the resource server SHOULD NOT
        // include an error code or other error information."
        Class::Unauthenticated if reason == Reason::TokenMissing => None,
        Class::Unauthenticated => Some("invalid_token"),
        Class::Denied if matches!(reason, Reason::HolderMismatch | Reason::AudienceMismatch) => Some("invalid_token"),
        Class::Denied => Some("insufficient_scope"),
        Class::Invalid | Class::NotFound | Class::Conflict | Class::Exhausted | Class::Unavailable => return None,
    };
    // RFC 6750 §3: "All challenges defined by this specification MUST use the auth-scheme value "Bearer". This scheme MUST
    // be followed by one or more auth-param values." An audience has no quote and no backslash.
    let mut text = format!("Bearer realm=\"{audience}\"");
    if let Some(error) = error {
        // RFC 6750 §3: "Values for the "error_description" attribute MUST NOT include characters outside the set
        // %x20-21 / %x23-5B / %x5D-7E." The sentences are ours, and a test holds them to it.
        text.push_str(&format!(", error=\"{error}\", error_description=\"{}\"", reason.sentence()));
    }
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience() -> Audience {
        "spiffe://td/tool".parse().expect("audience")
    }

    #[test]
    fn every_description_has_only_the_characters_that_rfc_6750_allows() {
        for reason in Reason::ALL {
            let allowed = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(reason.sentence().bytes().all(allowed), "{reason}");
        }
    }

    #[test]
    fn every_401_and_403_has_a_challenge_and_nothing_else_has() {
        for reason in Reason::ALL {
            let answer = http(&Denial::new(*reason), &audience());
            let challenged = answer.headers().contains_key(header::WWW_AUTHENTICATE);
            assert_eq!(challenged, matches!(answer.status().as_u16(), 401 | 403), "{reason}");
        }
    }

    #[test]
    fn a_missing_token_is_challenged_without_an_error_code() {
        let text = |reason| challenge(reason, &audience()).expect("a challenge");
        assert_eq!(text(Reason::TokenMissing), "Bearer realm=\"spiffe://td/tool\"");
        let expired = text(Reason::TokenExpired);
        let expired = expired.to_str().expect("ascii");
        assert!(expired.ends_with("error=\"invalid_token\", error_description=\"the token has expired\""), "{expired}");
    }
}
