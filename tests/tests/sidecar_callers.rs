//! Who may use a sidecar, and what those who may not can do to it.

use crumb_proto::wire::{CallRequest, sidecar_service_client::SidecarServiceClient};
use crumb_sdk::sidecar::{Presenter, SidecarClient};
use crumb_tests::{
    sidecar::{Agent, Launch, SIDECAR_ID, Sidecar, Stage, begin, one_shot, opening, until},
    skip::skipped,
};
use hyper_util::rt::TokioIo;
use std::{io::Write as _, os::unix::net::UnixStream, path::Path, time::Duration};
use tokio::{io::AsyncReadExt as _, time::timeout};
use tonic::transport::{Endpoint, Uri};

/// The agent program.
const AGENT: &str = env!("CARGO_BIN_EXE_sidecar_agent");

/// What introduces an HTTP/2 client.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A user that is not the test's own.
const NOBODY: u32 = 65534;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ASCII")
}

async fn is_up(sidecar: &Sidecar) -> bool {
    sidecar.client().status().await.is_ok_and(|status| status.spiffe_id.as_str() == SIDECAR_ID)
}

#[tokio::test]
async fn another_user_gets_a_refusal_and_nothing_else() {
    let test = "sidecar: another user";
    if !nix::unistd::geteuid().is_root() {
        return skipped(test, "only root can be another user");
    }
    let Some(stage) = Stage::set(test).await else { return };
    let config = "socket_mode = \"0666\"".to_owned();
    let sidecar = Launch { config, ..Launch::default() }.start(&stage).await.expect("it starts");
    let session = sidecar.client().open(&opening()).await.expect("our own user may").id;
    let agent = stage.agent_program(AGENT, "agent");
    let socket = text(&sidecar.socket);
    for request in [
        vec![socket, "status"],
        vec![socket, "begin", &session.to_string()],
        vec![socket, "close", &session.to_string()],
    ] {
        assert_eq!(one_shot(&agent, Some(NOBODY), &request).await, "caller_refused", "{request:?}");
    }
    assert_eq!(one_shot(&agent, None, &[socket, "status"]).await, format!("ok {SIDECAR_ID}"));
    assert_eq!(stage.broker.exchanges(), 0);
}

#[tokio::test]
async fn a_user_who_is_listed_is_served_and_the_sidecars_own_is_not() {
    let test = "sidecar: allow_uids";
    if !nix::unistd::geteuid().is_root() {
        return skipped(test, "only root can be another user");
    }
    let Some(stage) = Stage::set(test).await else { return };
    let config = format!("socket_mode = \"0666\"\nallow_uids = [{NOBODY}]");
    let sidecar = Launch { config, ..Launch::default() }.start(&stage).await.expect("it starts");
    let agent = stage.agent_program(AGENT, "agent");
    let status = [text(&sidecar.socket), "status"];
    assert_eq!(one_shot(&agent, Some(NOBODY), &status).await, format!("ok {SIDECAR_ID}"));
    assert_eq!(one_shot(&agent, None, &status).await, "caller_refused");
}

#[tokio::test]
async fn another_program_can_use_neither_session_nor_task() {
    let Some(stage) = Stage::set("sidecar: another program").await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    let client = sidecar.client();
    let session = client.open(&opening()).await.expect("the broker opens it").id;
    let task = client.begin_task(&begin(session, "docs/*", Presenter::Agent)).await.expect("granted").id;
    let agent = stage.agent_program(AGENT, "agent");
    let (socket, session, task) = (text(&sidecar.socket), session.to_string(), task.to_string());
    for request in [["begin", &session], ["close", &session], ["token", &task]] {
        let said = one_shot(&agent, None, &[socket, request[0], request[1]]).await;
        assert_eq!(said, "session_unknown", "{request:?}");
    }
    assert_eq!(stage.broker.exchanges(), 1);
    client.close(session.parse().expect("an id")).await.expect("it is still ours");
}

#[tokio::test]
async fn two_runs_of_one_program_are_the_same_agent() {
    let Some(stage) = Stage::set("sidecar: two runs").await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    let agent = stage.agent_program(AGENT, "agent");
    let other = stage.agent_program(AGENT, "other");
    let socket = text(&sidecar.socket);
    let opened = one_shot(&agent, None, &[socket, "open"]).await;
    let session = opened.strip_prefix("ok ").expect("the broker opens it");
    let began = one_shot(&agent, None, &[socket, "begin", session]).await;
    let task = began.strip_prefix("ok ").expect("its own session, in another run");
    assert_eq!(one_shot(&agent, None, &[socket, "token", task]).await, "ok");
    for request in [["begin", session], ["token", task]] {
        assert_eq!(one_shot(&other, None, &[socket, request[0], request[1]]).await, "session_unknown", "{request:?}");
    }
}

