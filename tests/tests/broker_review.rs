//! Access reviews through a real broker: what was used of what was given, the narrower manifest, and a reviewer's decision.

use crumb_identity::SystemClock;
use crumb_proto::wire::{
    AgentReview, ApplyRequest, DecideReviewRequest, DecideReviewResponse, Decision, DelegateRequest,
    GetManifestsRequest, GrantUse, ManifestFile, RecordDecisionsRequest, ReviewRequest,
    registry_service_client::RegistryServiceClient, review_service_client::ReviewServiceClient,
};
use crumb_tests::{
    broker::{
        AGENT, AGENT_PATH, Client, FILES, PATIENCE, Setup, TestBroker, exchange, files, opening, reason, refusal,
        request_id,
    },
    people::{approver_issuers, token_of},
};
use crumb_token::{Clock as _, RecordId};
use std::time::Duration;
use time::OffsetDateTime;
use tonic::Status;
use uuid::Uuid;

/// A broker that knows people, with an agent that has worked a little.
struct Stage {
    broker: TestBroker,
    bot: Client,
    server: Client,
    session: String,
}

impl Stage {
    async fn new() -> Self {
        let broker = TestBroker::start_with(Setup { config: approver_issuers(), ..Setup::governed() }).await;
        let (bot, server) = (broker.client(AGENT_PATH).await, broker.client("/tool/files").await);
        let session = bot.session().await;
        Self { broker, bot, server, session }
    }

    /// Reports calls that the tool server allowed, or did not.
    async fn calls(&self, session: &str, agent: &str, right: (&str, &str), resources: &[&str], allowed: bool) {
        let decision = |resource: &&str| Decision {
            record_id: RecordId::from_uuid(Uuid::now_v7()).to_string(),
            at_unix_ms: SystemClock::new().now().wall.as_unix_s() * 1000,
            audience: FILES.into(),
            peer: format!("spiffe://a.test/agent/{agent}"),
            session_id: session.into(),
            agent: agent.into(),
            tool: right.0.into(),
            operation: right.1.into(),
            resource: (*resource).into(),
            allowed,
            ..Decision::default()
        };
        let request = RecordDecisionsRequest { decisions: resources.iter().map(decision).collect() };
        self.server.audit().record_decisions(request).await.expect("kept");
    }

    async fn reads(&self, resources: &[&str]) {
        self.calls(&self.session, AGENT, ("read_file", "read"), resources, true).await;
    }

    /// Gets a token: in the second in which something of it was revoked there is none.
    async fn token(&self, session: &str) {
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        let issued = tokio::time::timeout(PATIENCE, async {
            while let Err(status) = self.bot.exchange(exchange(session)).await {
                assert_eq!(reason::<()>(Err(status)), "overloaded");
                tries.tick().await;
            }
        });
        issued.await.expect("a token in time");
    }

    fn client(&self) -> ReviewServiceClient<tonic::transport::Channel> {
        ReviewServiceClient::new(self.broker.admin())
    }

    async fn review(&self, request: ReviewRequest) -> Result<Vec<AgentReview>, Status> {
        let mut stream = self.client().review(request).await?.into_inner();
        let mut reviews = Vec::new();
        while let Some(review) = stream.message().await? {
            reviews.push(review);
        }
        Ok(reviews)
    }

    async fn of(&self, agent: &str) -> AgentReview {
        let request = ReviewRequest { agent: agent.into(), propose: true, ..ReviewRequest::default() };
        self.review(request).await.expect("a review").remove(0)
    }

    async fn decide(&self, verdict: &str, person: &str) -> Result<DecideReviewResponse, Status> {
        let token = if person.is_empty() { String::new() } else { token_of(person) };
        let request = DecideReviewRequest {
            agent: AGENT.into(),
            verdict: verdict.into(),
            reason: "as seen in the trail".into(),
            approver_token: token,
            ..DecideReviewRequest::default()
        };
        self.decide_with(request).await
    }

    async fn decide_with(&self, request: DecideReviewRequest) -> Result<DecideReviewResponse, Status> {
        self.client().decide(request).await.map(tonic::Response::into_inner)
    }

    async fn apply(&self, text: &str) {
        let document = ManifestFile { file: "a.yaml".into(), text: text.into() };
        let request = ApplyRequest { documents: vec![document], ..ApplyRequest::default() };
        let mut registry = RegistryServiceClient::new(self.broker.admin());
        let answer = registry.apply(request).await.expect("an answer").into_inner();
        assert_eq!(answer.defects, [], "{text}");
        assert!(answer.changes.iter().all(|change| !change.widens), "{answer:?}");
    }

