//! The authorities that the cases are issued by, and the bundles in which their judge finds them.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints,
};
use rustls_pki_types::CertificateDer;
use time::Duration;

use super::{
    der,
    issue::{Authority, authority_params, expire, uri},
};

/// The trust domain of the judge.
pub const LOCAL: &str = "a.test";
/// A trust domain whose bundle the judge holds but does not accept: federated.
pub const FEDERATED: &str = "b.test";
/// A trust domain that the judge has never heard of.
pub const UNKNOWN: &str = "c.test";
/// The workload that the cases claim to be.
pub const ID: &str = "spiffe://a.test/workload/x";

/// Authorities, good and odd. Unless it says otherwise, one is in the bundle of [`LOCAL`].
#[derive(Debug)]
pub struct World {
    /// Good in every way.
    pub root: Authority,
    /// As good, newer, and without a SPIFFE ID: a rotation is under way.
    pub next: Authority,
    /// The one of [`FEDERATED`], in its bundle.
    pub federated: Authority,
    /// The one of [`UNKNOWN`], in no bundle.
    pub unknown: Authority,
    /// Has the name of `root` and another key; in no bundle.
    pub impostor: Authority,
    /// Ended a minute ago.
    pub expired: Authority,
    /// Begins in an hour.
    pub future: Authority,
    /// Allows no intermediate.
    pub narrow: Authority,
    /// Says `cA` false.
    pub not_ca: Authority,
    /// Has no BasicConstraints.
    pub no_constraints: Authority,
    /// Has BasicConstraints that are not critical.
    pub lax_constraints: Authority,
    /// May not sign certificates.
    pub no_sign: Authority,
    /// Has no key usage.
    pub no_usage: Authority,
    /// Has a critical extension that nobody knows.
    pub critical: Authority,
    /// Has an extension twice.
    pub twice: Authority,
    /// Has a SPIFFE ID with a path.
    pub with_path: Authority,
    /// Has the SPIFFE ID of another trust domain.
    pub foreign: Authority,
    /// Ends before it begins.
    pub reversed: Authority,
    /// Permits DNS names below example.org only.
    pub dns_only: Authority,
    /// Permits URIs of hosts below a.test only, which webpki cannot check.
    pub uri_permitted: Authority,
    /// Excludes URIs of evil.test, which webpki cannot check.
    pub uri_excluded: Authority,
}

impl World {
    /// Makes them all.
    pub fn new() -> Self {
        let with = |name: &str, change: &dyn Fn(&mut CertificateParams)| {
            let mut params = authority_params(name, Some(LOCAL));
            change(&mut params);
            Authority::root(params)
        };
        Self {
            root: with("root", &|_| ()),
            next: with("next", &|p| p.subject_alt_names.clear()),
            federated: Authority::root(authority_params("root of b", Some(FEDERATED))),
            unknown: Authority::root(authority_params("root of c", Some(UNKNOWN))),
            impostor: with("root", &|_| ()),
            expired: with("expired", &expire),
            future: with("future", &|p| p.not_before += Duration::minutes(30)),
            narrow: with("narrow", &|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
            not_ca: with("not ca", &|p| p.is_ca = IsCa::ExplicitNoCa),
            no_constraints: with("no constraints", &|p| p.is_ca = IsCa::NoCa),
            lax_constraints: with("lax constraints", &|p| {
                p.is_ca = IsCa::NoCa;
                p.custom_extensions.push(extension(BASIC_CONSTRAINTS, &[0x30, 3, 1, 1, 0xff], false));
            }),
            no_sign: with("no sign", &|p| p.key_usages = vec![KeyUsagePurpose::CrlSign]),
            no_usage: with("no usage", &|p| p.key_usages.clear()),
            critical: with("critical", &|p| p.custom_extensions.push(extension(UNHEARD_OF, &[5, 0], true))),
            twice: with("twice", &|p| p.custom_extensions = vec![extension(UNHEARD_OF, &[5, 0], false); 2]),
            with_path: with("with path", &|p| p.subject_alt_names = vec![uri("spiffe://a.test/ca")]),
            foreign: with("foreign", &|p| p.subject_alt_names = vec![uri("spiffe://b.test")]),
            reversed: with("reversed", &|p| std::mem::swap(&mut p.not_before, &mut p.not_after)),
            dns_only: with("dns only", &|p| p.name_constraints = Some(permit_dns("example.org"))),
            uri_permitted: with("uri permitted", &|p| p.custom_extensions.push(uri_constraint(der::PERMITTED, LOCAL))),
            uri_excluded: with("uri excluded", &|p| {
                p.custom_extensions.push(uri_constraint(der::EXCLUDED, "evil.test"));
            }),
        }
    }

    /// Returns the bundle of [`LOCAL`].
    pub fn bundle(&self) -> Vec<CertificateDer<'static>> {
        let all = [
            &self.expired,
            &self.future,
            &self.root,
            &self.next,
            &self.narrow,
            &self.not_ca,
            &self.no_constraints,
            &self.lax_constraints,
            &self.no_sign,
            &self.no_usage,
            &self.critical,
            &self.twice,
            &self.with_path,
            &self.foreign,
            &self.reversed,
            &self.dns_only,
            &self.uri_permitted,
            &self.uri_excluded,
        ];
        all.iter().map(|authority| authority.der.clone()).collect()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// An OID that nobody knows.
pub const UNHEARD_OF: &[u64] = &[1, 3, 6, 1, 4, 1, 99_999, 7];
/// The OID of KeyUsage.
pub const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
/// The OID of SubjectAltName.
pub const ALT_NAMES: &[u64] = &[2, 5, 29, 17];
/// The OID of BasicConstraints.
pub const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
/// The OID of NameConstraints.
pub const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];
/// The OID of ExtendedKeyUsage.
pub const KEY_PURPOSES: &[u64] = &[2, 5, 29, 37];

/// Makes an extension of raw bytes.
pub fn extension(oid: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

/// Permits the DNS names below `suffix`.
pub fn permit_dns(suffix: &str) -> NameConstraints {
    NameConstraints { permitted_subtrees: vec![GeneralSubtree::DnsName(suffix.into())], excluded_subtrees: Vec::new() }
}

/// Makes name constraints for URIs, which rcgen has not.
pub fn uri_constraint(which: u8, host: &str) -> CustomExtension {
    let subtree = der::tlv(der::SEQUENCE, &der::tlv(der::URI, host.as_bytes()));
    let content = der::tlv(der::SEQUENCE, &der::tlv(which, &subtree));
    extension(NAME_CONSTRAINTS, &content, true)
}
