//! The SDK's client of approvals and delegation, at a real broker: waiting, voting, appealing, and what each is refused.

use crumb_sdk::{
    CallFailed,
    broker::{
        BrokerClient, Delegate, Exchange, OpenSession, SubjectToken,
        approval::{ApprovalState, Approve, ListApprovals, Refuse, awaited},
        new_request_id,
    },
};
use crumb_tests::{
    broker::{FILES, Setup, TestBroker},
    member::Member,
    sidecar::{id, until},
};
use crumb_token::{ApprovalId, Audience, Grant, Grants, Origin, Reason, SessionId, origin::Assurance};
use std::time::Duration;

/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(60);

fn rights(tool: &str, operation: &str, resource: &str) -> Grants {
    let grant = Grant {
        tool: tool.parse().expect("a tool"),
        operation: operation.parse().expect("an operation"),
        resource: resource.parse().expect("a pattern"),
    };
    Grants::try_new([grant]).expect("one")
}

fn files() -> Audience {
    FILES.parse().expect("an audience")
}

fn deletion() -> Grants {
    rights("delete_file", "delete", "file:///tmp/*")
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, CallFailed>) -> Reason {
    answer.expect_err("it is refused").to_denial().reason
}

/// A janitor with a session, somebody who may approve, and a stranger.
struct Stage {
    _broker: TestBroker,
    janitor: BrokerClient,
    portal: BrokerClient,
    stranger: BrokerClient,
    session: SessionId,
    _members: Vec<Member>,
}

fn opening() -> OpenSession {
    OpenSession {
        request: new_request_id(),
        agent: "janitor".parse().expect("a name"),
        intent: "tidy up".parse().expect("a sentence"),
        origin: Origin::User { name: "bob@a.test".parse().expect("a name"), assurance: Assurance::Asserted },
        envelope: vec![(files(), deletion())],
        lifetime: None,
        process: None,
        subject_token: None,
    }
}

impl Stage {
    async fn new() -> Self {
        let broker = TestBroker::start_with(Setup::governed()).await;
        let mut members = Vec::new();
        let mut clients = Vec::new();
        for path in ["/agent/janitor", "/portal", "/agent/research-bot"] {
            let client = broker.client(path).await;
            clients.push(BrokerClient::over(client.channel));
            members.push(client.member);
        }
        let [janitor, portal, stranger] = <[BrokerClient; 3]>::try_from(clients).expect("three");
        let session = janitor.open_session(&opening()).await.expect("a session").id;
        Self { _broker: broker, janitor, portal, stranger, session, _members: members }
    }

    fn exchange(&self) -> Exchange {
        Exchange {
            request: new_request_id(),
            session: self.session,
            task: None,
            audience: files(),
            grants: deletion(),
            ttl: None,
            holder: None,
            process: None,
            handing: None,
        }
    }

    /// Asks for what needs approval.
    async fn ask(&self) -> ApprovalId {
        let denial = self.janitor.exchange(&self.exchange()).await.expect_err("not approved").to_denial();
        awaited(&denial).expect("it names the request")
    }

    async fn pending(&self) -> ApprovalId {
        let list = ListApprovals { state: Some(ApprovalState::Pending), ..ListApprovals::default() };
        let mut found = None;
        until("somebody asks", async || {
            found = self.portal.list_approvals(&list).await.expect("its group's").first().map(|approval| approval.id);
            found.is_some()
        })
        .await;
        found.expect("one")
    }
}

fn yes(id: ApprovalId) -> Approve {
    Approve { id, grants: None, ttl: None, why: "once".into(), by: None }
}

fn no(id: ApprovalId) -> Refuse {
    Refuse { id, why: "not tonight".into(), by: None }
}

#[tokio::test]
async fn an_exchange_waits_until_it_is_approved_and_gets_what_was_approved() {
    let stage = Stage::new().await;
    let exchange = stage.exchange();
    let approve = async {
        let id = stage.pending().await;
        let narrower = rights("delete_file", "delete", "file:///tmp/old/*");
        let approved =
            stage.portal.approve(&Approve { grants: Some(narrower), ..yes(id) }).await.expect("of the group");
        assert_eq!((approved.state, approved.votes.len()), (ApprovalState::Approved, 1));
    };
    let (token, ()) = tokio::join!(stage.janitor.exchange_waiting(&exchange, LONG), approve);
    assert_eq!(token.expect("approved").grants, rights("delete_file", "delete", "file:///tmp/old/*"));
    assert_eq!(refusal(stage.janitor.exchange(&stage.exchange()).await), Reason::ApprovalNeeded, "redeemed once");
}