    async fn manifest(&self) -> crumb_proto::wire::Manifest {
        let request = GetManifestsRequest { kind: "Agent".into(), name: AGENT.into() };
        let mut registry = RegistryServiceClient::new(self.broker.admin());
        registry.get_manifests(request).await.expect("manifests").into_inner().manifests.remove(0)
    }
}

fn used<'r>(review: &'r AgentReview, tool: &str, resource: &str) -> &'r GrantUse {
    let is_it = |used: &&GrantUse| used.grant.as_ref().is_some_and(|g| g.tool == tool && g.resource == resource);
    review.grants.iter().find(is_it).unwrap_or_else(|| panic!("{tool} {resource} is not there: {review:#?}"))
}

fn resources(used: &GrantUse) -> Vec<&str> {
    used.used.iter().map(|grant| grant.resource.as_str()).collect()
}

#[tokio::test]
async fn each_right_is_told_with_what_became_of_it() {
    let stage = Stage::new().await;
    stage.bot.exchange(exchange(&stage.session)).await.expect("a token");
    stage.reads(&["file:///docs/a/x.md", "file:///docs/a/y.md", "file:///docs/a/x.md"]).await;
    let second = stage.bot.session().await;
    stage.calls(&second, AGENT, ("read_file", "read"), &["file:///docs/b/z.md"], true).await;
    stage.calls(&second, AGENT, ("read_file", "read"), &["file:///etc/passwd"], false).await;
    let review = stage.of(AGENT).await;
    assert_eq!((review.sessions, review.calls, review.tokens), (2, 4, 1), "what was refused is no use: {review:#?}");
    assert_eq!((review.owner.as_str(), review.manifest_version), ("ada@a.test", 1));
    let docs = used(&review, "read_file", "file:///docs/*");
    assert_eq!((docs.calls, docs.tokens, docs.sessions, docs.delegated_calls), (4, 1, 2, 0));
    assert!(docs.last_unix_ms > 0 && docs.last_unix_ms <= review.until_unix_ms + 60_000);
    assert_eq!(docs.resources, ["file:///docs/a/x.md", "file:///docs/a/y.md", "file:///docs/b/z.md"]);
    assert_eq!((docs.asked_as.join(" ").as_str(), docs.risk.as_str()), ("file:///docs/*", "low"));
    assert_eq!(resources(docs), ["file:///docs/a/*", "file:///docs/b/*"]);
    for (tool, resource) in [("read_file", "file:///notes/*"), ("write_file", "file:///notes/*")] {
        let never = used(&review, tool, resource);
        assert_eq!((never.calls, never.tokens, never.last_unix_ms, never.used.len()), (0, 0, 0, 0));
        assert_eq!(never.sources, ["scopes"]);
    }
    assert!(review.unseen.iter().any(|said| said.starts_with("the trail starts at 2")), "{:?}", review.unseen);
}

#[tokio::test]
async fn a_proposal_is_applied_as_it_is_and_what_was_used_still_passes() {
    let stage = Stage::new().await;
    stage.reads(&["file:///docs/a/x.md"]).await;
    let proposal = stage.of(AGENT).await.proposal.expect("it was asked for");
    assert_eq!(proposal.action, "narrow");
    assert!(proposal.diff.contains("-        - { tool: write_file"), "{}", proposal.diff);
    assert!(proposal.manifest.contains("resourceVersion: 1"), "{}", proposal.manifest);
    stage.apply(&proposal.manifest).await;
    let open = |resource: &str, tool: (&str, &str)| {
        let mut request = opening();
        request.envelope = vec![files(&[(tool.0, tool.1, resource)])];
        request
    };
    let read = ("read_file", "read");
    let session = stage.bot.open(open("file:///docs/a/*", read)).await.expect("what was used is still given");
    let mut asked = exchange(&session);
    asked.scope = Some(files(&[("read_file", "read", "file:///docs/a/x.md")]));
    stage.bot.exchange(asked).await.expect("a token for what was called");
    assert_eq!(reason(stage.bot.open(open("file:///docs/b/*", read)).await), "outside_manifest");
    assert_eq!(reason(stage.bot.open(open("file:///notes/*", ("write_file", "write"))).await), "outside_manifest");
    let again = stage.of(AGENT).await;
    assert_eq!(again.proposal.expect("it was asked for").action, "keep", "nothing is left to narrow");
}

