//! Cases about the profile, the time and the encoding of a leaf.

use rcgen::{
    BasicConstraints, DistinguishedName, ExtendedKeyUsagePurpose as Purpose, IsCa, KeyPair, KeyUsagePurpose as Bit,
    PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, SerialNumber,
    SignatureAlgorithm,
};
use time::Duration;

use super::{
    case::{Case, Verdict},
    der,
    issue::{Chain, expire, key, leaf_params},
    world::{ALT_NAMES, ID, KEY_PURPOSES, KEY_USAGE, UNHEARD_OF, World, extension, permit_dns},
};

const PURPOSE: Verdict = Err("key_purpose");

/// Returns the cases.
pub fn cases(world: &World) -> Vec<Case> {
    [usage(world), purposes(world), extensions(world), keys(world), time(world), encoding(world)]
        .into_iter()
        .flatten()
        .collect()
}

/// BasicConstraints and KeyUsage.
fn usage(world: &World) -> Vec<Case> {
    vec![
        Case::leaf(world, "accepts a good leaf", Ok(()), |_| ()),
        Case::leaf(world, "refuses a leaf that is an authority", Err("leaf_is_authority"), |p| {
            p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
        Case::leaf(world, "refuses an authority that may sign", Err("leaf_is_authority"), |p| {
            p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            p.key_usages.push(Bit::KeyCertSign);
        }),
        Case::leaf(world, "refuses missing BasicConstraints", Err("basic_constraints_missing"), |p| {
            p.is_ca = IsCa::NoCa;
        }),
        Case::leaf(world, "refuses keyCertSign", Err("leaf_signs_certificates"), |p| {
            p.key_usages.push(Bit::KeyCertSign)
        }),
        Case::leaf(world, "refuses cRLSign", Err("leaf_signs_revocations"), |p| p.key_usages.push(Bit::CrlSign)),
        Case::leaf(world, "refuses a missing key usage", Err("key_usage_missing"), |p| p.key_usages.clear()),
        Case::leaf(world, "refuses a key usage without digitalSignature", Err("no_digital_signature"), |p| {
            p.key_usages = vec![Bit::KeyEncipherment, Bit::KeyAgreement];
        }),
        Case::leaf(world, "accepts keyEncipherment and keyAgreement as SPIRE sets them", Ok(()), |p| {
            p.key_usages.extend([Bit::KeyEncipherment, Bit::KeyAgreement]);
        }),
        Case::leaf(world, "accepts a key usage that is not critical", Ok(()), |p| {
            p.key_usages.clear();
            p.custom_extensions.push(extension(KEY_USAGE, &[3, 2, 7, 0x80], false));
        }),
        Case::leaf(world, "refuses a key usage that comes twice", Err("duplicate_extension"), |p| {
            p.custom_extensions.push(extension(KEY_USAGE, &[3, 2, 7, 0x80], false));
        }),
        Case::leaf(world, "refuses a key usage that cannot be read", Err("malformed_certificate"), |p| {
            p.key_usages.clear();
            p.custom_extensions.push(extension(KEY_USAGE, &[4, 2, 7, 0x80], false));
        }),
    ]
}

/// ExtendedKeyUsage.
fn purposes(world: &World) -> Vec<Case> {
    let with =
        |rule, verdict, purposes: Vec<Purpose>| Case::leaf(world, rule, verdict, |p| p.extended_key_usages = purposes);
    vec![
        with("accepts a leaf without extended key usage", Ok(()), vec![]),
        with("lets clientAuth be a client only", Ok(()), vec![Purpose::ClientAuth]).but_as_server(PURPOSE),
        with("lets serverAuth be a server only", PURPOSE, vec![Purpose::ServerAuth]).but_as_server(Ok(())),
        with("refuses codeSigning", PURPOSE, vec![Purpose::CodeSigning]),
        with("refuses anyExtendedKeyUsage", PURPOSE, vec![Purpose::Any]),
        Case::leaf(world, "refuses an empty extended key usage", PURPOSE, |p| {
            p.extended_key_usages.clear();
            p.custom_extensions.push(extension(KEY_PURPOSES, &[0x30, 0], false));
        }),
    ]
}

/// Other extensions, and what depends on the subject.
fn extensions(world: &World) -> Vec<Case> {
    let raw_id = der::tlv(der::SEQUENCE, &der::tlv(der::URI, ID.as_bytes()));
    vec![
        Case::leaf(world, "accepts an unknown extension that is not critical", Ok(()), |p| {
            p.custom_extensions.push(extension(UNHEARD_OF, &[5, 0], false));
        }),
        Case::leaf(world, "refuses an unknown critical extension", Err("unknown_critical_extension"), |p| {
            p.custom_extensions.push(extension(UNHEARD_OF, &[5, 0], true));
        }),
        Case::leaf(world, "refuses an unknown extension that comes twice", Err("duplicate_extension"), |p| {
            p.custom_extensions = vec![extension(UNHEARD_OF, &[5, 0], false); 2];
        }),
        Case::leaf(world, "refuses name constraints in a leaf", Err("leaf_constrains_names"), |p| {
            p.name_constraints = Some(permit_dns("a.test"));
        }),
        Case::leaf(world, "accepts an empty subject when the names are critical", Ok(()), |p| {
            p.distinguished_name = DistinguishedName::new();
        }),
        Case::leaf(world, "refuses an empty subject when the names are not critical", Err("names_not_critical"), |p| {
            p.distinguished_name = DistinguishedName::new();
            p.subject_alt_names.clear();
            p.custom_extensions.push(extension(ALT_NAMES, &raw_id, false));
        }),
        Case::leaf(world, "refuses a serial number of zero", Err("serial_number"), |p| {
            p.serial_number = Some(SerialNumber::from_slice(&[0]));
        }),
        Case::leaf(world, "refuses a serial number of 21 bytes", Err("serial_number"), |p| {
            p.serial_number = Some(SerialNumber::from_slice(&[1; 21]));
        }),
        Case::new("refuses a negative serial number", negative_serial(world), Err("serial_number")),
        Case::leaf(world, "refuses a chain of more than 32 KiB", Err("chain_too_large"), |p| {
            let padding = der::tlv(4, &[0; 33 * 1024]);
            p.custom_extensions.push(extension(UNHEARD_OF, &padding, false));
        }),
    ]
}

fn negative_serial(world: &World) -> Chain {
    let mut params = leaf_params(ID);
    params.serial_number = Some(SerialNumber::from_slice(&[0x7a, 0x5e, 0x11]));
    changed(world, world.root.leaf(&params), |body| {
        der::replace(body, &[2, 3, 0x7a, 0x5e, 0x11], &[2, 3, 0xfa, 0x5e, 0x11])
    })
}

/// Signs the leaf again after a change to its body.
fn changed(world: &World, mut chain: Chain, change: impl FnOnce(&mut Vec<u8>)) -> Chain {
    chain.certificates[0] = der::resign(&chain.certificates[0], world.root.issuer.key(), change).into();
    chain
}

/// Kinds of keys.
fn keys(world: &World) -> Vec<Case> {
    let of = |rule, algorithm: &'static SignatureAlgorithm| {
        let key = KeyPair::generate_for(algorithm).expect("randomness");
        Case::new(rule, world.root.leaf_with(&leaf_params(ID), key), Ok(()))
    };
    vec![
        of("accepts a P-384 key", &PKCS_ECDSA_P384_SHA384),
        of("accepts a P-521 key", &PKCS_ECDSA_P521_SHA512),
        of("accepts an Ed25519 key", &PKCS_ED25519),
        of("accepts an RSA key of 2048 bits", &PKCS_RSA_SHA256),
        Case::new("refuses an RSA key of 1024 bits", weak_rsa(world), Err("key_not_accepted")),
    ]
}

/// A public key without a private one.
struct WeakRsa(Vec<u8>);

impl PublicKeyData for WeakRsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

fn weak_rsa(world: &World) -> Chain {
    let modulus = [[0].as_slice(), &[0xc5; 128]].concat();
    let numbers = [der::tlv(der::INTEGER, &modulus), der::tlv(der::INTEGER, &[1, 0, 1])].concat();
    let public = WeakRsa(der::tlv(der::SEQUENCE, &numbers));
    let certificate = leaf_params(ID).signed_by(&public, &world.root.issuer).expect("a certificate");
    Chain { certificates: vec![certificate.der().clone()], key: key() }
}

/// Lifetimes.
fn time(world: &World) -> Vec<Case> {
    vec![
        Case::leaf(world, "refuses an expired leaf", Err("expired"), expire),
        Case::leaf(world, "refuses a leaf that is not yet valid", Err("not_yet_valid"), |p| {
            p.not_before += Duration::minutes(31);
        }),
        Case::leaf(world, "refuses a leaf that ends before it begins", Err("validity_reversed"), |p| {
            std::mem::swap(&mut p.not_before, &mut p.not_after);
        }),
        Case::leaf(world, "accepts a leaf that outlives its authority", Ok(()), |p| p.not_after += Duration::hours(9)),
    ]
}

/// What is not a certificate, or not one of today's.
fn encoding(world: &World) -> Vec<Case> {
    let malformed = Err("malformed_certificate");
    let mut longer = world.root.svid(ID);
    longer.certificates[0] = [longer.certificates[0].as_ref(), &[0]].concat().into();
    let mut shorter = world.root.svid(ID);
    shorter.certificates[0] = shorter.certificates[0][..200].to_vec().into();
    let mut noise = world.root.svid(ID);
    noise.certificates[0] = vec![0x30, 0x03, 0x01, 0x01, 0xff].into();
    let behind = world.root.svid(ID).with(&vec![0x30, 0x82, 0xff, 0xff, 0].into());
    let version = |number| changed(world, world.root.svid(ID), |body| der::set_version(body, number));
    vec![
        Case::new("refuses bytes behind the leaf", longer, malformed),
        Case::new("refuses a leaf that is cut short", shorter, malformed),
        Case::new("refuses noise", noise, malformed),
        Case::new("refuses noise behind a good leaf", behind, malformed),
        Case::new("refuses version 1", version(1), Err("not_version_3")),
        Case::new("refuses version 2", version(2), Err("not_version_3")),
        Case::new("refuses a changed body under the old signature", forged(world), Err("bad_signature")),
        Case::new("refuses a signature with SHA-224", old_signature(world, 2), Err("signature_algorithm")),
        Case::new("refuses two names for the signature algorithm", old_signature(world, 1), malformed),
    ]
}

/// Renames the signature algorithm in the first `places` of the two where it is.
fn old_signature(world: &World, places: usize) -> Chain {
    const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    const ECDSA_SHA224: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1];
    let mut chain = world.root.svid(ID);
    let mut bytes = chain.certificates[0].to_vec();
    for _ in 0..places {
        der::replace(&mut bytes, ECDSA_SHA256, ECDSA_SHA224);
    }
    chain.certificates[0] = bytes.into();
    chain
}

fn forged(world: &World) -> Chain {
    let mut chain = world.root.svid("spiffe://a.test/workload/y");
    let mut bytes = chain.certificates[0].to_vec();
    der::replace(&mut bytes, b"spiffe://a.test/workload/y", ID.as_bytes());
    chain.certificates[0] = bytes.into();
    chain
}
