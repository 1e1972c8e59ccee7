//! Every rule for an X.509-SVID, presented in real handshakes: by a client to a listener, and by a server to a connector.
//!
//! The same chains then go to the pure check. Handshake and check have to say the same, with the same reason code.

use std::{collections::BTreeSet, sync::Arc};

use crumb_attestors::x509_svid::{Bundle, Bundles, CHAIN_LEN_MAX, InvalidSvid, Usage, validate};
use crumb_identity::{Alpn, ConnectError, Connector, Listener, Peers, SystemClock, Workload};
use crumb_tests::{
    certificates::{
        Authority, Case, Verdict, World,
        issue::authority_params,
        leaf_cases, name_cases, path_cases,
        world::{FEDERATED, ID, LOCAL},
    },
    handshake::{self, PATIENCE, Watched},
    skip::skipped,
    workload_api::{ScriptedWorkloadApi, answer},
};
use crumb_token::{Clock, Timestamp, TrustDomain};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const JUDGE: &str = "spiffe://a.test/judge";

fn cases(world: &World) -> Vec<Case> {
    [name_cases::cases(world), leaf_cases::cases(world), path_cases::cases(world)].into_iter().flatten().collect()
}

fn domain(name: &str) -> TrustDomain {
    name.parse().expect("a trust domain")
}

/// The workload that judges, fed with the world's bundles through a real socket.
async fn judge(world: &World) -> (ScriptedWorkloadApi, Workload) {
    let federated = [(FEDERATED, &world.federated.der)];
    let api = ScriptedWorkloadApi::start(answer(&world.root.svid(JUDGE), &world.bundle(), &federated));
    let workload = Workload::connect(&api.endpoint(), PATIENCE).await.expect("an identity");
    (api, workload)
}

fn compare(case: &Case, expected: Verdict, found: Result<(), &str>) -> Option<String> {
    let found = match found {
        Ok(()) => "accepted",
        Err(code) => code,
    };
    let expected = expected.err().unwrap_or("accepted");
    (found != expected).then(|| format!("{}: expected {expected}, found {found}", case.name))
}

