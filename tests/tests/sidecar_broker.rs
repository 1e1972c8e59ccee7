//! A sidecar and the real broker: whose process may be which agent, and what a closed session does to a token.

use crumb_sdk::sidecar::{BeginTask, CallToken, Open, Presenter};
use crumb_tests::{
    broker::FILES,
    processes::copy_program,
    sidecar::{Scene, ask, grants, one_shot, opening, until},
};
use crumb_token::{Reason, SessionId};

fn open() -> Open {
    Open { envelope: vec![(FILES.parse().expect("an audience"), grants("docs/*"))], ..opening() }
}

fn begin(session: SessionId, resource: &str) -> BeginTask {
    let audience = FILES.parse().expect("an audience");
    BeginTask { session, task: None, audience, grants: grants(resource), ttl: None, presenter: Presenter::Agent }
}

#[tokio::test]
async fn a_token_of_the_real_broker_verifies_until_its_session_is_closed() {
    let Some(w) = Scene::set("sidecar: the real broker").await else { return };
    let client = w.sidecar.client();
    let session = client.open(&open()).await.expect("this program is the agent").id;
    let task = client.begin_task(&begin(session, "docs/*")).await.expect("inside the envelope").id;
    let ask = ask("docs/a.md");
    let (tool, operation, resource) = (ask.tool.clone(), ask.operation.clone(), ask.resource.clone());
    let wanted = CallToken { task, tool, operation, resource, args_digest: None, ttl: None };
    let token = client.call_token(&wanted).await.expect("granted").token;
    until("the verifier hears the feed", async || w.decide(&token, &ask) == Ok(())).await;

    let outside = client.begin_task(&begin(session, "secrets/*")).await.expect_err("outside the envelope");
    assert_eq!(outside.to_denial().reason, Reason::OutsideEnvelope);
    client.close(session).await.expect("the broker closes it");
    until("the verifier hears of the close", async || w.decide(&token, &ask) == Err(Reason::TokenRevoked)).await;

    let trail = w.broker.trail().await;
    let own_pid = i32::try_from(std::process::id()).expect("a pid");
    let named = trail.iter().any(|record| record.process.as_ref().is_some_and(|process| process.pid == own_pid));
    assert!(named, "the trail has the process");
}

#[tokio::test]
async fn another_program_is_not_the_agent() {
    let Some(w) = Scene::set("sidecar: another program at the real broker").await else { return };
    let agent = w.site.path("agent");
    copy_program(std::path::Path::new(env!("CARGO_BIN_EXE_sidecar_agent")), &agent).expect("it is built");
    let said = one_shot(&agent, None, &[w.sidecar.socket.to_str().expect("ASCII"), "open"]).await;
    assert_eq!(said, "agent_process_mismatch");
}
