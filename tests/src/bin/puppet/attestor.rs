//! Roles that attest, for what must happen in a process or a pid namespace of its own.

use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context as _, ensure};
use crumb_attestors::unix_process::{Process, Unattested};

use crate::say;

/// Attestations of a dead process whose number is someone else's by now; each costs two processes.
const REUSES: usize = 100;
/// Attestations that race with death and reuse.
const RACES: usize = 100;
/// What T5 of the threat model asks for.
const ABORTED: usize = 10_000;

/// Attests the first process that connects, and says what came of it.
pub(crate) fn attest_one(socket: &str) -> anyhow::Result<()> {
    let listener = UnixListener::bind(socket)?;
    say("listening")?;
    let (stream, _) = listener.accept()?;
    match Process::attest(&stream) {
        Ok(process) => say(format!("uid {} pid {}", process.facts().uid, process.facts().pid))?,
        Err(refusal) => say(refusal)?,
    }
    Ok(())
}

/// Gives dead processes' numbers to others, in a pid namespace where we are alone, and says what attestation made of it.
pub(crate) fn survive_reuse(folder: &str) -> anyhow::Result<()> {
    let socket = Path::new(folder).join("reuse.sock");
    let listener = UnixListener::bind(&socket)?;
    let mut reused = 0;
    let mut fooled = 0;
    for _ in 0..REUSES {
        let (stream, victim) = connected(&listener, &socket)?;
        let before = Process::attest(&stream).context("the victim lives")?;
        let other = bury_and_reuse(victim)?;
        reused += usize::from(other.is_reuse);
        let fresh = Process::attest(&stream);
        fooled += usize::from(!matches!(fresh, Err(Unattested::Gone)));
        fooled += usize::from(!matches!(before.recheck(), Err(Unattested::Gone)));
    }
    for _ in 0..RACES {
        let (stream, victim) = connected(&listener, &socket)?;
        let attesting = thread::spawn(move || Process::attest(&stream).map(|process| process.facts().exe.clone()));
        let other = bury_and_reuse(victim)?;
        reused += usize::from(other.is_reuse);
        let ours = std::env::current_exe()?;
        let seen = attesting.join().ok().context("attestation does not panic")?;
        fooled += usize::from(seen.is_ok_and(|exe| exe != ours));
    }
    say(format!("reused {reused} fooled {fooled}"))?;
    Ok(())
}

fn connected(listener: &UnixListener, socket: &Path) -> anyhow::Result<(UnixStream, Child)> {
    let victim = Command::new(std::env::current_exe()?)
        .arg("connect")
        .arg(socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    Ok((listener.accept()?.0, victim))
}

/// Another program, killed when dropped.
struct Other {
    child: Child,
    is_reuse: bool,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bury_and_reuse(mut victim: Child) -> anyhow::Result<Other> {
    let pid = victim.id();
    victim.kill()?;
    victim.wait()?;
    // The next process of this namespace gets the number after this one.
    fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())?;
    let child = Command::new("/bin/sleep").arg("60").stdin(Stdio::null()).spawn()?;
    Ok(Other { is_reuse: child.id() == pid, child })
}

/// Attests a dead process very often and a living one as often, and says how many descriptors that cost.
pub(crate) fn abort_often(socket: &str) -> anyhow::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let (dead, mut victim) = connected(&listener, Path::new(socket))?;
    victim.kill()?;
    victim.wait()?;
    let _us = UnixStream::connect(socket)?;
    let (living, _) = listener.accept()?;
    Process::attest(&living)?;
    let before = open_descriptors()?;
    for _ in 0..ABORTED {
        ensure!(matches!(Process::attest(&dead), Err(Unattested::Gone)), "a dead process was attested");
        Process::attest(&living)?;
    }
    say(format!("before {before} after {}", open_descriptors()?))?;
    Ok(())
}

fn open_descriptors() -> anyhow::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}
