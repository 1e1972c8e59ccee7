//! The local process behind a caller, as the sidecar that asks attested it.
//!
//! Facts, not a verdict: the manifest's [`ProcessRule`](crate::registry::ProcessRule) decides on them, and a session is
//! bound to them.

use crumb_proto::{Violations, wire};
use crumb_token::text::{bounded, is_printable};

/// The longest path of a program, in bytes: Linux's `PATH_MAX`.
const EXE_LEN_MAX: usize = 4096;

/// What a sidecar says the kernel told it about the process that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalProcess {
    /// Its number, for people who read the trail; numbers are reused, so nothing is decided on it.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The path of its program.
    pub exe: String,
    /// SHA-256 of its program file, when the sidecar could read it.
    pub exe_sha256: Option<[u8; 32]>,
}

impl LocalProcess {
    /// Reads the facts; what is wrong with them is noted under `field`.
    pub fn read(v: &mut Violations, field: &str, process: &wire::Process) -> Option<Self> {
        let exe = v.keep(format!("{field}.exe"), bounded(&process.exe, EXE_LEN_MAX, is_printable));
        let exe_sha256 = match process.exe_sha256.len() {
            0 => Some(None),
            _ => v
                .keep(
                    format!("{field}.exe_sha256"),
                    process.exe_sha256.as_slice().try_into().map_err(|_| "has 32 bytes"),
                )
                .map(Some),
        };
        Some(Self {
            pid: process.pid,
            uid: process.uid,
            gid: process.gid,
            exe: exe?.into_string(),
            exe_sha256: exe_sha256?,
        })
    }
}
