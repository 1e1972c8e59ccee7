//! The development stack: a Workload API in this process, and broker, sidecar and tool servers as child processes, all on
//! loopback.
//!
//! Each child gets its identity the way it would from SPIRE: it opens the Workload API's socket, and the kernel says which
//! process that is. Here the entry names the exact process, since all of them are the same program under the same user.

pub mod manifests;
mod setting;

pub use setting::Setting;

use crate::{places::Places, serve::Announcement};
use anyhow::{Context, bail};
use crumb_dev_identity::{DEV_TRUST_DOMAIN, DevWorkloadApi, Entry, Selector, Settings};
use crumb_identity::SystemClock;
use crumb_token::SpiffeId;
use std::{fs::File, net::SocketAddr, path::PathBuf, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a service may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// The sample tool server of the demo: its name, and the last part of its SPIFFE ID.
pub const FILES: &str = "files";
/// Another sample tool server, which the demo's tokens are not for.
pub const ARCHIVE: &str = "archive";

/// A running development stack. Dropping it ends every child.
#[derive(Debug)]
pub struct Stack {
    places: Places,
    program: PathBuf,
    workload_api: DevWorkloadApi,
    children: Vec<(String, Child)>,
    broker: Option<SocketAddr>,
    files: Option<SocketAddr>,
    archive: Option<SocketAddr>,
}

/// Returns `spiffe://<development trust domain>/<path>`, unchecked.
pub fn dev_id_text(path: &str) -> String {
    format!("spiffe://{DEV_TRUST_DOMAIN}/{path}")
}

/// Returns the SPIFFE ID of one of the stack's own workloads.
pub fn dev_id(path: &str) -> SpiffeId {
    dev_id_text(path).parse().expect("the stack's own paths are canonical")
}

impl Stack {
    /// Starts everything and waits until all of it is ready. `program` is `crumb` itself, which runs each service.
    ///
    /// # Errors
    ///
    /// When one service does not become ready; the error says where its log is, and shows the end of it.
    pub async fn start(places: Places, program: PathBuf) -> anyhow::Result<Self> {
        Self::start_in(places, program, &Setting::default()).await
    }

    /// Starts everything in another setting than the usual.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_in(places: Places, program: PathBuf, setting: &Setting) -> anyhow::Result<Self> {
        places.make()?;
        let settings = Settings::new(Arc::new(SystemClock::new()));
        let workload_api =
            DevWorkloadApi::start(places.workload_api(), settings).await.context("development identity")?;
        let mut stack =
            Self { places, program, workload_api, children: Vec::new(), broker: None, files: None, archive: None };
        // The tool servers' ports are written into the registry, so the kernel picks them before anything starts.
        let (files, archive) = (free_port()?, free_port()?);
        manifests::write(&stack.places, files, archive, setting)?;

        let broker = stack.start_service("broker", "broker", &manifests::broker_config(&stack.places, setting)).await?;
        let broker = broker.addr.context("the broker announced no address")?;
        stack.broker = Some(broker);
        let [tool_files, tool_archive] = [(FILES, files, None), (ARCHIVE, archive, setting.archive_in.as_ref())]
            .map(|(name, addr, place)| (name, manifests::tool_server_config(&stack.places, name, addr, broker, place)));
        let files = stack.start_service("tool-server", tool_files.0, &tool_files.1).await?;
        let archive = stack.start_service("tool-server", tool_archive.0, &tool_archive.1).await?;
        (stack.files, stack.archive) = (files.addr, archive.addr);
        let sidecar = manifests::sidecar_config(&stack.places, broker);
        stack.start_service("sidecar", "sidecar", &sidecar).await?;
        Ok(stack)
    }

    /// Starts one service as a child, tells the Workload API which process it is, and waits until it is ready.
    async fn start_service(&mut self, kind: &str, name: &str, config: &str) -> anyhow::Result<Announcement> {
        let config_path = self.places.config(name);
        std::fs::write(&config_path, config).with_context(|| config_path.display().to_string())?;
        let log_path = self.places.root().join(format!("{name}.log"));
        let log = File::create(&log_path).with_context(|| log_path.display().to_string())?;
        let path = if kind == "tool-server" { format!("tool/{name}") } else { name.to_owned() };
        let mut child = self
            .spawn(&["serve", kind, "--config", &config_path.to_string_lossy()], &dev_id(&path), Stdio::from(log))
            .await?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut line = String::new();
        let read = timeout(READY_WITHIN, BufReader::new(stdout).read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(n)) if n > 0) {
            bail!("{name} did not start; its log is {}\n{}", log_path.display(), tail(&log_path));
        }
        self.children.push((name.to_owned(), child));
        serde_json::from_str(&line).with_context(|| format!("{name} announced {line:?}"))
    }

    /// Starts this program again with `args`, as the workload `id`.
    ///
    /// # Errors
    ///
    /// When the kernel or the Workload API refuses.
    pub async fn spawn(&self, args: &[&str], id: &SpiffeId, stderr: Stdio) -> anyhow::Result<Child> {
        let mut child = Command::new(&self.program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a service")?;
        let pid = child.id().and_then(|p| i32::try_from(p).ok()).context("the service ended at once")?;
        self.know(pid, id)?;
        let stdin = child.stdin.as_mut().context("no stdin")?;
        stdin.write_all(b"go\n").await.context("the service does not listen")?;
        Ok(child)
    }

    /// Lets the process `pid` be the workload `id`.
    ///
    /// # Errors
    ///
    /// When the Workload API refuses the entry.
    pub fn know(&self, pid: i32, id: &SpiffeId) -> anyhow::Result<()> {
        let entry = Entry { spiffe_id: id.clone(), selectors: vec![Selector::Pid(pid)], hint: None };
        self.workload_api.entries().add(entry).context("development entry")
    }

    /// The Workload API's address, as `SPIFFE_ENDPOINT_SOCKET` has it.
    pub fn endpoint(&self) -> String {
        self.workload_api.endpoint()
    }

    /// What must be said before anybody relies on this.
    pub fn banner(&self) -> String {
        self.workload_api.banner()
    }

    /// The broker's address.
    pub fn broker(&self) -> String {
        self.broker.map(|a| a.to_string()).unwrap_or_default()
    }

    /// The address of the tool server `files`.
    pub fn files(&self) -> String {
        self.files.map(|a| a.to_string()).unwrap_or_default()
    }

    /// The address of the tool server `archive`.
    pub fn archive(&self) -> String {
        self.archive.map(|a| a.to_string()).unwrap_or_default()
    }

    /// Where its sockets and logs are.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The process ids of the services, by name.
    pub fn pids(&self) -> Vec<(String, u32)> {
        self.children.iter().filter_map(|(name, child)| Some((name.clone(), child.id()?))).collect()
    }

    /// Ends the children, each by the end of its stdin, and then the Workload API.
    pub async fn stop(mut self) {
        for (_, child) in &mut self.children {
            drop(child.stdin.take());
        }
        for (_, mut child) in self.children.drain(..) {
            if timeout(Duration::from_secs(5), child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
        self.workload_api.shutdown().await;
    }

    /// Returns when a child has ended by itself, with its name and status: the stack is then of no use.
    pub async fn broken(&mut self) -> String {
        loop {
            for (name, child) in &mut self.children {
                if let Ok(Some(status)) = child.try_wait() {
                    return format!("{name} ended: {status}; logs are in {}", self.places.root().display());
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no free port on loopback")?;
    listener.local_addr().context("no free port on loopback")
}

fn tail(path: &std::path::Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
