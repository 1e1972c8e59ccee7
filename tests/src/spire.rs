//! A real SPIRE server and agent on this machine, with entries by Unix user.
//!
//! The binaries are installed by `scripts/install-spire`, which `./test` runs; where they are absent the tests that need
//! them say so by name and pass.

use anyhow::{Context, bail};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// How fast identities turn over.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// `ca_ttl` of the server.
    pub ca: &'static str,
    /// `default_x509_svid_ttl` of the server.
    pub svid: &'static str,
}

impl Lifetimes {
    /// What SPIRE's own rotation suite uses: 10 s SVIDs under a CA of one minute.
    pub const FAST: Self = Self { ca: "1m", svid: "10s" };
    /// Long enough that nothing rotates during a test.
    pub const CALM: Self = Self { ca: "1h", svid: "5m" };
}

/// Returns the folder of the SPIRE binaries: `CRUMB_SPIRE`, or where `scripts/install-spire` puts them.
pub fn binaries() -> Option<PathBuf> {
    let cache = || {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        home.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")))
    };
    let dir =
        std::env::var_os("CRUMB_SPIRE").map(PathBuf::from).or_else(|| Some(cache()?.join("crumb/spire-1.15.3")))?;
    (dir.join("spire-server").exists() && dir.join("spire-agent").exists()).then_some(dir)
}

/// A SPIRE server and one agent. Both end when this is dropped.
#[derive(Debug)]
pub struct Spire {
    binaries: PathBuf,
    dir: TempDir,
    trust_domain: String,
    server: Child,
    agent: Option<Child>,
}

impl Spire {
    /// Starts a server for `trust_domain` and an agent that joined it.
    ///
    /// # Errors
    ///
    /// When one of them does not become healthy within 30 seconds; the error holds its log.
    pub async fn start(trust_domain: &str, lifetimes: Lifetimes) -> anyhow::Result<Self> {
        let binaries = binaries().context("SPIRE is not installed")?;
        let dir = tempfile::Builder::new().prefix("crumb-spire-").tempdir_in("/tmp")?;
        // Every workload user has to reach the agent's socket.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        for part in ["server", "agent"] {
            fs::create_dir(dir.path().join(part))?;
        }
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        fs::write(dir.path().join("server.conf"), server_config(dir.path(), trust_domain, port, lifetimes))?;
        fs::write(dir.path().join("agent.conf"), agent_config(dir.path(), trust_domain, port))?;
        let config = dir.path().join("server.conf");
        let server = daemon(
            &binaries.join("spire-server"),
            &["run", "-config", &text(&config)],
            &dir.path().join("server.log"),
        )?;
        let mut spire = Self { binaries, dir, trust_domain: trust_domain.to_owned(), server, agent: None };
        spire.until_healthy("spire-server", &["healthcheck", "-socketPath"], "server").await?;
        spire.start_agent()?;
        spire.until_healthy("spire-agent", &["healthcheck", "-socketPath"], "agent").await?;
        Ok(spire)
    }

    fn start_agent(&mut self) -> anyhow::Result<()> {
        let bundle = self.server_command(&["bundle", "show"])?;
        fs::write(self.dir.path().join("bootstrap.crt"), bundle)?;
        let node = format!("spiffe://{}/node", self.trust_domain);
        let token = self.server_command(&["token", "generate", "-spiffeID", &node])?;
        let token = String::from_utf8(token)?;
        let token = token.split_whitespace().last().context("no join token")?;
        let config = text(&self.dir.path().join("agent.conf"));
        let arguments = ["run", "-config", &config, "-joinToken", token];
        self.agent = Some(daemon(&self.binaries.join("spire-agent"), &arguments, &self.dir.path().join("agent.log"))?);
        Ok(())
    }

    /// Registers the workload `path` for processes of user `uid`, and returns the entry's id.
    ///
    /// # Errors
    ///
    /// When the server refuses the entry.
    pub fn register(&self, path: &str, uid: u32) -> anyhow::Result<String> {
        let parent = format!("spiffe://{}/node", self.trust_domain);
        let (id, selector) = (self.id(path), format!("unix:uid:{uid}"));
        let arguments =
            ["entry", "create", "-parentID", &parent, "-spiffeID", &id, "-selector", &selector, "-output", "json"];
        let answer: serde_json::Value = serde_json::from_slice(&self.server_command(&arguments)?)?;
        let entry = &answer["results"][0]["entry"]["id"];
        Ok(entry.as_str().with_context(|| format!("no entry id in {answer}"))?.to_owned())
    }

    /// Deletes an entry.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn unregister(&self, entry: &str) -> anyhow::Result<()> {
        self.server_command(&["entry", "delete", "-entryID", entry]).map(drop)
    }

    /// Returns the SPIFFE ID of the workload `path`.
    pub fn id(&self, path: &str) -> String {
        format!("spiffe://{}/{path}", self.trust_domain)
    }

    /// Returns the Workload API's address.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.dir.path().join("agent/api.sock").display())
    }

    fn server_command(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let socket = text(&self.dir.path().join("server/api.sock"));
        let output =
            Command::new(self.binaries.join("spire-server")).args(arguments).args(["-socketPath", &socket]).output()?;
        if !output.status.success() {
            bail!("spire-server {arguments:?}: {}", said(&output));
        }
        Ok(output.stdout)
    }

    async fn until_healthy(&self, program: &str, arguments: &[&str], part: &str) -> anyhow::Result<()> {
        let socket = text(&self.dir.path().join(part).join("api.sock"));
        let healthy = async {
            loop {
                let asked = Command::new(self.binaries.join(program)).args(arguments).arg(&socket).output();
                if asked.is_ok_and(|o| o.status.success()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), healthy).await.is_err() {
            let log = fs::read_to_string(self.dir.path().join(format!("{part}.log"))).unwrap_or_default();
            bail!("{program} is not healthy:\n{log}");
        }
        Ok(())
    }
}

