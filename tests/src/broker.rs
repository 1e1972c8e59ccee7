//! A real broker in this process, on loopback, with workloads that talk to it over mTLS.
//!
//! Each workload, the broker included, has a Workload API of its own ([`Member`]), because one process can be only one
//! workload for an API that attests its callers. The broker as a separate process, beside the real development provider,
//! is in [`crate::broker_process`].

use crate::{
    certificates::{Authority, Chain},
    member::{Member, id, root, svid},
};
use crumb_broker::{Config, Ready, RunError, run};
use crumb_proto::{
    from_status, wire,
    wire::{
        AuditRecord, ExchangeRequest, ExchangeResponse, Grant, OpenSessionRequest, Origin, Scope, TailRequest,
        approval_service_client::ApprovalServiceClient, audit_service_client::AuditServiceClient,
        feed_service_client::FeedServiceClient, origin::Kind, registry_service_client::RegistryServiceClient,
        revocation_service_client::RevocationServiceClient, session_service_client::SessionServiceClient,
        token_service_client::TokenServiceClient,
    },
};
use crumb_token::{Denial, RequestId};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::UnixStream, sync::oneshot, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Uri},
};
use uuid::Uuid;

/// More than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The audience of the tool server `files`.
pub const FILES: &str = "spiffe://a.test/tool/files";
/// The audience of the tool server `mail`.
pub const MAIL: &str = "https://mail.a.test/mcp";
/// The agent that most tests are about; its identity is `/agent/research-bot`.
pub const AGENT: &str = "research-bot";
/// Where that agent's identity is.
pub const AGENT_PATH: &str = "/agent/research-bot";

/// Two tool servers and a few agents: one plain, one on a shared host, one whose registration has ended, one that wants
/// short tokens.
pub const MANIFESTS: &str = include_str!("broker/manifests.yaml");

/// What the tests of governance add: an agent that may do harm, one to delegate to, a group, and a policy.
pub const GOVERNED: &str = include_str!("broker/governed.yaml");

/// What a broker is started with.
#[derive(Debug)]
pub struct Setup {
    /// Files of the registry directory.
    pub manifests: Vec<(String, String)>,
    /// More lines of the configuration.
    pub config: String,
    /// Another data directory than one of its own.
    pub data_dir: Option<PathBuf>,
}

impl Setup {
    /// The usual registry and what governance adds to it.
    pub fn governed() -> Self {
        let mut setup = Self::default();
        setup.manifests.push(("governed.yaml".into(), GOVERNED.into()));
        setup
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self { manifests: vec![("all.yaml".into(), MANIFESTS.into())], config: String::new(), data_dir: None }
    }
}

