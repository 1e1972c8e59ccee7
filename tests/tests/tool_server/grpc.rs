//! Calls over gRPC, on the same port: the same rules, the same reasons, in a status.

use bytes::Bytes;
use crumb_sample_tools::wire::{
    self, DeleteRequest, ReadRequest, ReadResponse, SearchRequest, SearchResponse, files_client::FilesClient,
};
use crumb_tests::{
    member::{id, svid},
    tool_server::{
        Stage,
        caller::{Caller, Letter, frame},
        grants,
    },
};
use crumb_token::{Claims, Reason};
use prost::Message as _;
use tonic::{Code, Request};

fn read(path: &str) -> Vec<u8> {
    frame(&ReadRequest { path: path.into() })
}

async fn refusal(stage: &Stage, change: impl FnOnce(&mut Claims)) -> Reason {
    let token = stage.token(change);
    stage.caller().await.send(Letter::grpc("Read").token(&token), read("docs/readme.md")).await.grpc_refusal().reason
}

#[tokio::test]
async fn a_generated_client_calls_the_tools() {
    let stage = Stage::start().await;
    let channel = crumb_identity::channel(&stage.agent.workload, stage.addr.to_string(), id("/tool/files"));
    let mut client = FilesClient::new(channel);
    let with_token = |message| {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", stage.token(|_| {}).expose());
        request.metadata_mut().insert("authorization", bearer.parse().expect("metadata"));
        request
    };
    let read = client.read(with_token(ReadRequest { path: "docs/readme.md".into() })).await.expect("allowed");
    assert!(read.into_inner().content.contains("anvils"));

    let refused = client.read(ReadRequest { path: "docs/readme.md".into() }).await.expect_err("no token");
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(crumb_proto::from_status(&refused).expect("ours").reason, Reason::TokenMissing);

    // The tool's own no is not a refusal.
    let none = client.read(with_token(ReadRequest { path: "docs/none.md".into() })).await.expect_err("not there");
    assert_eq!((none.code(), crumb_proto::from_status(&none)), (Code::NotFound, None));
}

#[tokio::test]
async fn search_and_delete_are_decided_on_like_everything_else() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    let search = frame(&SearchRequest { query: "anvils in colours".into() });
    let found: SearchResponse = caller.send(Letter::grpc("Search").token(&token), search).await.message();
    assert_eq!(
        found.matches,
        [wire::Match { path: "docs/roadmap.md".into(), line: "- autumn: anvils in colours".into() }]
    );

    let delete = || frame(&DeleteRequest { path: "docs/readme.md".into() });
    let refused = caller.send(Letter::grpc("Delete").token(&token), delete()).await.grpc_refusal();
    assert_eq!(
        (refused.reason, refused.asked.as_str()),
        (Reason::ToolNotGranted, "delete_file delete file:///docs/readme.md")
    );
    assert!(stage.files.contains("docs/readme.md"));
    let token = stage.token(|c| c.grants = grants(&[("delete_file", "delete", "file:///docs/*")]));
    assert_eq!(caller.send(Letter::grpc("Delete").token(&token), delete()).await.status, 200);
    assert!(!stage.files.contains("docs/readme.md"));
}

#[tokio::test]
async fn each_thing_that_is_wrong_with_a_token_has_its_reason() {
    let stage = Stage::start().await;
    assert_eq!(refusal(&stage, |c| c.holder = id("/another")).await, Reason::HolderMismatch);
    assert_eq!(
        refusal(&stage, |c| c.audience = "https://mail.example".parse().expect("audience")).await,
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
        c.expires_at = c.issued_at;
        c.issued_at = crumb_token::Timestamp::from_unix_s(c.issued_at.as_unix_s() - 60);
    };
    assert_eq!(refusal(&stage, old).await, Reason::TokenExpired);

    let caller = stage.caller().await;
    let bearer = format!("Bearer {}", stage.token(|_| {}).expose());
    let twice = Letter::grpc("Read").header("authorization", &bearer).header("authorization", &bearer);
    assert_eq!(caller.send(twice, read("docs/readme.md")).await.grpc_refusal().reason, Reason::TokenMalformed);
}

