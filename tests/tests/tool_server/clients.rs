//! The SDK's clients against real ends: what they say when something is wrong, and what they do by themselves.

use bytes::Bytes;
use crumb_sdk::{
    CallFailed, Party,
    broker::BrokerClient,
    call::ToolClient,
    decisions::{Decision, new_record_id},
};
use crumb_tests::{
    handshake::PATIENCE,
    member::{Member, id, root, svid},
    tool_server::{Stage, agent, audience},
};
use crumb_token::{Denial, Reason, ToolName};
use std::time::Duration;
use tokio::time;

fn tool(name: &str) -> ToolName {
    name.parse().expect("a tool name")
}

fn readme() -> Bytes {
    Bytes::from_static(br#"{"path":"docs/readme.md"}"#)
}

fn decision() -> Decision {
    Decision {
        id: new_record_id(),
        at_unix_ms: 1_800_000_000_000,
        audience: audience(),
        peer: agent(),
        claims: None,
        hops: vec![],
        ask: None,
        denial: Some(Denial::new(Reason::TokenMissing)),
        outcome_status: 0,
        duration: Duration::ZERO,
    }
}

#[tokio::test]
async fn a_tool_client_reads_answers_and_refusals() {
    let stage = Stage::start().await;
    let client = ToolClient::new(stage.agent.workload.clone(), stage.addr.to_string(), id("/tool/files"));
    let answer = client.call(&stage.token(|_| {}), &tool("read_file"), readme()).await.expect("an answer");
    assert_eq!((answer.status, &answer.denial), (200, &None));
    let refused =
        client.call(&stage.token(|c| c.holder = id("/x")), &tool("read_file"), readme()).await.expect("an answer");
    assert_eq!((refused.status, refused.denial.expect("refused").reason), (403, Reason::HolderMismatch));
    let none = Bytes::from_static(br#"{"path":"docs/none.md"}"#);
    let none = client.call(&stage.token(|_| {}), &tool("read_file"), none).await.expect("an answer");
    assert_eq!((none.status, none.denial), (404, None));
}

#[tokio::test]
async fn a_tool_client_goes_on_when_its_svid_rotates_and_when_the_server_comes_back() {
    let stage = Stage::start().await;
    let client = ToolClient::new(stage.agent.workload.clone(), stage.addr.to_string(), id("/tool/files"));
    for _ in 0..3 {
        let answer = client.call(&stage.token(|_| {}), &tool("read_file"), readme()).await.expect("an answer");
        assert_eq!(answer.status, 200);
        stage.agent.renew(&svid(&stage.root, "/agent"), &[&stage.root]).await;
    }
    let calls = (0..20).map(|_| {
        let (client, token) = (client.clone(), stage.token(|_| {}));
        tokio::spawn(async move { client.call(&token, &tool("read_file"), readme()).await.map(|a| a.status) })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.expect("no panic"), Ok(200));
    }
}

#[tokio::test]
async fn a_tool_client_says_who_does_not_answer_and_why() {
    let stage = Stage::start().await;
    let token = stage.token(|_| {});
    let call = async |workload: &Member, address: String, server: &str| {
        let client = ToolClient::new(workload.workload.clone(), address, id(server));
        client.call(&token, &tool("read_file"), readme()).await.expect_err("nobody to talk to")
    };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let failed = call(&stage.agent, nobody.to_string(), "/tool/files").await;
    assert!(
        matches!(&failed, CallFailed::Unreachable { party: Party::ToolServer, why } if why.contains("refused")),
        "{failed}"
    );
    let failed = call(&stage.agent, stage.addr.to_string(), "/tool/mail").await;
    assert!(failed.to_string().contains("is not spiffe://a.test/tool/mail"), "{failed}");
    assert_eq!(failed.to_denial().reason, Reason::ToolServerUnreachable);
    // A stranger: its root is not in the server's bundle, though it trusts the server.
    let stranger = root("a stranger's root");
    let stranger = Member::start(&svid(&stranger, "/agent"), &[&stage.root, &stranger]).await;
    let failed = call(&stranger, stage.addr.to_string(), "/tool/files").await;
    assert!(failed.to_string().contains("refused our SVID"), "{failed}");
    assert!(!failed.to_string().contains(token.expose()));
}

#[tokio::test]
async fn a_broker_that_refuses_our_svid_is_named_so() {
    let stage = Stage::start().await;
    let stranger = root("a stranger's root");
    let stranger = Member::start(&svid(&stranger, "/tool/files"), &[&stage.root, &stranger]).await;
    let client = BrokerClient::new(&stranger.workload, &stage.broker.addr.to_string(), id("/broker"));
    let failed = client.record_decisions(&[decision()]).await.expect_err("refused");
    let denial = failed.to_denial();
    assert_eq!(denial.reason, Reason::BrokerUnreachable);
    assert!(denial.next.contains("refused our SVID spiffe://a.test/tool/files"), "{}", denial.next);
}

#[tokio::test]
async fn a_call_is_tried_again_until_the_broker_is_back_and_never_past_its_deadline() {
    let stage = Stage::start().await;
    let client = BrokerClient::new(&stage.server.workload, &stage.broker.addr.to_string(), id("/broker"));
    stage.broker.mood(|mood| mood.records = false);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.record_decisions(&[decision()]).await }
    });
    stage.broker.mood(|mood| mood.records = true);
    time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic").expect("committed");

    stage.broker.mood(|mood| mood.records = false);
    let brief = client.with_deadline(Duration::from_millis(100));
    let failed =
        time::timeout(Duration::from_secs(2), brief.record_decisions(&[decision()])).await.expect("the deadline");
    assert!(matches!(failed, Err(CallFailed::Unreachable { party: Party::Broker, .. })), "{failed:?}");
}
