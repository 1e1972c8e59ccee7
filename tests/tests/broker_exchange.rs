//! The exchange through real mTLS: what is issued, and every way in which it is refused.

use crumb_proto::wire::{self, Origin, Process, origin::Kind};
use crumb_tests::broker::{
    AGENT_PATH, FILES, MAIL, Setup, TestBroker, exchange, files, grant, opening, reason, refusal, request_id,
};
use crumb_token::{TokenText, parse::Unverified};
use std::sync::Arc;
use tokio::task::JoinSet;
use tonic::Code;

fn read(token: &str) -> Unverified {
    let bytes = TokenText::from_presented(token).expect("a token").decode().expect("base64url");
    Unverified::parse(&bytes).expect("inside the profile")
}

#[tokio::test]
async fn issues_a_token_that_says_what_was_decided() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let issued = client.exchange(exchange(&session)).await.expect("a token");
    assert_eq!(issued.grants, [grant("read_file", "read", "file:///docs/*")]);
    assert_eq!(issued.holder, "spiffe://a.test/agent/research-bot");

    let token = read(&issued.token);
    let claims = token.claims();
    assert_eq!(claims.token.to_string(), issued.token_id);
    assert_eq!(claims.session.to_string(), session);
    assert_eq!((claims.agent.as_str(), claims.version.as_str()), ("research-bot", "1.4.0"));
    assert_eq!((claims.environment.as_str(), claims.identity_provider.as_str()), ("test", "spire"));
    assert_eq!(claims.audience.as_str(), FILES);
    assert_eq!(claims.origin.to_string(), "user:bob@a.test (asserted)");
    assert_eq!(claims.subject.as_ref().map(|s| s.name.as_str()), Some("bob@a.test"));
    assert_eq!(claims.expires_at.since(claims.issued_at).as_secs(), 900);
    assert_eq!(claims.expires_at.as_unix_s(), issued.expires_at);
    assert_eq!((claims.depth_limit, claims.actors.len()), (8, 0));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn refuses_rights_outside_the_envelope_and_names_each() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let mut request = exchange(&session);
    request.scope = Some(files(&[
        ("read_file", "read", "file:///docs/a.md"),
        ("read_file", "read", "file:///notes/*"),
        ("read_file", "read", "file:///etc/passwd"),
    ]));
    let (code, denial) = refusal(client.exchange(request).await);
    assert_eq!((code, denial.reason.code()), (Code::PermissionDenied, "outside_envelope"));
    assert!(denial.asked.contains("file:///notes/*") && denial.asked.contains("file:///etc/passwd"), "{denial:?}");
    assert!(!denial.asked.contains("a.md"), "{denial:?}");
    assert_eq!(denial.rule, format!("envelope of {session}"));
    assert_eq!(denial.next, "this would pass: read_file read file:///docs/a.md");
}

#[tokio::test]
async fn refuses_rights_that_are_wider_than_what_is_given() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    for wider in ["*", "file:///*", "file:///docs-secret/a"] {
        let mut request = exchange(&session);
        request.scope = Some(files(&[("read_file", "read", wider)]));
        assert_eq!(reason(client.exchange(request).await), "outside_envelope", "{wider}");
    }
    let mut request = exchange(&session);
    request.scope = Some(files(&[("write_file", "write", "file:///docs/a.md")]));
    assert_eq!(reason(client.exchange(request).await), "outside_envelope");
}

#[tokio::test]
async fn refuses_an_envelope_outside_the_manifest() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let mut request = opening();
    request.envelope = vec![files(&[("delete_file", "delete", "file:///docs/a.md")])];
    let (_, denial) = refusal(client.open(request).await);
    assert_eq!((denial.reason.code(), denial.author.as_str()), ("outside_manifest", "ada@a.test"));
    let mut request = opening();
    request.envelope[0].audience = MAIL.into();
    request.envelope[0].grants = vec![grant("send", "send", "*")];
    assert_eq!(reason(client.open(request).await), "outside_manifest");
}