#[tokio::test]
async fn what_a_delegate_used_counts_for_the_agent_that_delegated() {
    let stage = Stage::new().await;
    let request = DelegateRequest {
        request_id: request_id(),
        session_id: stage.session.clone(),
        agent: "helper".into(),
        peer: "spiffe://a.test/agent/helper".into(),
        intent: "read for me".into(),
        envelope: vec![files(&[("read_file", "read", "file:///docs/*")])],
        ..DelegateRequest::default()
    };
    let inside = stage.bot.sessions().delegate(request).await.expect("a session").into_inner().session_id;
    stage.calls(&inside, "helper", ("read_file", "read"), &["file:///docs/h/x.md"], true).await;
    let review = stage.of(AGENT).await;
    let docs = used(&review, "read_file", "file:///docs/*");
    assert_eq!((docs.calls, docs.delegated_calls, resources(docs)), (1, 1, vec!["file:///docs/h/*"]));
    let own = stage.of("helper").await;
    let docs = used(&own, "read_file", "file:///docs/*");
    assert_eq!((docs.calls, docs.delegated_calls), (1, 0), "the delegate needs the right itself: {own:#?}");
}

#[tokio::test]
async fn where_no_call_is_reported_a_token_counts_as_use() {
    let stage = Stage::new().await;
    stage.bot.exchange(exchange(&stage.session)).await.expect("a token");
    let review = stage.of(AGENT).await;
    assert_eq!(resources(used(&review, "read_file", "file:///docs/*")), ["file:///docs/*"]);
    assert!(review.unseen.iter().any(|said| said.contains("reported no calls")), "{:?}", review.unseen);
    let proposal = review.proposal.expect("it was asked for");
    assert!(proposal.manifest.contains("file:///docs/*") && !proposal.manifest.contains("write_file"), "{proposal:?}");
}

#[tokio::test]
async fn a_reviewer_narrows_in_person_and_the_day_of_the_next_review_moves() {
    let stage = Stage::new().await;
    stage.reads(&["file:///docs/a/x.md"]).await;
    let decided = stage.decide("narrow", "eve@a.test").await.expect("decided");
    assert_eq!(decided.reviewer, "eve@a.test");
    let change = decided.change.expect("a change");
    assert_eq!((change.action.as_str(), change.to_version, change.widens), ("update", 2, false));
    let now = SystemClock::new().now().wall.as_unix_s();
    assert!((89..=92).contains(&((decided.review_by - now) / 86_400)), "{}", decided.review_by);
    let manifest = stage.manifest().await;
    assert!(manifest.text.contains("file:///docs/a/*") && !manifest.text.contains("write_file"), "{}", manifest.text);
    assert!(manifest.applied_by.starts_with("eve@a.test through uid:"), "{}", manifest.applied_by);
    let record = stage.broker.trail().await.pop().expect("a record");
    assert_eq!((record.kind.as_str(), record.allowed), ("registry.review", true));
    assert_eq!((record.agent.as_str(), record.owner.as_str()), (AGENT, "ada@a.test"));
    for part in ["narrowed research-bot by eve@a.test (token of people)", "as seen in the trail", "registry "] {
        assert!(record.detail.contains(part), "{part:?} is missing: {}", record.detail);
    }
    assert!(record.peer.starts_with("uid:") && record.asked[0].tool == "Agent/research-bot", "{record:?}");
}

#[tokio::test]
async fn nobody_reviews_his_own_agent_or_without_a_name() {
    let stage = Stage::new().await;
    stage.reads(&["file:///docs/a/x.md"]).await;
    for (person, why) in [
        ("", "a named reviewer"),
        ("ada@a.test", "answers for the agent"),
        ("ADA@a.test", "answers for the agent"),
        ("mallory@a.test", "a group of approvers"),
    ] {
        let (_, denial) = refusal(stage.decide("keep", person).await);
        assert_eq!(denial.reason.code(), "not_an_approver", "{person}");
        assert!(denial.rule.contains(why), "{person}: {}", denial.rule);
        let record = stage.broker.trail().await.pop().expect("a record");
        assert_eq!((record.kind.as_str(), record.allowed), ("registry.review", false), "an attempt is on record");
    }
    let request = DecideReviewRequest {
        agent: AGENT.into(),
        verdict: "keep".into(),
        reason: "x".into(),
        approver_token: "not.a.token".into(),
        ..DecideReviewRequest::default()
    };
    assert_eq!(reason(stage.decide_with(request).await), "subject_invalid");
    let mut network = ReviewServiceClient::new(stage.bot.channel.clone());
    let status = network.review(ReviewRequest::default()).await.expect_err("not there");
    assert_eq!(status.code(), tonic::Code::Unimplemented, "reviews are for operators");
    assert_eq!(stage.manifest().await.version, 1, "nothing was changed");
}

