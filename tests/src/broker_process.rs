//! The broker as a program of its own, beside the real development provider, so that it can be killed and starved.
//!
//! The provider attests: the broker is known by its executable, this process by its number. So this process is one
//! workload, an agent.

use crate::processes::{binary, copy_program};
use crumb_dev_identity::{DevWorkloadApi, Entry, Selector, Settings};
use crumb_identity::{Channel, SystemClock, Workload};
use crumb_proto::wire::{
    ExchangeRequest, ExchangeResponse, session_service_client::SessionServiceClient,
    token_service_client::TokenServiceClient,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};
use tonic::Status;

/// More than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The identities of the test.
const BROKER: &str = "spiffe://dev.crumb.invalid/broker";

/// A place where a broker can be started again and again.
#[derive(Debug)]
pub struct Site {
    api: DevWorkloadApi,
    /// This process's identity: the agent `research-bot`.
    pub agent: Workload,
    program: PathBuf,
    directory: TempDir,
    data: PathBuf,
}

impl Site {
    /// Sets it up; `None` when the program is not built. `data` is the data directory, when not one of its own.
    ///
    /// # Panics
    ///
    /// When the provider or the agent's identity does not come up.
    pub async fn start(data: Option<PathBuf>) -> Option<Self> {
        let built = binary("crumb-broker")?;
        let directory = tempfile::tempdir().expect("a directory");
        // A copy, so that a build that replaces the program meanwhile does not change who it is.
        let program = directory.path().join("crumb-broker");
        copy_program(&built, &program).expect("it can be copied");
        let settings = Settings::new(Arc::new(SystemClock::new()));
        let api = DevWorkloadApi::start(directory.path().join("api").join("api.sock"), settings).await;
        let api = api.expect("the provider starts");
        let own = i32::try_from(std::process::id()).expect("a process number");
        for (id, selector) in [
            (BROKER, Selector::Path(program.clone())),
            ("spiffe://dev.crumb.invalid/agent/research-bot", Selector::Pid(own)),
        ] {
            let spiffe_id = id.parse().expect("canonical");
            api.entries().add(Entry { spiffe_id, selectors: vec![selector], hint: None }).expect("an entry");
        }
        let registry = directory.path().join("registry");
        fs::create_dir(&registry).expect("a directory of our own");
        let manifests = crate::broker::MANIFESTS.replace("//a.test/", "//dev.crumb.invalid/");
        fs::write(registry.join("all.yaml"), manifests).expect("a file of our own");
        let endpoint = api.endpoint().parse().expect("an endpoint");
        let agent = Workload::connect(&endpoint, PATIENCE).await.expect("an identity");
        let data = data.unwrap_or_else(|| directory.path().join("data"));
        Some(Self { api, agent, program, directory, data })
    }

    /// Starts the broker and waits until it serves.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn broker(&self) -> Running {
        let config = self.directory.path().join("broker.toml");
        let socket = self.directory.path().join("admin").join("admin.sock");
        let text = format!(
            "listen = \"127.0.0.1:0\"\nadmin_socket = \"{}\"\ndata_dir = \"{}\"\nregistry_dir = \"{}\"\nworkload_api = \"{}\"\n",
            socket.display(),
            self.data.display(),
            self.directory.path().join("registry").display(),
            self.api.endpoint(),
        );
        fs::write(&config, text).expect("a file of our own");
        let log = fs::File::create(self.directory.path().join("broker.log")).expect("a file of our own");
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&config).arg("--announce").env("CRUMB_LOG", "info");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().expect("it can be started");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        timeout(PATIENCE, stdout.read_line(&mut line)).await.expect("it is ready in time").expect("text");
        assert!(!line.is_empty(), "it did not start:\n{}", self.log());
        let said: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((said["ready"].as_str(), said["spiffe_id"].as_str()), (Some("broker"), Some(BROKER)));
        let address = said["addr"].as_str().expect("an address");
        let channel = crumb_identity::channel(&self.agent, address, BROKER.parse().expect("canonical"));
        Running { child, channel, admin: said["admin_socket"].as_str().expect("a path").into() }
    }

    /// Returns what the last broker has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("broker.log")).unwrap_or_default()
    }

    /// Returns where the store is.
    pub fn data(&self) -> &Path {
        &self.data
    }
}

/// A broker that runs as a process. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub child: Child,
    /// The agent's way to it.
    pub channel: Channel,
    /// Its admin socket.
    pub admin: PathBuf,
}

impl Running {
    /// Opens the session of [`crate::broker::opening`].
    ///
    /// # Errors
    ///
    /// What the broker says.
    pub async fn session(&self) -> Result<String, Status> {
        let mut request = crate::broker::opening();
        request.envelope[0].audience = files();
        let opened = SessionServiceClient::new(self.channel.clone()).open_session(request).await?;
        Ok(opened.into_inner().session_id)
    }

    /// Exchanges.
    ///
    /// # Errors
    ///
    /// What the broker says.
    pub async fn exchange(&self, request: ExchangeRequest) -> Result<ExchangeResponse, Status> {
        TokenServiceClient::new(self.channel.clone()).exchange(request).await.map(tonic::Response::into_inner)
    }

    /// Ends it as the kernel does when there is no time, and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub async fn kill(mut self) {
        self.child.start_kill().expect("it runs");
        timeout(PATIENCE, self.child.wait()).await.expect("it is gone in time").expect("it can be waited for");
    }
}

/// A good request for a token in `session`.
pub fn exchange(session: &str) -> ExchangeRequest {
    let mut request = crate::broker::exchange(session);
    if let Some(scope) = &mut request.scope {
        scope.audience = files();
    }
    request
}

fn files() -> String {
    crate::broker::FILES.replace("//a.test/", "//dev.crumb.invalid/")
}
