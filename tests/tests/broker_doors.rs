//! The doors of the broker: who gets in, what is served behind each, and what everybody else gets.

use crumb_broker::RunError;
use crumb_identity::Connector;
use crumb_proto::wire::{
    ListAgentsRequest, ListToolServersRequest, TailRequest, registry_service_client::RegistryServiceClient,
    session_service_client::SessionServiceClient,
};
use crumb_tests::{
    broker::{AGENT_PATH, Client, PATIENCE, Setup, TestBroker, exchange, opening, reason},
    certificates::issue::leaf_params,
    member::{Member, id, root, svid},
    processes::copy_program,
    skip::skipped,
};
use prost::Message as _;
use rustix::process::geteuid;
use std::{
    collections::BTreeMap,
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
    Code, Request,
    body::Body,
    client::Grpc,
    codegen::{Service, http},
    transport::{Endpoint, Error},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_prost::ProstCodec;
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

/// What the network serves, and what a workload that is nobody's agent is told when it asks with an empty message. A new
/// method comes here with the test of whose it is.
const SERVED: [(&str, &str); 19] = [
    ("ApprovalService.Appeal", "request_invalid"),
    ("ApprovalService.Approve", "request_invalid"),
    ("ApprovalService.ListApprovals", "answered"),
    ("ApprovalService.Refuse", "request_invalid"),
    ("ApprovalService.WatchApproval", "request_invalid"),
    ("AuditService.RecordDecisions", "request_invalid"),
    ("AuditService.Tail", "not_an_operator"),
    ("FeedService.Watch", "answered"),
    ("RegistryService.Apply", "not_an_operator"),
    ("RegistryService.GetManifests", "not_an_operator"),
    ("RegistryService.ListAgents", "answered"),
    ("RegistryService.ListToolServers", "answered"),
    ("RegistryService.ListUnknown", "not_an_operator"),
    ("RegistryService.RenewLease", "request_invalid"),
    ("SessionService.CloseSession", "request_invalid"),
    ("SessionService.Delegate", "request_invalid"),
    ("SessionService.DescribeSession", "request_invalid"),
    ("SessionService.OpenSession", "request_invalid"),
    ("TokenService.Exchange", "request_invalid"),
];

/// Asks with an empty message, and says what came: `answered`, a reason, or a status.
async fn knock(channel: crumb_identity::Channel, path: String) -> String {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("the broker is there");
    let path = path.try_into().expect("a path");
    let answer = grpc.server_streaming(Request::new(()), path, ProstCodec::<(), ()>::default()).await;
    let Err(status) = answer else { return "answered".to_owned() };
    let reason = crumb_proto::from_status(&status).map(|denial| denial.reason.code().to_owned());
    reason.unwrap_or_else(|| format!("{:?}", status.code()))
}

#[tokio::test]
async fn the_network_serves_these_methods_and_no_others() {
    let broker = TestBroker::start().await;
    let stranger = broker.client("/somebody").await;
    let files = prost_types::FileDescriptorSet::decode(crumb_proto::DESCRIPTORS).expect("our own").file;
    let mut found = BTreeMap::new();
    for service in files.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            let name = format!("{}.{}", service.name(), method.name());
            let path = format!("/crumb.v1.{}/{}", service.name(), method.name());
            found.insert(name, knock(stranger.channel.clone(), path).await);
        }
    }
    assert!(found.len() > 30, "{} methods", found.len());
    found.retain(|_, said| said != "Unimplemented");
    let served: BTreeMap<_, _> = SERVED.map(|(name, said)| (name.to_owned(), said.to_owned())).into();
    assert_eq!(found, served);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], body].concat()
}

/// Sends what no client of ours would, and returns the code with which the broker ends the connection.
async fn attack(client: &Client, broker: &TestBroker, frames: impl Iterator<Item = Vec<u8>>) -> u32 {
    const GOAWAY: u8 = 7;
    let connector = Connector::new(client.member.workload.clone(), id("/broker"));
    let mut stream = connector.connect(&broker.ready.addr.to_string()).await.expect("connected");
    let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
    let bytes = frames.fold(begin, |bytes, frame| [bytes, frame].concat());
    // It may hang up before it has read everything.
    let (mut answer, mut read) = (Vec::new(), [0; 4096]);
    let sent = stream.write_all(&bytes).await.and(stream.flush().await);
    while let Ok(len @ 1..) = timeout(PATIENCE, stream.read(&mut read)).await.expect("it ends in time") {
        answer.extend_from_slice(&read[..len]);
    }
    let mut rest = &answer[..];
    while let [a, b, c, kind, _, body @ ..] = rest {
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind == GOAWAY {
            return u32::from_be_bytes(body[8..12].try_into().expect("four bytes"));
        }
        rest = body.get(4 + len..).unwrap_or_default();
    }
    panic!("no word of why: {sent:?}");
}

#[tokio::test]
async fn a_flood_of_resets_or_of_headers_ends_its_own_connection_alone() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let broker = TestBroker::start().await;
    let (flooder, client) = (broker.client("/somebody").await, broker.client(AGENT_PATH).await);
    let session = client.session().await;
    // POST, https, the shortest path.
    let begin = [0x83, 0x87, 0x84];
    let reset = |n: u32| [frame(1, 5, 2 * n + 1, &begin), frame(3, 0, 2 * n + 1, &8u32.to_be_bytes())].concat();
    let headers = |n: u32| frame(if n == 0 { 1 } else { 9 }, 0, 1, &[0; 4096]);
    for round in 0..4 {
        let resets = attack(&flooder, &broker, (0..1000).map(reset));
        let endless = attack(&flooder, &broker, (0..100).map(headers));
        let (resets, endless, issued) = tokio::join!(resets, endless, client.exchange(exchange(&session)));
        assert_eq!(resets, ENHANCE_YOUR_CALM, "round {round}");
        assert_ne!(endless, 0, "round {round}");
        issued.expect("others are served meanwhile");
    }
}