#[tokio::test]
async fn a_listener_judges_every_case_by_its_rule() {
    let world = World::new();
    let (_api, workload) = judge(&world).await;
    let any = "127.0.0.1:0".parse().expect("an address");
    let clock = Arc::new(SystemClock::new());
    let listener = Listener::bind(any, workload, Peers::TrustDomain, clock, Alpn::H2).await.expect("a port");
    let mut listener = Watched::start(listener);
    let mut wrong = Vec::new();
    for case in cases(&world) {
        let config = Arc::new(handshake::ordinary_client(&case.chain));
        let (from, _stream) = handshake::dial(&config, listener.addr).await;
        let outcome = listener.outcome(from).await;
        let found = outcome.as_ref().map(|_| ()).map_err(|refusal| refusal.why.code());
        wrong.extend(compare(&case, case.as_client, found));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_connector_judges_every_case_by_its_rule() {
    let world = World::new();
    let (_api, workload) = judge(&world).await;
    let connector = Connector::with_alpn(workload, ID.parse().expect("an ID"), Alpn::H2);
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = socket.local_addr().expect("bound").to_string();
    let mut wrong = Vec::new();
    for case in cases(&world) {
        let acceptor = TlsAcceptor::from(Arc::new(handshake::server(&case.chain)));
        let serve = async {
            let (tcp, _) = socket.accept().await.expect("a connection");
            // The client may hang up: that is its verdict.
            let _ = acceptor.accept(tcp).await;
        };
        let (outcome, ()) = tokio::join!(connector.connect(&target), serve);
        let found = match &outcome {
            Ok(stream) => {
                assert_eq!(stream.peer().id().as_str(), ID, "{}", case.name);
                Ok(())
            }
            Err(ConnectError::WrongServer { source, .. }) => Err(source.code()),
            Err(other) => panic!("{}: {other:?}", case.name),
        };
        wrong.extend(compare(&case, case.as_server, found));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_pure_check_agrees_with_the_handshakes() {
    let world = World::new();
    let bundles = bundles_of(&world);
    let now = SystemClock::new().now().wall;
    let local = [domain(LOCAL)];
    let mut wrong = Vec::new();
    for case in cases(&world) {
        for (usage, expected) in [(Usage::Client, case.as_client), (Usage::Server, case.as_server)] {
            // Who may come is not the check's business.
            let expected = if expected == Err("peer_not_admitted") { Ok(()) } else { expected };
            let found = validate(&case.chain.certificates, &bundles, &local, usage, now).map(|_| ());
            wrong.extend(compare(&case, expected, found.map_err(InvalidSvid::code)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn bundles_of(world: &World) -> Bundles {
    let (own, rejected) = Bundle::new(domain(LOCAL), &world.bundle());
    assert_eq!(rejected.len(), 10, "{rejected:?}");
    let (federated, none) = Bundle::new(domain(FEDERATED), std::slice::from_ref(&world.federated.der));
    assert!(none.is_empty());
    [own, federated].into_iter().collect()
}

#[test]
fn the_matrix_is_whole() {
    let cases = cases(&World::new());
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have the same name");
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let accepted = cases.iter().filter(|case| case.as_client.is_ok()).count();
    assert!(accepted >= 25, "{accepted} cases are accepted: too few to notice a check that refuses everything");
    // Reached by no certificate that a test can make, or by no chain in this world; each has its own test or reason.
    let elsewhere = [
        "empty_chain",  // `a_client_without_a_certificate_is_refused`
        "no_bundle",    // `a_trust_domain_without_a_bundle_is_refused`
        "path_refused", // what webpki may learn to say
    ];
    let used: BTreeSet<_> =
        cases.iter().flat_map(|case| [case.as_client, case.as_server]).filter_map(Result::err).collect();
    let missing: Vec<_> = InvalidSvid::ALL
        .iter()
        .map(|rule| rule.code())
        .filter(|code| !used.contains(code) && !elsewhere.contains(code))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let world = World::new();
    let (_api, workload) = judge(&world).await;
    let any = "127.0.0.1:0".parse().expect("an address");
    let clock = Arc::new(SystemClock::new());
    let listener = Listener::bind(any, workload, Peers::TrustDomain, clock, Alpn::H2).await.expect("a port");
    let mut listener = Watched::start(listener);
    let config = Arc::new(handshake::client(None, &[b"h2"], &[&rustls::version::TLS13]));
    let (from, _stream) = handshake::dial(&config, listener.addr).await;
    let refusal = listener.outcome(from).await.expect_err("no certificate");
    assert_eq!(refusal.why.code(), "tls_failed");

    let none = validate(&[], &bundles_of(&world), &[domain(LOCAL)], Usage::Client, Timestamp::default());
    assert_eq!(none, Err(InvalidSvid::EmptyChain));
}

#[test]
fn a_trust_domain_without_a_bundle_is_refused() {
    let world = World::new();
    let now = SystemClock::new().now().wall;
    let chain = world.unknown.svid("spiffe://c.test/x").certificates;
    let allowed = [domain(LOCAL), domain("c.test")];
    assert_eq!(validate(&chain, &bundles_of(&world), &allowed, Usage::Client, now), Err(InvalidSvid::NoBundle));
    // A bundle without authorities makes every SVID of its trust domain untrusted.
    let empty = Bundle::new(domain("c.test"), &[]).0;
    let bundles: Bundles = [empty].into_iter().collect();
    assert_eq!(validate(&chain, &bundles, &allowed, Usage::Client, now), Err(InvalidSvid::UnknownAuthority));
}

#[test]
fn only_the_diagonal_of_eight_trust_domains_is_accepted() {
    let names: Vec<_> = (0..8).map(|n| format!("d{n}.test")).collect();
    // All authorities have the same name, so only keys and bundles tell them apart.
    let authorities: Vec<_> = names.iter().map(|name| Authority::root(authority_params("root", Some(name)))).collect();
    let bundles: Bundles = names
        .iter()
        .zip(&authorities)
        .map(|(name, authority)| Bundle::new(domain(name), std::slice::from_ref(&authority.der)).0)
        .collect();
    let allowed: Vec<_> = names.iter().map(|name| domain(name)).collect();
    let now = SystemClock::new().now().wall;
    for (claimed, name) in names.iter().enumerate() {
        for (signed, authority) in authorities.iter().enumerate() {
            let chain = authority.svid(&format!("spiffe://{name}/x")).certificates;
            let found = validate(&chain, &bundles, &allowed, Usage::Client, now);
            assert_eq!(found.is_ok(), claimed == signed, "{name} signed by {signed}: {found:?}");
        }
    }
}

#[test]
fn no_changed_bit_is_accepted() {
    let world = World::new();
    let (bundles, local) = (bundles_of(&world), [domain(LOCAL)]);
    let now = SystemClock::new().now().wall;
    let good = world.root.svid(ID).certificates[0].to_vec();
    for at in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[at / 8] ^= 1 << (at % 8);
        let found = validate(&[bad.into()], &bundles, &local, Usage::Client, now);
        assert!(found.is_err(), "bit {} of byte {} does not matter", at % 8, at / 8);
    }
    for end in 0..good.len() {
        let found = validate(&[good[..end].to_vec().into()], &bundles, &local, Usage::Client, now);
        assert!(found.is_err(), "{end} bytes are enough");
    }
}

#[test]
fn a_path_ends_with_its_shortest_certificate() {
    let world = World::new();
    let mut params = authority_params("short", Some(LOCAL));
    params.not_after -= time::Duration::minutes(30);
    let short = world.root.intermediate(params);
    let chain = short.svid(ID).with(&short.der).certificates;
    let (bundles, local) = (bundles_of(&world), [domain(LOCAL)]);
    let now = SystemClock::new().now().wall;
    let facts = validate(&chain, &bundles, &local, Usage::Client, now).expect("good now");
    assert_eq!(facts.id.as_str(), ID);
    assert!(facts.path_not_after < facts.not_after);
    let last = Timestamp::from_unix_s(facts.path_not_after.as_unix_s() - 1);
    assert!(facts.holds_at(last) && validate(&chain, &bundles, &local, Usage::Client, last).is_ok());
    assert!(!facts.holds_at(facts.path_not_after));
    let then = validate(&chain, &bundles, &local, Usage::Client, facts.path_not_after);
    assert_eq!(then, Err(InvalidSvid::SignerExpired));
}

/// The x509-limbo cases: chains for web servers, most of them broken. None is an SVID, so none may pass.
#[test]
fn refuses_every_limbo_chain() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/limbo-208.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        skipped("refuses_every_limbo_chain", "../shared/data/limbo-208.json is not here");
        return;
    };
    let limbo: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let cases = limbo["testcases"].as_array().expect("cases");
    assert_eq!(cases.len(), 208);
    let mut rules = BTreeSet::new();
    for case in cases {
        let name = case["id"].as_str().expect("a name");
        let certificates = |key: &str| case[key].as_array().expect("a list").iter().filter_map(certificate).collect();
        let trusted: Vec<_> = certificates("trusted_certs");
        let others: Vec<_> = certificates("untrusted_intermediates");
        let chain: Vec<_> =
            certificate(&case["peer_certificate"]).into_iter().chain(others).take(CHAIN_LEN_MAX).collect();
        let usage = if case["validation_kind"] == "CLIENT" { Usage::Client } else { Usage::Server };
        let bundles: Bundles = [Bundle::new(domain(LOCAL), &trusted).0].into_iter().collect();
        let rule = validate(&chain, &bundles, &[domain(LOCAL)], usage, moment(case)).expect_err(name);
        rules.insert(rule.code());
    }
    assert!(rules.contains("no_uri_name"), "{rules:?}");
}

fn certificate(pem: &serde_json::Value) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_str()?.as_bytes()).ok()
}

fn moment(case: &serde_json::Value) -> Timestamp {
    let Some(text) = case["validation_time"].as_str() else { return SystemClock::new().now().wall };
    let rfc3339 = &time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::parse(text, rfc3339).expect("a time").unix_timestamp();
    Timestamp::from_unix_s(time.try_into().expect("after 1970"))
}
