//! The doors of the broker: who gets in, what is served behind each, and what everybody else gets.

use crumb_broker::RunError;
use crumb_proto::wire::{
    ListAgentsRequest, ListToolServersRequest, TailRequest, registry_service_client::RegistryServiceClient,
    session_service_client::SessionServiceClient,
};
use crumb_tests::{
    broker::{AGENT_PATH, PATIENCE, Setup, TestBroker, exchange, opening, reason},
    certificates::issue::leaf_params,
    member::{Member, id, root, svid},
    processes::copy_program,
    skip::skipped,
};
use rustix::process::geteuid;
use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::{
    Code,
    body::Body,
    codegen::{Service, http},
    transport::{Endpoint, Error},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

/// A way to the broker: over mTLS, or over the admin socket.
trait Door: Service<http::Request<Body>, Response = http::Response<Body>, Error = Error, Future: Send> + Send {}

impl<D> Door for D where
    D: Service<http::Request<Body>, Response = http::Response<Body>, Error = Error, Future: Send> + Send
{
}

#[tokio::test]
async fn a_broker_that_was_promised_another_identity_provider_does_not_start() {
    let setup = Setup { config: "identity_provider = \"embedded-dev\"".into(), ..Setup::default() };
    let error = TestBroker::why_not(setup).await;
    assert!(matches!(&error, RunError::Provider(found) if found == "spire"), "{error:?}");
}

#[tokio::test]
async fn a_broker_does_not_take_what_another_one_uses() {
    let broker = TestBroker::start().await;
    let setup = Setup { data_dir: Some(broker.path("data")), ..Setup::default() };
    let error = TestBroker::why_not(setup).await;
    assert!(matches!(error, RunError::Store(_)), "{error:?}");
    let config = format!("admin_socket = \"{}\"", broker.ready.admin_socket.display());
    let error = TestBroker::why_not(Setup { config, ..Setup::default() }).await;
    assert!(matches!(error, RunError::Admin(_)), "{error:?}");
}

#[tokio::test]
async fn the_registry_is_told_to_workloads_and_operators() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    is_told_the_registry(client.registry()).await;
    is_told_the_registry(RegistryServiceClient::new(broker.admin())).await;
}

async fn is_told_the_registry<D: Door>(mut registry: RegistryServiceClient<D>) {
    let agents = registry.list_agents(ListAgentsRequest {}).await.expect("agents").into_inner().agents;
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["brief-bot", "expired-bot", "host-bot", "research-bot"]);
    assert_eq!(agents[1].valid_until, 1_580_515_200, "2020-02-01T00:00:00Z");
    assert_eq!(agents[2].sidecars, ["spiffe://a.test/sidecar/host-1"]);
    let servers = registry.list_tool_servers(ListToolServersRequest {}).await.expect("tool servers").into_inner();
    let risks: Vec<_> = servers.tool_servers[1].tools.iter().map(|tool| tool.risk.as_str()).collect();
    assert_eq!((servers.tool_servers[1].name.as_str(), risks), ("files", vec!["high", "low", "medium"]));
}

#[tokio::test]
async fn health_is_served_at_both_doors() {
    let broker = TestBroker::start().await;
    let client = broker.client("/somebody").await;
    is_serving(HealthClient::new(client.channel.clone())).await;
    is_serving(HealthClient::new(broker.admin())).await;
}

async fn is_serving<D: Door>(mut health: HealthClient<D>) {
    for service in ["", "crumb.v1.TokenService"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = health.check(request).await.expect("an answer");
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
}

#[tokio::test]
async fn reflection_is_for_operators_only() {
    let broker = TestBroker::start().await;
    let ask = || {
        let message_request = Some(MessageRequest::ListServices(String::new()));
        tokio_stream::once(ServerReflectionRequest { host: String::new(), message_request })
    };
    let mut reflection = ServerReflectionClient::new(broker.admin());
    let mut answers = reflection.server_reflection_info(ask()).await.expect("an answer").into_inner();
    let answer = answers.message().await.expect("an answer").and_then(|a| a.message_response);
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("no list: {answer:?}") };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"crumb.v1.AuditService".to_owned()), "{names:?}");
    let client = broker.client(AGENT_PATH).await;
    let refused = ServerReflectionClient::new(client.channel.clone()).server_reflection_info(ask()).await;
    assert_eq!(refused.map(|_| ()).expect_err("not served").code(), Code::Unimplemented);
    let issuing = SessionServiceClient::new(broker.admin()).open_session(opening()).await;
    assert_eq!(issuing.map(|_| ()).expect_err("operators open no sessions").code(), Code::Unimplemented);
}

