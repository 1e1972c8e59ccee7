//! The development Workload API through its real socket: what the standard asks for, and who gets what.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use crumb_dev_identity::{
    DevWorkloadApi, Entry, Settings, SocketMode,
    wire::{
        JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest, WitBundlesRequest, WitsvidRequest,
        X509BundlesRequest, X509svidRequest, X509svidResponse, spiffe_workload_api_client::SpiffeWorkloadApiClient,
    },
};
use crumb_identity::SystemClock;
use crumb_tests::puppet::Stage;
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};
use tonic::{
    Code, Request, Status, Streaming,
    transport::{Channel, Endpoint, Uri},
};

#[path = "workload_api/callers.rs"]
mod callers;
#[path = "workload_api/certificates.rs"]
mod certificates;
#[path = "workload_api/clients.rs"]
mod clients;

const PUPPET: &str = env!("CARGO_BIN_EXE_puppet");
/// More than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A Workload API for one test.
struct World {
    stage: Stage,
    api: DevWorkloadApi,
}

impl World {
    async fn new(svid_ttl: Duration) -> Self {
        Self::with(|settings| settings.svid_ttl = svid_ttl).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let stage = Stage::new(PUPPET);
        let mut settings = Settings::new(Arc::new(SystemClock::new()));
        settings.socket_mode = SocketMode::AnyUser;
        change(&mut settings);
        let api = DevWorkloadApi::start(stage.path("run/api.sock"), settings).await.expect("a fresh place");
        Self { stage, api }
    }

    /// Gives an identity to whoever matches.
    fn entitle(&self, path: &str, selectors: &[String]) {
        self.api.entries().add(entry(path, selectors, None)).expect("a usable entry");
    }

    fn client(&self) -> SpiffeWorkloadApiClient<Channel> {
        SpiffeWorkloadApiClient::new(dial(self.api.socket().to_owned()))
    }

    async fn svids(&self) -> Result<Streaming<X509svidResponse>, Status> {
        self.client().fetch_x509svid(asking(X509svidRequest {})).await.map(tonic::Response::into_inner)
    }
}

fn entry(path: &str, selectors: &[String], hint: Option<&str>) -> Entry {
    Entry {
        spiffe_id: format!("spiffe://dev.crumb.invalid{path}").parse().expect("canonical"),
        selectors: selectors.iter().map(|text| text.parse().expect("a selector")).collect(),
        hint: hint.map(str::to_owned),
    }
}

/// A selector that only this test process matches.
fn us() -> String {
    format!("unix:pid:{}", std::process::id())
}

fn dial(socket: PathBuf) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
}

fn asking<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", "true".parse().expect("ASCII"));
    request
}

async fn next<T>(stream: &mut Streaming<T>) -> Result<T, Status> {
    let message = timeout(DEADLINE, stream.message()).await.expect("something comes in time")?;
    Ok(message.expect("a stream ends with a status"))
}

/// Waits for a message that is as `right` says; streams send whatever changed in between, too.
async fn next_where<T>(stream: &mut Streaming<T>, right: impl Fn(&T) -> bool) -> T {
    let search = async {
        loop {
            let message = stream.message().await.expect("the stream goes on").expect("the stream goes on");
            if right(&message) {
                return message;
            }
        }
    };
    timeout(DEADLINE, search).await.expect("it comes in time")
}

fn ids(message: &X509svidResponse) -> Vec<&str> {
    message.svids.iter().map(|svid| svid.spiffe_id.as_str()).collect()
}

#[track_caller]
fn assert_no_identity(status: &Status) {
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "no identity issued"));
}

