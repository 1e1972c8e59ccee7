//! Where a sidecar's tokens are not: in logs, in its environment, in its arguments, in what others can read of it.

use crumb_sdk::{
    broker::SubjectToken,
    sidecar::{Call, CallToken, Presenter},
};
use crumb_tests::{
    sidecar::{Launch, Sidecar, Stage, ask, begin, one_shot, opening, until},
    skip::skipped,
};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    process::Command,
    time::Duration,
};

/// A user that is not the test's own.
const NOBODY: u32 = 65534;

/// The token of a person, from another issuer.
const PERSON: &str = "eyJhbGciOiJFZERTQSJ9.a-person-at-some-identity-provider.c2lnbmVkLWJ5LXRoZS1wcm92aWRlcg";

/// A user's sidecar, closed to everybody else.
fn closed(uid: Option<u32>) -> Launch {
    let config = "protect_process = true\nsocket_mode = \"0666\"\nallow_uids = [65534]".to_owned();
    Launch { config, uid, ..Launch::default() }
}

/// Makes every kind of token come by, and returns their texts.
async fn use_tokens(stage: &Stage, sidecar: &Sidecar) -> Vec<String> {
    let client = sidecar.client();
    let person = SubjectToken::from_presented(PERSON).expect("text");
    let session = client.open_proven(&opening(), &person).await.expect("the broker opens it").id;
    assert_eq!(stage.broker.opened()[0].subject_token, PERSON, "it is passed on");
    let by_agent = client.begin_task(&begin(session, "docs/*", Presenter::Agent)).await.expect("granted").id;
    let by_sidecar = client.begin_task(&begin(session, "docs/*", Presenter::Sidecar)).await.expect("granted").id;
    let ask = ask("docs/a.md");
    let (tool, operation, resource) = (ask.tool, ask.operation, ask.resource);
    let call = Call {
        task: by_sidecar,
        tool: tool.clone(),
        operation: operation.clone(),
        resource: resource.clone(),
        arguments: bytes::Bytes::from_static(b"{}"),
    };
    client.call(&call).await.expect("the tool answers");
    let wanted = CallToken { task: by_agent, tool, operation, resource, args_digest: None, ttl: None };
    let call_token = client.call_token(&wanted).await.expect("granted").token;
    // Refusals, too, must not show what is held.
    let outside = CallToken { resource: "secrets/a".parse().expect("a resource"), ..wanted };
    client.call_token(&outside).await.expect_err("not granted");
    stage.broker.stop().await;
    client.begin_task(&begin(session, "docs/b.md", Presenter::Agent)).await.expect_err("the broker is gone");

    let mut tokens: Vec<_> = stage.broker.minted().iter().map(|token| token.expose().to_owned()).collect();
    tokens.extend(stage.tools.arrivals().iter().map(|arrival| arrival.token.expose().to_owned()));
    tokens.push(call_token.expose().to_owned());
    tokens.push(PERSON.to_owned());
    tokens
}

/// Looks for a piece of a token: its middle, as text and as bytes in other spellings.
fn shows(text: &[u8], token: &str) -> bool {
    let middle = &token[token.len() / 2..token.len() / 2 + 24];
    let tail = &token[token.len() - 24..];
    [middle, tail].iter().any(|piece| text.windows(piece.len()).any(|window| window == piece.as_bytes()))
}

#[tokio::test]
async fn no_token_is_in_the_log_the_environment_or_the_arguments() {
    let Some(stage) = Stage::set("sidecar: canaries").await else { return };
    let sidecar = Launch { log: "trace", ..Launch::default() }.start(&stage).await.expect("it starts");
    let tokens = use_tokens(&stage, &sidecar).await;
    assert!(tokens.len() >= 5, "every kind of token came by");
    let log = sidecar.log();
    assert!(log.contains("a task token was fetched") && log.contains("a call token was made"), "it logs what it does");
    for (number, token) in tokens.iter().enumerate() {
        assert!(shows(format!("x{token}").as_bytes(), token), "the search finds what is there");
        assert!(!shows(log.as_bytes(), token), "token {number} is in the log");
        for file in ["environ", "cmdline"] {
            let bytes = fs::read(sidecar.proc(file)).unwrap_or_default();
            assert!(!shows(&bytes, token), "token {number} is in {file}");
        }
    }
}

