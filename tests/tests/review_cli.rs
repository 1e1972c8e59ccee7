//! `crumb review` and `crumb why` on the command line: the real binary against a real broker, what it writes where, and its
//! exit codes.

use crumb_identity::SystemClock;
use crumb_proto::wire::{Decision, RecordDecisionsRequest};
use crumb_tests::{
    broker::{AGENT_PATH, Client, FILES, MANIFESTS, Setup, TestBroker, exchange, files, refusal},
    people::{approver_issuers, token_of},
    processes::binary,
    skip::skipped,
};
use crumb_token::{Clock as _, RecordId};
use serde_json::Value;
use std::{fs, path::PathBuf, process::Stdio};
use tokio::{io::AsyncWriteExt as _, process::Command};
use uuid::Uuid;

/// How a command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON, one a line")).collect()
    }
}

struct Stage {
    crumb: PathBuf,
    broker: TestBroker,
    bot: Client,
    session: String,
}

impl Stage {
    async fn set(test: &str) -> Option<Self> {
        let Some(crumb) = binary("crumb") else {
            skipped(test, "the binary `crumb` is not built (cargo build --workspace)");
            return None;
        };
        let mut setup = Setup { config: approver_issuers(), ..Setup::governed() };
        // One that is long overdue, beside those that name no day.
        let overdue = MANIFESTS.replace("validUntil: 2020-01-31", "reviewBy: 2020-01-31");
        setup.manifests[0].1 = overdue;
        let broker = TestBroker::start_with(setup).await;
        let bot = broker.client(AGENT_PATH).await;
        let session = bot.session().await;
        Some(Self { crumb, broker, bot, session })
    }