#[tokio::test]
async fn a_manifest_that_was_narrowed_counts_for_open_sessions_too() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let narrowed = crumb_tests::broker::MANIFESTS.replace("file:///docs/*\", \"file:///notes/*", "file:///notes/*");
    std::fs::write(broker.path("registry").join("all.yaml"), narrowed).expect("a file of our own");
    let broker = broker.restart().await;
    let client = broker.client_of(client);
    let (_, denial) = refusal(client.exchange(exchange(&session)).await);
    assert_eq!((denial.reason.code(), denial.rule.as_str()), ("outside_manifest", "manifest research-bot"));
}

#[tokio::test]
async fn refuses_tool_servers_and_tools_that_are_not_registered() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let mut request = exchange(&session);
    request.scope.as_mut().expect("a scope").audience = "spiffe://a.test/tool/other".into();
    assert_eq!(reason(client.exchange(request).await), "tool_server_unknown");
    let mut request = exchange(&session);
    request.scope = Some(files(&[("read_file", "write", "file:///docs/*")]));
    assert_eq!(reason(client.exchange(request).await), "tool_unknown");
    let mut request = opening();
    request.envelope[0].audience = "https://other.a.test/".into();
    assert_eq!(reason(client.open(request).await), "tool_server_unknown");
    let mut request = opening();
    request.envelope[0].grants[0].tool = "format_disk".into();
    assert_eq!(reason(client.open(request).await), "tool_unknown");
}

#[tokio::test]
async fn refuses_agents_that_are_unknown_expired_or_of_others() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    for (agent, wanted) in [("no-such-bot", "agent_unknown"), ("host-bot", "agent_not_spoken_for")] {
        let mut request = opening();
        request.agent = agent.into();
        assert_eq!(reason(client.open(request).await), wanted);
    }
    let expired = broker.client("/agent/expired-bot").await;
    let mut request = opening();
    request.agent = "expired-bot".into();
    assert_eq!(reason(expired.open(request).await), "agent_expired");
}

#[tokio::test]
async fn a_session_of_somebody_else_does_not_exist() {
    let broker = TestBroker::start().await;
    let (mine, other) = (broker.client(AGENT_PATH).await, broker.client("/agent/host-bot").await);
    let session = mine.session().await;
    let stolen = refusal(other.exchange(exchange(&session)).await);
    let invented = "ses_00000000000000000000000000000000";
    let unknown = refusal(other.exchange(exchange(invented)).await);
    assert_eq!(stolen.1.reason.code(), "session_unknown");
    // Word for word the same, but for the id.
    assert_eq!(format!("{stolen:?}").replace(&session, invented), format!("{unknown:?}"));
    assert_eq!(reason(other.close(&session).await), "session_unknown");
    assert_eq!(reason(other.close(invented).await), "session_unknown");
    assert!(mine.exchange(exchange(&session)).await.is_ok());
}

fn process(uid: u32, exe: &str) -> Option<Process> {
    Some(Process { pid: 7, uid, gid: uid, exe: exe.into(), exe_sha256: vec![7; 32] })
}

fn host_opening(process: Option<Process>) -> wire::OpenSessionRequest {
    let mut request = opening();
    request.agent = "host-bot".into();
    request.envelope = vec![files(&[("read_file", "read", "file:///docs/*")])];
    request.process = process;
    request
}

