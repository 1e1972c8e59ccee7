//! The one error table: a [`Denial`] as gRPC status and as HTTP code, and back.
//!
//! The details are `google.rpc.ErrorInfo` (reason code, and the denial's fields as metadata) and, for a request that is not
//! well-formed, `google.rpc.BadRequest`. Insides stay inside: a status says no more than the denial.

use crate::{Layer, Violations};
use crumb_token::{Denial, Reason, denial::Class};
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of our `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "crumb.dev";

/// The longest metadata value in a status, in bytes: trailers are headers, and headers are bounded.
const VALUE_LEN_MAX: usize = 1500;

/// Returns the gRPC code of a class of refusal.
pub fn code(class: Class) -> Code {
    match class {
        Class::Unauthenticated => Code::Unauthenticated,
        Class::Denied => Code::PermissionDenied,
        Class::Invalid => Code::InvalidArgument,
        Class::NotFound => Code::NotFound,
        Class::Conflict => Code::AlreadyExists,
        Class::Exhausted => Code::ResourceExhausted,
        Class::Unavailable => Code::Unavailable,
    }
}

/// Returns the HTTP status of a class of refusal.
pub fn http_code(class: Class) -> u16 {
    match class {
        Class::Unauthenticated => 401,
        Class::Denied => 403,
        Class::Invalid => 400,
        Class::NotFound => 404,
        Class::Conflict => 409,
        Class::Exhausted => 429,
        Class::Unavailable => 503,
    }
}

/// Writes a refusal as a status with details.
pub fn to_status(denial: &Denial) -> Status {
    with_details(denial, info(denial))
}

/// Writes a request's violations as `INVALID_ARGUMENT` with each field named.
pub fn invalid(violations: &Violations) -> Status {
    let denial = violations.to_denial();
    let mut details = info(&denial);
    for (field, why) in violations.iter() {
        details.add_bad_request_violation(field, why);
    }
    with_details(&denial, details)
}

fn with_details(denial: &Denial, details: ErrorDetails) -> Status {
    let message = format!("{}: {}", denial.reason.code(), denial.reason.sentence());
    Status::with_error_details(code(denial.reason.class()), message, details)
}

fn info(denial: &Denial) -> ErrorDetails {
    let layer = Layer::of(denial.reason).as_str();
    let fields = [
        ("layer", layer),
        ("asked", denial.asked.as_str()),
        ("rule", denial.rule.as_str()),
        ("author", denial.author.as_str()),
        ("next", denial.next.as_str()),
    ];
    let metadata: HashMap<String, String> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), cut(value).to_owned()))
        .collect();
    ErrorDetails::with_error_info(denial.reason.code(), DOMAIN, metadata)
}

fn cut(s: &str) -> &str {
    let mut end = s.len().min(VALUE_LEN_MAX);
    while !s.is_char_boundary(end) {
        end -= 1;
    }
    &s[..end]
}

/// Reads a refusal back from a status; `None` when it is not one of ours.
pub fn from_status(status: &Status) -> Option<Denial> {
    let info = status.get_details_error_info()?;
    if info.domain != DOMAIN {
        return None;
    }
    let reason: Reason = info.reason.parse().ok()?;
    let field = |name: &str| info.metadata.get(name).cloned().unwrap_or_default();
    Some(Denial { reason, asked: field("asked"), rule: field("rule"), author: field("author"), next: field("next") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_crosses_the_wire_and_back() {
        for reason in Reason::ALL {
            let denial = Denial::new(*reason).asked("read_file read a/b").by("authority block, grant", "the broker");
            assert_eq!(from_status(&to_status(&denial)), Some(denial));
        }
    }

    #[test]
    fn a_status_of_somebody_else_is_no_denial() {
        assert_eq!(from_status(&Status::internal("boom")), None);
        let foreign = ErrorDetails::with_error_info("holder_mismatch", "example.com", HashMap::new());
        assert_eq!(from_status(&Status::with_error_details(Code::PermissionDenied, "x", foreign)), None);
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let denial = Denial::new(Reason::RequestInvalid).asked("\u{e9}".repeat(VALUE_LEN_MAX));
        let back = from_status(&to_status(&denial)).expect("ours");
        assert!(back.asked.len() <= VALUE_LEN_MAX && denial.asked.starts_with(&back.asked));
    }

    #[test]
    fn violations_name_their_fields() {
        let mut violations = Violations::default();
        let _: Option<crumb_token::AgentName> = violations.parse("agent", "No Such");
        let status = invalid(&violations);
        let details = status.get_details_bad_request().expect("bad request");
        assert_eq!(details.field_violations[0].field, "agent");
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}
