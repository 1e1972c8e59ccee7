//! Who is calling: checked in every request, since a connection outlives what was true when it began.

use crumb_sample_tools::wire::ReadRequest;
use crumb_tests::{
    certificates::{Chain, issue::leaf_params},
    member::{Member, id, root, svid},
    tool_server::{
        Stage,
        caller::{Caller, Letter, frame},
    },
};
use crumb_token::Reason;
use std::time::Duration;

const README: &str = r#"{"path":"docs/readme.md"}"#;

fn brief_svid(stage: &Stage, seconds: i64) -> Chain {
    let mut params = leaf_params(id("/agent").as_str());
    params.not_after = ::time::OffsetDateTime::now_utc() + ::time::Duration::seconds(seconds);
    stage.root.leaf(&params)
}

#[tokio::test]
async fn an_svid_that_expired_on_a_live_connection_is_refused() {
    let stage = Stage::start().await;
    // Longer than the test takes: the connection itself ends when the SVID does.
    let caller =
        Caller::connect(&Member::start(&brief_svid(&stage, 600), &[&stage.root]).await.workload, stage.addr).await;
    let token = stage.token(|_| {});
    assert_eq!(caller.send(Letter::tool("read_file").token(&token), README).await.status, 200);
    stage.clock.forward(Duration::from_secs(700));
    let answer = caller.send(Letter::tool("read_file").token(&token), README).await;
    assert_eq!((answer.status, answer.refusal()), (401, Reason::SvidExpired));
    let answer = caller.send(Letter::grpc("Read").token(&token), "").await;
    assert_eq!(answer.grpc_refusal().reason, Reason::SvidExpired);
}

#[tokio::test]
async fn a_connection_ends_with_the_svid_that_made_it() {
    let stage = Stage::start().await;
    let member = Member::start(&brief_svid(&stage, 3), &[&stage.root]).await;
    let caller = Caller::connect(&member.workload, stage.addr).await;
    let token = stage.token(|_| {});
    let until_it_ends = async {
        while caller.try_send(Letter::tool("read_file").token(&token), README).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), until_it_ends).await.expect("the connection ends");
}

#[tokio::test]
async fn an_authority_that_is_gone_takes_its_peers_with_it() {
    let stage = Stage::start().await;
    let caller = stage.caller().await;
    let token = stage.token(|_| {});
    assert_eq!(caller.send(Letter::tool("read_file").token(&token), README).await.status, 200);
    let next = root("another root");
    stage.server.renew(&svid(&next, "/tool/files"), &[&next]).await;
    let answer = caller.send(Letter::tool("read_file").token(&token), README).await;
    assert_eq!((answer.status, answer.refusal()), (401, Reason::SvidInvalid));
}

#[tokio::test]
async fn a_tool_server_without_identity_refuses_everybody() {
    let stage = Stage::start().await;
    let caller = stage.caller().await;
    stage.server.withdraw().await;
    let answer = caller.send(Letter::tool("read_file").token(&stage.token(|_| {})), README).await;
    assert_eq!(answer.refusal(), Reason::SvidInvalid);
}

#[tokio::test]
async fn a_token_is_no_use_to_another_workload() {
    let stage = Stage::start().await;
    let thief = stage.caller_with(&svid(&stage.root, "/thief")).await;
    let answer = thief.send(Letter::tool("read_file").token(&stage.token(|_| {})), README).await;
    assert_eq!(answer.refusal(), Reason::HolderMismatch);
    // The holder itself may come with a newer SVID, over a newer connection.
    let renewed = stage.caller_with(&svid(&stage.root, "/agent")).await;
    assert_eq!(renewed.send(Letter::tool("read_file").token(&stage.token(|_| {})), README).await.status, 200);
}

#[tokio::test]
async fn no_header_says_who_calls() {
    let stage = Stage::start().await;
    let thief = stage.caller_with(&svid(&stage.root, "/thief")).await;
    let (holder, token) = (id("/agent"), stage.token(|_| {}));
    let forwarded = format!("By={holder};Hash=00;Subject=\"\";URI={holder}");
    for (name, value) in [
        ("x-forwarded-client-cert", forwarded.as_str()),
        ("x-client-cert", holder.as_str()),
        ("x-spiffe-id", holder.as_str()),
        ("x-ssl-client-verify", "SUCCESS"),
        ("x-forwarded-user", holder.as_str()),
        ("forwarded", "for=127.0.0.1"),
    ] {
        let letter = || Letter::tool("read_file").token(&token).header(name, value);
        assert_eq!(thief.send(letter(), README).await.refusal(), Reason::HolderMismatch, "{name}");
    }
    let letter = Letter::grpc("Read").token(&token).header("x-forwarded-client-cert", &forwarded);
    let read = frame(&ReadRequest { path: "docs/readme.md".into() });
    assert_eq!(thief.send(letter, read).await.grpc_refusal().reason, Reason::HolderMismatch);
}