#[tokio::test]
async fn the_first_message_comes_at_once_and_the_next_at_half_life() {
    let world = World::new(Duration::from_secs(4)).await;
    world.entitle("/agent/scout", &[us()]);
    let mut stream = world.svids().await.expect("entitled");
    let at_once = timeout(Duration::from_secs(1), stream.message()).await.expect("without delay");
    let first = at_once.expect("entitled").expect("a message");
    assert_eq!(ids(&first), ["spiffe://dev.crumb.invalid/agent/scout"]);
    let second = next(&mut stream).await.expect("entitled");
    assert_ne!(first.svids[0].x509_svid, second.svids[0].x509_svid);
    assert_ne!(first.svids[0].x509_svid_key, second.svids[0].x509_svid_key);
    assert_eq!(first.svids[0].bundle, second.svids[0].bundle);
}

#[tokio::test]
async fn a_request_without_the_security_header_is_an_invalid_argument() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let mut client = world.client();
    for values in [&[][..], &["True"], &["TRUE"], &["false"], &["true "], &["true", "true"], &["true", "false"], &["1"]]
    {
        let mut request = Request::new(X509svidRequest {});
        for value in values {
            request.metadata_mut().append("workload.spiffe.io", value.parse().expect("ASCII"));
        }
        let refused = client.fetch_x509svid(request).await.expect_err("no header, no answer");
        assert_eq!(refused.code(), Code::InvalidArgument, "{values:?}");
    }
    let refused = client.fetch_x509_bundles(X509BundlesRequest {}).await.expect_err("no header, no answer");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = client.fetch_jwtsvid(JwtsvidRequest::default()).await.expect_err("no header, no answer");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_other_profiles_are_unimplemented_and_say_so() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let mut client = world.client();
    let refusals = [
        client.fetch_jwtsvid(asking(JwtsvidRequest::default())).await.expect_err("off"),
        client.fetch_jwt_bundles(asking(JwtBundlesRequest {})).await.expect_err("off"),
        client.validate_jwtsvid(asking(ValidateJwtsvidRequest::default())).await.expect_err("off"),
        client.fetch_witsvid(asking(WitsvidRequest::default())).await.expect_err("off"),
        client.fetch_wit_bundles(asking(WitBundlesRequest {})).await.expect_err("off"),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), Code::Unimplemented);
        assert!(refusal.message().contains("profile is not enabled"), "{}", refusal.message());
    }
}

#[tokio::test]
async fn whoever_matches_no_entry_has_no_identity() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us(), "unix:uid:4294967294".into()]);
    let mut stream = world.svids().await.expect("the refusal is in the stream");
    assert_no_identity(&next(&mut stream).await.expect_err("all selectors must match"));
    let bundles = world.client().fetch_x509_bundles(asking(X509BundlesRequest {})).await;
    let mut bundles = bundles.expect("the refusal is in the stream").into_inner();
    assert_no_identity(&next(&mut bundles).await.expect_err("nor bundles"));
}

#[tokio::test]
async fn an_entry_that_goes_ends_the_stream() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let mut svids = world.svids().await.expect("entitled");
    let bundles = world.client().fetch_x509_bundles(asking(X509BundlesRequest {})).await;
    let mut bundles = bundles.expect("entitled").into_inner();
    next(&mut svids).await.expect("entitled");
    let message = next(&mut bundles).await.expect("entitled");
    assert!(!message.bundles["spiffe://dev.crumb.invalid"].is_empty());
    assert!(world.api.entries().remove(&"spiffe://dev.crumb.invalid/a".parse().expect("canonical")));
    assert_no_identity(&next(&mut svids).await.expect_err("the entry is gone"));
    assert_no_identity(&next(&mut bundles).await.expect_err("the entry is gone"));
}

