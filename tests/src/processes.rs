//! The product's own binaries as separate processes under separate users, the way they are deployed.

use anyhow::{Context, bail, ensure};
use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command as AsyncCommand},
};

/// How long a service may take to become ready. SPIRE needs up to five seconds to hand out a new entry.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Returns the path of one of our binaries, built beside the tests; `None` when it is not there.
pub fn binary(name: &str) -> Option<PathBuf> {
    let tests = std::env::current_exe().ok()?;
    // target/debug/deps/test-1234 -> target/debug/name
    let path = tests.parent()?.parent()?.join(name);
    path.exists().then_some(path)
}

/// A directory that every user can enter, with a directory for each service that only its user can.
#[derive(Debug)]
pub struct Site {
    dir: TempDir,
}

impl Site {
    /// Makes the directory.
    ///
    /// # Errors
    ///
    /// When the temporary directory cannot be written.
    pub fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("crumb-site-").tempdir_in("/tmp")?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self { dir })
    }

    /// Returns a path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a directory that belongs to `uid`, with permissions `mode`.
    ///
    /// # Errors
    ///
    /// When it is there already, or this is not root.
    pub fn own(&self, name: &str, uid: u32, mode: u32) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        chown(&path, Some(uid), Some(uid))?;
        Ok(path)
    }

    /// Writes a file that every user can read.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Copies one of our binaries to where every user can run it, and returns the copy.
    ///
    /// # Errors
    ///
    /// When it is not built.
    pub fn install(&self, name: &str) -> anyhow::Result<PathBuf> {
        let built = binary(name).with_context(|| format!("{name} is not built: cargo build --workspace"))?;
        let path = self.path(name);
        if !path.exists() {
            copy_program(&built, &path)?;
        }
        Ok(path)
    }
}

/// Copies a program to where every user can run it.
///
/// With `cp`, not in this process: a descriptor that is open for writing here would be inherited by whatever another thread
/// starts at that moment, and the kernel runs no program that somebody has open for writing.
///
/// # Errors
///
/// When it cannot be read, or the place cannot be written.
pub fn copy_program(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = Command::new("cp").arg("--").args([from, to]).status()?;
    ensure!(copied.success(), "cp to {} ended with {copied}", to.display());
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o755))?)
}

/// One of our services, running. It ends when this is dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    /// What it said when it was ready.
    pub announced: serde_json::Value,
    log: PathBuf,
}

impl Service {
    /// Starts `name` as user `uid` with a configuration, and waits until it says that it is ready.
    ///
    /// `see_others` gives it `CAP_SYS_PTRACE`, which a sidecar needs to see which program another user's process runs.
    ///
    /// # Errors
    ///
    /// When it ends or is not ready in time; the error holds its log.
    pub async fn start(
        site: &Site,
        name: &str,
        label: &str,
        uid: u32,
        see_others: bool,
        config: &str,
    ) -> anyhow::Result<Self> {
        let program = site.install(name)?;
        let config = site.write(&format!("{label}.toml"), config)?;
        let log = site.path(&format!("{label}.log"));
        let mut command = AsyncCommand::from(as_user(uid, see_others, &program));
        command.arg("--config").arg(&config).arg("--announce").env("CRUMB_LOG", "info");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| label.to_owned())?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut line = String::new();
        let read = tokio::time::timeout(READY_WITHIN, BufReader::new(stdout).read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(n)) if n > 0) {
            bail!("{label} is not ready:\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        let announced = serde_json::from_str(&line).with_context(|| format!("{label} said {line:?}"))?;
        Ok(Self { child, announced, log })
    }

    /// Returns a text field of the announcement.
    pub fn said(&self, field: &str) -> String {
        self.announced[field].as_str().unwrap_or_default().to_owned()
    }

    /// Returns everything that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Says whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// Runs a command to its end as user `uid`.
///
/// # Errors
///
/// When it cannot be started.
pub fn run_as(uid: u32, program: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let output = as_user(uid, false, program).args(arguments).stdin(Stdio::null()).output();
    output.with_context(|| program.display().to_string())
}

/// Runs a command that must succeed, and reads its stdout as JSON.
///
/// # Errors
///
/// When it fails; the error holds what it said.
pub fn json_as(uid: u32, program: &Path, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
    let output = run_as(uid, program, arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{arguments:?} ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{arguments:?} wrote {:?}", String::from_utf8_lossy(&output.stdout)))
}

fn as_user(uid: u32, see_others: bool, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
    if see_others {
        command.args(["--inh-caps=+sys_ptrace", "--ambient-caps=+sys_ptrace"]);
    }
    command.arg(program);
    command
}
