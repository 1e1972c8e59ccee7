//! What the broker says while calls are made: revocations take hold, and silence refuses everything.

use crumb_tests::{
    handshake::PATIENCE,
    tool_server::{
        Setting, Stage,
        caller::{Caller, Letter},
    },
};
use crumb_token::{Reason, TokenText, revocation::Target};
use crumb_verifier::{Limits, feed::Freshness};
use std::time::Duration;
use tokio::time;

const README: &str = r#"{"path":"docs/readme.md"}"#;

/// Calls until the answer is what the test waits for: `None` is an allowed call.
async fn until(caller: &Caller, token: &TokenText, wanted: Option<Reason>) {
    let calls = async {
        loop {
            let answer = caller.send(Letter::tool("read_file").token(token), README).await;
            let refusal = (answer.status != 200).then(|| answer.refusal());
            if refusal == wanted {
                return;
            }
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    time::timeout(PATIENCE, calls).await.unwrap_or_else(|_| panic!("never {wanted:?}"));
}

#[tokio::test]
async fn a_revoked_token_session_or_agent_is_refused() {
    let revoke: [fn(&crumb_token::Claims) -> Target; 3] =
        [|c| Target::Token(c.token), |c| Target::Session(c.session), |c| Target::Agent(c.agent.clone())];
    for target in revoke {
        let stage = Stage::start().await;
        let (mut what, caller) = (None, stage.caller().await);
        let token = stage.token(|c| what = Some(target(c)));
        until(&caller, &token, None).await;
        stage.broker.revoke(&what.expect("claims were made"));
        until(&caller, &token, Some(Reason::TokenRevoked)).await;
    }
}

#[tokio::test]
async fn a_silent_broker_stops_everything_within_the_limit_and_speaking_starts_it_again() {
    let limits = Limits { stale_after: Duration::from_secs(1), ..Limits::default() };
    let stage = Stage::start_with(Setting { limits, ..Setting::default() }).await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    until(&caller, &token, None).await;
    stage.broker.mood(|mood| mood.speaks = false);
    until(&caller, &token, Some(Reason::FeedStale)).await;
    let since = match stage.parts.verifier.freshness(crumb_token::Clock::now(&*stage.clock)) {
        Freshness::Stale { since } => since,
        other => panic!("{other:?}"),
    };
    assert!(since >= Duration::from_secs(1), "{since:?}");

    // What was revoked in the silence is known with the first word.
    let revoked = stage.token(|_| {});
    stage.broker.revoke(&Target::Token(
        crumb_token::parse::Unverified::parse(&revoked.decode().expect("base64")).expect("a token").claims().token,
    ));
    stage.broker.mood(|mood| mood.speaks = true);
    until(&caller, &token, None).await;
    until(&caller, &revoked, Some(Reason::TokenRevoked)).await;
}

#[tokio::test]
async fn a_feed_that_is_not_signed_by_its_key_is_not_believed() {
    let limits = Limits { stale_after: Duration::from_secs(1), ..Limits::default() };
    let stage = Stage::start_with(Setting { limits, ..Setting::default() }).await;
    stage.broker.mood(|mood| mood.signs = false);
    stage.until(|freshness| matches!(freshness, Freshness::Stale { .. })).await;
    let before = stage.broker.watches();
    let again = async {
        while stage.broker.watches() < before + 3 {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    time::timeout(PATIENCE, again).await.expect("it is asked again and again");
    assert!(matches!(stage.parts.verifier.freshness(crumb_token::Clock::now(&*stage.clock)), Freshness::Stale { .. }));
    stage.broker.mood(|mood| mood.signs = true);
    stage.until(|freshness| matches!(freshness, Freshness::Fresh { .. })).await;
}

#[tokio::test]
async fn a_feed_that_falls_silent_is_asked_for_anew() {
    let stage = Stage::start().await;
    stage.broker.mood(|mood| mood.beats = false);
    let before = stage.broker.watches();
    let again = async {
        while stage.broker.watches() == before {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    time::timeout(PATIENCE, again).await.expect("a new stream, whose first message is a full one");
    stage.until(|freshness| matches!(freshness, Freshness::Fresh { since } if since < Duration::from_secs(1))).await;
}
