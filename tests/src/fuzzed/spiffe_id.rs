//! SPIFFE IDs: what is accepted is canonical, and another parser takes it too.

use crumb_token::SpiffeId;

/// Holds for any bytes: an ID that is accepted is written as it was read, and the `spiffe` crate reads the same parts.
///
/// # Panics
///
/// When it does not hold.
pub fn spiffe_id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(id) = text.parse::<SpiffeId>() else { return };
    assert_eq!(id.to_string(), text);
    assert_eq!(id.to_string().parse().as_ref(), Ok(&id));
    let domain = id.trust_domain();
    assert!(id.is_in(&domain));
    assert_eq!(format!("spiffe://{domain}{}", id.path()), text);
    assert!(text.len() <= SpiffeId::LEN_MAX && id.path().len() > 1);
    let other = spiffe::SpiffeId::new(text).unwrap_or_else(|e| panic!("{text:?} is refused elsewhere: {e}"));
    assert_eq!(other.to_string(), text);
    assert_eq!((other.trust_domain_name(), other.path()), (domain.as_str(), id.path()));
}
