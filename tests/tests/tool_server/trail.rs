//! What is recorded: each call once, with its outcome, and nothing is answered that cannot be.

use bytes::Bytes;
use crumb_sample_tools::wire::ReadRequest;
use crumb_sdk::{decisions::Undelivered, protect::IN_FLIGHT_PER_PEER_MAX};
use crumb_tests::{
    handshake::PATIENCE,
    member::{Member, svid},
    tool_server::{
        AUDIENCE, Setting, Stage, agent,
        caller::{Caller, Letter, frame},
    },
};
use crumb_token::{Reason, parse::Unverified};
use http::{Request, Response};
use http_body_util::Full;
use sha2::{Digest as _, Sha256};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time,
};

const README: &str = r#"{"path":"docs/readme.md"}"#;

#[tokio::test]
async fn an_allowed_call_is_recorded_with_its_outcome() {
    let stage = Stage::start().await;
    let token = stage.token(|_| {});
    let claims = Unverified::parse(&token.decode().expect("base64")).expect("a token").claims().clone();
    stage.caller().await.send(Letter::tool("read_file").token(&token), README).await;
    let records = stage.broker.await_records(1).await;
    let record = &records[0];
    assert!(record.allowed && record.denial.is_none(), "{record:?}");
    assert_eq!((record.audience.as_str(), record.peer.as_str()), (AUDIENCE, agent().as_str()));
    assert_eq!((&record.token_id, &record.session_id), (&claims.token.to_string(), &claims.session.to_string()));
    assert_eq!(
        (record.agent.as_str(), record.tool.as_str(), record.operation.as_str()),
        ("research-bot", "read_file", "read")
    );
    assert_eq!(record.resource, "file:///docs/readme.md");
    assert_eq!(record.args_digest, Sha256::digest(README).to_vec());
    assert_eq!(record.outcome_status, 200);
    assert!(record.record_id.parse::<crumb_token::RecordId>().is_ok() && record.at_unix_ms > 1_700_000_000_000);
}

#[tokio::test]
async fn what_the_tool_answered_is_recorded_over_both_dialects() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    caller.send(Letter::tool("read_file").token(&token), r#"{"path":"docs/none.md"}"#).await;
    stage.broker.await_records(1).await;
    caller.send(Letter::grpc("Read").token(&token), frame(&ReadRequest { path: "docs/none.md".into() })).await;
    stage.broker.await_records(2).await;
    caller.send(Letter::grpc("Read").token(&token), frame(&ReadRequest { path: "docs/readme.md".into() })).await;
    let records = stage.broker.await_records(3).await;
    let outcomes: Vec<_> = records.iter().map(|r| (r.allowed, r.outcome_status)).collect();
    assert_eq!(outcomes, [(true, 404), (true, 404), (true, 200)]);
}

#[tokio::test]
async fn a_refused_call_is_recorded_with_its_reason() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    caller.send(Letter::tool("read_file").token(&token), r#"{"path":"finance/payroll.csv"}"#).await;
    let records = stage.broker.await_records(1).await;
    let denial = records[0].denial.as_ref().expect("denied");
    assert_eq!(
        (records[0].allowed, records[0].outcome_status, denial.reason.as_str()),
        (false, 0, "resource_not_granted")
    );
    assert_eq!(
        (records[0].agent.as_str(), records[0].resource.as_str()),
        ("research-bot", "file:///finance/payroll.csv")
    );

    // Nothing of a token that did not verify is believed, and nothing that could not be read is made up.
    caller.send(Letter::tool("read_file"), README).await;
    let records = stage.broker.await_records(2).await;
    let denial = records[1].denial.as_ref().expect("denied");
    assert_eq!((denial.reason.as_str(), denial.asked.as_str()), ("token_missing", "POST /tools/read_file"));
    assert_eq!(
        (records[1].token_id.as_str(), records[1].tool.as_str(), records[1].peer.as_str()),
        ("", "", agent().as_str())
    );
}

#[tokio::test]
async fn a_call_that_its_caller_left_is_recorded_as_such() {
    let stage = Stage::start().await;
    let reached = Arc::new(Notify::new());
    let notify = Arc::clone(&reached);
    let addr = stage
        .serve_odd(move |_| {
            let notify = Arc::clone(&notify);
            async move {
                notify.notify_one();
                std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
            }
        })
        .await;
    let caller = Caller::connect(&stage.agent.workload, addr).await;
    let letter = Letter::tool("odd").token(&stage.token(|_| {}));
    tokio::select! {
        answer = caller.send(letter, "{}") => panic!("{answer:?}"),
        () = reached.notified() => {}
    }
    drop(caller);
    let records = stage.broker.await_records(1).await;
    assert_eq!((records[0].allowed, records[0].outcome_status), (true, 0), "{records:?}");
}

#[tokio::test]
async fn the_tool_sees_the_ask_and_no_token() {
    let stage = Stage::start().await;
    let addr = stage
        .serve_odd(|request: Request<Full<Bytes>>| async move {
            let ask = request.extensions().get::<crumb_token::Ask>().map(ToString::to_string);
            let verified = request.extensions().get::<crumb_verifier::Verified>().map(|v| v.claims().agent.to_string());
            let seen = format!("{:?} ask={ask:?} agent={verified:?}", request.headers());
            Ok(Response::new(Full::from(seen)))
        })
        .await;
    let token = stage.token(|_| {});
    let caller = Caller::connect(&stage.agent.workload, addr).await;
    let answer = caller.send(Letter::tool("odd").token(&token).header("x-kept", "yes"), "{}").await;
    let seen = String::from_utf8(answer.body.to_vec()).expect("text");
    assert!(seen.contains("x-kept") && seen.contains("odd read odd:thing") && seen.contains("research-bot"), "{seen}");
    assert!(!seen.to_lowercase().contains("authorization") && !seen.contains(token.expose()), "{seen}");
    // Nor does the broker's trail.
    let records = stage.broker.await_records(1).await;
    assert!(!format!("{records:?}").contains(token.expose()));
}

