//! Policy, through a real broker: what it denies, clamps and wants approved, and what approvers can and cannot do.

use crumb_identity::SystemClock;
use crumb_proto::{
    from_status,
    wire::{
        AppealRequest, Approval, ApproveRequest, ExchangeRequest, ExchangeResponse, ListApprovalsRequest,
        OpenSessionRequest, RefuseRequest, WatchApprovalRequest, approval_service_client::ApprovalServiceClient,
    },
};
use crumb_tests::broker::{
    AGENT_PATH, Client, GOVERNED, PATIENCE, Setup, TestBroker, exchange, files, grant, opening, reason, refusal,
    request_id,
};
use crumb_tests::member::{root, svid};
use crumb_token::{Clock as _, Denial};
use tokio::{task::JoinSet, time::timeout};
use tonic::Status;

const JANITOR: &str = "/agent/janitor";

/// A session that may do everything the janitor may.
fn tidying() -> OpenSessionRequest {
    let scope = files(&[
        ("read_file", "read", "file:///docs/*"),
        ("write_file", "write", "file:///notes/*"),
        ("delete_file", "delete", "file:///tmp/*"),
    ]);
    OpenSessionRequest { agent: "janitor".into(), intent: "tidy up".into(), envelope: vec![scope], ..opening() }
}

fn wanted(session: &str, rights: &[(&str, &str, &str)]) -> ExchangeRequest {
    ExchangeRequest { task: String::new(), scope: Some(files(rights)), ..exchange(session) }
}

fn deleting(session: &str) -> ExchangeRequest {
    wanted(session, &[("delete_file", "delete", "file:///tmp/*")])
}

fn writing(session: &str) -> ExchangeRequest {
    wanted(session, &[("write_file", "write", "file:///notes/a.md")])
}

/// A janitor with a session, at a broker with the policy.
struct Stage {
    broker: TestBroker,
    janitor: Client,
    portal: Client,
    session: String,
}

impl Stage {
    async fn new() -> Self {
        Self::with(Setup::governed()).await
    }

    async fn with(setup: Setup) -> Self {
        let broker = TestBroker::start_with(setup).await;
        let janitor = broker.client(JANITOR).await;
        let portal = broker.client("/portal").await;
        let session = janitor.open(tidying()).await.expect("a session");
        Self { broker, janitor, portal, session }
    }

    async fn exchange(&self, request: ExchangeRequest) -> Result<ExchangeResponse, Status> {
        self.janitor.exchange(request).await
    }

    /// Asks for what needs approval, and returns the number of the request for it.
    async fn ask(&self) -> String {
        let (_, denial) = refusal(self.exchange(deleting(&self.session)).await);
        assert_eq!(denial.reason.code(), "approval_needed");
        denial.asked
    }

    /// Puts other manifests in force.
    async fn governed_by(mut self, manifests: &str) -> Self {
        std::fs::write(self.broker.path("registry").join("governed.yaml"), manifests).expect("a file of our own");
        self.broker = self.broker.restart().await;
        self.janitor = self.broker.client_of(self.janitor);
        self.portal = self.broker.client_of(self.portal);
        self
    }

    async fn list(&self, state: &str, session: &str) -> Result<Vec<Approval>, Status> {
        let request =
            ListApprovalsRequest { state: state.into(), session_id: session.into(), ..ListApprovalsRequest::default() };
        self.portal.approvals().list_approvals(request).await.map(|listed| listed.into_inner().approvals)
    }

    async fn refuse(&self, id: &str) {
        let no = RefuseRequest { approval_id: id.into(), why: "not tonight".into(), ..RefuseRequest::default() };
        self.portal.approvals().refuse(no).await.expect("refused");
    }

    async fn approve(&self, id: &str) -> Result<Approval, Status> {
        let request = ApproveRequest { approval_id: id.into(), ..ApproveRequest::default() };
        self.portal.approvals().approve(request).await.map(tonic::Response::into_inner)
    }
}

