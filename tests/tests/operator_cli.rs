//! Operators and approvers on the command line: the real binary against a real broker, its exit codes, and what it asks
//! for before it ends anything.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crumb_identity::SystemClock;
use crumb_tests::{
    broker::{Client, Setup, TestBroker, exchange, files, opening, reason, refusal},
    processes::binary,
    skip::skipped,
};
use crumb_token::Clock as _;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use std::{path::PathBuf, process::Stdio};
use tokio::{io::AsyncWriteExt as _, process::Command};

const ISSUER: &str = "https://login.a.test";

/// The key of an identity provider.
fn key() -> SigningKey {
    SigningKey::from_bytes(&[0x2c; 32])
}

fn issuers() -> String {
    let x = URL_SAFE_NO_PAD.encode(key().verifying_key().as_bytes());
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x, "use": "sig"}]});
    format!(
        "[[approver_issuers]]\nname = \"people\"\nkind = \"oidc\"\niss = \"{ISSUER}\"\naudiences = [\"approvals\"]\n\
         principal = \"email\"\njwks = '{keys}'\n"
    )
}

/// A token that says who somebody is.
fn token_of(person: &str) -> String {
    let now = SystemClock::new().now().wall.as_unix_s();
    let header = json!({"alg": "EdDSA", "kid": "k1", "typ": "JWT"});
    let claims = json!({
        "iss": ISSUER, "aud": "approvals", "sub": person, "email": person, "email_verified": true,
        "iat": now, "exp": now + 300,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key().sign(signed.as_bytes()).to_bytes()))
}

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
    janitor: Client,
    session: String,
}

impl Stage {
    async fn set(test: &str) -> Option<Self> {
        let Some(crumb) = binary("crumb") else {
            skipped(test, "the binary `crumb` is not built (cargo build --workspace)");
            return None;
        };
        let broker = TestBroker::start_with(Setup { config: issuers(), ..Setup::governed() }).await;
        let janitor = broker.client("/agent/janitor").await;
        let mut request = opening();
        request.agent = "janitor".into();
        request.envelope = vec![files(&[("delete_file", "delete", "file:///tmp/*")])];
        let session = janitor.open(request).await.expect("a session");
        Some(Self { crumb, broker, janitor, session })
    }

    /// Runs `crumb` with `stdin`, which is no terminal.
    async fn run(&self, arguments: &[&str], stdin: &str) -> Said {
        let mut child = Command::new(&self.crumb)
            .args(arguments)
            .env("CRUMB_ADMIN_SOCKET", &self.broker.ready.admin_socket)
            .env("SPIFFE_ENDPOINT_SOCKET", self.janitor.member.api.endpoint().to_string())
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

    /// Asks for what needs approval, and returns the number of the request for it.
    async fn ask(&self) -> String {
        let (_, denial) = refusal(self.delete().await);
        assert_eq!(denial.reason.code(), "approval_needed");
        denial.asked
    }

    async fn delete(&self) -> Result<crumb_proto::wire::ExchangeResponse, tonic::Status> {
        let mut request = exchange(&self.session);
        request.scope = Some(files(&[("delete_file", "delete", "file:///tmp/*")]));
        self.janitor.exchange(request).await
    }
}

#[tokio::test]
async fn a_person_sees_what_waits_and_approves_less_of_it() {
    let Some(stage) = Stage::set("crumb approve").await else { return };
    let id = stage.ask().await;
    let shown = stage.run(&["requests", "--state", "pending"], "").await;
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in
        [&id, "janitor 2.0.0, owner ada@a.test", "user:bob@a.test", "delete_file delete file:///tmp/*", "high risk"]
    {
        assert!(shown.stdout.contains(part), "{part} is missing: {shown:?}");
    }
    assert!(shown.stdout.contains("what cannot be undone") && shown.stdout.contains("security 0 of 1"), "{shown:?}");
    assert!(shown.stderr.contains(&format!("crumb approve {id}")), "the next step is told: {shown:?}");

    assert_eq!(stage.run(&["approve", &id], "").await.code, 2, "nobody says who decides");
    let approve = ["approve", &id, "--token-file", "-", "-o", "json"];
    let own = stage.run(&approve, &token_of("bob@a.test")).await;
    assert!(own.code == 3 && own.stderr.contains("not_an_approver"), "whoever it is done for: {own:?}");
    let nobody = stage.run(&approve, "not.a.token").await;
    assert!(nobody.code == 3 && nobody.stderr.contains("subject_invalid"), "{nobody:?}");
    let wider = ["--grant", "delete_file delete file:///*"];
    let refused = stage.run(&[&approve[..], &wider].concat(), &token_of("eve@a.test")).await;
    assert!(refused.code == 3 && refused.stderr.contains("outside_envelope"), "{refused:?}");
    let narrower = ["--grant", "delete_file delete file:///tmp/old/*", "--ttl", "1m", "--why", "only the old ones"];
    let approved = stage.run(&[&approve[..], &narrower].concat(), &token_of("eve@a.test")).await;
    assert_eq!((approved.code, approved.json()[0]["state"].as_str()), (0, Some("approved")), "{approved:?}");
    let issued = stage.delete().await.expect("approved");
    assert_eq!(issued.grants[0].resource, "file:///tmp/old/*");
    let none = stage.run(&["requests", "--state", "pending", "-o", "json"], "").await;
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));
}