    async fn run(&self, arguments: &[&str], stdin: &str) -> Said {
        let mut child = Command::new(&self.crumb)
            .args(arguments)
            .env("CRUMB_ADMIN_SOCKET", &self.broker.ready.admin_socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("crumb runs");
        let mut input = child.stdin.take().expect("it was piped");
        // A command that does not read is done without it.
        let _ = input.write_all(stdin.as_bytes()).await;
        drop(input);
        let output = child.wait_with_output().await.expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said {
            code: output.status.code().expect("no signal"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        assert!(!stdin.contains('.') || !format!("{said:?}").contains(stdin), "it shows the token: {said:?}");
        said
    }

    /// Lets the tool server report a call that it allowed.
    async fn reads(&self, resource: &str) {
        let decision = Decision {
            record_id: RecordId::from_uuid(Uuid::now_v7()).to_string(),
            at_unix_ms: SystemClock::new().now().wall.as_unix_s() * 1000,
            audience: FILES.into(),
            peer: "spiffe://a.test/agent/research-bot".into(),
            session_id: self.session.clone(),
            agent: "research-bot".into(),
            tool: "read_file".into(),
            operation: "read".into(),
            resource: resource.into(),
            allowed: true,
            ..Decision::default()
        };
        let server = self.broker.client("/tool/files").await;
        let request = RecordDecisionsRequest { decisions: vec![decision] };
        server.audit().record_decisions(request).await.expect("kept");
    }
}

#[tokio::test]
async fn a_review_is_read_proposed_applied_and_decided() {
    let Some(stage) = Stage::set("crumb review").await else { return };
    stage.reads("file:///docs/a/x.md").await;
    let due = stage.run(&["review", "--due", "-o", "json"], "").await;
    let told = due.json();
    assert_eq!(
        (due.code, told[0]["agent"].as_str(), &told[0]["overdue"]),
        (0, Some("expired-bot"), &true.into()),
        "{due:?}"
    );
    assert_eq!((&told[0]["review_by"], &told[0]["refused"]), (&"2020-01-31".into(), &"review_overdue".into()));
    assert!(due.stderr.contains("crumb review expired-bot"), "{due:?}");

    let shown = stage.run(&["review", "research-bot"], "").await;
    for part in [
        "owner ada@a.test",
        "read_file read file:///docs/*",
        "only file:///docs/a/*",
        "write_file write",
        "the trail starts at",
    ] {
        assert!(shown.stdout.contains(part), "{part:?} is missing: {shown:?}");
    }
    assert!(shown.stderr.contains("--propose FILE"), "the next step is told: {shown:?}");
    let all = stage.run(&["review", "--since", "7d", "-o", "json"], "").await;
    assert!(all.code == 0 && all.json().len() > 4, "{all:?}");

    let file = stage.broker.path("narrower.yaml");
    let path = file.display().to_string();
    let proposed = stage.run(&["review", "research-bot", "--propose", &path], "").await;
    assert!(proposed.code == 0 && proposed.stderr.contains("--no-widening"), "{proposed:?}");
    let dry = stage.run(&["apply", "-f", &path, "--dry-run", "--no-widening"], "").await;
    assert!(dry.code == 0 && dry.stdout.contains("update"), "{dry:?}");
    let piped = stage.run(&["review", "research-bot", "--propose", "-"], "").await;
    assert_eq!(piped.stdout.trim_end(), fs::read_to_string(&file).expect("it was written").trim_end());

    let narrow =
        ["review", "research-bot", "--narrow", "--reason", "it writes nothing", "--token-file", "-", "-o", "json"];
    let own = stage.run(&narrow, &token_of("ada@a.test")).await;
    assert!(own.code == 3 && own.stderr.contains("answers for the agent"), "{own:?}");
    let done = stage.run(&narrow, &token_of("eve@a.test")).await;
    let told = &done.json()[0];
    assert_eq!(
        (done.code, &told["reviewer"], &told["change"]["to_version"]),
        (0, &"eve@a.test".into(), &2.into()),
        "{done:?}"
    );
    let kept = stage.run(&["review", "research-bot", "--propose", "-"], "").await;
    assert!(kept.code == 8 && kept.stdout.is_empty(), "there is nothing left to propose: {kept:?}");
    assert_eq!(stage.run(&["review", "nobody"], "").await.code, 3);
    assert_eq!(stage.run(&["review", "research-bot", "--keep", "--reason", "x"], "").await.code, 2, "nobody signs it");
}

#[tokio::test]
async fn why_explains_what_was_and_ends_as_the_ask_would_that_was_not() {
    let Some(stage) = Stage::set("crumb why").await else { return };
    let mut request = exchange(&stage.session);
    request.scope = Some(files(&[("read_file", "read", "file:///etc/passwd")]));
    let id = request.request_id.clone();
    let (_, denial) = refusal(stage.bot.exchange(request).await);
    let why = stage.run(&["why", &id], "").await;
    assert_eq!(why.code, 0, "{why:?}");
    for part in
        ["denied", "outside_envelope (envelope)", "research-bot 1.4.0, owner ada@a.test", &denial.rule, "not reached"]
    {
        assert!(why.stdout.contains(part), "{part:?} is missing: {why:?}");
    }
    let told = &stage.run(&["why", &id, "-o", "json"], "").await.json()[0];
    assert_eq!((&told["denial"]["rule"], &told["denial"]["author"]), (&denial.rule.into(), &denial.author.into()));
    assert_eq!((&told["about"], &told["record"]["request_id"]), (&"request".into(), &id.as_str().into()));

    let would = ["why", "--agent", "research-bot", "--tool", "read_file", "--operation", "read", "--resource"];
    let yes = stage.run(&[&would[..], &["file:///docs/*"]].concat(), "").await;
    assert!(yes.code == 0 && yes.stdout.starts_with("allowed"), "{yes:?}");
    let no = stage.run(&[&would[..], &["file:///*"]].concat(), "").await;
    assert!(no.code == 3 && no.stdout.contains("outside_manifest") && no.stderr.contains("this would pass"), "{no:?}");
    let delete =
        ["why", "--agent", "janitor", "--tool", "delete_file", "--operation", "delete", "--resource", "file:///tmp/*"];
    let waiting = stage.run(&delete, "").await;
    assert!(
        waiting.code == 4 && waiting.stdout.contains("1 of security") || waiting.stderr.contains("1 of security"),
        "{waiting:?}"
    );
    let unknown = stage.run(&["why", "tok_00000000000070008000000000000000"], "").await;
    assert!(unknown.code == 8 && unknown.stderr.contains("crumb audit tail"), "{unknown:?}");
    let hostile = stage.run(&["why", "ses_\u{1b}[31m"], "").await;
    assert!(
        hostile.code == 2 && !hostile.stderr.contains("[31mses") && !hostile.stdout.contains('\u{1b}'),
        "{hostile:?}"
    );
}