#[tokio::test]
async fn a_call_that_cannot_be_recorded_is_refused() {
    let stage = Stage::start_with(Setting { queue_len: 2, ..Setting::default() }).await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    stage.broker.mood(|mood| mood.records = false);
    let mut answered = 0;
    let fill = async {
        loop {
            let answer = caller.send(Letter::tool("read_file").token(&token), README).await;
            if answer.status != 200 {
                return answer;
            }
            answered += 1;
        }
    };
    let refused = time::timeout(PATIENCE, fill).await.expect("the queue is full at last");
    assert_eq!((refused.status, refused.refusal()), (503, Reason::AuditUnavailable));
    // The queue, and the batch that is on its way.
    assert!((2..=4).contains(&answered), "{answered}");
    let refused =
        caller.send(Letter::grpc("Read").token(&token), frame(&ReadRequest { path: "docs/readme.md".into() })).await;
    assert_eq!(refused.grpc_refusal().reason, Reason::AuditUnavailable);
    // Nor is a refusal given that nobody would know of.
    assert_eq!(caller.send(Letter::tool("read_file"), README).await.refusal(), Reason::AuditUnavailable);
    assert!(stage.parts.recorder.counts().full >= 3);

    stage.broker.mood(|mood| mood.records = true);
    let records = stage.broker.await_records(answered).await;
    assert_eq!(records.len(), answered);
    let again = async {
        while caller.send(Letter::tool("read_file").token(&token), README).await.status != 200 {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    time::timeout(PATIENCE, again).await.expect("calls are allowed again");
}

#[tokio::test]
async fn closing_ships_what_is_left_and_counts_what_is_lost() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    stage.broker.mood(|mood| mood.records = false);
    for _ in 0..3 {
        caller.send(Letter::tool("read_file").token(&token), README).await;
    }
    let open = stage.parts.recorder.clone();
    let closing = tokio::spawn(async move { open.close(PATIENCE).await });
    stage.broker.mood(|mood| mood.records = true);
    assert_eq!(closing.await.expect("no panic"), Ok(()));
    assert_eq!(stage.broker.records().len(), 3);
    assert_eq!(caller.send(Letter::tool("read_file").token(&token), README).await.refusal(), Reason::AuditUnavailable);

    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    stage.broker.mood(|mood| mood.records = false);
    caller.send(Letter::tool("read_file").token(&token), README).await;
    assert_eq!(stage.parts.recorder.close(Duration::from_millis(200)).await, Err(Undelivered(1)));
}

#[tokio::test]
async fn a_call_that_is_under_way_is_finished_when_the_server_ends() {
    let stage = Stage::start().await;
    let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&reached), Arc::clone(&go_on));
    let addr = stage
        .serve_odd(move |_| {
            let (reached, go_on) = signals.clone();
            async move {
                reached.notify_one();
                go_on.notified().await;
                Ok(Response::new(Full::from("done")))
            }
        })
        .await;
    let caller = Caller::connect(&stage.agent.workload, addr).await;
    let letter = Letter::tool("odd").token(&stage.token(|_| {}));
    let steer = async {
        reached.notified().await;
        stage.shut_down();
        go_on.notify_one();
    };
    let (answer, ()) = tokio::join!(caller.send(letter, "{}"), steer);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"done"[..]));
}

#[tokio::test]
async fn a_peer_that_calls_too_much_at_once_is_refused_and_no_other() {
    /// As many as one connection carries.
    const STREAMS: usize = 64;
    let stage = Stage::start_with(Setting { queue_len: 2 * IN_FLIGHT_PER_PEER_MAX, ..Setting::default() }).await;
    let inside = Arc::new(watch::Sender::new(0));
    let count = Arc::clone(&inside);
    let addr = stage
        .serve_odd(move |_| {
            count.send_modify(|inside| *inside += 1);
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
        })
        .await;
    let token = stage.token(|_| {});
    let mut calls = JoinSet::new();
    for _ in 0..IN_FLIGHT_PER_PEER_MAX / STREAMS {
        let caller = Arc::new(Caller::connect(&stage.agent.workload, addr).await);
        for _ in 0..STREAMS {
            let (caller, letter) = (Arc::clone(&caller), Letter::tool("odd").token(&token));
            calls.spawn(async move { caller.try_send(letter, "{}").await.map(drop) });
        }
    }
    let mut seen = inside.subscribe();
    let all = time::timeout(PATIENCE, seen.wait_for(|inside| *inside == IN_FLIGHT_PER_PEER_MAX)).await;
    assert_eq!(*all.expect("all are inside").expect("the sender lives"), IN_FLIGHT_PER_PEER_MAX);
    let caller = Caller::connect(&stage.agent.workload, addr).await;
    assert_eq!(caller.send(Letter::tool("odd").token(&token), "{}").await.refusal(), Reason::Overloaded);
    let another = svid(&stage.root, "/another");
    let another = Caller::connect(&Member::start(&another, &[&stage.root]).await.workload, addr).await;
    let refusal = another.send(Letter::tool("odd").token(&token), "{}").await.refusal();
    assert_eq!(refusal, Reason::HolderMismatch, "it got in, and was decided on");
    // They make room when their callers leave.
    calls.shutdown().await;
    let room = async {
        while time::timeout(Duration::from_millis(100), caller.send(Letter::tool("odd").token(&token), "{}"))
            .await
            .is_ok()
        {}
    };
    time::timeout(PATIENCE, room).await.expect("a call gets in again");
}