#[tokio::test]
async fn what_was_refused_is_appealed_by_the_workload_alone() {
    let Some(stage) = Stage::set("crumb deny, crumb appeal").await else { return };
    let id = stage.ask().await;
    let denied = stage.run(&["deny", &id, "--why", "not tonight", "--token-file", "-"], &token_of("eve@a.test")).await;
    assert!(denied.code == 0 && denied.stdout.contains("eve@a.test refused (not tonight)"), "{denied:?}");
    let again = stage.run(&["deny", &id, "--why", "no", "--token-file", "-"], &token_of("dan@a.test")).await;
    assert!(again.code != 0 && again.stderr.contains("approval_used"), "{again:?}");
    assert_eq!(reason(stage.delete().await), "approval_denied");

    let appeal = ["appeal", &id, "--why", "the ticket is closed"];
    let by_nobody = stage.run(&appeal, "").await;
    assert_eq!(by_nobody.code, 2, "{by_nobody:?}");
    let address = stage.broker.ready.addr.to_string();
    let network = ["--broker", &address, "--broker-id", "spiffe://a.test/broker", "-o", "json"];
    let appealed = stage.run(&[&appeal[..], &network].concat(), "").await;
    assert_eq!((appealed.code, appealed.json()[0]["appeal_of"].as_str()), (0, Some(id.as_str())), "{appealed:?}");
    let told = appealed.json();
    let fresh = told[0]["approval_id"].as_str().expect("an id");
    let own = stage.run(&[&["approve", fresh], &network[..]].concat(), "").await;
    assert!(own.code == 3 && own.stderr.contains("not_an_approver"), "a requester approves nothing: {own:?}");
    let elsewhere = ["--broker", "127.0.0.1:1", "--broker-id", "spiffe://a.test/broker"];
    assert_eq!(stage.run(&[&appeal[..], &elsewhere].concat(), "").await.code, 6);
}

#[tokio::test]
async fn nothing_is_ended_before_somebody_is_sure() {
    let Some(stage) = Stage::set("crumb revoke").await else { return };
    let revoke = ["revoke", "agent", "janitor", "--why", "it went astray", "-o", "json"];
    let unasked = stage.run(&revoke, "yes\n").await;
    assert!(unasked.code == 2 && unasked.stderr.contains("--yes"), "stdin is no terminal: {unasked:?}");
    let dry = stage.run(&[&revoke[..], &["--dry-run"]].concat(), "").await;
    let told = &dry.json()[0];
    assert_eq!((dry.code, &told["targets"][0], &told["sessions"]), (0, &"agent:janitor".into(), &1.into()), "{dry:?}");
    assert_eq!((&told["dry_run"], &told["revocation"]), (&true.into(), &Value::Null));
    assert_eq!(reason(stage.delete().await), "approval_needed", "it is still open");
    let done = stage.run(&[&revoke[..], &["--yes"]].concat(), "").await;
    let told = &done.json()[0];
    assert_eq!((done.code, &told["sessions"], &told["dry_run"]), (0, &1.into(), &false.into()), "{done:?}");
    assert!(
        done.stderr.contains("this ends all tokens of agent:janitor") && done.stderr.contains("kill-switch"),
        "{done:?}"
    );
    assert_eq!(reason(stage.delete().await), "session_closed");
    for wrong in [["revoke", "agent", "no such name", "--why", "x"], ["revoke", "key", "seven", "--why", "x"]] {
        assert_eq!(stage.run(&wrong, "").await.code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_stop_holds_until_it_is_lifted() {
    let Some(stage) = Stage::set("crumb kill-switch").await else { return };
    let stop = ["kill-switch", "owner", "ada@a.test", "--why", "Ada's laptop was stolen"];
    assert_eq!(stage.run(&stop, "").await.code, 2, "nobody is sure");
    let stopped = stage.run(&[&stop[..], &["--yes"]].concat(), "").await;
    assert!(stopped.code == 0 && stopped.stdout.contains("agent:janitor"), "{stopped:?}");
    assert!(stopped.stderr.contains("crumb kill-switch --lift owner ada@a.test"), "the way back is told: {stopped:?}");
    let mut request = opening();
    request.agent = "janitor".into();
    request.envelope = vec![files(&[("delete_file", "delete", "file:///tmp/*")])];
    assert_eq!(reason(stage.janitor.open(request.clone()).await), "stopped");
    let listed = stage.run(&["kill-switch", "--list", "-o", "json"], "").await.json();
    assert_eq!((listed[0]["kind"].as_str(), listed[0]["name"].as_str()), (Some("owner"), Some("ada@a.test")));
    assert_eq!(listed[0]["why"], "Ada's laptop was stolen");
    let lift = ["kill-switch", "--lift", "owner", "ada@a.test", "--why", "it was found"];
    assert_eq!(stage.run(&lift, "").await.code, 0);
    assert_eq!(stage.run(&lift, "").await.code, 8, "there is no such stop any more");
    request.request_id = crumb_tests::broker::request_id();
    stage.janitor.open(request).await.expect("it goes on");
    assert_eq!(stage.run(&["kill-switch", "session", &stage.session, "--why", "x", "--yes"], "").await.code, 2);
}

#[tokio::test]
async fn only_a_halted_session_is_resumed() {
    let Some(stage) = Stage::set("crumb session resume").await else { return };
    let none = stage.run(&["session", "halted", "-o", "json"], "").await;
    assert_eq!((none.code, none.stdout.as_str()), (0, ""), "{none:?}");
    let resume = ["session", "resume", &stage.session, "--why", "looked at"];
    assert_eq!(stage.run(&resume, "").await.code, 8, "it was never halted");
    assert_eq!(stage.run(&resume[..3], "").await.code, 2, "nobody says why");
}
