//! What a sidecar tells the broker about the local process that it speaks for.

use crumb_proto::wire;

/// Facts about a local process, from the kernel and never from the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalProcess {
    /// Its process id.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The path of its executable.
    pub exe: String,
    /// SHA-256 of its executable.
    pub exe_sha256: [u8; 32],
}

impl LocalProcess {
    pub(super) fn to_wire(&self) -> wire::Process {
        wire::Process {
            pid: self.pid,
            uid: self.uid,
            gid: self.gid,
            exe: self.exe.clone(),
            exe_sha256: self.exe_sha256.to_vec(),
        }
    }
}
