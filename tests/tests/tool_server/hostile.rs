//! Requests that are no call at all, or that two readers could take for two different ones. All with a good token.

use crumb_sdk::protect::BODY_LEN_MAX;
use crumb_tests::{
    member::svid,
    tool_server::{
        Stage,
        caller::{Caller, Letter},
        grants,
    },
};
use crumb_token::{Reason, TokenText};

/// A token for everything, so that nothing but the request can be wrong.
fn everything(stage: &Stage) -> TokenText {
    stage.token(|c| {
        c.grants = grants(&[("search_docs", "read", "*"), ("read_file", "read", "*"), ("delete_file", "delete", "*")]);
    })
}

#[tokio::test]
async fn an_unmapped_path_or_method_is_refused() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, everything(&stage));
    for (method, path) in [
        ("POST", "/"),
        ("POST", "/tools"),
        ("POST", "/tools/"),
        ("POST", "/tools/write_file"),
        ("POST", "/tools/read_file/"),
        ("POST", "/tools//read_file"),
        ("POST", "/x/../tools/read_file"),
        ("POST", "/tools/read%5Ffile"),
        ("POST", "/%74ools/read_file"),
        ("POST", "/TOOLS/read_file"),
        ("POST", "/tools/read_file?path=docs/readme.md"),
        ("GET", "/tools/read_file"),
        ("PUT", "/tools/read_file"),
        ("POST", "/crumb.sample.v1.Files/Read"),
    ] {
        let letter = Letter::new(method, path).header("content-type", "application/json").token(&token);
        let answer = caller.send(letter, r#"{"path":"docs/readme.md"}"#).await;
        assert_eq!(answer.refusal(), Reason::AskMalformed, "{method} {path}");
    }
}

#[tokio::test]
async fn a_path_has_one_spelling() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, everything(&stage));
    for path in [
        "../etc/passwd",
        "docs/../finance/payroll.csv",
        "docs/./readme.md",
        "docs//readme.md",
        "/docs/readme.md",
        "docs/%72eadme.md",
        "%2e%2e/etc/passwd",
        "docs\\\\readme.md",
        "docs/readme.md\\u0000",
        "docs/readme.md\\n",
        "docs/*",
        "docs/readme.md?x",
        "docs/\u{ff52}eadme.md",
    ] {
        let answer = caller.send(Letter::tool("read_file").token(&token), format!(r#"{{"path":"{path}"}}"#)).await;
        assert_eq!(answer.refusal(), Reason::AskMalformed, "{path}");
    }
}

#[tokio::test]
async fn arguments_have_one_reading() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, everything(&stage));
    for body in [
        r#"{"path":"docs/readme.md","path":"finance/payroll.csv"}"#,
        r#"{"path":"docs/readme.md","p\u0061th":"finance/payroll.csv"}"#,
        r#"{"path":"docs/readme.md","Path":"finance/payroll.csv"}"#,
        r#"{"path":"docs/readme.md"}{"path":"finance/payroll.csv"}"#,
        r#"{"path":["docs/readme.md"]}"#,
        r#"["docs/readme.md"]"#,
        r#"{"path":"docs/readme.md",}"#,
        r#"{}"#,
        "",
        "path=docs/readme.md",
    ] {
        let answer = caller.send(Letter::tool("read_file").token(&token), body).await;
        assert_eq!(answer.refusal(), Reason::AskMalformed, "{body}");
    }
    let read = |media: &str| Letter::new("POST", "/tools/read_file").header("content-type", media).token(&token);
    for letter in [
        read("application/json").header("content-encoding", "gzip"),
        read("application/json").header("content-encoding", "identity"),
        read("text/plain"),
        read("application/x-www-form-urlencoded"),
        read("application/json; charset=utf-16"),
    ] {
        let answer = caller.send(letter, r#"{"path":"docs/readme.md"}"#).await;
        assert_eq!(answer.refusal(), Reason::AskMalformed);
    }
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_unread() {
    let stage = Stage::start().await;
    let token = everything(&stage);
    let body = |len: usize| format!(r#"{{"path":"{}"}}"#, "a".repeat(len - r#"{"path":""}"#.len()));
    let over_h2 = stage.caller().await;
    let over_http1 = Caller::connect_http1(&svid(&stage.root, "/agent"), stage.addr).await;
    for caller in [over_h2, over_http1] {
        // At the limit it is read, and only the path is too long.
        let answer = caller.send(Letter::tool("read_file").token(&token), body(BODY_LEN_MAX)).await;
        assert_eq!(answer.json()["error"]["rule"], "a plain relative path");
        let answer = caller.send(Letter::tool("read_file").token(&token), body(BODY_LEN_MAX + 1)).await;
        assert_eq!(answer.refusal(), Reason::AskMalformed);
        assert_eq!(answer.json()["error"]["rule"], "a body of at most 65536 bytes");
    }
}

#[tokio::test]
async fn the_digest_that_is_decided_on_is_that_of_the_bytes_as_received() {
    use crumb_token::{Caveat, attenuate::attenuate};
    use sha2::{Digest as _, Sha256};

    let stage = Stage::start().await;
    let body = r#"{ "path" : "docs/readme.md" }"#;
    let caveat = Caveat::ArgsDigest(Sha256::digest(body).into());
    let token = attenuate(&everything(&stage).decode().expect("base64"), &[caveat]).expect("narrows");
    let token = TokenText::from_bytes(&token);
    let caller = stage.caller().await;
    assert_eq!(caller.send(Letter::tool("read_file").token(&token), body).await.status, 200);
    // The same arguments in other bytes.
    let answer = caller.send(Letter::tool("read_file").token(&token), r#"{"path":"docs/readme.md"}"#).await;
    assert_eq!(answer.refusal(), Reason::ArgumentRefused);
}
