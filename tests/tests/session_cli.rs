//! An agent on the command line: the real binary as the agent, beside a sidecar and the real broker.

use crumb_sdk::broker::{
    BrokerClient, Delegate, OpenSession,
    approval::{Approve, ListApprovals},
    new_request_id,
};
use crumb_tests::{
    broker::FILES,
    processes::binary,
    sidecar::{Scene, grants, id, until},
    skip::skipped,
};
use crumb_token::{Origin, SessionId};
use serde_json::Value;
use std::{path::PathBuf, process::Stdio};
use tokio::process::Command;

/// How a command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

struct Stage {
    crumb: PathBuf,
    scene: Scene,
}

impl Stage {
    async fn set(test: &str) -> Option<Self> {
        let Some(crumb) = binary("crumb") else {
            skipped(test, "the binary `crumb` is not built (cargo build --workspace)");
            return None;
        };
        let crumb = std::fs::canonicalize(crumb).expect("it is there");
        let scene = Scene::set_for(test, &crumb).await?;
        Some(Self { crumb, scene })
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.crumb);
        command.args(arguments).env("CRUMB_SOCKET", &self.scene.sidecar.socket).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.expect("crumb runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().expect("no signal");
        Said { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    async fn open(&self) -> String {
        let reading = format!("{FILES} read_file read docs/*");
        let deleting = format!("{FILES} delete_file delete tmp/*");
        let words =
            ["session", "open", "--agent", "research-bot", "--intent", "tidy up", "--origin", "schedule:nightly"];
        let opened = self.run(&[&words[..], &["--allow", &reading, "--allow", &deleting]].concat()).await;
        assert_eq!(opened.code, 0, "{opened:?}");
        opened.stdout.trim().to_owned()
    }
}

/// A session of the lead agent, and one inside it that is delegated to the sidecar's agent.
async fn delegated(lead: &BrokerClient) -> (SessionId, SessionId) {
    let envelope = vec![(FILES.parse().expect("an audience"), grants("docs/*"))];
    let open = OpenSession {
        request: new_request_id(),
        agent: "lead".parse().expect("a name"),
        intent: "have the notes summarised".parse().expect("a sentence"),
        origin: Origin::Schedule { name: "nightly".parse().expect("a name") },
        envelope: envelope.clone(),
        lifetime: None,
        process: None,
        subject_token: None,
    };
    let session = lead.open_session(&open).await.expect("the lead may").id;
    let delegate = Delegate {
        request: new_request_id(),
        session,
        agent: "research-bot".parse().expect("a name"),
        peer: id("spiffe://a.test/sidecar/host-1"),
        intent: "summarise them".parse().expect("a sentence"),
        envelope,
        lifetime: None,
        depth: 0,
        process: None,
    };
    (session, lead.delegate(&delegate).await.expect("its own").id)
}

#[tokio::test]
async fn a_session_is_delegated_adopted_and_described() {
    let Some(stage) = Stage::set("crumb session delegate, adopt, describe").await else { return };
    let (lead, _member) = stage.scene.workload("/agent/lead").await;
    let (above, session) = delegated(&lead).await;
    let id = session.to_string();
    let unknown = stage.run(&["session", "describe", &id]).await;
    assert!(unknown.code == 3 && unknown.stderr.contains("session_unknown"), "not before it is adopted: {unknown:?}");
    let adopted = stage.run(&["session", "adopt", &id, "-o", "json"]).await;
    assert_eq!(
        (adopted.code, &adopted.json()["above"][0]["session_id"]),
        (0, &above.to_string().into()),
        "{adopted:?}"
    );
    assert!(adopted.stderr.contains(&format!("crumb call --session {id}")), "the next step is told: {adopted:?}");
    let described = stage.run(&["session", "describe", &id]).await;
    assert!(described.code == 0 && described.stdout.contains("of lead 2.0.0"), "{described:?}");

    let own = stage.open().await;
    let right = format!("{FILES} read_file read docs/a/*");
    let words =
        ["session", "delegate", &own, "--to", "lead", "--peer", "spiffe://a.test/agent/lead", "--intent", "read"];
    let given = stage.run(&[&words[..], &["--allow", &right]].concat()).await;
    assert!(given.code == 0 && given.stderr.contains("crumb session adopt"), "{given:?}");
    let given: SessionId = given.stdout.trim().parse().expect("an id");
    assert_eq!(lead.describe_session(given).await.expect("its own").above[0].session.to_string(), own);
    let wider = format!("{FILES} read_file read *");
    let refused = stage.run(&[&words[..], &["--allow", &wider]].concat()).await;
    assert!(refused.code == 3 && refused.stderr.contains("outside_envelope"), "{refused:?}");
}

#[tokio::test]
async fn an_approval_that_is_pending_is_exit_code_four_and_can_be_waited_for() {
    let Some(stage) = Stage::set("crumb --wait").await else { return };
    let session = stage.open().await;
    let what = ["--session", &session, FILES, "delete_file", "delete", "tmp/a"];
    let pending = stage.run(&[&["call"], &what[..]].concat()).await;
    assert!(pending.code == 4 && pending.stderr.contains("crumb approve apr_"), "{pending:?}");
    let late = stage.run(&[&["call", "--wait", "1s"], &what[..]].concat()).await;
    assert!(late.code == 4 && late.stderr.contains("waiting 1 s"), "{late:?}");

    let (portal, _member) = stage.scene.workload("/portal").await;
    let approve = async {
        let mut found = None;
        until("somebody asks", async || {
            found = portal.list_approvals(&ListApprovals::default()).await.expect("its group's").first().map(|a| a.id);
            found.is_some()
        })
        .await;
        let id = found.expect("one");
        portal
            .approve(&Approve { id, grants: None, ttl: None, why: String::new(), by: None })
            .await
            .expect("of the group");
    };
    // Another presenter is another ask, and another request for approval.
    let wanted = [&["token", "--wait", "1m"], &what[..]].concat();
    let (token, ()) = tokio::join!(stage.run(&wanted), async {
        until("it asks", async || {
            portal.list_approvals(&ListApprovals::default()).await.expect("its group's").len() == 2
        })
        .await;
        approve.await;
    });
    assert!(token.code == 0 && !token.stdout.trim().is_empty(), "{}", token.stderr);
}

#[tokio::test]
async fn a_token_that_proves_nobody_opens_no_session() {
    let Some(stage) = Stage::set("crumb session open --subject-token-file").await else { return };
    let file = stage.scene.site.path("id-token");
    std::fs::write(&file, "canary.of.somebody\n").expect("a file");
    let right = format!("{FILES} read_file read docs/*");
    let words = ["session", "open", "--agent", "research-bot", "--intent", "read", "--origin", "user:bob@a.test"];
    let more = ["--allow", &right, "--subject-token-file", file.to_str().expect("ASCII")];
    let refused = stage.run(&[&words[..], &more].concat()).await;
    assert!(refused.code == 3 && refused.stderr.contains("subject_invalid"), "{refused:?}");
    assert!(!refused.stderr.contains("canary") && !stage.scene.sidecar.log().contains("canary"), "{refused:?}");
    let none = ["--allow", &right, "--subject-token-file", "/nowhere"];
    assert_eq!(stage.run(&[&words[..], &none].concat()).await.code, 2);
}