impl Drop for Spire {
    fn drop(&mut self) {
        for child in self.agent.iter_mut().chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn daemon(program: &Path, arguments: &[&str], log: &Path) -> anyhow::Result<Child> {
    let log = fs::File::create(log)?;
    let (out, err) = (Stdio::from(log.try_clone()?), Stdio::from(log));
    let child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(out).stderr(err).spawn();
    child.with_context(|| program.display().to_string())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn server_config(dir: &Path, trust_domain: &str, port: u16, lifetimes: Lifetimes) -> String {
    let dir = dir.display();
    let Lifetimes { ca, svid } = lifetimes;
    format!(
        r#"server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  trust_domain = "{trust_domain}"
  socket_path = "{dir}/server/api.sock"
  data_dir = "{dir}/server"
  log_level = "WARN"
  ca_ttl = "{ca}"
  default_x509_svid_ttl = "{svid}"
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "sqlite3"
      connection_string = "{dir}/server/datastore.sqlite3"
    }}
  }}
  KeyManager "memory" {{
    plugin_data {{}}
  }}
  NodeAttestor "join_token" {{
    plugin_data {{}}
  }}
}}
"#
    )
}

fn agent_config(dir: &Path, trust_domain: &str, port: u16) -> String {
    let dir = dir.display();
    format!(
        r#"agent {{
  server_address = "127.0.0.1"
  server_port = "{port}"
  trust_domain = "{trust_domain}"
  data_dir = "{dir}/agent"
  socket_path = "{dir}/agent/api.sock"
  trust_bundle_path = "{dir}/bootstrap.crt"
  log_level = "WARN"
}}
plugins {{
  KeyManager "memory" {{
    plugin_data {{}}
  }}
  NodeAttestor "join_token" {{
    plugin_data {{}}
  }}
  WorkloadAttestor "unix" {{
    plugin_data {{}}
  }}
}}
"#
    )
}
