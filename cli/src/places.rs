//! Where `crumb dev` keeps its sockets, so that every other command finds them without a flag.

use anyhow::{Context, bail};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// The files of one development stack, under one directory that only its owner can enter.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
}

impl Places {
    /// The usual place: `crumb-dev` under `XDG_RUNTIME_DIR`, or under the temporary directory with the user's number.
    pub(crate) fn usual() -> Self {
        let uid = nix::unistd::getuid().as_raw();
        let root = runtime_dir()
            .map_or_else(|| std::env::temp_dir().join(format!("crumb-dev-{uid}")), |d| d.join("crumb-dev"));
        Self { root }
    }

    /// A place of its own, for a demo.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the directory, readable by its owner alone.
    ///
    /// Refuses one that somebody else made: on a shared temporary directory that would be theirs to read.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(&self.root) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).with_context(|| self.root.display().to_string()),
        }
        let found = fs::symlink_metadata(&self.root).with_context(|| self.root.display().to_string())?;
        let ours = found.is_dir() && found.uid() == nix::unistd::getuid().as_raw() && found.mode() & 0o077 == 0;
        if !ours {
            bail!("{} is not a directory that only you can enter; remove it", self.root.display());
        }
        for dir in [self.registry(), self.broker_data()] {
            fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        }
        Ok(())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn workload_api(&self) -> PathBuf {
        self.root.join("workload").join("api.sock")
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }

    pub(crate) fn broker_data(&self) -> PathBuf {
        self.root.join("broker")
    }

    /// The broker's admin socket.
    pub fn admin_socket(&self) -> PathBuf {
        self.root.join("admin").join("admin.sock")
    }

    /// The sidecar's socket.
    pub fn sidecar_socket(&self) -> PathBuf {
        self.root.join("sidecar").join("agent.sock")
    }

    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.toml"))
    }
}

fn runtime_dir() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|d| d.is_absolute() && d.is_dir())
}
