//! Who is at the other end of a Unix socket, as the kernel tells it.
//!
//! `SO_PEERCRED` and `SO_PEERPIDFD` name the process that called `connect()`; `/proc` says what it runs. It is apart
//! because it is the one attestor that needs system calls, and because the order of those calls is the whole point:
//! the pidfd is asked whether the process lives *before and after* `/proc` is read, so a reused process id can never
//! lend its facts to a dead caller. All calls are synchronous; async callers go through a blocking pool, for a cold
//! executable is read and hashed in full.
//!
//! # Invariants
//!
//! - Facts, never a verdict: nothing here says who may do what.
//! - A [`Process`] holds the pidfd and an open `/proc/PID` directory; no later read goes by number again.
//! - [`Process::recheck`], or [`Process::recheck_at_once`], comes before every use. Exit, `exec()`, a change of cgroup or of credentials end the identity.
//! - Bounded: an executable has at most [`EXE_LEN_MAX`] bytes, and the digest cache a fixed number of entries.
//!
//! # What it does not do
//!
//! - It names the process that *connected*. A socket that was inherited or passed on still names the connector, while
//!   the connector lives.
//! - The digest of an interpreter says nothing about its script, and processes of one uid can trace each other. A uid,
//!   a cgroup or a container of its own is the boundary; the rest narrows it.
//! - `/proc/PID/exe` of another uid can be read only with `CAP_SYS_PTRACE`; without it the answer is
//!   [`Unattested::Unreadable`], never fewer facts.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{getsockopt, sockopt},
};

mod exe;
mod proc_dir;
mod unattested;

pub use self::{
    exe::EXE_LEN_MAX,
    unattested::{Change, Unattested},
};
use self::{
    exe::Stamp,
    proc_dir::{ProcDir, Stat},
};

/// What the kernel says about the process that connected. Facts, never a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Process id, in our pid namespace.
    pub pid: i32,
    /// Effective uid, at `connect()` and still.
    pub uid: u32,
    /// Effective gid, at `connect()` and still.
    pub gid: u32,
    /// Where the executable lies, in the kernel's words. A process in a mount namespace of its own can choose this
    /// text; compare it with [`ProcessFacts::runs`], not by hand.
    pub exe: PathBuf,
    /// SHA-256 of the executable's bytes.
    pub exe_sha256: [u8; 32],
    /// Device and inode of the executable.
    pub exe_dev_ino: (u64, u64),
    /// When the process started, in clock ticks since boot.
    pub starttime: u64,
    /// `/proc/PID/cgroup`, in full, without the last newline.
    pub cgroup: String,
}

impl ProcessFacts {
    /// Returns the part of the facts that outlives the process: what a cache may be keyed by.
    pub fn identity(&self) -> LocalIdentity {
        LocalIdentity {
            uid: self.uid,
            gid: self.gid,
            exe: self.exe.clone(),
            exe_sha256: self.exe_sha256,
            cgroup: self.cgroup.clone(),
        }
    }

    /// Says whether the process runs the file that *we* see at `path`: same text, same device and inode.
    ///
    /// The text alone proves nothing, for a process can mount its own file at any path in a namespace of its own.
    pub fn runs(&self, path: &Path) -> bool {
        self.exe == path && std::fs::metadata(path).is_ok_and(|ours| (ours.dev(), ours.ino()) == self.exe_dev_ino)
    }
}

/// Who a local process is, without its process id: two runs of one program under one uid and cgroup are equal.
///
/// The cgroup is in it because two containers may share uid and binary and must not share a cached token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalIdentity {
    /// Effective uid.
    pub uid: u32,
    /// Effective gid.
    pub gid: u32,
    /// Where the executable lies, in the kernel's words.
    pub exe: PathBuf,
    /// SHA-256 of the executable's bytes.
    pub exe_sha256: [u8; 32],
    /// `/proc/PID/cgroup`, in full.
    pub cgroup: String,
}

/// The process that connected a Unix socket, pinned: it costs two file descriptors while held.
///
/// [`AsFd`] lends the pidfd, which polls readable once the process has exited.
#[derive(Debug)]
pub struct Process {
    pidfd: OwnedFd,
    dir: ProcDir,
    stat: Stat,
    stamp: Stamp,
    facts: ProcessFacts,
}

impl Process {
    /// Finds out which process connected `socket`, the accepted end of a Unix stream socket.
    ///
    /// Blocks while a cold executable is read: up to 256 MiB of it.
    ///
    /// # Errors
    ///
    /// Every variant of [`Unattested`]; in doubt there is no process.
    pub fn attest(socket: impl AsFd) -> Result<Self, Unattested> {
        let pidfd = peer_pidfd(&socket)?;
        let peer = getsockopt(&socket, sockopt::PeerCredentials).map_err(|e| unreadable("credentials", e.into()))?;
        if peer.pid() <= 0 {
            return Err(Unattested::OtherPidNamespace);
        }
        same_namespace(&pidfd, peer.pid())?;
        let dir = ProcDir::open(peer.pid()).map_err(|e| explained(&pidfd, "/proc directory", e))?;
        // Alive now means that the number was never free in between: the open directory is this process's own.
        ensure_alive(&pidfd)?;
        let seen = read(&dir, &pidfd, peer.uid(), peer.gid());
        // The error of a read that raced with an exit is the exit.
        ensure_alive(&pidfd)?;
        let (stat, stamp, exe_sha256, exe, cgroup) = seen?;
        let facts = ProcessFacts {
            pid: peer.pid(),
            uid: peer.uid(),
            gid: peer.gid(),
            exe,
            exe_sha256,
            exe_dev_ino: stamp.dev_ino(),
            starttime: stat.starttime,
            cgroup,
        };
        Ok(Self { pidfd, dir, stat, stamp, facts })
    }