#[tokio::test]
async fn a_frame_that_is_not_one_plain_message_is_refused() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    let good = read("docs/readme.md");
    let compressed = [&[1][..], &good[1..]].concat();
    let twice = [good.clone(), good.clone()].concat();
    let longer = [&good[..], b"x"].concat();
    let shorter = good[..good.len() - 1].to_vec();
    let no_message = frame(&wire::Match { path: "docs/readme.md".into(), line: "\u{0}".into() })[..].to_vec();
    for (what, body) in [
        ("compressed", compressed),
        ("twice", twice),
        ("longer", longer),
        ("shorter", shorter),
        ("empty", vec![]),
        ("half a frame", vec![0, 0]),
        ("not protobuf", vec![0, 0, 0, 0, 1, 0xff]),
    ] {
        let answer = caller.send(Letter::grpc("Read").token(&token), body).await;
        assert_eq!(answer.grpc_refusal().reason, Reason::AskMalformed, "{what}");
    }
    // A field that the method's message does not have is not read, by anybody.
    let answer = caller.send(Letter::grpc("Read").token(&token), no_message).await;
    assert!(answer.message::<ReadResponse>().content.contains("anvils"));
}

#[tokio::test]
async fn other_methods_media_types_and_paths_are_refused() {
    let stage = Stage::start().await;
    let (caller, token) = (stage.caller().await, stage.token(|_| {}));
    for letter in [
        Letter::grpc("Write"),
        Letter::grpc("read"),
        Letter::grpc("Read/"),
        Letter::grpc("Read?path=x"),
        Letter::grpc("Re%61d"),
        Letter::new("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
            .header("content-type", "application/grpc"),
        Letter::new("POST", "/crumb.sample.v1.Files/Read").header("content-type", "application/grpc-web"),
        Letter::new("POST", "/crumb.sample.v1.Files/Read").header("content-type", "application/grpc+json"),
        Letter::new("PUT", "/crumb.sample.v1.Files/Read").header("content-type", "application/grpc"),
    ] {
        let sent = format!("{letter:?}");
        let answer = caller.send(letter.token(&token), read("docs/readme.md")).await;
        assert_eq!(answer.grpc_refusal().reason, Reason::AskMalformed, "{sent}");
    }
    for path in ["../etc/passwd", "docs/../finance/payroll.csv", "docs/%2e%2e/x", "/docs/readme.md"] {
        let answer = caller.send(Letter::grpc("Read").token(&token), read(path)).await;
        assert_eq!(answer.grpc_refusal().reason, Reason::AskMalformed, "{path}");
    }
    let long = caller.send(Letter::grpc("Read").token(&token), read(&"a".repeat(70_000))).await;
    assert_eq!(long.grpc_refusal().rule, "a body of at most 65536 bytes");
}

#[tokio::test]
async fn the_digest_is_that_of_the_message_without_its_frame() {
    use crumb_token::{Caveat, TokenText, attenuate::attenuate};
    use sha2::{Digest as _, Sha256};

    let stage = Stage::start().await;
    let message = ReadRequest { path: "docs/readme.md".into() };
    let caveat = Caveat::ArgsDigest(Sha256::digest(message.encode_to_vec()).into());
    let token = attenuate(&stage.token(|_| {}).decode().expect("base64"), &[caveat]).expect("narrows");
    let token = TokenText::from_bytes(&token);
    let caller = Caller::connect(&stage.agent.workload, stage.addr).await;
    let answer = caller.send(Letter::grpc("Read").token(&token), frame(&message)).await;
    assert!(answer.message::<ReadResponse>().content.contains("anvils"));
    let answer = caller.send(Letter::grpc("Read").token(&token), read("docs/roadmap.md")).await;
    assert_eq!(answer.grpc_refusal().reason, Reason::ArgumentRefused);
}

#[tokio::test]
async fn a_workload_that_is_not_the_holder_is_refused_with_a_good_token() {
    let stage = Stage::start().await;
    let thief = stage.caller_with(&svid(&stage.root, "/thief")).await;
    let body = Bytes::from(read("docs/readme.md"));
    let refused = thief.send(Letter::grpc("Read").token(&stage.token(|_| {})), body).await.grpc_refusal();
    assert_eq!(refused.reason, Reason::HolderMismatch);
}