#[tokio::test]
async fn keeping_brings_an_overdue_agent_back_and_removing_ends_it() {
    let stage = Stage::new().await;
    let text = stage.manifest().await.text;
    stage.apply(&format!("{}\n  reviewBy: 2020-01-31\n", text.trim_end())).await;
    assert_eq!(reason(stage.bot.exchange(exchange(&stage.session)).await), "review_overdue");
    assert_eq!(reason(stage.bot.open(opening()).await), "review_overdue");
    let tomorrow = OffsetDateTime::now_utc().date().next_day().expect("a day").to_string();
    let keep = |next: &str| DecideReviewRequest {
        agent: AGENT.into(),
        verdict: "keep".into(),
        reason: "it does what it is for".into(),
        next_review: next.into(),
        approver_token: token_of("eve@a.test"),
        ..DecideReviewRequest::default()
    };
    assert_eq!(reason(stage.decide_with(keep("2020-01-31")).await), "request_invalid", "a day that has passed");
    stage.decide_with(keep(&tomorrow)).await.expect("kept");
    let session = stage.bot.open(opening()).await.expect("it may go on");
    stage.token(&session).await;

    let decided = stage.decide("remove", "dan@a.test").await.expect("removed");
    assert_eq!(decided.review_by, 0);
    assert_eq!(reason(stage.bot.open(opening()).await), "agent_retired");
    assert_eq!(reason(stage.bot.exchange(exchange(&session)).await), "agent_retired", "what it had is over");
    assert!(stage.manifest().await.text.contains("lifecycle: retired"));
}

#[tokio::test]
async fn a_manifest_that_a_reviewer_brings_gives_nothing_and_changes_nothing_else() {
    let stage = Stage::new().await;
    stage.reads(&["file:///docs/a/x.md"]).await;
    let text = stage.manifest().await.text;
    let narrow = |manifest: String| DecideReviewRequest {
        agent: AGENT.into(),
        verdict: "narrow".into(),
        reason: "by hand".into(),
        manifest,
        approver_token: token_of("eve@a.test"),
        ..DecideReviewRequest::default()
    };
    for (manifest, code) in [
        (text.replace("\"file:///docs/*\"", "\"*\""), "outside_manifest"),
        (text.replace("owner: ada@a.test", "owner: eve@a.test"), "manifest_invalid"),
        (text.replace("name: research-bot", "name: another-bot"), "manifest_invalid"),
        (text.replace("environment: test", "lifecycle: updated\n  environment: test"), "manifest_invalid"),
        ("kind: Agent".to_owned(), "manifest_invalid"),
        (format!("{text}\n---\n{text}"), "manifest_invalid"),
    ] {
        assert_eq!(reason(stage.decide_with(narrow(manifest.clone())).await), code, "{manifest}");
    }
    assert_eq!(stage.manifest().await.version, 1);
    let smaller = text.replace(", \"file:///notes/*\"", "");
    stage.decide_with(narrow(smaller)).await.expect("decided");
    let review = stage.of(AGENT).await;
    assert_eq!((review.grants.len(), review.manifest_version), (2, 2));
}

