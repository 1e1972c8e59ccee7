//! An agent in a process of its own, for tests about who may use a sidecar.
//!
//! `sidecar_agent SOCKET WHAT [ID]` makes one request and says `ok`, with what it got, or the reason code of the refusal.
//! `sidecar_agent SOCKET exec PROGRAM` connects, says so, waits for a line, and becomes PROGRAM, which gets the connection
//! as its standard input. `sidecar_agent - inherited` is what it becomes: it asks for the status over that connection.

use anyhow::{Context as _, bail};
use crumb_proto::{
    from_status,
    wire::{StatusRequest, sidecar_service_client::SidecarServiceClient},
};
use crumb_sdk::{
    CallFailed,
    sidecar::{CallToken, Presenter, SidecarClient},
};
use crumb_tests::sidecar::{ask, begin, delegate, opening};
use hyper_util::rt::TokioIo;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
};
use tonic::transport::{Endpoint, Uri};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["-", "inherited"] => inherited().await,
        [socket, "exec", program] => become_another(socket, program),
        [socket, what, ref rest @ ..] => say(ask_for(socket, what, rest).await?),
        _ => bail!("no such role: {arguments:?}"),
    }
}

async fn ask_for(socket: &str, what: &str, rest: &[&str]) -> anyhow::Result<String> {
    let client = SidecarClient::at(Path::new(socket))?;
    let answer = match (what, rest) {
        ("status", []) => client.status().await.map(|status| status.spiffe_id.to_string()),
        ("memory", []) => client.status().await.map(|status| status.memory_locked.to_string()),
        ("open", []) => client.open(&opening()).await.map(|session| session.id.to_string()),
        ("close", [session]) => client.close(session.parse()?).await.map(|()| String::new()),
        ("adopt", [session]) => client.adopt(session.parse()?).await.map(|session| session.agent.to_string()),
        ("describe", [session]) => {
            client.describe_session(session.parse()?).await.map(|session| session.agent.to_string())
        }
        ("delegate", [session]) => {
            client.delegate(&delegate(session.parse()?)).await.map(|session| session.id.to_string())
        }
        ("begin", [session]) => {
            let wanted = begin(session.parse()?, "docs/*", Presenter::Agent);
            client.begin_task(&wanted).await.map(|task| task.id.to_string())
        }
        ("token", [task]) => {
            let ask = ask("docs/a.md");
            let (tool, operation, resource) = (ask.tool, ask.operation, ask.resource);
            let wanted = CallToken { task: task.parse()?, tool, operation, resource, args_digest: None, ttl: None };
            client.call_token(&wanted).await.map(|_| String::new())
        }
        _ => bail!("no such request: {what} {rest:?}"),
    };
    Ok(answer.map_or_else(refusal, |got| format!("ok {got}").trim_end().to_owned()))
}

fn refusal(failed: CallFailed) -> String {
    failed.to_denial().reason.to_string()
}

fn become_another(socket: &str, program: &str) -> anyhow::Result<()> {
    let stream = UnixStream::connect(socket)?;
    // The sidecar speaks first, once it knows who has connected.
    poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    say("connected")?;
    io::stdin().read_exact(&mut [0])?;
    let failed = Command::new(program).args(["-", "inherited"]).stdin(Stdio::from(OwnedFd::from(stream))).exec();
    bail!("cannot become {program}: {failed}");
}

async fn inherited() -> anyhow::Result<()> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().context("standard input is the socket")?);
    stream.set_nonblocking(true)?;
    let stream = Mutex::new(Some(tokio::net::UnixStream::from_std(stream)?));
    let connect = tower::service_fn(move |_: Uri| {
        let taken = stream.lock().map(|mut stream| stream.take()).ok().flatten();
        async move { taken.map(TokioIo::new).ok_or_else(|| io::Error::other("one connection only")) }
    });
    let channel = Endpoint::from_static("http://sidecar.invalid").connect_with_connector_lazy(connect);
    match SidecarServiceClient::new(channel).status(StatusRequest {}).await {
        Ok(_) => say("ok"),
        Err(status) => say(from_status(&status).map_or_else(|| status.to_string(), |denial| denial.reason.to_string())),
    }
}

fn say(line: impl std::fmt::Display) -> anyhow::Result<()> {
    // Not through a buffer: the process may become another one next.
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    Ok(out.write_all(format!("{line}\n").as_bytes())?)
}
