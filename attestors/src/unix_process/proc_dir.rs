//! Reads from one process's `/proc` directory, by an open descriptor and never again by number.
//!
//! The kernel ties an open `/proc/PID` to the process, not to the number: after exit every read here fails, even when
//! the number is in use again. Reads are bounded, for some of these files have contents that the process chooses.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{OwnedFd, RawFd},
    path::PathBuf,
};

use nix::{
    fcntl::{AtFlags, OFlag, open, openat, readlinkat},
    sys::stat::{Mode, fstatat},
};

use rustix::fs::{AtFlags as Flags, StatxFlags, statx};

use super::exe::Stamp;

/// `stat` and `status` are about one and two KiB; the process name in them is at most 64 bytes.
const STAT_LEN_MAX: u64 = 8 * 1024;
/// One line per hierarchy, each at most a path long; more than this is nobody's container.
const CGROUP_LEN_MAX: u64 = 16 * 1024;

/// What `/proc/PID/stat` says that must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// Clock ticks since boot at which the process started.
    pub(super) starttime: u64,
    /// Where code and stack begin: drawn anew at every `exec()`.
    pub(super) image: (u64, u64),
}

/// An open `/proc/PID`.
#[derive(Debug)]
pub(super) struct ProcDir(OwnedFd);

impl ProcDir {
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(format!("/proc/{pid}").as_str(), flags, Mode::empty())?))
    }

    pub(super) fn stat(&self) -> io::Result<Stat> {
        parse_stat(&self.text("stat", STAT_LEN_MAX)?).ok_or_else(|| malformed("stat"))
    }

    /// Returns the effective uid and gid.
    pub(super) fn effective_ids(&self) -> io::Result<(u32, u32)> {
        parse_ids(&self.text("status", STAT_LEN_MAX)?).ok_or_else(|| malformed("status"))
    }

    pub(super) fn cgroup(&self) -> io::Result<String> {
        Ok(self.text("cgroup", CGROUP_LEN_MAX)?.trim_end_matches('\n').to_owned())
    }

    /// Follows the magic link: this is the inode that runs, whatever its path leads to now.
    pub(super) fn exe_stamp(&self) -> io::Result<Stamp> {
        Ok(Stamp::of(&fstatat(&self.0, "exe", AtFlags::empty())?))
    }

    /// As [`Self::exe_stamp`], by what the kernel has in memory: a file system in another process, or across the network,
    /// is not asked.
    pub(super) fn exe_stamp_in_memory(&self) -> io::Result<Stamp> {
        Ok(Stamp::of_statx(&statx(&self.0, "exe", Flags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)?))
    }

    pub(super) fn exe_path(&self) -> io::Result<PathBuf> {
        Ok(readlinkat(&self.0, "exe")?.into())
    }

    pub(super) fn open_exe(&self) -> io::Result<File> {
        self.open_file("exe")
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        Ok(File::from(openat(&self.0, name, flags, Mode::empty())?))
    }

    fn text(&self, name: &str, len_max: u64) -> io::Result<String> {
        read_text(self.open_file(name)?, len_max)
    }
}

/// Returns the number that our `/proc` gives the process behind a pidfd of ours; -1 after its exit, 0 when it has none.
pub(super) fn pid_of(pidfd: RawFd) -> io::Result<i32> {
    let text = read_text(File::open(format!("/proc/self/fdinfo/{pidfd}"))?, STAT_LEN_MAX)?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")).and_then(|pid| pid.trim().parse().ok());
    pid.ok_or_else(|| malformed("fdinfo"))
}

fn read_text(file: File, len_max: u64) -> io::Result<String> {
    // The process names itself, in any bytes it likes; lossy text keeps the structure, and the structure is ASCII.
    // Room for all of it as a rule, so that one read brings it and one finds the end.
    let mut bytes = Vec::with_capacity(4096);
    file.take(len_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > len_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than the kernel writes it"));
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

fn malformed(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc {name} is not as documented"))
}

/// Fields are counted from the last `)`, for the process chooses its name and may put anything in it.
///
/// Source: proc_pid_stat(5); (22) starttime, (26) startcode, (28) startstack.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some(Stat { starttime: field(22)?, image: (field(26)?, field(28)?) })
}

/// The name comes first in `status`, with newlines escaped, so no name can forge a later line.
fn parse_ids(text: &str) -> Option<(u32, u32)> {
    let effective = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    Some((effective("Uid:")?, effective("Gid:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str) -> String {
        let fields: Vec<String> = (4..=52).map(|n| (n * 10).to_string()).collect();
        format!("77 ({name}) S {}\n", fields.join(" "))
    }

    #[test]
    fn counts_fields_from_the_last_parenthesis() {
        for name in ["sleep", "a b", ") R 1 2 3", "((", "\u{fffd})"] {
            let stat = parse_stat(&line(name)).expect("well-formed");
            assert_eq!(stat, Stat { starttime: 220, image: (260, 280) }, "{name:?}");
        }
    }

    #[test]
    fn refuses_a_short_or_strange_stat() {
        for text in
            ["", "77", "77 (x) S 1 2 3", "77 (x", "77 (x) S a b c d e f g h i j k l m n o p q r s t u v w x y z"]
        {
            assert_eq!(parse_stat(text), None, "{text:?}");
        }
    }

    #[test]
    fn takes_the_effective_ids() {
        let text = "Name:\tx\\nUid:\t9\nUmask:\t0022\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n";
        assert_eq!(parse_ids(text), Some((2, 6)));
        assert_eq!(parse_ids("Uid:\t1\t2\t3\t4\n"), None);
        assert_eq!(parse_ids("Uid:\t1\nGid:\t1\n"), None);
    }

    #[test]
    fn reads_no_more_than_the_limit() {
        let file = File::open("/proc/self/status").expect("we exist");
        let err = read_text(file, 10).expect_err("longer than ten bytes");
        assert_eq!(err.kind(), io::ErrorKind::FileTooLarge);
    }
}