#[tokio::test]
async fn a_caller_with_several_entries_has_all_of_them_the_most_particular_first() {
    let world = World::new(Duration::from_secs(60)).await;
    let uid = format!("unix:uid:{}", nix::unistd::Uid::effective());
    let entries = vec![
        entry("/broad", std::slice::from_ref(&uid), Some("x")),
        entry("/narrow", &[uid.clone(), us()], Some("y")),
        entry("/same-hint", std::slice::from_ref(&uid), Some("x")),
        entry("/other", &["unix:uid:4294967294".into()], None),
    ];
    world.api.entries().replace(entries).expect("usable entries");
    let mut stream = world.svids().await.expect("entitled");
    let message = next(&mut stream).await.expect("entitled");
    assert_eq!(ids(&message), ["spiffe://dev.crumb.invalid/narrow", "spiffe://dev.crumb.invalid/broad"]);
    let hints: Vec<&str> = message.svids.iter().map(|svid| svid.hint.as_str()).collect();
    assert_eq!(hints, ["y", "x"]);
    world.entitle("/late", &[us()]);
    let message = next_where(&mut stream, |message| message.svids.len() == 3).await;
    assert!(ids(&message).contains(&"spiffe://dev.crumb.invalid/late"));
}

#[tokio::test]
async fn entries_come_from_a_file_too() {
    let world = World::new(Duration::from_secs(60)).await;
    let file = world.stage.path("entries.toml");
    let text = format!("[[entry]]\nspiffe_id = \"spiffe://dev.crumb.invalid/f\"\nselectors = [\"{}\"]\n", us());
    fs::write(&file, text).expect("writable");
    let entries = crumb_dev_identity::Entries::load(&file).expect("well-formed");
    world.api.entries().replace(entries).expect("usable entries");
    let mut stream = world.svids().await.expect("entitled");
    assert_eq!(ids(&next(&mut stream).await.expect("entitled")), ["spiffe://dev.crumb.invalid/f"]);
}

#[tokio::test]
async fn one_uid_cannot_hold_streams_without_end() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let mut open = Vec::new();
    let refused = 'full: loop {
        let mut client = world.client();
        for _ in 0..10 {
            assert!(open.len() < 1000, "there is no end");
            match client.fetch_x509svid(asking(X509svidRequest {})).await {
                Ok(stream) => open.push(stream),
                Err(status) => break 'full status,
            }
        }
    };
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(open.len() >= 32, "only {} streams", open.len());
    open.clear();
    timeout(DEADLINE, served(&world)).await.expect("the streams are given back");
}

#[tokio::test]
async fn one_uid_cannot_hold_connections_without_end() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let mut open = Vec::new();
    while let Ok(stream) = world.svids().await {
        assert!(open.len() < 1000, "there is no end");
        open.push(stream);
    }
    assert!(open.len() >= 32, "only {} connections", open.len());
    open.clear();
    timeout(DEADLINE, served(&world)).await.expect("the connections are given back");
}

/// Tries until it is served.
async fn served(world: &World) {
    loop {
        match world.svids().await {
            Ok(mut stream) => return drop(next(&mut stream).await.expect("entitled")),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn shutdown_ends_the_streams_and_removes_the_socket() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let mut stream = world.svids().await.expect("entitled");
    next(&mut stream).await.expect("entitled");
    let socket = world.api.socket().to_owned();
    timeout(DEADLINE, world.api.shutdown()).await.expect("it ends in time");
    assert_eq!(next(&mut stream).await.expect_err("it is over").code(), Code::Unavailable);
    assert!(!socket.exists());
}

#[tokio::test]
async fn dropping_it_closes_every_connection() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let mut stream = world.svids().await.expect("entitled");
    next(&mut stream).await.expect("entitled");
    let socket = world.api.socket().to_owned();
    drop(world.api);
    next(&mut stream).await.expect_err("it is over");
    assert!(!socket.exists());
}

#[tokio::test]
async fn the_endpoint_is_written_as_the_standard_wants_it() {
    let world = World::new(Duration::from_secs(60)).await;
    assert_eq!(world.api.endpoint(), format!("unix://{}", world.api.socket().display()));
    assert!(world.api.endpoint().starts_with("unix:///"));
    assert!(world.api.banner().contains(&world.api.endpoint()));
}
