//! The sidecar's Unix socket: any process of an allowed user can send it anything.
//!
//! The sidecar runs in this process, with its real listener, attestation and service; a broker and a tool server answer
//! behind it. The first byte of an input says how the rest is sent: as it is, as HTTP/2 frames, or as the message of a call.

use crate::sidecar::{BROKER_ID, RecordingToolServer, StandInBroker, id};
use bytes::Bytes;
use crumb_agent_sidecar::Config;
use crumb_dev_identity::{DevWorkloadApi, Entry, Selector, Settings};
use crumb_identity::{Endpoint, SystemClock, Workload};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::Shutdown,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    panic,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long an input may keep the sidecar busy. Its own limits are below that.
const PATIENCE: Duration = Duration::from_secs(15);

/// What introduces an HTTP/2 client, and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The calls of the service, and one that is none.
const PATHS: [&str; 7] = ["Open", "Close", "BeginTask", "CallToken", "Call", "Status", "Nothing"];

/// The panics of all threads. The runtime keeps a task's to itself, so they are counted where they begin.
static PANICS: AtomicUsize = AtomicUsize::new(0);

struct World {
    runtime: Runtime,
    socket: PathBuf,
    _parts: (tempfile::TempDir, DevWorkloadApi, StandInBroker, RecordingToolServer),
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, SeqCst);
        hook(info);
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let (socket, parts) = runtime.block_on(start());
    World { runtime, socket, _parts: parts }
});

async fn start() -> (PathBuf, (tempfile::TempDir, DevWorkloadApi, StandInBroker, RecordingToolServer)) {
    // A fuzzer's `main` is not Rust's, which would have seen to it that writing to a closed socket is only an error.
    let _caught = signal(SignalKind::pipe()).expect("a handler, which stays");
    let site = tempfile::tempdir().expect("a directory");
    let home = site.path().join("sidecar");
    std::fs::create_dir(&home).expect("a directory");
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    let settings = Settings::new(Arc::new(SystemClock::new()));
    let api = DevWorkloadApi::start(site.path().join("spire").join("api.sock"), settings).await.expect("it starts");
    let pid = i32::try_from(std::process::id()).expect("a pid");
    let own = Entry { spiffe_id: id(BROKER_ID), selectors: vec![Selector::Pid(pid)], hint: None };
    api.entries().add(own).expect("well-formed");
    let endpoint = Endpoint::at(api.socket()).expect("a short path");
    let workload = Workload::connect(&endpoint, PATIENCE).await.expect("an identity");
    let tools = RecordingToolServer::start(&workload).await;
    let broker = StandInBroker::start(&workload, &tools.address()).await;
    let socket = home.join("s.sock");
    let config = format!(
        "socket = {socket:?}\nworkload_api = {:?}\nprotect_process = false\n[broker]\naddress = {:?}\nspiffe_id = {BROKER_ID:?}\n",
        api.endpoint(),
        broker.address(),
    );
    let (ready, is_ready) = oneshot::channel();
    let config = Config::from_toml(&config).expect("well-formed");
    tokio::spawn(crumb_agent_sidecar::run(config, CancellationToken::new(), ready));
    is_ready.await.expect("the sidecar starts");
    (socket, (site, api, broker, tools))
}

/// Holds for any bytes: nothing panics, and the sidecar ends the connection, or answers the call, in time.
///
/// # Panics
///
/// When it does not hold.
pub fn uds_frames(data: &[u8]) {
    let world = &*WORLD;
    let before = PANICS.load(SeqCst);
    match data.split_first() {
        Some((0..=0x3f, frames)) => exchange(world, &[PREFACE, &framed(frames)].concat()),
        Some((first @ 0x40..=0x7f, message)) => call(world, PATHS[usize::from(*first) % PATHS.len()], message),
        Some((_, rest)) => exchange(world, rest),
        None => exchange(world, &[]),
    }
    assert_eq!(PANICS.load(SeqCst), before, "something panicked");
}

/// Cuts bytes into frames whose lengths are right: kind, flags, stream and length are a byte each.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    while let [kind, flags, stream, len, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        let len = u8::try_from(payload.len()).expect("at most 255");
        frames.extend([0, 0, len, *kind, *flags, 0, 0, 0, *stream]);
        frames.extend(payload);
        bytes = rest;
    }
    frames
}

/// Sends bytes, says that no more will come, and reads until the sidecar ends the connection.
fn exchange(world: &World, bytes: &[u8]) {
    let mut stream = UnixStream::connect(&world.socket).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    // It may hang up before it has read everything.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "the connection stays open");
    }
}

/// Makes a call whose message is any bytes.
fn call(world: &World, path: &str, message: &[u8]) {
    let len = u32::try_from(message.len()).expect("a short message");
    let body = Bytes::from([&[0][..], &len.to_be_bytes(), message].concat());
    let request = http::Request::post(format!("http://localhost/crumb.v1.SidecarService/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(body))
        .expect("well-formed");
    let answered = async {
        let stream = tokio::net::UnixStream::connect(&world.socket).await.expect("it listens");
        let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.expect("it speaks HTTP/2");
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await.expect("an answer");
        let read = response.into_body().collect().await;
        driver.abort();
        read.expect("a whole answer")
    };
    let _answer = world.runtime.block_on(async { timeout(PATIENCE, answered).await.expect("it answers in time") });
}