fn denial(status: &Status) -> Denial {
    from_status(status).expect("one of ours")
}

#[tokio::test]
async fn denies_with_the_place_of_the_rule_and_what_to_do() {
    let stage = Stage::new().await;
    let request = wanted(&stage.session, &[("read_file", "read", "file:///docs/secret/keys.md")]);
    let (_, denial) = refusal(stage.exchange(request).await);
    assert_eq!(denial.reason.code(), "policy_denied");
    assert_eq!(denial.rule, "policy issue, issue.rego:12: nobody reads the secrets");
    assert_eq!((denial.author.as_str(), denial.next.as_str()), ("eve@a.test", "ask for another folder"));
    let trail = stage.broker.trail().await;
    let record = trail.last().expect("a record");
    assert!(record.policy_version.is_empty() && !record.allowed, "a denial names its rule");
}

#[tokio::test]
async fn clamps_lifetime_rate_and_budget() {
    let stage = Stage::new().await;
    for _ in 0..3 {
        let issued = stage.exchange(writing(&stage.session)).await.expect("a token");
        let now = SystemClock::new().now().wall.as_unix_s();
        assert!(issued.expires_at <= now + 60, "a minute at most");
    }
    let (code, denial) = refusal(stage.exchange(writing(&stage.session)).await);
    assert_eq!((code, denial.reason.code()), (tonic::Code::ResourceExhausted, "rate_limited"));
    assert!(denial.rule.contains("issue.rego:17"), "{}", denial.rule);
    let reading = wanted(&stage.session, &[("read_file", "read", "file:///docs/*")]);
    for _ in 0..3 {
        stage.exchange(ExchangeRequest { request_id: request_id(), ..reading.clone() }).await.expect("not clamped");
    }
    let version = stage.broker.trail().await.last().expect("a record").policy_version.clone();
    assert!(version.starts_with("issue@"), "{version}");
}

#[tokio::test]
async fn an_approval_is_needed_given_narrower_redeemed_once_and_then_needed_again() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    assert_eq!(stage.ask().await, id, "the same ask waits once");
    let narrower = ApproveRequest {
        approval_id: id.clone(),
        grants: vec![grant("delete_file", "delete", "file:///tmp/old/*")],
        ttl_s: 30,
        why: "only the old ones".into(),
        ..ApproveRequest::default()
    };
    let approved = stage.portal.approvals().approve(narrower).await.expect("approved").into_inner();
    assert_eq!((approved.state.as_str(), approved.risk.as_str()), ("approved", "high"));
    let again = deleting(&stage.session);
    let issued = stage.exchange(again.clone()).await.expect("a token");
    assert_eq!(issued.grants, [grant("delete_file", "delete", "file:///tmp/old/*")]);
    assert_eq!(stage.exchange(again).await.expect("the same request").token, issued.token);
    let next = stage.ask().await;
    assert_ne!(next, id, "redeemed once: the next ask waits anew");
    assert_eq!(reason(stage.approve(&id).await), "approval_used");
}

#[tokio::test]
async fn of_many_who_redeem_at_once_one_does() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    stage.approve(&id).await.expect("approved");
    let mut redeeming = JoinSet::new();
    for _ in 0..64 {
        let (mut tokens, request) = (stage.janitor.tokens(), deleting(&stage.session));
        redeeming.spawn(async move { tokens.exchange(request).await.map(drop) });
    }
    let outcomes = redeeming.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        let code = denial(&refused).reason.code();
        assert!(matches!(code, "approval_used" | "approval_needed"), "{code}");
    }
}

#[tokio::test]
async fn an_approval_of_one_ask_is_no_approval_of_another() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    stage.approve(&id).await.expect("approved");
    let others = [
        wanted(&stage.session, &[("delete_file", "delete", "file:///tmp/a")]),
        ExchangeRequest { ttl_s: 120, ..deleting(&stage.session) },
        ExchangeRequest { task: "another step".into(), ..deleting(&stage.session) },
        deleting(&stage.janitor.open(tidying()).await.expect("another session")),
    ];
    for other in others {
        assert_eq!(reason(stage.exchange(other).await), "approval_needed");
    }
    stage.exchange(deleting(&stage.session)).await.expect("the very ask");
}