#[tokio::test]
async fn a_wait_ends_with_the_refusal_with_its_time_or_at_once() {
    let stage = Stage::new().await;
    let brief = Duration::from_millis(50);
    let denial =
        stage.janitor.exchange_waiting(&stage.exchange(), brief).await.expect_err("nobody is there").to_denial();
    let id = awaited(&denial).expect("it names the request");
    assert_eq!(stage.janitor.await_approval(id, brief).await, Ok(None));
    let exchange = stage.exchange();
    let refuse = async { stage.portal.refuse(&no(stage.pending().await)).await.expect("of the group") };
    let (token, refused) = tokio::join!(stage.janitor.exchange_waiting(&exchange, LONG), refuse);
    let denial = token.expect_err("refused").to_denial();
    assert_eq!((denial.reason, denial.rule.as_str()), (Reason::ApprovalDenied, "not tonight"));
    assert_eq!((denial.author.as_str(), refused.state), ("spiffe://a.test/portal", ApprovalState::Refused));
    assert_eq!(refusal(stage.janitor.await_approval(id, LONG).await), Reason::ApprovalDenied);
    let outside = Exchange { grants: rights("read_file", "read", "file:///docs/*"), ..stage.exchange() };
    assert_eq!(refusal(stage.janitor.exchange_waiting(&outside, LONG).await), Reason::OutsideEnvelope);
}

#[tokio::test]
async fn a_watch_tells_each_change_and_ends() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    let mut watch = stage.janitor.watch_approval(id, None).await.expect("its own");
    let first = watch.next().await.expect("readable").expect("as it is now");
    assert_eq!((first.state, first.risk.as_str(), &first.grants), (ApprovalState::Pending, "high", &deletion()));
    assert_eq!((first.agent.as_str(), first.session, first.needed.len()), ("janitor", stage.session, 1));
    stage.portal.refuse(&no(id)).await.expect("of the group");
    assert_eq!(watch.next().await.expect("readable").expect("a change").state, ApprovalState::Refused);
    assert_eq!(watch.next().await, Ok(None));
}

#[tokio::test]
async fn what_was_refused_is_appealed_by_whoever_asked() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    assert_eq!(refusal(stage.janitor.appeal(id, "please").await), Reason::ApprovalUnknown, "not refused yet");
    stage.portal.refuse(&no(id)).await.expect("of the group");
    assert_eq!(refusal(stage.portal.appeal(id, "please").await), Reason::ApprovalUnknown, "not its own");
    assert_eq!(refusal(stage.janitor.appeal(id, "").await), Reason::RequestInvalid);
    let fresh = stage.janitor.appeal(id, "the ticket is closed").await.expect("its own");
    assert_eq!(fresh.appeal, Some((id, "the ticket is closed".to_owned())));
    stage.portal.approve(&yes(fresh.id)).await.expect("of the group");
    stage.janitor.exchange(&stage.exchange()).await.expect("approved after all");
}

#[tokio::test]
async fn nobody_decides_on_his_own_or_sees_what_is_not_his() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    assert_eq!(refusal(stage.janitor.approve(&yes(id)).await), Reason::NotAnApprover);
    assert_eq!(refusal(stage.janitor.refuse(&no(id)).await), Reason::NotAnApprover);
    for reason in [
        refusal(stage.stranger.approve(&yes(id)).await),
        refusal(stage.stranger.refuse(&no(id)).await),
        refusal(stage.stranger.await_approval(id, LONG).await),
    ] {
        assert_eq!(reason, Reason::ApprovalUnknown);
    }
    let listed = stage.stranger.list_approvals(&ListApprovals::default()).await;
    assert_eq!(listed.expect("none is its"), []);
    let mut watch = stage.stranger.watch_approval(id, None).await.expect("a stream");
    assert_eq!(refusal(watch.next().await), Reason::ApprovalUnknown);
}

#[tokio::test]
async fn a_token_that_proves_nobody_is_refused_everywhere() {
    let stage = Stage::new().await;
    let id = stage.ask().await;
    let by = SubjectToken::from_presented("not.a.token").expect("text");
    let proven = OpenSession { request: new_request_id(), subject_token: Some(by.clone()), ..opening() };
    let list = ListApprovals { by: Some(by.clone()), ..ListApprovals::default() };
    for reason in [
        refusal(stage.janitor.open_session(&proven).await),
        refusal(stage.portal.approve(&Approve { by: Some(by.clone()), ..yes(id) }).await),
        refusal(stage.portal.refuse(&Refuse { by: Some(by.clone()), ..no(id) }).await),
        refusal(stage.portal.list_approvals(&list).await),
        refusal(stage.portal.watch_approval(id, Some(&by)).await),
    ] {
        assert_eq!(reason, Reason::SubjectInvalid);
    }
}

#[tokio::test]
async fn delegation_is_refused_to_whom_the_session_does_not_belong() {
    let stage = Stage::new().await;
    let delegate = Delegate {
        request: new_request_id(),
        session: stage.session,
        agent: "helper".parse().expect("a name"),
        peer: id("spiffe://a.test/agent/helper"),
        intent: "help".parse().expect("a sentence"),
        envelope: vec![(files(), deletion())],
        lifetime: None,
        depth: 0,
        process: None,
    };
    assert_eq!(refusal(stage.stranger.delegate(&delegate).await), Reason::SessionUnknown);
    assert_eq!(refusal(stage.stranger.describe_session(stage.session).await), Reason::SessionUnknown);
    let outside = Delegate { request: new_request_id(), ..delegate };
    assert_eq!(refusal(stage.janitor.delegate(&outside).await), Reason::OutsideManifest, "the helper may not delete");
    assert_eq!(stage.janitor.describe_session(stage.session).await.expect("its own").above, []);
}