    /// Returns what was found out at [`Process::attest`].
    pub fn facts(&self) -> &ProcessFacts {
        &self.facts
    }

    /// Says whether the process has not exited. A zombie has.
    pub fn is_alive(&self) -> bool {
        is_alive(&self.pidfd)
    }

    /// Makes sure that the facts still hold. Call it before every use; it costs a handful of system calls.
    ///
    /// # Errors
    ///
    /// [`Unattested::Gone`] after exit, [`Unattested::Changed`] after `exec()` and the like.
    pub fn recheck(&self) -> Result<(), Unattested> {
        ensure_alive(&self.pidfd)?;
        let same = self.dir.exe_stamp().map_err(|e| unreadable("executable", e)).and_then(|stamp| self.compare(stamp));
        ensure_alive(&self.pidfd)?;
        same
    }

    /// As [`Process::recheck`], for callers that must not wait for a file system: nothing is asked for but what the kernel
    /// has in memory. `None` when that is not enough, because the executable does not look as it did or cannot be seen.
    pub fn recheck_at_once(&self) -> Option<Result<(), Unattested>> {
        if let Err(gone) = ensure_alive(&self.pidfd) {
            return Some(Err(gone));
        }
        let stamp = self.dir.exe_stamp_in_memory().ok().filter(|stamp| *stamp == self.stamp)?;
        let same = self.compare(stamp);
        Some(ensure_alive(&self.pidfd).and(same))
    }

    fn compare(&self, stamp: Stamp) -> Result<(), Unattested> {
        let seen = |what| move |e| unreadable(what, e);
        let stat = self.dir.stat().map_err(seen("stat"))?;
        if stat.starttime != self.stat.starttime {
            return Err(Unattested::Changed(Change::StartTime));
        }
        self.compare_exe(stamp)?;
        if stat.image != self.stat.image {
            return Err(Unattested::Changed(Change::Image));
        }
        same_credentials(&self.dir, self.facts.uid, self.facts.gid)?;
        if self.dir.cgroup().map_err(seen("cgroup"))? != self.facts.cgroup {
            return Err(Unattested::Changed(Change::Cgroup));
        }
        Ok(())
    }

    /// An upgrade unlinks the running file, which moves its change time; then the bytes decide.
    fn compare_exe(&self, stamp: Stamp) -> Result<(), Unattested> {
        if stamp == self.stamp {
            return Ok(());
        }
        if stamp.dev_ino() == self.stamp.dev_ino() && exe::sha256(&self.dir, stamp)? == self.facts.exe_sha256 {
            return Ok(());
        }
        Err(Unattested::Changed(Change::Exe))
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

type Seen = (Stat, Stamp, [u8; 32], PathBuf, String);

fn read(dir: &ProcDir, pidfd: &OwnedFd, uid: u32, gid: u32) -> Result<Seen, Unattested> {
    let why = |what| move |e| explained(pidfd, what, e);
    let stat = dir.stat().map_err(why("stat"))?;
    same_credentials(dir, uid, gid)?;
    let stamp = dir.exe_stamp().map_err(why("executable"))?;
    let exe_sha256 = exe::sha256(dir, stamp)?;
    let exe = dir.exe_path().map_err(why("executable"))?;
    let cgroup = dir.cgroup().map_err(why("cgroup"))?;
    // The reads above are several; an exec() among them would mix two programs.
    if dir.stat().map_err(why("stat"))? != stat || dir.exe_stamp().map_err(why("executable"))? != stamp {
        return Err(Unattested::Changed(Change::Exe));
    }
    Ok((stat, stamp, exe_sha256, exe, cgroup))
}

/// `SO_PEERCRED` is fixed at `connect()`; a process that changed its uid since then is not what it was.
fn same_credentials(dir: &ProcDir, uid: u32, gid: u32) -> Result<(), Unattested> {
    let now = dir.effective_ids().map_err(|e| unreadable("credentials", e))?;
    if now == (uid, gid) { Ok(()) } else { Err(Unattested::Changed(Change::Credentials)) }
}

fn peer_pidfd(socket: impl AsFd) -> Result<OwnedFd, Unattested> {
    getsockopt(&socket, sockopt::PeerPidfd).map_err(|e| match e {
        Errno::ENOPROTOOPT => Unattested::NoPidfd,
        // Kernels differ in how they say that the peer was reaped before we asked.
        Errno::ESRCH | Errno::EINVAL => Unattested::Gone,
        other => unreadable("pidfd", other.into()),
    })
}

/// Makes sure that the `/proc` we read counts processes as `SO_PEERCRED` does, by asking it about the pidfd itself.
fn same_namespace(pidfd: &OwnedFd, pid: i32) -> Result<(), Unattested> {
    match proc_dir::pid_of(pidfd.as_raw_fd()).map_err(|e| unreadable("pidfd", e))? {
        -1 => Err(Unattested::Gone),
        seen if seen == pid => Ok(()),
        _ => Err(Unattested::OtherPidNamespace),
    }
}

fn is_alive(pidfd: &OwnedFd) -> bool {
    // A pidfd polls readable once its process has exited; anything but "nothing to read" counts as dead.
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::ZERO) {
            Err(Errno::EINTR) => {}
            answer => return answer == Ok(0),
        }
    }
}

fn ensure_alive(pidfd: &OwnedFd) -> Result<(), Unattested> {
    if is_alive(pidfd) { Ok(()) } else { Err(Unattested::Gone) }
}

fn unreadable(what: &'static str, source: io::Error) -> Unattested {
    Unattested::Unreadable { what, source }
}

fn explained(pidfd: &OwnedFd, what: &'static str, source: io::Error) -> Unattested {
    if is_alive(pidfd) { unreadable(what, source) } else { Unattested::Gone }
}