#[tokio::test]
async fn a_process_that_becomes_another_program_is_somebody_else() {
    let Some(stage) = Stage::set("sidecar: exec").await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    let (first, second) = (stage.agent_program(AGENT, "first"), stage.agent_program(AGENT, "second"));
    for becomes in [&second, &first] {
        let mut agent = Agent::start(&first, &[text(&sidecar.socket), "exec", text(becomes)]);
        assert_eq!(agent.hear().await, "connected");
        agent.tell("go").await;
        assert_eq!(agent.hear().await, "caller_changed", "{}", becomes.display());
    }
}

fn frame(kind: u8, flags: u8, stream: u32, len: u32) -> Vec<u8> {
    let len = len.to_be_bytes();
    let mut frame = vec![len[1], len[2], len[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame
}

#[tokio::test]
async fn hostile_bytes_do_not_end_it() {
    let Some(stage) = Stage::set("sidecar: hostile bytes").await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    let settings = frame(4, 0, 0, 0);
    let hostile: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        [PREFACE, &frame(4, 0, 0, 0xff_ffff), &[0; 70_000]].concat(),
        [PREFACE, &settings, &frame(1, 4, 1, 0xff_ffff), &[0x82; 70_000]].concat(),
        [PREFACE, &settings, &frame(1, 0, 1, 16_000), &[0; 16_000], &frame(9, 0, 1, 16_000).repeat(40)].concat(),
        [PREFACE, &settings, &frame(0, 0, 7, 16_000), &[0; 16_000]].concat(),
        [PREFACE, &settings, &frame(3, 0, 1, 4).repeat(10_000)].concat(),
        PREFACE[..20].to_vec(),
    ];
    for bytes in hostile {
        let mut stream = UnixStream::connect(&sidecar.socket).expect("it listens");
        // It may hang up before it has read everything.
        let _ = stream.write_all(&bytes);
        drop(stream);
        assert!(is_up(&sidecar).await);
    }
}

#[tokio::test]
async fn a_message_past_the_limit_is_refused() {
    let Some(stage) = Stage::set("sidecar: oversized message").await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    let socket = sidecar.socket.clone();
    let connect = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://sidecar.invalid").connect_with_connector_lazy(connect);
    let message = CallRequest { arguments: vec![0; 1024 * 1024], ..CallRequest::default() };
    let status = SidecarServiceClient::new(channel).call(message).await.expect_err("too long");
    assert_eq!(status.code(), tonic::Code::OutOfRange, "{status}");
    assert!(is_up(&sidecar).await);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let Some(stage) = Stage::set("sidecar: silence").await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    let mut stream = tokio::net::UnixStream::connect(&sidecar.socket).await.expect("it listens");
    let closed = timeout(Duration::from_secs(20), stream.read_to_end(&mut Vec::new())).await;
    assert!(closed.is_ok(), "it is still open after 20 s");
}

#[tokio::test]
async fn descriptors_come_back_after_connections_that_were_aborted() {
    let test = "sidecar: descriptors";
    let Some(stage) = Stage::set(test).await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    assert!(is_up(&sidecar).await);
    let Some(before) = sidecar.descriptors() else {
        return skipped(test, "we may not look at the sidecar's descriptors");
    };
    for round in 0..2000 {
        let mut stream = UnixStream::connect(&sidecar.socket).expect("it listens");
        if round % 2 == 0 {
            let _ = stream.write_all(&PREFACE[..round % PREFACE.len()]);
        }
    }
    until("the descriptors are back", async || sidecar.descriptors().is_some_and(|now| now <= before)).await;
    assert!(is_up(&sidecar).await);
}

#[tokio::test]
async fn survives_running_out_of_descriptors() {
    let Some(stage) = Stage::set("sidecar: EMFILE").await else { return };
    let sidecar = Launch { open_files: Some(64), ..Launch::default() }.start(&stage).await.expect("it starts");
    let flood: Vec<_> = (0..100).filter_map(|_| UnixStream::connect(&sidecar.socket).ok()).collect();
    until("it has run out", async || sidecar.log().contains("descriptors") || sidecar.log().contains("attested")).await;
    drop(flood);
    until("it serves again", async || is_up(&sidecar).await).await;
}

#[tokio::test]
async fn one_user_cannot_take_every_connection() {
    let Some(stage) = Stage::set("sidecar: connections").await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    let flood: Vec<_> = (0..80).map(|_| UnixStream::connect(&sidecar.socket).expect("it listens")).collect();
    until("the surplus is closed", async || sidecar.log().contains("too many")).await;
    drop(flood);
    until("it serves again", async || is_up(&sidecar).await).await;
}

#[tokio::test]
async fn nobody_is_what_a_message_says() {
    let Some(stage) = Stage::set("sidecar: client without a session").await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    let client = SidecarClient::at(&sidecar.socket).expect("an absolute path");
    let made_up = "ses_00000000000070008000000000000000".parse().expect("well-formed");
    let failed = client.begin_task(&begin(made_up, "docs/*", Presenter::Sidecar)).await.expect_err("no session");
    assert_eq!(failed.to_denial().reason.code(), "session_unknown");
}
