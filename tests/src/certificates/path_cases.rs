//! Cases about the trust domain, the authorities of its bundle, and the intermediates between.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use time::Duration;

use super::{
    case::{Case, Verdict},
    der,
    issue::{Authority, Chain, authority_params, expire, key, leaf_params, uri},
    world::{ID, LOCAL, UNHEARD_OF, World, extension, permit_dns, uri_constraint},
};

const UNUSABLE: Verdict = Err("authority_not_usable");
const UNKNOWN: Verdict = Err("unknown_authority");
const FOREIGN: Verdict = Err("foreign_trust_domain");

/// Returns the cases.
pub fn cases(world: &World) -> Vec<Case> {
    [domains(world), authorities(world), signers(world), constraints(world), orders(world), lengths(world)]
        .into_iter()
        .flatten()
        .collect()
}

/// A good intermediate of the live root, but for `change`.
fn below(root: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = authority_params("intermediate", Some(LOCAL));
    change(&mut params);
    root.intermediate(params)
}

fn svid_of(intermediate: &Authority) -> Chain {
    intermediate.svid(ID).with(&intermediate.der)
}

/// Who may speak for which trust domain.
fn domains(world: &World) -> Vec<Case> {
    let own = key();
    let self_signed = leaf_params(ID).self_signed(&own).expect("a certificate").der().clone();
    let self_signed = Chain { certificates: vec![self_signed], key: own };
    let root_as_leaf = Chain { certificates: vec![world.root.der.clone()], key: key() };
    let next_as_leaf = Chain { certificates: vec![world.next.der.clone()], key: key() };
    let odd_as_leaf = Chain { certificates: vec![world.with_path.der.clone()], key: key() };
    vec![
        Case::new(
            "refuses a federated trust domain that may not come here",
            world.federated.svid("spiffe://b.test/x"),
            FOREIGN,
        ),
        Case::new("refuses a trust domain that nobody knows", world.unknown.svid("spiffe://c.test/x"), FOREIGN),
        Case::new("refuses our name from the federated authority", world.federated.svid(ID), UNKNOWN),
        Case::new("refuses our name from an unknown authority", world.unknown.svid(ID), UNKNOWN),
        Case::new("refuses a federated name from our authority", world.root.svid("spiffe://b.test/x"), FOREIGN),
        Case::new(
            "refuses an authority with the right name and another key",
            world.impostor.svid(ID),
            Err("bad_signature"),
        ),
        Case::new("refuses a leaf that signed itself", self_signed, UNKNOWN),
        Case::new("refuses the root of the bundle as a leaf", root_as_leaf, Err("spiffe_id_without_path")),
        Case::new("refuses a root without a name as a leaf", next_as_leaf, Err("no_uri_name")),
        Case::new("refuses a root with a workload's name as a leaf", odd_as_leaf, Err("leaf_is_authority")),
        Case::new("accepts the next authority while both are in the bundle", world.next.svid(ID), Ok(())),
    ]
}

/// Authorities that are in the bundle and may not be used.
fn authorities(world: &World) -> Vec<Case> {
    let of = |rule, authority: &Authority, verdict| Case::new(rule, authority.svid(ID), verdict);
    vec![
        of("refuses an authority that has expired", &world.expired, UNUSABLE),
        of("refuses an authority that is not yet valid", &world.future, UNUSABLE),
        of("refuses an authority that says it is none", &world.not_ca, UNUSABLE),
        of("refuses an authority without BasicConstraints", &world.no_constraints, UNUSABLE),
        of("refuses an authority whose BasicConstraints are not critical", &world.lax_constraints, UNUSABLE),
        of("refuses an authority without keyCertSign", &world.no_sign, UNUSABLE),
        of("refuses an authority without key usage", &world.no_usage, UNUSABLE),
        of("refuses an authority with an unknown critical extension", &world.critical, UNUSABLE),
        of("refuses an authority with an extension twice", &world.twice, UNUSABLE),
        of("refuses an authority whose ID has a path", &world.with_path, UNUSABLE),
        of("refuses an authority with the ID of another trust domain", &world.foreign, UNUSABLE),
        of("refuses an authority that ends before it begins", &world.reversed, UNUSABLE),
        of("accepts an authority that allows no intermediate", &world.narrow, Ok(())),
        Case::new(
            "refuses an intermediate below an authority that allows none",
            svid_of(&below(&world.narrow, |_| ())),
            Err("path_too_long"),
        ),
        Case::new("refuses an intermediate of an expired authority", svid_of(&below(&world.expired, |_| ())), UNUSABLE),
    ]
}

