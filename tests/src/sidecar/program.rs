//! The sidecar's program, running.

use super::stage::{BROKER_ID, PROGRAM, Stage};
use crate::processes::Site;
use crumb_sdk::sidecar::SidecarClient;
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a sidecar may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a sidecar is told about the world.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Where its program and its files are.
    pub site: &'a Site,
    /// Its Workload API, such as `unix:///…`.
    pub workload_api: &'a str,
    /// The broker's `host:port`.
    pub broker_address: &'a str,
    /// The broker's SPIFFE ID.
    pub broker_id: &'a str,
}

/// How a sidecar is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Lines of its configuration, besides the socket, the Workload API and the broker.
    pub config: String,
    /// What it logs.
    pub log: &'static str,
    /// As which user; `None` for the test's own.
    pub uid: Option<u32>,
    /// Its limit of open files; `None` for the test's own.
    pub open_files: Option<u32>,
}

impl Default for Launch {
    fn default() -> Self {
        Self { config: String::new(), log: "info", uid: None, open_files: None }
    }
}

/// A running sidecar. Killed when dropped.
#[derive(Debug)]
pub struct Sidecar {
    child: Child,
    /// Where agents connect.
    pub socket: PathBuf,
    /// The line that it announced itself with.
    pub announced: serde_json::Value,
    log: PathBuf,
}

impl Launch {
    /// Starts the sidecar on a stage and waits until it announces itself.
    ///
    /// # Errors
    ///
    /// Its log, when it ended instead.
    ///
    /// # Panics
    ///
    /// When its files cannot be written, or it does neither in time.
    pub async fn start(self, stage: &Stage) -> Result<Sidecar, String> {
        let (workload_api, broker_address) = (stage.api.endpoint(), stage.broker.address());
        let (workload_api, broker_address) = (workload_api.as_str(), broker_address.as_str());
        self.start_in(World { site: &stage.site, workload_api, broker_address, broker_id: BROKER_ID }).await
    }

    /// Starts the sidecar in another world than a stage.
    ///
    /// # Errors
    ///
    /// Its log, when it ended instead.
    ///
    /// # Panics
    ///
    /// When its program is not built, its files cannot be written, or it does not start in time.
    pub async fn start_in(self, world: World<'_>) -> Result<Sidecar, String> {
        let site = world.site;
        let home = site.path("sidecar");
        if !home.exists() {
            fs::create_dir(&home).expect("a directory");
            let mode = if self.config.contains("0666") { 0o755 } else { 0o700 };
            fs::set_permissions(&home, Permissions::from_mode(mode)).expect("it is ours");
            chown(&home, self.uid, self.uid).expect("only root changes owners, and only root asks for it");
        }
        let socket = home.join("s.sock");
        let config = site.path("sidecar.toml");
        fs::write(&config, self.toml(world, &socket)).expect("a file");
        let log = site.path("sidecar.log");
        let mut child = self
            .command(&site.install(PROGRAM).expect("it is built"))
            .arg("--config")
            .arg(&config)
            .arg("--announce")
            .env("CRUMB_LOG", self.log)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a file"))
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be started");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was piped");
        let read = timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line)).await.expect("it starts or ends");
        let said = fs::read_to_string(&log).unwrap_or_default();
        if !matches!(read, Ok(n) if n > 0) {
            return Err(said);
        }
        let announced = serde_json::from_str(&line).expect("a line of JSON");
        Ok(Sidecar { child, socket, announced, log })
    }

    fn toml(&self, world: World<'_>, socket: &Path) -> String {
        let World { workload_api, broker_address, broker_id, .. } = world;
        let top = format!("socket = {socket:?}\nworkload_api = {workload_api:?}\n{}", self.config);
        format!("{top}\n[broker]\naddress = {broker_address:?}\nspiffe_id = {broker_id:?}\n")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        let limit = self.open_files.map(|n| format!("ulimit -n {n}; ")).unwrap_or_default();
        command.arg("-c").arg(format!("{limit}exec \"$@\"")).arg("sh").arg(program);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }
}

impl Sidecar {
    /// Returns a client of it, as the test's own process, over a connection of its own.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn client(&self) -> SidecarClient {
        SidecarClient::at(&self.socket).expect("an absolute path")
    }

    /// Returns its process id.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Returns everything that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns how many descriptors it has open; `None` when we may not know.
    pub fn descriptors(&self) -> Option<usize> {
        Some(fs::read_dir(self.proc("fd")).ok()?.count())
    }

    /// Returns the path of a file about its process.
    pub fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid()))
    }

    /// Asks it to end, and waits until it has; says whether it ended well.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub async fn stop(&mut self) -> bool {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid()).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it is ours");
        timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").is_ok_and(|status| status.success())
    }
}