#[tokio::test]
async fn without_tls_or_without_an_svid_there_is_nothing() {
    let broker = TestBroker::start().await;
    let plain = Endpoint::from_shared(format!("http://{}", broker.ready.addr)).expect("an address");
    let outcome = match plain.connect().await {
        Ok(channel) => HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(|_| ()),
        Err(error) => Err(tonic::Status::unavailable(error.to_string())),
    };
    assert!(outcome.is_err(), "nothing is said without TLS");

    let mut bare = TcpStream::connect(broker.ready.addr).await.expect("connected");
    bare.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, bare.read_to_end(&mut answer)).await.expect("it is closed in time");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let stranger = root("of somebody else");
    let member = Member::start(&svid(&stranger, AGENT_PATH), &[&stranger, &broker.root]).await;
    let channel = crumb_identity::channel(&member.workload, broker.ready.addr.to_string(), id("/broker"));
    let outcome = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    assert!(outcome.is_err(), "nothing is said to a stranger");
}

#[tokio::test]
async fn an_svid_that_runs_out_on_a_living_connection_gets_nothing_more() {
    let broker = TestBroker::start().await;
    let mut params = leaf_params(id(AGENT_PATH).as_str());
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(9);
    let client = broker.client_with(&broker.root.leaf(&params)).await;
    let session = client.session().await;
    let issued = client.exchange(exchange(&session)).await.expect("a token");
    let end = u64::try_from(params.not_after.unix_timestamp()).expect("after 1970");
    assert!(issued.expires_at <= end, "a token never outlives the SVID");
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        match client.exchange(exchange(&session)).await {
            Err(status)
                if crumb_proto::from_status(&status).is_none_or(|d| d.reason.code() != "lifetime_too_short") =>
            {
                break status;
            }
            _ => assert!(Instant::now() < deadline, "it is refused some time"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // Refused by name, or without a word because the connection has ended already.
    let named = crumb_proto::from_status(&refused).map(|denial| denial.reason.code());
    assert!(matches!(named, None | Some("svid_expired")), "{refused:?}");
    assert!(client.exchange(exchange(&session)).await.is_err(), "and stays refused");
}

#[tokio::test]
async fn a_ca_that_was_taken_away_counts_for_living_connections() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let other = root("the next");
    broker.member.renew(&svid(&other, "/broker"), &[&other]).await;
    assert_eq!(reason(client.exchange(exchange(&session)).await), "svid_invalid");
    let record = broker.trail().await.pop().expect("a record");
    assert_eq!((record.kind.as_str(), record.peer.as_str()), ("exchange", "spiffe://a.test/agent/research-bot"));
    assert_eq!(record.denial.map(|d| d.reason), Some("svid_invalid".into()));
    assert_eq!(reason(client.registry().list_agents(ListAgentsRequest {}).await), "svid_invalid");
    assert_eq!(reason(client.close(&session).await), "svid_invalid");
}

#[tokio::test]
async fn a_broker_without_an_identity_of_its_own_refuses() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    broker.member.withdraw().await;
    assert!(client.exchange(exchange(&session)).await.is_err());
}

/// Where the test of another user finds the socket.
const SOCKET: &str = "CRUMB_TEST_ADMIN_SOCKET";

/// Run by the test below, as another user; on its own it does nothing.
#[tokio::test]
async fn another_user_asks() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let channel = crumb_tests::broker::admin_channel(socket.as_ref());
    let outcome = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
    assert!(outcome.is_err(), "{outcome:?}");
    let mut audit = crumb_proto::wire::audit_service_client::AuditServiceClient::new(channel);
    assert!(audit.tail(TailRequest::default()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_gets_nothing_at_the_admin_socket() {
    if !geteuid().is_root() {
        return skipped("the admin socket and another user", "only root can become another user");
    }
    let broker = TestBroker::start().await;
    let socket = &broker.ready.admin_socket;
    let directory = socket.parent().expect("a directory");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(directory), mode(socket)), (0o700, 0o600));
    // Opened up as far as it goes, so that only the kernel's word on the peer is left.
    for path in [broker.path(""), directory.to_owned(), socket.clone()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("ours");
    }
    // A copy, since the build's own directory may be closed to other users.
    let test = broker.path("another-user");
    copy_program(&std::env::current_exe().expect("this test"), &test).expect("copied");
    let run = |uid: u32| {
        let mut command = Command::new(&test);
        command.args(["--exact", "another_user_asks"]).env(SOCKET, socket).uid(uid).gid(uid);
        command.output().expect("it can be started")
    };
    let output = run(65534);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let output = run(0);
    assert!(!output.status.success(), "the same question from the right user is answered");
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let mut request = opening();
    request.intent = "x".repeat(crumb_proto::MESSAGE_LEN_MAX);
    let status = client.open(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    client.session().await;
}