/// A broker that serves.
#[derive(Debug)]
pub struct TestBroker {
    /// Issues the SVIDs of the trust domain.
    pub root: Authority,
    /// The broker's own workload.
    pub member: Member,
    /// Where it serves.
    pub ready: Ready,
    config: Config,
    directory: TempDir,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl TestBroker {
    /// Starts a broker with [`MANIFESTS`].
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// Starts a broker that must not start, and says why it did not.
    ///
    /// # Panics
    ///
    /// When it serves.
    pub async fn why_not(setup: Setup) -> RunError {
        let root = root("the broker's test");
        let member = Member::start(&svid(&root, "/broker"), &[&root]).await;
        let directory = tempfile::tempdir().expect("a directory");
        let config = configure(directory.path(), &member, &setup);
        let (ready, _is_ready) = oneshot::channel();
        let ran = time::timeout(PATIENCE, run(config, CancellationToken::new(), ready)).await;
        ran.expect("it ends in time").expect_err("it does not start")
    }

    /// Starts a broker.
    ///
    /// # Panics
    ///
    /// When it does not serve in time.
    pub async fn start_with(setup: Setup) -> Self {
        let root = root("the broker's test");
        let member = Member::start(&svid(&root, "/broker"), &[&root]).await;
        let directory = tempfile::tempdir().expect("a directory");
        let config = configure(directory.path(), &member, &setup);
        let (ready, shutdown, task) = launch(config.clone()).await;
        Self { root, member, ready, config, directory, shutdown, task }
    }

    /// Stops it as a signal would, and starts it again on the same data.
    ///
    /// # Panics
    ///
    /// When it does not stop or start in time.
    pub async fn restart(mut self) -> Self {
        self.shutdown.cancel();
        let ended = time::timeout(PATIENCE, &mut self.task).await.expect("it stops in time");
        ended.expect("no panic").expect("a clean end");
        (self.ready, self.shutdown, self.task) = launch(self.config.clone()).await;
        self
    }

    /// Stops it, and returns how it ended.
    ///
    /// # Errors
    ///
    /// How the broker ended, when not in good order.
    ///
    /// # Panics
    ///
    /// When it does not stop in time.
    pub async fn stop(self) -> Result<(), RunError> {
        self.shutdown.cancel();
        time::timeout(PATIENCE, self.task).await.expect("it stops in time").expect("no panic")
    }

    /// Returns a path in a directory that lives as long as this.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a workload of the trust domain that talks to the broker.
    pub async fn client(&self, path: &str) -> Client {
        self.client_with(&svid(&self.root, path)).await
    }

    /// Makes a workload with this SVID.
    pub async fn client_with(&self, svid: &Chain) -> Client {
        let member = Member::start(svid, &[&self.root]).await;
        let channel = crumb_identity::channel(&member.workload, self.ready.addr.to_string(), id("/broker"));
        Client { member, channel }
    }

    /// Lets a workload talk to this broker, as after a restart.
    pub fn client_of(&self, client: Client) -> Client {
        let member = client.member;
        let channel = crumb_identity::channel(&member.workload, self.ready.addr.to_string(), id("/broker"));
        Client { member, channel }
    }

    /// Returns a client that revokes, as an operator.
    pub fn operator(&self) -> RevocationServiceClient<Channel> {
        RevocationServiceClient::new(self.admin())
    }

    /// Returns a channel to the admin socket.
    pub fn admin(&self) -> Channel {
        admin_channel(&self.ready.admin_socket)
    }

    /// Reads the whole trail on the admin socket.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    pub async fn trail(&self) -> Vec<AuditRecord> {
        trail(self.admin(), TailRequest::default()).await
    }
}

/// Returns a channel to an admin socket.
pub fn admin_channel(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    Endpoint::from_static("http://admin").connect_with_connector_lazy(connector)
}

/// Reads records to the end.
///
/// # Panics
///
/// When they cannot be read.
pub async fn trail(admin: Channel, request: TailRequest) -> Vec<AuditRecord> {
    let mut stream = AuditServiceClient::new(admin).tail(request).await.expect("a trail").into_inner();
    let mut records = Vec::new();
    while let Some(record) = stream.message().await.expect("a record") {
        records.push(record);
    }
    records
}

fn configure(directory: &Path, member: &Member, setup: &Setup) -> Config {
    let registry = directory.join("registry");
    fs::create_dir(&registry).expect("a directory of our own");
    for (name, text) in &setup.manifests {
        fs::write(registry.join(name), text).expect("a file of our own");
    }
    let data_dir = setup.data_dir.clone().unwrap_or_else(|| directory.join("data"));
    let admin_socket = match setup.config.contains("admin_socket") {
        true => String::new(),
        false => format!("admin_socket = \"{}\"\n", directory.join("admin").join("admin.sock").display()),
    };
    let text = format!(
        "{admin_socket}listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\nregistry_dir = \"{}\"\nworkload_api = \"{}\"\n{}",
        data_dir.display(),
        registry.display(),
        member.api.endpoint(),
        setup.config,
    );
    Config::from_toml(&text).expect("a good configuration")
}

async fn launch(config: Config) -> (Ready, CancellationToken, JoinHandle<Result<(), RunError>>) {
    let shutdown = CancellationToken::new();
    let (ready, is_ready) = oneshot::channel();
    let mut task = tokio::spawn(run(config, shutdown.clone(), ready));
    let ready = tokio::select! {
        ready = is_ready => ready,
        ended = &mut task => panic!("the broker did not start: {ended:?}"),
        () = time::sleep(PATIENCE) => panic!("the broker is not ready in time"),
    };
    (ready.expect("it says so before it ends"), shutdown, task)
}

/// A workload that talks to the broker.
#[derive(Debug)]
pub struct Client {
    /// Its identity.
    pub member: Member,
    /// The way to the broker.
    pub channel: crumb_identity::Channel,
}

impl Client {
    /// Returns its session client.
    pub fn sessions(&self) -> SessionServiceClient<crumb_identity::Channel> {
        SessionServiceClient::new(self.channel.clone())
    }

