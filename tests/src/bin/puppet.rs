//! A process that does what a test tells it to: the other end of a Unix socket.
//!
//! Tests about processes need real ones, which exit, execute another program, hand their socket on or change their uid at
//! the right moment. The first argument is the role; commands come on standard input, a line each; answers go to
//! standard output, a line each. A role that inherited a socket has it as standard input.

use std::{
    io::{self, BufRead, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail};

#[path = "puppet/attestor.rs"]
mod attestor;
#[path = "puppet/raw_client.rs"]
mod raw_client;

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["connect", socket] => obey(&UnixStream::connect(socket)?, "connected", "hold")?,
        ["hold"] => hold(inherited()?)?,
        ["fetch", socket] => {
            let mut stream = UnixStream::connect(socket)?;
            raw_client::ask(&mut stream)?;
            let first = raw_client::next(&mut stream)?;
            obey(&stream, first, "drain")?;
        }
        ["drain"] => drain(&mut inherited()?)?,
        ["attest-one", socket] => attestor::attest_one(socket)?,
        ["reuse", folder] => attestor::survive_reuse(folder)?,
        ["abort", socket] => attestor::abort_often(socket)?,
        _ => bail!("no such role: {args:?}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn say(line: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Does what it is told with a connected socket. `heir` is the role of whoever gets the socket next.
fn obey(stream: &UnixStream, greeting: &str, heir: &str) -> anyhow::Result<()> {
    say(greeting)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("exec", program) => {
                let failed = Command::new(program).arg(heir).stdin(Stdio::from(copy(stream)?)).exec();
                bail!("cannot execute {program}: {failed}");
            }
            ("hand-over", "") => {
                Command::new(std::env::current_exe()?).arg(heir).stdin(Stdio::from(copy(stream)?)).spawn()?;
                return Ok(());
            }
            ("keep", "") => return drain(&mut stream.try_clone()?),
            ("setuid", uid) => {
                nix::unistd::setuid(uid.parse::<u32>()?.into())?;
                say("done")?;
            }
            ("exit", "") => return Ok(()),
            _ => bail!("no such command: {line}"),
        }
    }
    Ok(())
}

fn copy(stream: &UnixStream) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

fn inherited() -> anyhow::Result<UnixStream> {
    let fd = io::stdin().as_fd().try_clone_to_owned().context("standard input is the socket")?;
    Ok(UnixStream::from(fd))
}

/// Keeps the socket open until the other end lets go.
fn hold(mut stream: UnixStream) -> anyhow::Result<()> {
    say("holding")?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Says what the Workload API still sends to whoever has the socket, until it sends no more.
fn drain(stream: &mut UnixStream) -> anyhow::Result<()> {
    say("draining")?;
    loop {
        let seen = raw_client::next(stream)?;
        say(seen)?;
        if seen == raw_client::ENDED {
            return Ok(());
        }
    }
}
