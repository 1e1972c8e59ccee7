//! The registry on the command line: the real binary against a real broker, its exit codes, what goes to stdout, and the
//! gate of a pull request, which needs no broker.

use crumb_tests::{
    broker::{MANIFESTS, TestBroker},
    processes::binary,
    skip::skipped,
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

fn crumb() -> Option<PathBuf> {
    let found = binary("crumb");
    if found.is_none() {
        skipped("the registry on the command line", "the binary `crumb` is not built (cargo build --workspace)");
    }
    found
}

/// A command line, with a broker when it needs one.
struct Line {
    crumb: PathBuf,
    socket: PathBuf,
    directory: TempDir,
}

impl Line {
    fn new(socket: PathBuf) -> Option<Self> {
        Some(Self { crumb: crumb()?, socket, directory: tempfile::tempdir().expect("a directory") })
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.crumb);
        command.args(arguments).env("CRUMB_ADMIN_SOCKET", &self.socket).current_dir(self.directory.path());
        command.stdin(Stdio::null()).output().expect("crumb runs")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).expect("JSON, one a line")).collect()
}

/// Runs on its own thread, since the broker of the test needs the runtime.
async fn with_broker(test: impl FnOnce(Line) + Send + 'static) {
    let broker = TestBroker::start().await;
    let Some(line) = Line::new(broker.ready.admin_socket.clone()) else { return };
    tokio::task::spawn_blocking(move || test(line)).await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_get_change_and_apply_again() {
    with_broker(|line| {
        let got = line.run(&["get", "agents", "research-bot", "-o", "yaml"]);
        assert_eq!(code(&got), 0, "{}", stderr(&got));
        assert!(stdout(&got).contains("resourceVersion: 1"), "{}", stdout(&got));
        let changed = stdout(&got).replace("version: 1.4.0", "version: 1.5.0");
        line.write("bot.yaml", &changed);
        let dry = line.run(&["apply", "-f", "bot.yaml", "--dry-run", "--diff"]);
        assert_eq!(code(&dry), 0, "{}", stderr(&dry));
        assert!(stdout(&dry).contains("update") && stdout(&dry).contains("+  version: 1.5.0"), "{}", stdout(&dry));
        assert!(stderr(&dry).contains("leave out --dry-run"), "the next step is told: {}", stderr(&dry));
        let applied = line.run(&["apply", "-f", "bot.yaml", "-o", "json"]);
        let told = &lines(&applied)[0];
        assert_eq!((told["applied"].as_bool(), told["changes"][0]["to_version"].as_u64()), (Some(true), Some(2)));
        // The same file again: it says version 1, and version 2 is in force.
        let stale = line.run(&["apply", "-f", "bot.yaml"]);
        assert_eq!(code(&stale), 8, "{}", stderr(&stale));
        assert!(stderr(&stale).contains("registry_conflict") && stderr(&stale).contains("next:"), "{}", stderr(&stale));
        let agents = lines(&line.run(&["get", "agents", "-o", "json"]));
        let bot = agents.iter().find(|agent| agent["name"] == "research-bot").expect("listed");
        assert_eq!(bot["manifest"]["spec"]["version"], "1.5.0");
        assert_eq!((bot["lifecycle"].as_str(), bot["owner"].as_str()), (Some("operating"), Some("ada@a.test")));
        let text = stdout(&line.run(&["get", "agents"]));
        let expired = text.lines().find(|line| line.starts_with("expired-bot")).expect("listed");
        assert!(expired.contains("ada@a.test") && expired.contains("test") && expired.contains("expired"), "{expired}");
        assert_eq!(code(&line.run(&["get", "agents", "nobody"])), 8);
        assert_eq!(code(&line.run(&["get", "robots"])), 2);
        assert_eq!(code(&line.run(&["audit", "tail", "-o", "yaml"])), 2, "yaml is for manifests");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defects_and_widening_end_with_seven_and_change_nothing() {
    with_broker(|line| {
        line.write("bad.yaml", "apiVersion: crumb.dev/v1\nkind: Agent\nmetadata: { name: \"../x\" }\n");
        let bad = line.run(&["apply", "-f", "bad.yaml"]);
        assert_eq!(code(&bad), 7, "{}", stderr(&bad));
        assert!(stdout(&bad).contains("bad.yaml:3: metadata.name: has a character"), "{}", stdout(&bad));
        let bot = stdout(&line.run(&["get", "agents", "brief-bot", "-o", "yaml"]));
        line.write("bot.yaml", &bot.replace("maxTtlSeconds: 60", "maxTtlSeconds: 600"));
        let wider = line.run(&["apply", "-f", "bot.yaml", "--no-widening"]);
        assert_eq!(code(&wider), 7, "{}", stderr(&wider));
        assert!(stdout(&wider).contains("its tokens may live for 600 s"), "{}", stdout(&wider));
        line.write("bot.yaml", &bot.replace("maxTtlSeconds: 60", "maxTtlSeconds: 30"));
        let narrower = line.run(&["apply", "-f", "bot.yaml", "--no-widening", "-o", "json"]);
        assert_eq!((code(&narrower), lines(&narrower)[0]["applied"].as_bool()), (0, Some(true)));
        assert_eq!(code(&line.run(&["apply", "-f", "nothing.yaml"])), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_can_be_checked_and_applied_again() {
    with_broker(|line| {
        let exported = line.run(&["export", "out"]);
        assert_eq!(code(&exported), 0, "{}", stderr(&exported));
        assert_eq!(stdout(&exported).lines().count(), MANIFESTS.split("---\n").count());
        assert_eq!(code(&line.run(&["export", "out"])), 0, "the same files again");
        assert_eq!(code(&line.run(&["check", "manifest", "out"])), 0);
        let again = line.run(&["apply", "-f", "out", "--prune", "-o", "json"]);
        let told = &lines(&again)[0];
        assert_eq!(told["registry_before"], told["registry_after"]);
        line.write("out/agent-host-bot.yaml", "# mine\n");
        assert_eq!(code(&line.run(&["export", "out"])), 8, "somebody's file is not written over");
        assert_eq!(code(&line.run(&["export", "--overwrite", "out"])), 0);
    })
    .await;
}

#[test]
fn a_pull_request_is_checked_without_a_broker() {
    let Some(line) = Line::new(Path::new("/no/such/socket").to_owned()) else { return };
    line.write("main/all.yaml", MANIFESTS);
    line.write("branch/all.yaml", &MANIFESTS.replace("\"file:///docs/*\", \"file:///notes/*\"", "\"file:///*\""));
    assert_eq!(code(&line.run(&["check", "manifest", "branch"])), 0);
    let compared = line.run(&["check", "manifest", "branch", "--against", "main"]);
    assert_eq!(code(&compared), 0, "{}", stderr(&compared));
    assert!(stdout(&compared).contains("wider: read_file read file:///* at"), "{}", stdout(&compared));
    let gate = ["check", "manifest", "branch", "--against", "main", "--no-widening"];
    assert_eq!(code(&line.run(&gate)), 7);
    let other_way = ["check", "manifest", "main", "--against", "branch", "--no-widening"];
    assert_eq!(code(&line.run(&other_way)), 0, "{}", stderr(&line.run(&other_way)));
    line.write("branch/all.yaml", &MANIFESTS.replace("toolServer: files", "toolServer: gone"));
    let broken = line.run(&["check", "manifest", "branch", "-o", "json"]);
    assert_eq!(code(&broken), 7);
    assert_eq!(lines(&broken)[0]["reason"], "no tool server is registered as gone");
    // A step in a life that is not allowed is a defect of the change, not of either side.
    let state =
        |state: &str| MANIFESTS.replacen("environment: test", &format!("environment: test\n  lifecycle: {state}"), 1);
    line.write("main/all.yaml", &state("retired"));
    line.write("branch/all.yaml", &state("operating"));
    let raised = line.run(&["check", "manifest", "branch", "--against", "main"]);
    assert_eq!(code(&raised), 7);
    assert!(stdout(&raised).contains("a retired one never comes back"), "{}", stdout(&raised));
    let unreachable = line.run(&["get", "agents"]);
    assert_eq!(code(&unreachable), 6, "{}", stderr(&unreachable));
}