    /// Returns its token client.
    pub fn tokens(&self) -> TokenServiceClient<crumb_identity::Channel> {
        TokenServiceClient::new(self.channel.clone())
    }

    /// Returns its feed client.
    pub fn feed(&self) -> FeedServiceClient<crumb_identity::Channel> {
        FeedServiceClient::new(self.channel.clone())
    }

    /// Returns its registry client.
    pub fn registry(&self) -> RegistryServiceClient<crumb_identity::Channel> {
        RegistryServiceClient::new(self.channel.clone())
    }

    /// Returns its audit client.
    pub fn audit(&self) -> AuditServiceClient<crumb_identity::Channel> {
        AuditServiceClient::new(self.channel.clone())
    }

    /// Returns its approval client.
    pub fn approvals(&self) -> ApprovalServiceClient<crumb_identity::Channel> {
        ApprovalServiceClient::new(self.channel.clone())
    }

    /// Opens a session, and returns its number.
    ///
    /// # Errors
    ///
    /// What the broker says.
    pub async fn open(&self, request: OpenSessionRequest) -> Result<String, Status> {
        self.sessions().open_session(request).await.map(|opened| opened.into_inner().session_id)
    }

    /// Opens the session of [`opening`].
    ///
    /// # Panics
    ///
    /// When the broker refuses.
    pub async fn session(&self) -> String {
        self.open(opening()).await.expect("a session")
    }

    /// Exchanges.
    ///
    /// # Errors
    ///
    /// What the broker says.
    pub async fn exchange(&self, request: ExchangeRequest) -> Result<ExchangeResponse, Status> {
        self.tokens().exchange(request).await.map(tonic::Response::into_inner)
    }

    /// Closes a session, and returns the number of its revocation.
    ///
    /// # Errors
    ///
    /// What the broker says.
    pub async fn close(&self, session_id: &str) -> Result<u64, Status> {
        let request = wire::CloseSessionRequest { session_id: session_id.to_owned() };
        self.sessions().close_session(request).await.map(|closed| closed.into_inner().revocation)
    }
}

/// Makes a new request id.
pub fn request_id() -> String {
    RequestId::from_uuid(Uuid::now_v7()).to_string()
}

/// Makes a right.
pub fn grant(tool: &str, operation: &str, resource: &str) -> Grant {
    Grant { tool: tool.into(), operation: operation.into(), resource: resource.into() }
}

/// Makes a scope at [`FILES`].
pub fn files(grants: &[(&str, &str, &str)]) -> Scope {
    Scope { audience: FILES.into(), grants: grants.iter().map(|(t, o, r)| grant(t, o, r)).collect() }
}

/// A good request for a session of [`AGENT`]: reading and writing notes, reading documents.
pub fn opening() -> OpenSessionRequest {
    let scope = files(&[("read_file", "read", "file:///docs/*"), ("write_file", "write", "file:///notes/*")]);
    OpenSessionRequest {
        request_id: request_id(),
        agent: AGENT.into(),
        intent: "summarise the release notes for Bob".into(),
        origin: Some(Origin { kind: Some(Kind::User("bob@a.test".into())) }),
        envelope: vec![scope],
        lifetime_s: 0,
        process: None,
        subject_token: String::new(),
    }
}

/// A good request for a token in a session of [`opening`]: reading one folder.
pub fn exchange(session: &str) -> ExchangeRequest {
    ExchangeRequest {
        request_id: request_id(),
        session_id: session.to_owned(),
        task: "read them".into(),
        scope: Some(files(&[("read_file", "read", "file:///docs/*")])),
        ttl_s: 0,
        holder: String::new(),
        process: None,
        may_act: vec![],
        delegation_key: vec![],
    }
}

/// Returns the code and the denial of a refusal.
///
/// # Panics
///
/// When it is an answer, or a refusal that is not one of ours.
pub fn refusal<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (Code, Denial) {
    let status = outcome.expect_err("a refusal");
    let denial = from_status(&status).unwrap_or_else(|| panic!("{status:?} is not one of ours"));
    (status.code(), denial)
}

/// Returns the reason code of a refusal.
pub fn reason<T: std::fmt::Debug>(outcome: Result<T, Status>) -> &'static str {
    refusal(outcome).1.reason.code()
}