#[tokio::test]
async fn a_sidecar_speaks_only_for_the_process_that_the_manifest_describes() {
    let broker = TestBroker::start().await;
    let sidecar = broker.client("/sidecar/host-1").await;
    for wrong in [None, process(1001, "/usr/bin/bot"), process(1000, "/usr/bin/other")] {
        assert_eq!(reason(sidecar.open(host_opening(wrong)).await), "agent_process_mismatch");
    }
    let session = sidecar.open(host_opening(process(1000, "/usr/bin/bot"))).await.expect("a session");
    let mut request = exchange(&session);
    assert_eq!(reason(sidecar.exchange(request.clone()).await), "session_unknown", "without the process");
    request.process = process(1000, "/usr/bin/bot");
    request.request_id = request_id();
    let issued = sidecar.exchange(request.clone()).await.expect("a token");
    assert_eq!(issued.holder, "spiffe://a.test/sidecar/host-1");

    request.request_id = request_id();
    request.holder = "spiffe://a.test/agent/host-bot".into();
    let issued = sidecar.exchange(request.clone()).await.expect("a token for the agent itself");
    assert_eq!(read(&issued.token).claims().holder.as_str(), "spiffe://a.test/agent/host-bot");

    request.request_id = request_id();
    request.holder = "spiffe://a.test/agent/research-bot".into();
    assert_eq!(reason(sidecar.exchange(request).await), "agent_not_spoken_for");
    let other = broker.client("/sidecar/host-2").await;
    assert_eq!(reason(other.open(host_opening(process(1000, "/usr/bin/bot"))).await), "agent_not_spoken_for");
}

#[tokio::test]
async fn a_token_ends_with_whatever_ends_first() {
    let broker = TestBroker::start().await;
    let brief = broker.client("/agent/brief-bot").await;
    let mut request = opening();
    request.agent = "brief-bot".into();
    request.envelope = vec![files(&[("read_file", "read", "*")])];
    let session = brief.open(request.clone()).await.expect("a session");
    let mut long = exchange(&session);
    long.ttl_s = 3600;
    let issued = brief.exchange(long).await.expect("a token");
    let claims = read(&issued.token).claims().clone();
    assert_eq!(claims.expires_at.since(claims.issued_at).as_secs(), 60, "the manifest's maximum");

    request.request_id = request_id();
    request.lifetime_s = 20;
    let short = brief.open(request.clone()).await.expect("a session");
    let issued = brief.exchange(exchange(&short)).await.expect("a token");
    let claims = read(&issued.token).claims().clone();
    assert!(claims.expires_at.since(claims.issued_at).as_secs() <= 20, "the session's end");

    request.request_id = request_id();
    request.lifetime_s = 1;
    let shorter = brief.open(request).await.expect("a session");
    assert_eq!(reason(brief.exchange(exchange(&shorter)).await), "lifetime_too_short");
}

#[tokio::test]
async fn refuses_rights_that_do_not_fit_into_a_token() {
    let broker = TestBroker::start().await;
    let client = broker.client("/agent/brief-bot").await;
    let mut request = opening();
    request.agent = "brief-bot".into();
    request.envelope = vec![files(&[("read_file", "read", "*")])];
    let session = client.open(request).await.expect("a session");
    let mut request = exchange(&session);
    let resources: Vec<_> = (0..8).map(|i| format!("file:///{i}/{}", "a".repeat(900))).collect();
    let rights: Vec<_> = resources.iter().map(|r| ("read_file", "read", r.as_str())).collect();
    request.scope = Some(files(&rights));
    let (code, denial) = refusal(client.exchange(request).await);
    assert_eq!((code, denial.reason.code()), (Code::InvalidArgument, "too_many_grants"));
    let issued = broker.trail().await.into_iter().filter(|r| r.kind == "exchange" && r.allowed).count();
    assert_eq!(issued, 0, "nothing is on record as issued that cannot be signed");
}

#[tokio::test]
async fn names_every_field_that_is_wrong() {
    use tonic_types::StatusExt as _;
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let mut request = exchange("ses_1");
    request.request_id = "1".into();
    request.scope = Some(files(&[("read file", "read", "a/../b")]));
    request.holder = "spiffe://A.test/x".into();
    let status = client.exchange(request).await.expect_err("a refusal");
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_details_bad_request().expect("the fields");
    let fields: Vec<_> = details.field_violations.iter().map(|v| v.field.as_str()).collect();
    let wanted = ["request_id", "session_id", "scope.grants[0].tool", "scope.grants[0].resource", "holder"];
    assert_eq!(fields, wanted);
    assert_eq!(reason(client.open(wire::OpenSessionRequest::default()).await), "request_invalid");
    assert_eq!(reason(client.close("nonsense").await), "request_invalid");
}

