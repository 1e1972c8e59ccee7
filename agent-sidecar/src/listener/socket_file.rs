//! The socket's place in the file system: made so that nobody else can be there before, meanwhile, or instead of us.
//!
//! The directory belongs to us and nobody else can write to it; that is what makes the checks below free of races. The
//! permissions of the socket are set between `bind` and `listen`, when nobody can have connected yet.

use crate::config::SocketMode;
use nix::unistd::{Gid, Group, geteuid};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use std::{
    fs::{self, DirBuilder, Metadata, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

/// Connections that the kernel holds until they are accepted: a burst of agents that start together.
const BACKLOG: i32 = 128;

/// A socket that cannot be where it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableSocket {
    /// The path has no directory, or is longer than a socket address holds.
    #[error("{0} is no socket path: it needs a directory, and at most 107 bytes")]
    Path(PathBuf),
    /// The directory is a symbolic link or not a directory.
    #[error("{0} is not a directory, or is a symbolic link")]
    NotADirectory(PathBuf),
    /// The directory belongs to another user.
    #[error("{directory} belongs to uid {owner}, not to the sidecar's")]
    ForeignDirectory {
        /// Which.
        directory: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others could do more in the directory than `socket_mode` means them to.
    #[error("{directory} has mode {mode:04o}, more than {most:04o}")]
    OpenDirectory {
        /// Which.
        directory: PathBuf,
        /// What its permissions are.
        mode: u32,
        /// What they may be.
        most: u32,
    },
    /// Something that is not a socket of ours is there. It is left alone.
    #[error("{0} exists and is not a socket of this user")]
    Occupied(PathBuf),
    /// Somebody answers there.
    #[error("{0} is served by another process")]
    Served(PathBuf),
    /// No such group.
    #[error("there is no group {0}")]
    UnknownGroup(String),
    /// The system said no.
    #[error("cannot {what} {path}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A listening socket's file. Dropping it removes the file, if it is still the one that was made.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    dev_ino: (u64, u64),
}

impl SocketFile {
    /// Makes the directory if there is none, clears away a dead socket of ours, and listens.
    ///
    /// # Errors
    ///
    /// [`UnusableSocket`]; what was there before is left alone.
    pub(crate) fn listen(
        path: &Path,
        mode: SocketMode,
        group: Option<&str>,
    ) -> Result<(Self, UnixListener), UnusableSocket> {
        let group = group.map(gid_of).transpose()?;
        let directory = path.parent().filter(|_| path.file_name().is_some());
        let directory = directory.ok_or_else(|| UnusableSocket::Path(path.to_owned()))?;
        let address = SocketAddrUnix::new(path).map_err(|_| UnusableSocket::Path(path.to_owned()))?;
        prepare_directory(directory, mode, group)?;
        clear(path)?;

        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
                .map_err(|e| system("make a socket for", path)(e.into()))?;
        bind(&socket, &address).map_err(|e| system("bind", path)(e.into()))?;
        let seen = fs::symlink_metadata(path).map_err(system("look at", path))?;
        let file = Self { path: path.to_owned(), dev_ino: (seen.dev(), seen.ino()) };
        file.open_to(socket, mode, group)
    }

    fn open_to(
        self,
        socket: OwnedFd,
        mode: SocketMode,
        group: Option<Gid>,
    ) -> Result<(Self, UnixListener), UnusableSocket> {
        let path = &self.path;
        if let Some(group) = group {
            lchown(path, None, Some(group.as_raw())).map_err(system("give to its group", path))?;
        }
        fs::set_permissions(path, Permissions::from_mode(mode.socket_bits()))
            .map_err(system("set the mode of", path))?;
        listen(&socket, BACKLOG).map_err(|e| system("listen on", path)(e.into()))?;
        Ok((self, UnixListener::from(socket)))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|seen| (seen.dev(), seen.ino()) == self.dev_ino);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket could not be removed");
        }
    }
}

/// Makes the directory, or takes the one that is there; its group, which has to enter it, is the socket's.
fn prepare_directory(directory: &Path, mode: SocketMode, group: Option<Gid>) -> Result<(), UnusableSocket> {
    let most = mode.directory_bits();
    let made = match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => true,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => false,
        Err(e) => return Err(system("make the directory", directory)(e)),
    };
    let seen = fs::symlink_metadata(directory).map_err(system("look at", directory))?;
    check_directory(directory, &seen, most)?;
    if let Some(group) = group.filter(|group| group.as_raw() != seen.gid()) {
        lchown(directory, None, Some(group.as_raw())).map_err(system("give to its group", directory))?;
    }
    if made {
        // Not at its making, where the umask would have its say.
        fs::set_permissions(directory, Permissions::from_mode(most)).map_err(system("set the mode of", directory))?;
    }
    Ok(())
}

fn check_directory(directory: &Path, seen: &Metadata, most: u32) -> Result<(), UnusableSocket> {
    if !seen.is_dir() {
        return Err(UnusableSocket::NotADirectory(directory.to_owned()));
    }
    if seen.uid() != geteuid().as_raw() {
        return Err(UnusableSocket::ForeignDirectory { directory: directory.to_owned(), owner: seen.uid() });
    }
    let mode = seen.mode() & 0o777;
    if mode & !most != 0 {
        return Err(UnusableSocket::OpenDirectory { directory: directory.to_owned(), mode, most });
    }
    Ok(())
}

/// Removes a socket of ours on which nobody listens any more. Anything else that is there is a reason to stop.
fn clear(path: &Path) -> Result<(), UnusableSocket> {
    let seen = match fs::symlink_metadata(path) {
        Ok(seen) => seen,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(system("look at", path)(e)),
    };
    if !seen.file_type().is_socket() || seen.uid() != geteuid().as_raw() {
        return Err(UnusableSocket::Occupied(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(system("remove", path)),
        _ => Err(UnusableSocket::Served(path.to_owned())),
    }
}

fn gid_of(name: &str) -> Result<Gid, UnusableSocket> {
    let found = Group::from_name(name).ok().flatten();
    found.map(|group| group.gid).ok_or_else(|| UnusableSocket::UnknownGroup(name.to_owned()))
}

fn system(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UnusableSocket {
    let path = path.to_owned();
    move |source| UnusableSocket::System { what, path, source }
}

#[cfg(test)]
mod tests;
