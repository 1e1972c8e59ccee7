//! Just enough DER to write what a certificate library refuses to.

use rcgen::{KeyPair, SigningKey};

/// Tag of a SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// Tag of an INTEGER.
pub const INTEGER: u8 = 0x02;
/// Tag of a BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// Tag of the URI among general names.
pub const URI: u8 = 0x86;
/// Tag of the permitted subtrees among name constraints.
pub const PERMITTED: u8 = 0xa0;
/// Tag of the excluded subtrees among name constraints.
pub const EXCLUDED: u8 = 0xa1;

/// Writes one value.
///
/// # Panics
///
/// Never: a length has at most eight bytes.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        len @ 0..=0x7f => out.push(u8::try_from(len).expect("at most 0x7f")),
        len => {
            let bytes = len.to_be_bytes();
            let bytes = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(0)..];
            out.push(0x80 | u8::try_from(bytes.len()).expect("at most 8"));
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Splits the first value off: its whole encoding, its content, and the rest.
fn split(der: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (start, len) = match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            let len = der[2..2 + count].iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
            (2 + count, len)
        }
    };
    (&der[..start + len], &der[start..start + len], &der[start + len..])
}

/// Changes the body of a certificate and signs it again, so that nothing but the change is wrong.
///
/// # Panics
///
/// When the bytes are no certificate.
pub fn resign(certificate: &[u8], key: &KeyPair, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (_, outer, _) = split(certificate);
    let (_, body, rest) = split(outer);
    let (algorithm, _, _) = split(rest);
    let mut body = body.to_vec();
    change(&mut body);
    let body = tlv(SEQUENCE, &body);
    let signature = key.sign(&body).expect("a test key signs");
    let bits = [&[0], signature.as_slice()].concat();
    tlv(SEQUENCE, &[body.as_slice(), algorithm, &tlv(BIT_STRING, &bits)].concat())
}

/// Replaces the first `from` with as many bytes of `to`.
///
/// # Panics
///
/// When there is none, or the lengths differ.
pub fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the bytes are there");
    bytes[at..at + from.len()].copy_from_slice(to);
}

/// Sets the version and, for version 1, takes the extensions away.
///
/// # Panics
///
/// When it is not the body of a version 3 certificate.
pub fn set_version(body: &mut Vec<u8>, version: u8) {
    const V3: &[u8] = &[0xa0, 3, 2, 1, 2];
    assert!(body.starts_with(V3), "a version 3 certificate");
    if version != 1 {
        body[4] = version - 1;
        return;
    }
    let mut kept = Vec::new();
    let mut rest = &body[V3.len()..];
    while !rest.is_empty() && rest[0] != 0xa3 {
        let (whole, _, after) = split(rest);
        kept.extend_from_slice(whole);
        rest = after;
    }
    *body = kept;
}
