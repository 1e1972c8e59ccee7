//! The admin socket: a Unix socket for the broker's own user, and root.
//!
//! Three things keep others out: the directory, the mode of the socket, and the kernel's word on who connects. The last one
//! is asked for each connection, so a directory that somebody opened up does not open the broker.

use futures::{Stream, stream};
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::{UnixListener, UnixStream};

/// How long to wait after an accept that failed; the usual cause is too many open files, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableSocket {
    /// It, or its directory, cannot be made.
    #[error("the admin socket {} cannot be made", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could put a socket of their own in its place.
    #[error("the directory of the admin socket {} can be written to by others", .0.display())]
    OpenDirectory(PathBuf),
    /// Something is served there already.
    #[error("the admin socket {} is in use", .0.display())]
    InUse(PathBuf),
}

/// The socket while it is served. Its file goes when this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Makes the socket, in place of one that a broker left behind.
    ///
    /// # Errors
    ///
    /// [`UnusableSocket`].
    pub fn bind(path: &Path) -> Result<Self, UnusableSocket> {
        let failed = |source| UnusableSocket::Io { path: path.to_owned(), source };
        let directory = path.parent().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        if fs::metadata(directory).map_err(failed)?.mode() & 0o022 != 0 {
            return Err(UnusableSocket::OpenDirectory(path.to_owned()));
        }
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Returns the connections of those who may connect; others are closed at once.
    pub fn incoming(self) -> impl Stream<Item = io::Result<UnixStream>> + Send {
        stream::unfold(self, |socket| async {
            loop {
                match socket.listener.accept().await {
                    Ok((connection, _)) if is_operator(&connection) => return Some((Ok(connection), socket)),
                    Ok(_) => tracing::warn!("somebody else's process connected to the admin socket"),
                    Err(error) => {
                        tracing::warn!(%error, "the admin socket could not accept");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Says whether the kernel says that our own user, or root, is at the other end.
fn is_operator(connection: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    connection.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

fn remove_stale(path: &Path) -> Result<(), UnusableSocket> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let served = std::os::unix::net::UnixStream::connect(path).is_ok();
    if served || !found.file_type().is_socket() {
        return Err(UnusableSocket::InUse(path.to_owned()));
    }
    fs::remove_file(path).map_err(|source| UnusableSocket::Io { path: path.to_owned(), source })
}
