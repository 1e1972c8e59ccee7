//! What is issued has the shape of X509-SVID §2-4, and rotates without a moment in which it is not trusted.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::WebPkiClientVerifier,
};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

use super::*;

fn certificate(der: &[u8]) -> X509Certificate<'_> {
    let (rest, certificate) = X509Certificate::from_der(der).expect("a certificate");
    assert!(rest.is_empty(), "one certificate and nothing else");
    certificate
}

fn certificates(mut der: &[u8]) -> Vec<X509Certificate<'_>> {
    let mut all = Vec::new();
    while !der.is_empty() {
        let (rest, certificate) = X509Certificate::from_der(der).expect("a certificate");
        all.push(certificate);
        der = rest;
    }
    all
}

fn uris<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a str> {
    let names = certificate.subject_alternative_name().expect("parses").expect("is there");
    let uri = |name: &GeneralName<'a>| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

/// Whether a standard verifier accepts the leaf under the bundle, now.
fn is_trusted(leaf: &[u8], bundle: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    let mut rest = bundle;
    while !rest.is_empty() {
        let (after, _) = X509Certificate::from_der(rest).expect("a certificate");
        let der = &rest[..rest.len() - after.len()];
        roots.add(CertificateDer::from(der.to_vec())).expect("an authority");
        rest = after;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().expect("has roots");
    verifier.verify_client_cert(&CertificateDer::from(leaf.to_vec()), &[], UnixTime::now()).is_ok()
}

async fn one_answer(world: &World) -> X509svidResponse {
    let mut stream = world.svids().await.expect("entitled");
    next(&mut stream).await.expect("entitled")
}

#[tokio::test]
async fn a_leaf_is_a_leaf_by_the_standard() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/agent/scout", &[us()]);
    let message = one_answer(&world).await;
    let svid = &message.svids[0];
    let leaf = certificate(&svid.x509_svid);
    assert_eq!(uris(&leaf), ["spiffe://dev.crumb.invalid/agent/scout"]);
    let constraints = leaf.basic_constraints().expect("parses").expect("cA=false is written down");
    assert!(!constraints.value.ca);
    let usage = leaf.key_usage().expect("parses").expect("is there");
    assert!(usage.critical && usage.value.digital_signature());
    assert_eq!(usage.value.flags, 1, "digitalSignature and nothing else");
    let purposes = leaf.extended_key_usage().expect("parses").expect("is there");
    assert!(purposes.value.server_auth && purposes.value.client_auth);
    let validity = leaf.validity();
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 60 + 10);
    let authorities = certificates(&svid.bundle);
    let key_id = |certificate: &X509Certificate<'_>| {
        certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
            _ => None,
        })
    };
    let subject_key_id = authorities[0].extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    assert!(key_id(&leaf).is_some() && key_id(&leaf) == subject_key_id);
    assert!(is_trusted(&svid.x509_svid, &svid.bundle));
    let key = PrivateKeyDer::Pkcs8(svid.x509_svid_key.clone().into());
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let signer = provider.key_provider.load_private_key(key).expect("PKCS#8, not encrypted");
    assert_eq!(signer.public_key().as_deref(), Some(leaf.public_key().raw), "the key is the certificate's");
}

#[tokio::test]
async fn an_authority_is_an_authority_by_the_standard() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let message = one_answer(&world).await;
    let authorities = certificates(&message.svids[0].bundle);
    assert_eq!(authorities.len(), 1);
    assert_eq!(uris(&authorities[0]), ["spiffe://dev.crumb.invalid"], "no path: it names the trust domain");
    assert!(authorities[0].basic_constraints().expect("parses").expect("is there").value.ca);
    let usage = authorities[0].key_usage().expect("parses").expect("is there");
    assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
}

#[tokio::test]
async fn a_new_authority_is_trusted_before_it_issues_and_the_old_one_after() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let mut stream = world.svids().await.expect("entitled");
    let before = next(&mut stream).await.expect("entitled");
    let issuer = |message: &X509svidResponse| certificate(&message.svids[0].x509_svid).issuer().to_string();
    world.api.rotate_ca().expect("a key can be made");
    let announced = next_where(&mut stream, |message| certificates(&message.svids[0].bundle).len() == 2).await;
    assert_eq!(issuer(&announced), issuer(&before), "announced, and not yet issuing");
    let after = next_where(&mut stream, |message| issuer(message) != issuer(&before)).await;
    let [before, announced, after] = [before, announced, after].map(|mut message| message.svids.remove(0));
    assert!(is_trusted(&after.x509_svid, &announced.bundle), "whoever is one message behind trusts the new");
    assert!(is_trusted(&before.x509_svid, &after.bundle), "and whoever is ahead still trusts the old");
    assert!(!is_trusted(&after.x509_svid, &before.bundle));
    world.api.forget_retired_cas();
    let alone = next_where(&mut stream, |message| certificates(&message.svids[0].bundle).len() == 1).await;
    assert!(!is_trusted(&before.x509_svid, &alone.svids[0].bundle));
    assert!(is_trusted(&after.x509_svid, &alone.svids[0].bundle));
}

#[tokio::test]
async fn rotations_leave_no_moment_without_trust() {
    let world = World::with(|settings| {
        settings.svid_ttl = Duration::from_secs(2);
        settings.ca_ttl = Duration::from_secs(4);
    })
    .await;
    world.entitle("/a", &[us()]);
    let (mut one, mut two) = (world.svids().await.expect("entitled"), world.svids().await.expect("entitled"));
    let mut mine = next(&mut one).await.expect("entitled").svids.remove(0);
    let mut issuers = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let theirs = next(&mut two).await.expect("entitled").svids.remove(0);
        issuers.insert(certificate(&theirs.x509_svid).issuer().to_string());
        assert!(is_trusted(&theirs.x509_svid, &mine.bundle), "their newest under the bundle I had");
        mine = next(&mut one).await.expect("entitled").svids.remove(0);
        assert!(is_trusted(&mine.x509_svid, &theirs.bundle), "my newest under the bundle they had");
    }
    assert!(issuers.len() >= 2, "the authority itself rotates at half life: {issuers:?}");
}
