//! What is signed: the bytes under a block's signature, a third party's and a seal's.
//!
//! Apart because the one who appends a block and the one who checks it must mean the same bytes. Version 0 is the block and
//! the next key; version 1 names each part, and binds the block before.
//!
//! Nothing is signed or checked here. Source: [Biscuit specification,
//! "Signature"](https://github.com/eclipse-biscuit/biscuit/blob/main/SPECIFICATIONS.md).

use crate::envelope::{Key, SignedBlock};

/// Returns what the key before signs of a block: its bytes, the third party's signature when it has one, and the key that
/// signs what comes next. `previous` is the signature of the block before; the authority block has none. `None` for a
/// version that nobody knows.
pub fn of_block(
    version: Option<u32>,
    previous: Option<&[u8]>,
    block: &[u8],
    external: Option<&[u8]>,
    next: Key<'_>,
) -> Option<Vec<u8>> {
    let algorithm = next.algorithm.to_le_bytes();
    match version {
        None | Some(0) => Some([block, external.unwrap_or_default(), &algorithm, next.bytes].concat()),
        Some(1) => {
            let mut parts: Vec<&[u8]> = vec![b"\0BLOCK\0\0VERSION\0", &[1, 0, 0, 0], b"\0PAYLOAD\0", block];
            parts.extend([&b"\0ALGORITHM\0"[..], &algorithm, b"\0NEXTKEY\0", next.bytes]);
            if let Some(previous) = previous {
                parts.extend([&b"\0PREVSIG\0"[..], previous]);
            }
            if let Some(external) = external {
                parts.extend([&b"\0EXTERNALSIG\0"[..], external]);
            }
            Some(parts.concat())
        }
        Some(_) => None,
    }
}

/// Returns what a third party signs of a block that comes after the signature `previous`: version 1 only, since version 0
/// does not bind the block to its place.
pub fn of_third_party(previous: &[u8], block: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 6] =
        [b"\0EXTERNAL\0\0VERSION\0", &[1, 0, 0, 0], b"\0PAYLOAD\0", block, b"\0PREVSIG\0", previous];
    parts.concat()
}

/// Returns what seals a token that ends with `last`.
pub fn of_seal(last: &SignedBlock<'_>) -> Vec<u8> {
    [last.block, &last.next_key.algorithm.to_le_bytes(), last.next_key.bytes, last.signature].concat()
}
