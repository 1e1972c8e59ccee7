//! The socket in the file system: made so that nobody else can open, replace or lure it, and removed only when ours.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket},
    sys::stat::{Mode, fstat},
    unistd::Uid,
};

use crate::settings::SocketMode;

/// Connections that wait to be accepted; the accept loop takes microseconds for each.
const BACKLOG: i32 = 128;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const WRITABLE_BY_GROUP: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// A place where no socket can be made safely.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableSocket {
    /// The path is relative, so it names another file for every reader.
    #[error("the socket path is not absolute")]
    Relative,
    /// Something other than a socket lies there, perhaps a link that leads elsewhere.
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    /// A socket of another uid lies there.
    #[error("{0} belongs to another user")]
    Foreign(PathBuf),
    /// Another process answers there.
    #[error("{0} is served by another process")]
    InUse(PathBuf),
    /// The folder is a link, is not ours, or others may write in it, so they could put a socket of theirs in our place.
    #[error("{0} is not a folder that only we can write in")]
    Folder(PathBuf),
    /// The kernel refused.
    #[error("cannot make a socket at {path}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket that we made. Dropped, it is removed, unless something else lies there by now.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Open, so that the kernel cannot give its number to a successor's file.
    made: OwnedFd,
}

impl SocketFile {
    /// Makes the socket and listens on it. The folder is made when it is missing.
    pub(crate) fn bind(path: &Path, mode: SocketMode) -> Result<(UnixListener, Self), UnusableSocket> {
        let (true, Some(folder)) = (path.is_absolute(), path.parent()) else {
            return Err(UnusableSocket::Relative);
        };
        let io = |source| UnusableSocket::Io { path: path.to_owned(), source };
        make_folder(folder, mode).map_err(io)?;
        check_folder(folder)?;
        clear(path)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(|e| io(e.into()))?;
        let address = UnixAddr::new(path).map_err(|e| io(e.into()))?;
        bind(fd.as_raw_fd(), &address).map_err(|e| io(e.into()))?;
        let made = open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty());
        let file = Self { path: path.to_owned(), made: made.map_err(|e| io(e.into()))? };
        // Permissions come before listen(): until then nobody can connect, whatever the umask left open.
        let bits = if mode == SocketMode::AnyUser { 0o666 } else { 0o600 };
        fs::set_permissions(path, Permissions::from_mode(bits)).map_err(io)?;
        listen(&fd, Backlog::new(BACKLOG).map_err(|e| io(e.into()))?).map_err(|e| io(e.into()))?;
        Ok((UnixListener::from(fd), file))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let (Ok(made), Ok(there)) = (fstat(&self.made), fs::symlink_metadata(&self.path)) else { return };
        if (made.st_dev, made.st_ino) == (there.dev(), there.ino()) {
            // Nothing can be done about a failure, and the next start clears what is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn make_folder(folder: &Path, mode: SocketMode) -> io::Result<()> {
    let bits = if mode == SocketMode::AnyUser { 0o711 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(bits).create(folder)
}

fn check_folder(folder: &Path) -> Result<(), UnusableSocket> {
    let unsafe_at = |at: &Path| UnusableSocket::Folder(at.to_owned());
    let io = |source| UnusableSocket::Io { path: folder.to_owned(), source };
    if fs::symlink_metadata(folder).map_err(io)?.is_symlink() {
        return Err(unsafe_at(folder));
    }
    let real = fs::canonicalize(folder).map_err(io)?;
    for (depth, at) in real.ancestors().enumerate() {
        let found = fs::symlink_metadata(at).map_err(io)?;
        // Above the folder itself a group may write: that is how many homes are made.
        let bits = if depth == 0 { WRITABLE_BY_OTHERS | WRITABLE_BY_GROUP } else { WRITABLE_BY_OTHERS };
        let open = found.mode() & bits != 0 && found.mode() & STICKY == 0;
        let ours = found.uid() == 0 || found.uid() == Uid::effective().as_raw();
        if open || !ours {
            return Err(unsafe_at(at));
        }
    }
    Ok(())
}

/// Removes a socket that a dead process of ours left behind; refuses anything else that lies there.
fn clear(path: &Path) -> Result<(), UnusableSocket> {
    let io = |source| UnusableSocket::Io { path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io(e)),
    };
    if !found.file_type().is_socket() {
        return Err(UnusableSocket::NotASocket(path.to_owned()));
    }
    if found.uid() != Uid::effective().as_raw() {
        return Err(UnusableSocket::Foreign(path.to_owned()));
    }
    if is_served(path).map_err(io)? {
        return Err(UnusableSocket::InUse(path.to_owned()));
    }
    fs::remove_file(path).map_err(io)
}

fn is_served(path: &Path) -> io::Result<bool> {
    // Without blocking: a listener with a full queue is alive, too.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    Ok(connect(fd.as_raw_fd(), &UnixAddr::new(path)?) != Err(Errno::ECONNREFUSED))
}

#[cfg(test)]
mod tests;
