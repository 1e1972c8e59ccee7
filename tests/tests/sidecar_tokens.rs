//! What agents get from a sidecar: tokens for one call, from memory where they can, narrowed and never widened.

use crumb_identity::SystemClock;
use crumb_sdk::sidecar::{BeginTask, Call, CallToken, NarrowedToken, Presenter, SidecarClient, Task};
use crumb_tests::sidecar::{AGENT_ID, Launch, SIDECAR_ID, Sidecar, Stage, ask, begin, grants, id, opening, until};
use crumb_token::{Ask, Clock as _, Reason, SessionId, TaskId};
use crumb_verifier::Decision;
use futures::future::join_all;
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeSet, time::Duration};

async fn started(stage: &Stage) -> (Sidecar, SidecarClient, SessionId) {
    let sidecar = Launch::default().start(stage).await.expect("it starts");
    let client = sidecar.client();
    let session = client.open(&opening()).await.expect("the broker opens it").id;
    (sidecar, client, session)
}

async fn began(client: &SidecarClient, session: SessionId, presenter: Presenter) -> Task {
    client.begin_task(&begin(session, "docs/*", presenter)).await.expect("the broker grants it")
}

fn wanted(task: TaskId, ask: &Ask, ttl: Option<Duration>) -> CallToken {
    let (tool, operation, resource) = (ask.tool.clone(), ask.operation.clone(), ask.resource.clone());
    CallToken { task, tool, operation, resource, args_digest: ask.args_digest, ttl }
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, crumb_sdk::CallFailed>) -> Reason {
    answer.expect_err("it is refused").to_denial().reason
}

/// Decides as the tool server would, when `peer` presents the token.
fn decide(stage: &Stage, token: &NarrowedToken, ask: &Ask, peer: &str) -> Decision {
    stage.broker.verifier().decide(&token.token, ask, &id(peer), SystemClock::new().now())
}

fn denied(decision: Decision) -> Reason {
    decision.into_result().expect_err("it is denied").denial.reason
}

#[tokio::test]
async fn an_agents_call_token_verifies_for_its_call_and_nothing_else() {
    let Some(stage) = Stage::set("sidecar: a call token verifies").await else { return };
    let (_sidecar, client, session) = started(&stage).await;
    let task = began(&client, session, Presenter::Agent).await;
    assert_eq!(task.grants, grants("docs/*"));
    let token = client.call_token(&wanted(task.id, &ask("docs/a.md"), None)).await.expect("granted");

    assert!(decide(&stage, &token, &ask("docs/a.md"), AGENT_ID).is_allowed());
    assert_eq!(denied(decide(&stage, &token, &ask("docs/b.md"), AGENT_ID)), Reason::ResourceNotGranted);
    assert_eq!(denied(decide(&stage, &token, &ask("docs/a.md"), SIDECAR_ID)), Reason::HolderMismatch);
    let life = token.expires_at.since(SystemClock::new().now().wall);
    assert!(life <= Duration::from_secs(15) && life >= Duration::from_secs(12), "{life:?}");

    let facts = stage.broker.opened()[0].process.clone().expect("the facts of this process");
    assert_eq!(facts.pid.unsigned_abs(), std::process::id());
    assert_eq!(facts.exe, std::env::current_exe().expect("a path").display().to_string());
    assert_eq!(facts.exe_sha256.len(), 32);
}

#[tokio::test]
async fn what_was_not_granted_cannot_be_asked_for() {
    let Some(stage) = Stage::set("sidecar: narrowing").await else { return };
    let (_sidecar, client, session) = started(&stage).await;
    let task = began(&client, session, Presenter::Agent).await.id;
    let mut other_tool = ask("docs/a.md");
    other_tool.tool = "delete_file".parse().expect("a tool");
    for (ask, reason) in [(ask("secrets/a.md"), Reason::ResourceNotGranted), (other_tool, Reason::ToolNotGranted)] {
        assert_eq!(refusal(client.call_token(&wanted(task, &ask, None)).await), reason);
    }
    let too_long = wanted(task, &ask("docs/a.md"), Some(Duration::from_secs(31)));
    assert_eq!(refusal(client.call_token(&too_long).await), Reason::RequestInvalid);
}