/// Intermediates that break a rule of their own.
fn signers(world: &World) -> Vec<Case> {
    let with = |rule, verdict, change: &dyn Fn(&mut CertificateParams)| {
        Case::new(rule, svid_of(&below(&world.root, change)), verdict)
    };
    let named = |rule, verdict, name: &str| with(rule, verdict, &|p| p.subject_alt_names = vec![uri(name)]);
    vec![
        with("accepts a good intermediate", Ok(()), &|_| ()),
        with("accepts an intermediate without a SPIFFE ID", Ok(()), &|p| p.subject_alt_names.clear()),
        named("accepts an intermediate with a URI of another kind", Ok(()), "https://pki.a.test/ca"),
        with("refuses an expired intermediate", Err("signer_expired"), &expire),
        with("refuses an intermediate that is not yet valid", Err("signer_not_yet_valid"), &|p| {
            p.not_before += Duration::minutes(31);
        }),
        with("refuses an intermediate that says it is no authority", Err("signer_not_authority"), &|p| {
            p.is_ca = IsCa::ExplicitNoCa;
        }),
        with("refuses an intermediate without BasicConstraints", Err("signer_not_authority"), &|p| {
            p.is_ca = IsCa::NoCa
        }),
        with("refuses an intermediate without keyCertSign", Err("signer_key_usage"), &|p| {
            p.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        }),
        with("refuses an intermediate without key usage", Err("signer_key_usage"), &|p| p.key_usages.clear()),
        named("refuses an intermediate whose ID has a path", Err("signer_id_has_path"), "spiffe://a.test/ca"),
        named("refuses an intermediate of another trust domain", Err("signer_foreign"), "spiffe://b.test"),
        named("refuses an intermediate whose ID is not canonical", Err("signer_id_not_canonical"), "spiffe://A.test"),
        named("refuses an intermediate whose scheme is in capitals", Err("signer_id_not_canonical"), "SPIFFE://a.test"),
        with("refuses an intermediate with an unknown critical extension", Err("unknown_critical_extension"), &|p| {
            p.custom_extensions.push(extension(UNHEARD_OF, &[5, 0], true));
        }),
        with("refuses an intermediate with an extension twice", Err("duplicate_extension"), &|p| {
            p.custom_extensions = vec![extension(UNHEARD_OF, &[5, 0], false); 2];
        }),
        with("lets an intermediate for servers sign servers only", Err("key_purpose"), &|p| {
            p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
        .but_as_server(Ok(())),
    ]
}

/// Name constraints of authorities. URI constraints cannot be checked, so they refuse everything.
fn constraints(world: &World) -> Vec<Case> {
    let refused = Err("name_constraints");
    let dns = |root: &Authority, name: &str| {
        let mut params = leaf_params(ID);
        params.subject_alt_names.push(SanType::DnsName(name.try_into().expect("ASCII")));
        root.leaf(&params)
    };
    let uri_below = below(&world.root, |p| p.custom_extensions.push(uri_constraint(der::PERMITTED, LOCAL)));
    let dns_below = below(&world.root, |p| p.name_constraints = Some(permit_dns("example.org")));
    vec![
        Case::new("accepts a DNS name that the authority permits", dns(&world.dns_only, "x.example.org"), Ok(())),
        Case::new("refuses a DNS name that the authority does not permit", dns(&world.dns_only, "x.a.test"), refused),
        Case::new(
            "refuses a DNS name that an intermediate does not permit",
            dns(&dns_below, "x.a.test").with(&dns_below.der),
            refused,
        ),
        Case::new("refuses every URI below an authority that permits some", world.uri_permitted.svid(ID), refused),
        Case::new("refuses every URI below an authority that excludes some", world.uri_excluded.svid(ID), refused),
        Case::new("refuses every URI below an intermediate that permits some", svid_of(&uri_below), refused),
    ]
}

/// Orders, strays and doubles.
fn orders(world: &World) -> Vec<Case> {
    let outer = below(&world.root, |p| p.distinguished_name.push(rcgen::DnType::CommonName, "outer"));
    let inner = below(&outer, |p| p.distinguished_name.push(rcgen::DnType::CommonName, "inner"));
    let in_order = || inner.svid(ID).with(&inner.der).with(&outer.der);
    let leaf_last = {
        let mut chain = in_order();
        chain.certificates.reverse();
        chain
    };
    let stray = below(&world.unknown, |_| ());
    let good = below(&world.root, |_| ());
    let bad_twin = {
        let mut params = authority_params("intermediate", Some(LOCAL));
        params.subject_alt_names = vec![uri("spiffe://a.test/ca")];
        params.signed_by(good.issuer.key(), &world.root.issuer).expect("a certificate").der().clone()
    };
    let twins = good.svid(ID).with(&bad_twin).with(&good.der);
    let mut broken = svid_of(&good);
    let mut bytes = broken.certificates[1].to_vec();
    *bytes.last_mut().expect("a signature") ^= 1;
    broken.certificates[1] = bytes.into();
    vec![
        Case::new("accepts two intermediates in order", in_order(), Ok(())),
        Case::new("accepts two intermediates out of order", inner.svid(ID).with(&outer.der).with(&inner.der), Ok(())),
        Case::new("accepts the root sent along", in_order().with(&world.root.der), Ok(())),
        Case::new("accepts an intermediate sent twice", svid_of(&good).with(&good.der), Ok(())),
        Case::new("accepts a stray authority sent along", world.root.svid(ID).with(&stray.der), Ok(())),
        Case::new(
            "accepts another leaf sent along",
            world.root.svid(ID).with(&world.root.svid(ID).certificates[0]),
            Ok(()),
        ),
        Case::new("finds the good one of two intermediates with one key", twins, Ok(())),
        Case::new("refuses the bad one of them alone", good.svid(ID).with(&bad_twin), Err("signer_id_has_path")),
        Case::new("refuses a leaf that does not come first", leaf_last, Err("spiffe_id_without_path")),
        Case::new("refuses a chain with an intermediate missing", inner.svid(ID).with(&outer.der), UNKNOWN),
        Case::new("refuses an intermediate of an unknown authority", svid_of(&stray), UNKNOWN),
        Case::new("refuses an unknown root sent along", world.unknown.svid(ID).with(&world.unknown.der), UNKNOWN),
        Case::new("refuses an intermediate whose signature is wrong", broken, Err("bad_signature")),
    ]
}

/// How long a path may be.
fn lengths(world: &World) -> Vec<Case> {
    let tower = |height: usize| {
        let mut stack = vec![below(&world.root, |p| p.distinguished_name.push(rcgen::DnType::CommonName, "floor 1"))];
        for floor in 2..=height {
            let name = format!("floor {floor}");
            let next = below(&stack[floor - 2], |p| p.distinguished_name.push(rcgen::DnType::CommonName, name));
            stack.push(next);
        }
        stack.iter().rev().fold(stack[height - 1].svid(ID), |chain, floor| chain.with(&floor.der))
    };
    let narrow = below(&world.root, |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let under = below(&narrow, |p| p.distinguished_name.push(rcgen::DnType::CommonName, "under"));
    let too_deep = under.svid(ID).with(&under.der).with(&narrow.der);
    vec![
        Case::new("accepts six intermediates", tower(6), Ok(())),
        Case::new("refuses seven intermediates", tower(7), Err("path_too_complex")),
        Case::new("refuses nine certificates", tower(8), Err("chain_too_long")),
        Case::new("refuses an intermediate below one that allows none", too_deep, Err("path_too_long")),
    ]
}
