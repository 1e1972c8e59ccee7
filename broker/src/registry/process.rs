//! What a manifest says about the process that an agent is, when a sidecar speaks for it.

use crate::process::LocalProcess;
use std::{path::PathBuf, str::FromStr};

/// An executable that is no absolute path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an executable is an absolute path of at most 4096 bytes without `.` and `..`")]
pub struct InvalidExecutable;

/// The absolute path of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable(PathBuf);

impl Executable {
    /// The longest path, in bytes: Linux's `PATH_MAX`.
    pub const LEN_MAX: usize = 4096;
}

impl FromStr for Executable {
    type Err = InvalidExecutable;

    fn from_str(text: &str) -> Result<Self, InvalidExecutable> {
        let plain = text.len() <= Self::LEN_MAX
            && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|s| !matches!(s, "" | "." | "..")));
        if plain { Ok(Self(text.into())) } else { Err(InvalidExecutable) }
    }
}

/// A digest that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest is 64 lower-case hexadecimal digits")]
pub struct InvalidSha256;

/// A SHA-256 digest, of a program file or of a list of tools.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Returns its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Sha256Digest {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Self, InvalidSha256> {
        let mut digest = [0; 32];
        let canonical = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex::decode_to_slice(text, &mut digest).ok().filter(|()| canonical).ok_or(InvalidSha256)?;
        Ok(Self(digest))
    }
}

impl std::fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Which process an agent is. What is not said is not asked; at least one thing is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRule {
    pub(super) uid: Option<u32>,
    pub(super) exe: Option<Executable>,
    pub(super) exe_sha256: Option<Sha256Digest>,
}

impl ProcessRule {
    /// Says whether `process`, as a sidecar attested it, is the one that the manifest describes.
    pub fn accepts(&self, process: &LocalProcess) -> bool {
        self.uid.is_none_or(|uid| uid == process.uid)
            && self.exe.as_ref().is_none_or(|exe| exe.0.as_os_str() == process.exe.as_str())
            && self.exe_sha256.is_none_or(|digest| process.exe_sha256 == Some(digest.0))
    }

    /// Returns the digest that the program file has to have, when one is named.
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.exe_sha256.map(|digest| digest.0)
    }

    /// Says whether every process that this accepts is one that `other` accepts.
    pub fn is_within(&self, other: &Self) -> bool {
        (other.uid.is_none() || self.uid == other.uid)
            && (other.exe.is_none() || self.exe == other.exe)
            && (other.exe_sha256.is_none() || self.exe_sha256 == other.exe_sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> LocalProcess {
        LocalProcess { pid: 7, uid: 1000, gid: 1000, exe: "/usr/bin/bot".into(), exe_sha256: Some([1; 32]) }
    }

    #[test]
    fn every_fact_that_is_named_has_to_agree() {
        let rule = ProcessRule {
            uid: Some(1000),
            exe: Some("/usr/bin/bot".parse().expect("path")),
            exe_sha256: Some(Sha256Digest([1; 32])),
        };
        assert!(rule.accepts(&process()));
        assert!(!rule.accepts(&LocalProcess { uid: 1001, ..process() }));
        assert!(!rule.accepts(&LocalProcess { exe: "/usr/bin/bot2".into(), ..process() }));
        assert!(!rule.accepts(&LocalProcess { exe_sha256: Some([2; 32]), ..process() }));
        assert!(!rule.accepts(&LocalProcess { exe_sha256: None, ..process() }));
    }

    #[test]
    fn refuses_paths_with_two_spellings_and_digests_that_are_none() {
        for bad in ["", "bot", "/", "/usr//bin", "/usr/../bin", "/usr/bin/"] {
            assert!(bad.parse::<Executable>().is_err(), "{bad:?}");
        }
        for bad in ["", "00", &"A".repeat(64), &"g".repeat(64), &"0".repeat(66)] {
            assert!(bad.parse::<Sha256Digest>().is_err(), "{bad:?}");
        }
    }
}
