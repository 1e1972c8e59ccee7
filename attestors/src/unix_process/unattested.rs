//! Why a process is not known: an error that says which step failed, and never names a process that is not the peer.

use std::{fmt, io};

/// Why the process at the other end is not known, or is no longer the one that was known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unattested {
    /// The kernel is older than Linux 6.5.
    #[error("the kernel has no SO_PEERPIDFD; Linux 6.5 or newer is needed")]
    NoPidfd,
    /// The kernel has no number for the peer in this pid namespace, so `/proc` cannot speak about it.
    #[error("the peer is in another pid namespace")]
    OtherPidNamespace,
    /// The process that connected has exited, whoever holds its socket now.
    #[error("the process that connected has exited")]
    Gone,
    /// The process lives, but is not what was attested.
    #[error("the {0} of the process changed")]
    Changed(Change),
    /// The executable has more than [`EXE_LEN_MAX`](super::EXE_LEN_MAX) bytes.
    #[error("the executable is larger than 256 MiB")]
    ExeTooLarge,
    /// The process lives, but the kernel does not let us read about it.
    #[error("the {what} of the process cannot be read")]
    Unreadable {
        /// What was read.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What is no longer as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Another file is executed, or the same file has other bytes.
    Exe,
    /// The same file was executed anew: the address space is another one. Noticed through address randomisation.
    Image,
    /// The start time, so this is another process.
    StartTime,
    /// The control group.
    Cgroup,
    /// The effective uid or gid.
    Credentials,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exe => "executable",
            Self::Image => "memory image",
            Self::StartTime => "start time",
            Self::Cgroup => "control group",
            Self::Credentials => "uid or gid",
        })
    }
}