#[tokio::test]
async fn nobody_approves_his_own_nor_what_is_not_his_to_approve() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    let approve = |client: &Client| {
        let mut approvals = client.approvals();
        let request = ApproveRequest { approval_id: id.clone(), ..ApproveRequest::default() };
        async move { approvals.approve(request).await }
    };
    assert_eq!(reason(approve(&stage.janitor).await), "not_an_approver", "the requester");
    assert_eq!(reason(approve(&stage.broker.client("/agent/helper").await).await), "not_an_approver", "an agent");
    assert_eq!(reason(approve(&stage.broker.client("/somebody").await).await), "approval_unknown", "a stranger");
    let mut operator = ApprovalServiceClient::new(stage.broker.admin());
    let request = ApproveRequest { approval_id: id.clone(), ..ApproveRequest::default() };
    assert_eq!(reason(operator.approve(request).await), "not_an_approver", "an operator");
    let wider = ApproveRequest {
        approval_id: id.clone(),
        grants: vec![grant("delete_file", "delete", "*")],
        ..ApproveRequest::default()
    };
    assert_eq!(reason(stage.portal.approvals().approve(wider).await), "outside_envelope", "more than was asked");
}

#[tokio::test]
async fn a_refusal_says_who_and_why_and_can_be_appealed_by_who_asked() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    stage.refuse(&id).await;
    let (_, denial) = refusal(stage.exchange(deleting(&stage.session)).await);
    assert_eq!((denial.reason.code(), denial.rule.as_str()), ("approval_denied", "not tonight"));
    assert_eq!(denial.author, "spiffe://a.test/portal");
    let appeal = AppealRequest { approval_id: id.clone(), why: "the disk is full".into() };
    assert_eq!(reason(stage.portal.approvals().appeal(appeal.clone()).await), "approval_unknown", "not the asker");
    let appealed = stage.janitor.approvals().appeal(appeal).await.expect("appealed").into_inner();
    assert_eq!((appealed.appeal_of, appealed.appeal_why), (id, "the disk is full".to_owned()));
    stage.approve(&appealed.approval_id).await.expect("approved");
    stage.exchange(deleting(&stage.session)).await.expect("a token");
}

#[tokio::test]
async fn whoever_asked_can_wait_and_is_told() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    let request = WatchApprovalRequest { approval_id: id.clone(), ..WatchApprovalRequest::default() };
    let mut watch = stage.janitor.approvals().watch_approval(request.clone()).await.expect("a watch").into_inner();
    let first = timeout(PATIENCE, watch.message()).await.expect("at once").expect("no error").expect("a message");
    assert_eq!(first.state, "pending");
    stage.approve(&id).await.expect("approved");
    let second = timeout(PATIENCE, watch.message()).await.expect("told").expect("no error").expect("a message");
    assert_eq!(second.state, "approved");
    let stranger = stage.broker.client(AGENT_PATH).await;
    let mut refused = stranger.approvals().watch_approval(request).await.expect("a stream").into_inner();
    let status = refused.message().await.expect_err("not theirs");
    assert_eq!(denial(&status).reason.code(), "approval_unknown");
}

#[tokio::test]
async fn an_approver_sees_what_there_is_to_decide_on_and_a_stranger_sees_nothing() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    let list = |client: &Client| {
        let mut approvals = client.approvals();
        async move { approvals.list_approvals(ListApprovalsRequest::default()).await.expect("a list").into_inner() }
    };
    let seen = list(&stage.portal).await.approvals;
    let [shown] = &seen[..] else { panic!("one request, and not {seen:?}") };
    assert_eq!((shown.approval_id.as_str(), shown.agent.as_str(), shown.intent.as_str()), (&*id, "janitor", "tidy up"));
    assert_eq!((shown.origin.as_str(), shown.subject.as_str()), ("user:bob@a.test (asserted)", "bob@a.test"));
    assert_eq!(shown.because, ["policy issue, issue.rego:7: what cannot be undone"]);
    assert_eq!(shown.needed[0].group, "security");
    assert!(list(&stage.broker.client("/somebody").await).await.approvals.is_empty());
    assert_eq!(list(&stage.janitor).await.approvals.len(), 1, "the asker sees its own");
}

