//! The digest of an executable, bounded and remembered.
//!
//! A digest is remembered by what the kernel says of the file: device, inode, size, modification and change time. The
//! change time is in it because an owner can set the other one back. Nothing here looks at a path.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    sync::{Mutex, PoisonError},
};

use nix::sys::stat::{FileStat, fstat};
use rustix::fs::{Statx, makedev};
use sha2::{Digest, Sha256};

use super::{Change, Unattested, proc_dir::ProcDir};

/// The largest executable that is hashed, in bytes. `node` and `python` are under 128 MiB; a larger file would buy its
/// owner our processor for a second.
pub const EXE_LEN_MAX: u64 = 256 << 20;

/// A machine runs few kinds of agents; at some hundred bytes each the memory is nothing, and a scan takes no time.
const CACHE_LEN_MAX: usize = 128;

/// Large enough that system calls do not matter, small enough for any stack of buffers.
const READ_LEN: usize = 64 * 1024;

/// Oldest first. One for the process, so that every listener in it profits.
static CACHE: Mutex<VecDeque<(Stamp, [u8; 32])>> = Mutex::new(VecDeque::new());

/// What tells a file with these bytes from the same file with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    dev: u64,
    ino: u64,
    len: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(stat: &FileStat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            len: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    pub(super) fn of_statx(stat: &Statx) -> Self {
        Self {
            dev: makedev(stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            len: i64::try_from(stat.stx_size).unwrap_or(i64::MAX),
            modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec.into()),
            changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec.into()),
        }
    }

    pub(super) fn dev_ino(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }
}

/// Returns the SHA-256 of the executable that `dir`'s process runs, which the caller has just seen as `stamp`.
pub(super) fn sha256(dir: &ProcDir, stamp: Stamp) -> Result<[u8; 32], Unattested> {
    if let Some(digest) = remembered(stamp) {
        return Ok(digest);
    }
    if u64::try_from(stamp.len).map_or(true, |len| len > EXE_LEN_MAX) {
        return Err(Unattested::ExeTooLarge);
    }
    let unreadable = |source| Unattested::Unreadable { what: "executable", source };
    let file = dir.open_exe().map_err(unreadable)?;
    let is_same = |file: &File| fstat(file).map(|stat| Stamp::of(&stat) == stamp).map_err(|e| unreadable(e.into()));
    // Another file was executed since the stamp was taken, or the bytes changed under our hands.
    if !is_same(&file)? {
        return Err(Unattested::Changed(Change::Exe));
    }
    let digest = hash(&file).map_err(unreadable)?;
    if !is_same(&file)? {
        return Err(Unattested::Changed(Change::Exe));
    }
    remember(stamp, digest);
    Ok(digest)
}

fn hash(file: impl Read) -> io::Result<[u8; 32]> {
    let mut file = file.take(EXE_LEN_MAX + 1);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_LEN];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn remembered(stamp: Stamp) -> Option<[u8; 32]> {
    let cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    cache.iter().find(|(known, _)| *known == stamp).map(|(_, digest)| *digest)
}

fn remember(stamp: Stamp, digest: [u8; 32]) {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.iter().any(|(known, _)| *known == stamp) {
        return;
    }
    if cache.len() == CACHE_LEN_MAX {
        cache.pop_front();
    }
    cache.push_back((stamp, digest));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_everyone_does() {
        let digest = hash(&b"abc"[..]).expect("memory");
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn remembers_a_bounded_number() {
        let stamp = |ino| Stamp { dev: u64::MAX, ino, len: 1, modified: (0, 0), changed: (0, 0) };
        for ino in 0..2 * CACHE_LEN_MAX as u64 {
            remember(stamp(ino), [1; 32]);
        }
        assert!(CACHE.lock().expect("not poisoned").len() <= CACHE_LEN_MAX);
        assert_eq!(remembered(stamp(0)), None);
    }

    #[test]
    fn a_file_with_another_change_time_is_another_file() {
        let stamp = Stamp { dev: u64::MAX - 1, ino: 1, len: 1, modified: (0, 0), changed: (0, 0) };
        remember(stamp, [2; 32]);
        assert_eq!(remembered(Stamp { changed: (0, 1), ..stamp }), None);
    }
}
