//! Takes the bearer token out of a request, so that nothing behind this sees it.

use crumb_token::{Denial, Reason, TokenText};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

/// Removes every `Authorization` header, and returns the token when there was exactly one and it held one.
pub(super) fn take(headers: &mut HeaderMap) -> Result<TokenText, Denial> {
    let found: Vec<HeaderValue> = match headers.entry(AUTHORIZATION) {
        http::header::Entry::Occupied(all) => all.remove_entry_mult().1.collect(),
        http::header::Entry::Vacant(_) => Vec::new(),
    };
    match &found[..] {
        [] => Err(Denial::new(Reason::TokenMissing)),
        [one] => token(one),
        // RFC 6750 §2: "Clients MUST NOT use more than one method to transmit the token in each request." Two headers are
        // two answers to who is asking, and the next hop may believe the other one.
        _ => Err(refused(Reason::TokenMalformed, "exactly one authorization header")),
    }
}

fn token(header: &HeaderValue) -> Result<TokenText, Denial> {
    let text = header.to_str().map_err(|_| refused(Reason::TokenMalformed, "a visible authorization header"))?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    // RFC 9110 §11.1: "a case-insensitive token to identify the authentication scheme".
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused(Reason::TokenMissing, "the bearer scheme"));
    }
    // RFC 6750 §2.1: credentials = "Bearer" 1*SP b64token
    let presented = rest.trim_start_matches(' ');
    TokenText::from_presented(presented).map_err(|reason| refused(reason, "the bearer scheme"))
}

fn refused(reason: Reason, rule: &str) -> Denial {
    Denial::new(reason).by(rule, "this tool server")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(values: &[&str]) -> (Result<String, Reason>, HeaderMap) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        let token = take(&mut headers).map(|t| t.expose().to_owned()).map_err(|d| d.reason);
        (token, headers)
    }

    #[test]
    fn takes_the_one_token_away() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc"] {
            let (token, headers) = taken(&[value]);
            assert_eq!(token, Ok("abc".to_owned()), "{value}");
            assert!(headers.is_empty());
        }
    }

    #[test]
    fn refuses_everything_else_and_takes_it_away_all_the_same() {
        let missing = Err(Reason::TokenMissing);
        let malformed = Err(Reason::TokenMalformed);
        for (values, why) in [
            (&[][..], &missing),
            (&["Basic abc"][..], &missing),
            (&["Bearer"][..], &missing),
            (&["Bearer "][..], &missing),
            (&["Bearerabc"][..], &missing),
            (&["Bearer abc", "Bearer abc"][..], &malformed),
            (&["Bearer abc", "Basic abc"][..], &malformed),
            (&["Bearer \u{e9}"][..], &malformed),
        ] {
            let (token, headers) = taken(values);
            assert_eq!(&token, why, "{values:?}");
            assert!(headers.is_empty(), "{values:?}");
        }
    }
}