#[tokio::test]
async fn an_agent_has_so_many_sessions_and_no_more() {
    let setup = Setup { config: "[limits]\nsessions_per_agent = 2".into(), ..Setup::default() };
    let broker = TestBroker::start_with(setup).await;
    let client = broker.client(AGENT_PATH).await;
    let first = client.session().await;
    client.session().await;
    let request = opening();
    let (code, denial) = refusal(client.open(request.clone()).await);
    assert_eq!((code, denial.reason.code()), (Code::ResourceExhausted, "too_many_sessions"));
    client.close(&first).await.expect("closed");
    client.open(request).await.expect("the same request, when there is room");
}

#[tokio::test]
async fn more_requests_than_are_worked_on_at_once_are_refused_and_not_queued() {
    let setup = Setup { config: "[limits]\nin_flight = 1".into(), ..Setup::default() };
    let broker = TestBroker::start_with(setup).await;
    let client = Arc::new(broker.client(AGENT_PATH).await);
    let session = client.session().await;
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (client, request) = (Arc::clone(&client), exchange(&session));
        asking.spawn(async move { client.exchange(request).await.map(|issued| issued.token_id) });
    }
    let (issued, refused): (Vec<_>, Vec<_>) = asking.join_all().await.into_iter().partition(Result::is_ok);
    assert!(!issued.is_empty() && !refused.is_empty(), "{} issued, {} refused", issued.len(), refused.len());
    for outcome in refused {
        assert_eq!(reason(outcome), "overloaded");
    }
}

#[tokio::test]
async fn a_closed_session_issues_nothing() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let session = client.session().await;
    let request = exchange(&session);
    client.exchange(request.clone()).await.expect("a token");
    let sequence = client.close(&session).await.expect("closed");
    assert_eq!(client.close(&session).await.expect("closing is idempotent"), sequence);
    assert_eq!(reason(client.exchange(exchange(&session)).await), "session_closed");
    assert_eq!(reason(client.exchange(request).await), "session_closed", "not even the token it once had");
}

#[tokio::test]
async fn a_session_inside_another_is_no_wider_and_ends_with_it() {
    let broker = TestBroker::start().await;
    let client = broker.client(AGENT_PATH).await;
    let parent = client.session().await;
    let inside = |origin: &str, resource: &str| {
        let mut request = opening();
        request.origin = Some(Origin { kind: Some(Kind::ParentSession(origin.to_owned())) });
        request.envelope = vec![files(&[("read_file", "read", resource)])];
        request
    };
    assert_eq!(reason(client.open(inside(&parent, "file:///notes/*")).await), "outside_envelope");
    let unknown = "ses_00000000000000000000000000000000";
    assert_eq!(reason(client.open(inside(unknown, "file:///docs/*")).await), "session_unknown");
    let child = client.open(inside(&parent, "file:///docs/*")).await.expect("a session");
    let issued = client.exchange(exchange(&child)).await.expect("a token");
    let token = read(&issued.token);
    let claims = token.claims();
    assert_eq!(claims.origin.to_string(), "user:bob@a.test (asserted)", "what set off the outermost session");
    assert_eq!(
        claims.ancestors.iter().map(|a| a.session.to_string()).collect::<Vec<_>>(),
        std::slice::from_ref(&parent)
    );
    assert_eq!(claims.subject.as_ref().map(|s| s.name.as_str()), Some("bob@a.test"));
    client.close(&parent).await.expect("closed");
    assert_eq!(reason(client.exchange(exchange(&child)).await), "session_closed");
    assert_eq!(reason(client.open(inside(&parent, "file:///docs/*")).await), "session_closed");
}