#[tokio::test]
async fn an_approval_ends_with_its_session() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    stage.approve(&id).await.expect("approved");
    stage.janitor.close(&stage.session).await.expect("closed");
    assert_eq!(reason(stage.exchange(deleting(&stage.session)).await), "session_closed");
}

#[tokio::test]
async fn approvals_outlive_a_restart_of_the_broker() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    stage.approve(&id).await.expect("approved");
    let Stage { broker, janitor, session, .. } = stage;
    let broker = broker.restart().await;
    let janitor = broker.client_of(janitor);
    janitor.exchange(deleting(&session)).await.expect("a token");
    assert_eq!(reason(janitor.exchange(deleting(&session)).await), "approval_needed");
}

/// [`GOVERNED`], with the rule of the group in other words.
fn governed(group: &str) -> String {
    let members = GOVERNED.find("members: [").expect("a group");
    let end = members + GOVERNED[members..].find("\n---").expect("its end");
    format!("{}{group}{}", &GOVERNED[..members], &GOVERNED[end..])
}

#[tokio::test]
async fn a_groups_own_rule_is_the_least_that_policy_can_ask() {
    let two = governed("members: [eve@a.test, \"spiffe://a.test/portal\"]\n  count: 2");
    let mut setup = Setup::default();
    setup.manifests.push(("governed.yaml".into(), two));
    let stage = Stage::with(setup).await;
    let id = stage.ask().await;
    let approved = stage.approve(&id).await.expect("a vote");
    assert_eq!((approved.state.as_str(), approved.needed[0].count, approved.needed[0].approved), ("pending", 2, 1));
    assert_eq!(reason(stage.exchange(deleting(&stage.session)).await), "approval_needed");
}

#[tokio::test]
async fn a_policy_that_asks_a_group_that_is_not_there_comes_to_no_answer() {
    let mut setup = Setup::default();
    let nobody = GOVERNED.replace("\"from\": \"security\"", "\"from\": \"nobody\"");
    setup.manifests.push(("governed.yaml".into(), nobody));
    let stage = Stage::with(setup).await;
    let (_, denial) = refusal(stage.exchange(deleting(&stage.session)).await);
    assert_eq!(denial.reason.code(), "indeterminate");
    assert_eq!(denial.rule, "policy issue: no approval rule is registered as nobody");
}

#[tokio::test]
async fn an_approval_is_redeemed_for_what_holds_then_or_asked_for_anew() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    stage.approve(&id).await.expect("approved");
    let stage = stage.governed_by(&governed("members: [eve@a.test, \"spiffe://a.test/portal\"]\n  count: 2")).await;
    let second = stage.ask().await;
    assert_ne!(second, id, "the group wants two by now");
    assert_eq!(stage.list("expired", &stage.session).await.expect("a list")[0].approval_id, id);
    assert_eq!(stage.approve(&second).await.expect("a vote").state, "pending");
}

#[tokio::test]
async fn the_vote_of_who_is_not_of_the_group_any_more_redeems_nothing() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    stage.approve(&id).await.expect("approved");
    let stage = stage.governed_by(&governed("members: [eve@a.test]\n  count: 1")).await;
    assert_ne!(stage.ask().await, id);
}