#[tokio::test]
async fn the_sidecar_calls_and_the_agent_sees_no_token() {
    let Some(stage) = Stage::set("sidecar: call").await else { return };
    let (_sidecar, client, session) = started(&stage).await;
    let task = began(&client, session, Presenter::Sidecar).await.id;
    let arguments = bytes::Bytes::from_static(br#"{"path":"docs/a.md"}"#);
    let mut ask = ask("docs/a.md");
    let (tool, operation, resource) = (ask.tool.clone(), ask.operation.clone(), ask.resource.clone());
    let call = Call { task, tool, operation, resource, arguments: arguments.clone() };
    let answer = client.call(&call).await.expect("the tool answers");
    assert_eq!((answer.status, &answer.body[..], answer.denial), (200, &br#"{"ok":true}"#[..], None));

    let arrival = stage.tools.arrivals().pop().expect("one call");
    assert_eq!((arrival.peer.as_str(), arrival.path.as_str()), (SIDECAR_ID, "/tools/read_file"));
    ask.args_digest = Some(Sha256::digest(&arrival.body).into());
    let token = NarrowedToken { token: arrival.token, expires_at: SystemClock::new().now().wall };
    assert!(decide(&stage, &token, &ask, SIDECAR_ID).is_allowed());
    ask.args_digest = Some(Sha256::digest(b"{}").into());
    assert!(!decide(&stage, &token, &ask, SIDECAR_ID).is_allowed());

    let by_itself = wanted(task, &ask, None);
    assert_eq!(refusal(client.call_token(&by_itself).await), Reason::HolderMismatch);
    let too_much = Call { arguments: vec![b' '; 64 * 1024 + 1].into(), ..call };
    assert_eq!(refusal(client.call(&too_much).await), Reason::RequestInvalid);
}

#[tokio::test]
async fn sixty_four_callers_of_the_same_request_cost_one_exchange() {
    let Some(stage) = Stage::set("sidecar: single flight").await else { return };
    let (_sidecar, client, session) = started(&stage).await;
    stage.broker.hold();
    let wanted = begin(session, "docs/*", Presenter::Agent);
    let all = tokio::spawn({
        let (client, wanted) = (client.clone(), wanted.clone());
        async move { join_all((0..64).map(|_| client.begin_task(&wanted))).await }
    });
    until("the exchange arrives", async || stage.broker.exchanges() == 1).await;
    stage.broker.go_on();
    let tasks: BTreeSet<_> = all.await.expect("no panic").into_iter().map(|task| task.expect("granted").id).collect();
    assert_eq!((tasks.len(), stage.broker.exchanges()), (1, 1));

    client.begin_task(&wanted).await.expect("from memory");
    assert_eq!(stage.broker.exchanges(), 1);
    let another = BeginTask { task: Some("step two".parse().expect("a sentence")), ..wanted };
    client.begin_task(&another).await.expect("granted");
    assert_eq!(stage.broker.exchanges(), 2);
}

#[tokio::test]
async fn one_caller_gets_no_more_than_its_turns() {
    let Some(stage) = Stage::set("sidecar: overload").await else { return };
    let (sidecar, client, session) = started(&stage).await;
    stage.broker.hold();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move {
            let wanted: Vec<_> = (0..64).map(|n| begin(session, &format!("docs/{n}"), Presenter::Agent)).collect();
            join_all(wanted.iter().map(|wanted| client.begin_task(wanted))).await
        }
    });
    until("all turns are taken", async || stage.broker.exchanges() == 64).await;
    assert_eq!(refusal(sidecar.client().status().await), Reason::Overloaded);
    stage.broker.go_on();
    assert!(waiting.await.expect("no panic").into_iter().all(|task| task.is_ok()));
    assert_eq!(sidecar.client().status().await.expect("turns are free").task_tokens, 64);
}

#[tokio::test]
async fn tokens_are_renewed_before_they_end() {
    let Some(stage) = Stage::set("sidecar: renewal").await else { return };
    let (_sidecar, client, session) = started(&stage).await;
    stage.broker.tokens_live(8);
    let task = began(&client, session, Presenter::Agent).await;
    let old = stage.broker.minted()[0].expose().len();
    // The new token is held back: all that is had until it comes is made from the old one, without a wait.
    stage.broker.hold();
    let call = wanted(task.id, &ask("docs/a.md"), None);
    until("the renewal begins", async || {
        let token = client.call_token(&call).await.expect("always one");
        assert!(decide(&stage, &token, &ask("docs/a.md"), AGENT_ID).is_allowed());
        assert!(token.expires_at <= task.expires_at && token.token.expose().len() > old);
        stage.broker.exchanges() == 2
    })
    .await;
    stage.broker.go_on();
    until("the new token is used", async || {
        client.call_token(&call).await.expect("always one").expires_at > task.expires_at
    })
    .await;
    assert_eq!(stage.broker.exchanges(), 2);
    let same = began(&client, session, Presenter::Agent).await;
    assert_eq!(same.id, task.id);
    assert!(same.expires_at > task.expires_at);
}

#[tokio::test]
async fn goes_on_without_the_broker_until_the_token_ends() {
    let Some(stage) = Stage::set("sidecar: broker down").await else { return };
    let (_sidecar, client, session) = started(&stage).await;
    let task = began(&client, session, Presenter::Agent).await.id;
    stage.broker.stop().await;
    let token = client.call_token(&wanted(task, &ask("docs/a.md"), None)).await.expect("held");
    assert!(decide(&stage, &token, &ask("docs/a.md"), AGENT_ID).is_allowed());
    assert_eq!(began(&client, session, Presenter::Agent).await.id, task);

    let new = client.begin_task(&begin(session, "docs/b.md", Presenter::Agent)).await;
    let denial = new.expect_err("nobody can mint it").to_denial();
    assert_eq!(denial.reason, Reason::BrokerUnreachable);
    assert!(denial.next.contains("broker's address"), "{denial:?}");
}

#[tokio::test]
async fn a_closed_session_takes_its_tasks_along() {
    let Some(stage) = Stage::set("sidecar: close").await else { return };
    let (_sidecar, client, session) = started(&stage).await;
    let task = began(&client, session, Presenter::Agent).await.id;
    assert_eq!(client.status().await.expect("it is up").task_tokens, 1);
    client.close(session).await.expect("the broker closes it");
    assert_eq!(refusal(client.call_token(&wanted(task, &ask("docs/a.md"), None)).await), Reason::SessionUnknown);
    assert_eq!(refusal(client.close(session).await), Reason::SessionUnknown);
    let status = client.status().await.expect("it is up");
    assert_eq!((status.sessions, status.task_tokens), (0, 0));
    assert_eq!((status.spiffe_id.as_str(), status.identity_provider.as_str()), (SIDECAR_ID, "embedded-dev"));
}