#[tokio::test]
async fn a_reviewer_frees_an_agent_of_nothing_that_holds_it_in() {
    let stage = Stage::new().await;
    stage.reads(&["file:///docs/a/x.md"]).await;
    let persona = "apiVersion: crumb.dev/v1\nkind: Persona\nmetadata: { name: clerk }\nspec:\n  owner: ada@a.test\n  \
                   purpose: Does what clerks do.\n  bundles: []\n  riskCeiling: medium\n";
    stage.apply(persona).await;
    let held = "  persona: clerk\n  deployment: { lease: 30s }\n  validUntil: 2098-01-31\n  model: acme/large-2\n";
    let text = stage.manifest().await.text.replace("  scopes:\n", &format!("{held}  scopes:\n"));
    stage.apply(&text).await;
    let before = stage.manifest().await.version;
    for (from, to, code) in [
        ("  deployment: { lease: 30s }\n", "", "outside_manifest"),
        ("lease: 30s", "lease: 24h", "outside_manifest"),
        ("lease: 30s", "lease: 10s", "manifest_invalid"),
        ("  persona: clerk\n", "", "outside_manifest"),
        ("2098-01-31", "2099-01-31", "outside_manifest"),
        ("2098-01-31", "2097-01-31", "manifest_invalid"),
        ("acme/large-2", "acme/large-3", "manifest_invalid"),
        ("version: 1.4.0", "version: 1.5.0", "manifest_invalid"),
        ("environment: test", "environment: test\n  maxTtlSeconds: 60", "manifest_invalid"),
    ] {
        assert!(text.contains(from), "{from}");
        let request = DecideReviewRequest {
            agent: AGENT.into(),
            verdict: "narrow".into(),
            reason: "by hand".into(),
            manifest: text.replace(from, to),
            approver_token: token_of("eve@a.test"),
            ..DecideReviewRequest::default()
        };
        assert_eq!(reason(stage.decide_with(request).await), code, "{from} to {to}");
    }
    assert_eq!(stage.manifest().await.version, before);
    // What it proposes itself holds the agent in as before; and the day may move again.
    stage.decide("narrow", "eve@a.test").await.expect("decided");
    let after = stage.manifest().await;
    assert!(held.lines().all(|line| after.text.contains(line)) && !after.text.contains("write_file"), "{}", after.text);
    let later = OffsetDateTime::now_utc().date().checked_add(time::Duration::days(300)).expect("a day");
    let keep = DecideReviewRequest {
        agent: AGENT.into(),
        verdict: "keep".into(),
        reason: "as agreed".into(),
        next_review: later.to_string(),
        approver_token: token_of("eve@a.test"),
        ..DecideReviewRequest::default()
    };
    let change = stage.decide_with(keep).await.expect("a review moves the day").change.expect("a change");
    assert_eq!(change.widenings, [format!("it goes without a review until {later}")], "and it is told");
}

#[tokio::test]
async fn an_agent_that_is_handed_tokens_is_not_told_to_have_used_nothing() {
    let stage = Stage::new().await;
    let text = stage.manifest().await.text;
    assert_eq!(stage.of("helper").await.proposal.expect("it was asked for").action, "set-aside");
    let handing = text.replace("  scopes:\n", "  mayHandTo: [helper]\n  scopes:\n");
    let document = ManifestFile { file: "a.yaml".into(), text: handing };
    let request = ApplyRequest { documents: vec![document], ..ApplyRequest::default() };
    let answer = RegistryServiceClient::new(stage.broker.admin()).apply(request).await.expect("an answer").into_inner();
    assert_eq!(answer.defects, []);
    let review = stage.of("helper").await;
    let unseen = "what it did offline with tokens of research-bot is in their sessions, and is not counted here";
    assert!(review.unseen.iter().any(|said| said == unseen), "{:?}", review.unseen);
    let proposal = review.proposal.expect("it was asked for");
    assert_eq!((proposal.action.as_str(), proposal.notes.as_slice()), ("keep", &[unseen.to_owned()][..]));
    assert!(
        !stage.of(AGENT).await.unseen.iter().any(|said| said.contains("offline")),
        "the one who hands on is counted"
    );
}

#[tokio::test]
async fn an_agent_that_used_nothing_is_set_aside_and_not_narrowed_to_nothing() {
    let stage = Stage::new().await;
    let proposal = stage.of("helper").await.proposal.expect("it was asked for");
    assert_eq!(proposal.action, "set-aside");
    assert!(proposal.manifest.contains("lifecycle: quarantined"), "{}", proposal.manifest);
    assert_eq!(reason(stage.decide("narrow", "eve@a.test").await), "nothing_granted");
    stage.apply(&proposal.manifest).await;
    let owned = ReviewRequest { owner: "KIM@a.test".into(), ..ReviewRequest::default() };
    let reviews = stage.review(owned).await.expect("a review");
    assert_eq!(reviews.iter().map(|r| r.agent.as_str()).collect::<Vec<_>>(), ["helper"]);
    let all = stage.review(ReviewRequest::default()).await.expect("reviews");
    assert!(all.len() > 4 && all.iter().all(|review| review.proposal.is_none()), "{}", all.len());
    let unknown = ReviewRequest { agent: "nobody".into(), ..ReviewRequest::default() };
    assert_eq!(reason(stage.review(unknown).await), "agent_unknown");
    let odd = ReviewRequest { agent: "no\u{1b}body".into(), ..ReviewRequest::default() };
    assert_eq!(reason(stage.review(odd).await), "request_invalid");
    let long = ReviewRequest { window_s: u64::MAX, ..ReviewRequest::default() };
    assert_eq!(reason(stage.review(long).await), "request_invalid");
}