#[tokio::test]
async fn a_refusal_is_an_answer_to_the_same_in_other_words_and_is_appealed_once() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    stage.refuse(&id).await;
    let others = [
        ExchangeRequest { ttl_s: 120, ..deleting(&stage.session) },
        ExchangeRequest { task: "another step".into(), ..deleting(&stage.session) },
        ExchangeRequest { holder: "spiffe://a.test/agent/janitor".into(), ..deleting(&stage.session) },
    ];
    for other in others {
        let (_, denial) = refusal(stage.exchange(other).await);
        assert_eq!((denial.reason.code(), denial.asked.as_str()), ("approval_denied", id.as_str()));
    }
    let less = wanted(&stage.session, &[("delete_file", "delete", "file:///tmp/a")]);
    assert_eq!(reason(stage.exchange(less).await), "approval_needed", "less is another ask");
    let appeal = AppealRequest { approval_id: id.clone(), why: "the disk is full".into() };
    stage.janitor.approvals().appeal(appeal.clone()).await.expect("appealed");
    assert_eq!(reason(stage.janitor.approvals().appeal(appeal).await), "approval_used");
    let longer = ExchangeRequest { ttl_s: 120, ..deleting(&stage.session) };
    assert_eq!(reason(stage.exchange(longer).await), "approval_needed", "the refusal does not stand any more");
}

#[tokio::test]
async fn one_peer_follows_only_so_many_requests_at_once() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    let watch = async |client: &Client| {
        let request = WatchApprovalRequest { approval_id: id.clone(), ..WatchApprovalRequest::default() };
        client.approvals().watch_approval(request).await.map(tonic::Response::into_inner)
    };
    let mut watches = Vec::new();
    for _ in 0..4 {
        let mut stream = watch(&stage.janitor).await.expect("a watch");
        assert_eq!(stream.message().await.expect("no error").expect("a message").state, "pending");
        watches.push(stream);
    }
    assert_eq!(reason(watch(&stage.janitor).await.map(drop)), "overloaded");
    watch(&stage.portal).await.expect("another one has room");
}

#[tokio::test]
async fn whoever_follows_is_proven_again_at_each_look() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    let request = WatchApprovalRequest { approval_id: id, ..WatchApprovalRequest::default() };
    let mut watch = stage.janitor.approvals().watch_approval(request).await.expect("a watch").into_inner();
    assert_eq!(watch.message().await.expect("no error").expect("a message").state, "pending");
    // The authority that vouched for the janitor is believed no more.
    let other = root("another authority");
    stage.broker.member.renew(&svid(&other, "/broker"), &[&other]).await;
    let status = timeout(PATIENCE, watch.message()).await.expect("at the next look").expect_err("no longer proven");
    assert_eq!(denial(&status).reason.code(), "svid_invalid");
}

#[tokio::test]
async fn lists_by_state_and_session_and_knows_no_other_states() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    let other = stage.janitor.open(tidying()).await.expect("another session");
    for state in ["", "pending"] {
        for session in ["", &stage.session] {
            let listed = stage.list(state, session).await.expect("a list");
            assert_eq!(listed.iter().map(|a| a.approval_id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
        }
        assert!(stage.list(state, &other).await.expect("a list").is_empty());
    }
    for state in ["approved", "refused", "redeemed", "expired"] {
        assert!(stage.list(state, "").await.expect("a list").is_empty(), "{state}");
    }
    assert_eq!(reason(stage.list("waiting", "").await), "request_invalid");
}

#[tokio::test]
async fn what_was_approved_and_fits_into_no_token_is_refused_before_it_is_redeemed() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    let long = |n: usize| grant("delete_file", "delete", &format!("file:///tmp/{n}/{}", "a".repeat(900)));
    let many =
        ApproveRequest { approval_id: id.clone(), grants: (0..8).map(long).collect(), ..ApproveRequest::default() };
    stage.portal.approvals().approve(many).await.expect("approved");
    assert_eq!(reason(stage.exchange(deleting(&stage.session)).await), "too_many_grants");
    assert_eq!(stage.list("approved", "").await.expect("a list")[0].approval_id, id, "and it is not used up");
}