#[tokio::test]
async fn others_of_its_user_cannot_read_the_process() {
    let test = "sidecar: undumpable";
    if !nix::unistd::geteuid().is_root() {
        return skipped(test, "an undumpable process can be attested by root alone");
    }
    let Some(stage) = Stage::set(test).await else { return };
    let sidecar = closed(Some(NOBODY)).start(&stage).await.expect("it starts");
    // The kernel gives the files of a process that is not dumpable to root.
    assert_eq!(fs::metadata(sidecar.proc("environ")).expect("it runs").uid(), 0);
    assert_eq!(fs::metadata(sidecar.proc("")).expect("it runs").uid(), NOBODY);
    for file in ["environ", "mem", "maps"] {
        let read = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "head", "-c1"])
            .arg(sidecar.proc(file))
            .output();
        assert!(!read.expect("setpriv runs").status.success(), "{file} can be read");
    }
    let limits = fs::read_to_string(sidecar.proc("limits")).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
}

/// As root the sidecar is closed and still attested; as another user, with a development identity, it stays open for it.
#[tokio::test]
async fn keeps_its_identity_over_rotations() {
    let short = |settings: &mut crumb_dev_identity::Settings| settings.svid_ttl = Duration::from_secs(4);
    let Some(stage) = Stage::set_with("sidecar: rotation", short).await else { return };
    let sidecar = Launch::default().start(&stage).await.expect("it starts");
    let end = async || sidecar.client().status().await.expect("it is up").svid_expires_at;
    let first = end().await.expect("an SVID");
    until("two rotations", async || end().await.is_some_and(|now| now > first.plus(Duration::from_secs(2)))).await;
    sidecar.client().open(&opening()).await.expect("the broker knows the new SVID");
}

#[tokio::test]
async fn says_when_its_memory_can_be_swapped_out() {
    let test = "sidecar: memory";
    if !nix::unistd::geteuid().is_root() {
        return skipped(test, "only root starts processes as another user");
    }
    let Some(stage) = Stage::set(test).await else { return };
    let sidecar = closed(Some(NOBODY)).start(&stage).await.expect("it starts");
    let agent = stage.agent_program(env!("CARGO_BIN_EXE_sidecar_agent"), "agent");
    let socket = sidecar.socket.to_str().expect("ASCII");
    let said = one_shot(&agent, Some(NOBODY), &[socket, "memory"]).await;
    let vm_lck = fs::read_to_string(sidecar.proc("status")).expect("it runs");
    let locked = vm_lck.lines().find_map(|l| l.strip_prefix("VmLck:")).is_some_and(|kb| !kb.trim().starts_with("0 "));
    assert_eq!(said, format!("ok {locked}"));
    assert_eq!(!locked, sidecar.log().contains("LimitMEMLOCK=infinity"));
}

#[tokio::test]
async fn a_path_that_somebody_has_squatted_is_refused_and_left_alone() {
    let Some(stage) = Stage::set("sidecar: squatted path").await else { return };
    let mut first = Launch::default().start(&stage).await.expect("it starts");
    let socket = first.socket.clone();
    let again = Launch::default().start(&stage).await.expect_err("the first one is there");
    assert!(again.contains("served by another process"), "{again}");

    assert!(first.stop().await, "{}", first.log());
    assert!(!socket.exists(), "it removes its socket");
    let target = stage.site.path("target");
    symlink(&target, &socket).expect("a link");
    let refused = Launch::default().start(&stage).await.expect_err("a link is no socket");
    assert!(refused.contains("exists and is not a socket"), "{refused}");
    assert!(fs::symlink_metadata(&socket).expect("still there").is_symlink() && !target.exists());
}
