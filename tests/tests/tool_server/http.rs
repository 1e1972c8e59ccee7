//! Calls over HTTP: what a token allows, and the exact reason when it does not.

use crumb_tests::{
    member::{id, svid},
    tool_server::{
        Stage,
        caller::{Caller, Letter},
        grants,
    },
};
use crumb_token::{Claims, Reason, TokenText};
use serde_json::json;
use std::time::Duration;

const README: &str = r#"{"path":"docs/readme.md"}"#;

async fn refusal(stage: &Stage, change: impl FnOnce(&mut Claims)) -> Reason {
    let token = stage.token(change);
    stage.caller().await.send(Letter::tool("read_file").token(&token), README).await.refusal()
}

#[tokio::test]
async fn a_granted_call_reaches_the_tool() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    let answer = caller.send(Letter::tool("read_file").token(&token), README).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["content"].as_str().is_some_and(|text| text.contains("anvils")));

    let answer = caller.send(Letter::tool("search_docs").token(&token), r#"{"query":"anvils in colours"}"#).await;
    assert_eq!(
        answer.json(),
        json!({ "matches": [{ "path": "docs/roadmap.md", "line": "- autumn: anvils in colours" }] })
    );

    // The tool's own no is not a refusal.
    let answer = caller.send(Letter::tool("read_file").token(&token), r#"{"path":"docs/none.md"}"#).await;
    assert_eq!((answer.status, answer.json()), (404, json!({ "error": "no such file" })));
}

#[tokio::test]
async fn http_1_is_served_as_http_2_is() {
    let stage = Stage::start().await;
    let caller = Caller::connect_http1(&svid(&stage.root, "/agent"), stage.addr).await;
    let token = stage.token(|_| {});
    let answer = caller.send(Letter::tool("read_file").token(&token), README).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(caller.send(Letter::tool("read_file"), README).await.refusal(), Reason::TokenMissing);
}

#[tokio::test]
async fn a_destructive_call_needs_its_own_right() {
    let stage = Stage::start().await;
    let delete = |token: &TokenText| Letter::tool("delete_file").token(token);
    let caller = stage.caller().await;
    let refused = caller.send(delete(&stage.token(|_| {})), README).await;
    assert_eq!(refused.refusal(), Reason::ToolNotGranted);
    assert!(stage.files.contains("docs/readme.md"));

    let token = stage.token(|c| c.grants = grants(&[("delete_file", "delete", "file:///docs/readme.md")]));
    assert_eq!(caller.send(delete(&token), README).await.json(), json!({ "deleted": "docs/readme.md" }));
    assert!(!stage.files.contains("docs/readme.md"));
}

#[tokio::test]
async fn each_thing_that_is_wrong_with_a_token_has_its_reason() {
    let stage = Stage::start().await;
    let now = |c: &Claims| c.issued_at;
    let later = |c: &Claims| c.issued_at.plus(Duration::from_secs(60));
    assert_eq!(refusal(&stage, |c| c.holder = id("/another")).await, Reason::HolderMismatch);
    assert_eq!(
        refusal(&stage, |c| c.audience = "spiffe://a.test/tool/mail".parse().expect("audience")).await,
        Reason::AudienceMismatch
    );
    assert_eq!(refusal(&stage, |c| c.grants = grants(&[("search_docs", "read", "*")])).await, Reason::ToolNotGranted);
    assert_eq!(
        refusal(&stage, |c| c.grants = grants(&[("read_file", "write", "*")])).await,
        Reason::OperationNotGranted
    );
    assert_eq!(
        refusal(&stage, |c| c.grants = grants(&[("read_file", "read", "file:///finance/*")])).await,
        Reason::ResourceNotGranted
    );
    let old = |c: &mut Claims| {
        c.expires_at = now(c);
        c.issued_at = crumb_token::Timestamp::from_unix_s(c.issued_at.as_unix_s() - 60);
    };
    assert_eq!(refusal(&stage, old).await, Reason::TokenExpired);
    assert_eq!(refusal(&stage, |c| c.issued_at = later(c)).await, Reason::TokenNotYetValid);
}

#[tokio::test]
async fn a_token_that_is_no_token_has_its_reason() {
    let stage = Stage::start().await;
    let caller = stage.caller().await;
    let read = || Letter::tool("read_file");
    let good = stage.token(|_| {});
    let bearer = format!("Bearer {}", good.expose());
    let mut bent = good.decode().expect("base64").to_vec();
    // A bit of the last signature: still canonical protobuf, and no longer signed.
    let place = bent.len() - 40;
    bent[place] ^= 1;
    for (letter, reason) in [
        (read(), Reason::TokenMissing),
        (read().header("authorization", "Basic YTpi"), Reason::TokenMissing),
        (read().header("authorization", &bearer).header("authorization", &bearer), Reason::TokenMalformed),
        (read().header("authorization", &format!("{bearer}, {bearer}")), Reason::TokenMalformed),
        (read().header("authorization", "Bearer not!base64"), Reason::TokenMalformed),
        (read().header("authorization", &format!("{bearer}=")), Reason::TokenMalformed),
        (
            read().header("authorization", &format!("Bearer {}", "A".repeat(TokenText::LEN_MAX + 4))),
            Reason::TokenTooLarge,
        ),
        (read().token(&TokenText::from_bytes(&bent)), Reason::SignatureInvalid),
    ] {
        assert_eq!(caller.send(letter, README).await.refusal(), reason);
    }
    // The scheme is case-insensitive, and a token in the query is none.
    let answer = caller.send(read().header("authorization", &format!("bEARER {}", good.expose())), README).await;
    assert_eq!(answer.status, 200);
    let query = Letter::new("POST", &format!("/tools/read_file?access_token={}", good.expose()));
    assert_eq!(
        caller.send(query.header("content-type", "application/json"), README).await.refusal(),
        Reason::TokenMissing
    );
}

#[tokio::test]
async fn a_refusal_says_what_was_asked_which_rule_and_what_next() {
    let stage = Stage::start().await;
    let caller = stage.caller().await;
    let token = stage.token(|_| {});
    let answer = caller.send(Letter::tool("read_file").token(&token), r#"{"path":"finance/payroll.csv"}"#).await;
    assert_eq!((answer.status, answer.refusal()), (403, Reason::ResourceNotGranted));
    let error = &answer.json()["error"];
    assert_eq!(error["asked"], "read_file read file:///finance/payroll.csv");
    for field in ["title", "rule", "author", "next"] {
        assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {error}");
    }
    let challenge = answer.headers["www-authenticate"].to_str().expect("text").to_owned();
    assert!(
        challenge.starts_with("Bearer realm=\"spiffe://a.test/tool/files\", error=\"insufficient_scope\""),
        "{challenge}"
    );

    let missing = caller.send(Letter::tool("read_file"), README).await;
    assert_eq!(
        (missing.status, &missing.headers["www-authenticate"]),
        (401, &"Bearer realm=\"spiffe://a.test/tool/files\"".parse().expect("a value"))
    );
    assert_eq!(missing.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn only_the_health_probe_needs_no_token() {
    let stage = Stage::start().await;
    let caller = stage.caller().await;
    let answer = caller.send(Letter::new("GET", "/health"), "").await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "status": "ok" })));
    for (method, path) in
        [("GET", "/"), ("GET", "/health/"), ("POST", "/health"), ("GET", "/tools/read_file"), ("HEAD", "/health")]
    {
        let answer = caller.send(Letter::new(method, path), "").await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
}
