//! The program itself, with an identity of the development provider: configured, announced, called, ended.

use crumb_dev_identity::{DevWorkloadApi, Entry, Selector, Settings, SocketMode};
use crumb_identity::{Alpn, Endpoint, Listener, Peers, SystemClock, Workload};
use crumb_sdk::call::ToolClient;
use crumb_tests::{
    handshake::PATIENCE,
    processes::binary,
    skip::skipped,
    tool_server::{broker::StandInBroker, claims},
};
use crumb_token::{Clock, Reason, SpiffeId, TokenText};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, path::Path, process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time,
};

const TOOLS: &str = "spiffe://dev.crumb.invalid/tool/files";

/// This process is the broker and the agent.
const SELF: &str = "spiffe://dev.crumb.invalid/test";

fn id(text: &str) -> SpiffeId {
    text.parse().expect("a literal ID")
}

async fn workload_api(folder: &Path, tools: &Path) -> DevWorkloadApi {
    let mut settings = Settings::new(Arc::new(SystemClock::new()));
    settings.socket_mode = SocketMode::OwnerOnly;
    let api = DevWorkloadApi::start(folder.join("run/api.sock"), settings).await.expect("a fresh place");
    let own = std::env::current_exe().expect("this program");
    for (name, program) in [(TOOLS, tools), (SELF, &own)] {
        let selectors = vec![Selector::Path(fs::canonicalize(program).expect("it is there"))];
        api.entries().add(Entry { spiffe_id: id(name), selectors, hint: None }).expect("a usable entry");
    }
    api
}

async fn start(program: &Path, config: &Path) -> (Child, serde_json::Value) {
    let mut command = Command::new(program);
    command.arg("--config").arg(config).arg("--announce").env("CRUMB_LOG", "warn");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = time::timeout(PATIENCE, lines.next_line()).await.expect("ready in time").expect("read");
    let line = line.expect("it says that it is ready");
    (child, serde_json::from_str(&line).expect("a line of JSON"))
}

#[tokio::test]
async fn the_program_serves_with_a_development_identity_and_ends_when_told() {
    let Some(program) = binary("crumb-sample-tools") else {
        return skipped("crumb-sample-tools", "the program is not built: cargo build --workspace");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let api = workload_api(folder.path(), &program).await;
    let endpoint = Endpoint::at(api.socket()).expect("a short path");
    let own = Workload::connect(&endpoint, PATIENCE).await.expect("an identity");
    assert_eq!((own.spiffe_id(), own.provider()), (id(SELF), "embedded-dev"));
    let clock = Arc::new(SystemClock::new());
    let any = ([127, 0, 0, 1], 0).into();
    let listener = Listener::bind(any, own.clone(), Peers::TrustDomain, Arc::clone(&clock) as Arc<dyn Clock>, Alpn::H2);
    let broker = StandInBroker::start(listener.await.expect("a port"));

    let config = folder.path().join("tools.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\naudience = \"{TOOLS}\"\nworkload_api = \"{endpoint}\"\n[broker]\naddress = \"{}\"\nspiffe_id = \"{SELF}\"\n",
        broker.addr
    );
    fs::write(&config, text).expect("a configuration");
    let (mut child, announced) = start(&program, &config).await;
    assert_eq!((&announced["ready"], &announced["audience"]), (&"tool-server".into(), &TOOLS.into()));

    let addr = announced["addr"].as_str().expect("an address");
    let client = ToolClient::new(own.clone(), addr, id(TOOLS));
    let audience = TOOLS.parse().expect("an audience");
    let token = TokenText::from_bytes(&broker.mint(&claims(id(SELF), audience, clock.now().wall)));
    let call = async |tool: &str, body: &'static str| {
        client.call(&token, &tool.parse().expect("a tool"), body.into()).await.expect("an answer")
    };
    let answer = call("read_file", r#"{"path":"docs/readme.md"}"#).await;
    assert_eq!((answer.status, answer.denial), (200, None));
    let refused = call("delete_file", r#"{"path":"docs/readme.md"}"#).await;
    assert_eq!(refused.denial.expect("refused").reason, Reason::ToolNotGranted);

    let pid = i32::try_from(child.id().expect("it runs")).expect("a process id");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it is ours");
    let status = time::timeout(PATIENCE, child.wait()).await.expect("it ends in time").expect("its status");
    assert!(status.success(), "{status}");
    // Nothing that it decided is lost.
    let outcomes: Vec<_> = broker.records().iter().map(|r| (r.tool.clone(), r.allowed, r.outcome_status)).collect();
    assert_eq!(outcomes, [("read_file".into(), true, 200), ("delete_file".into(), false, 0)]);
    api.shutdown().await;
}
