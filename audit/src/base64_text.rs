//! Base64 in its one canonical form: the standard alphabet, padded, no spare bits set.
//!
//! Apart so that every text of this room is read alike: two texts for the same bytes would be a change nobody finds.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Writes bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads bytes into `into`, which is emptied first; `None` when the text is not canonical.
pub(crate) fn decode_into(text: &str, into: &mut Vec<u8>) -> Option<()> {
    into.clear();
    STANDARD.decode_vec(text, into).ok()
}

/// Reads bytes; `None` when the text is not canonical.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
