//! Delegation between two agents with SVIDs of their own, through a real broker.

use crumb_proto::wire::{
    ApplyRequest, DelegateRequest, DescribeSessionRequest, ManifestFile, OpenSessionRequest,
    registry_service_client::RegistryServiceClient,
};
use crumb_tests::{
    broker::{
        AGENT_PATH, Client, MANIFESTS, Setup, TestBroker, exchange, files, grant, opening, reason, refusal, request_id,
    },
    member::id,
};
use crumb_token::parse::Unverified;

const HELPER: &str = "/agent/helper";

fn delegating(session: &str) -> DelegateRequest {
    DelegateRequest {
        request_id: request_id(),
        session_id: session.to_owned(),
        agent: "helper".into(),
        peer: id(HELPER).to_string(),
        intent: "read a part of it".into(),
        envelope: vec![files(&[("read_file", "read", "file:///docs/*")])],
        ..DelegateRequest::default()
    }
}

struct Stage {
    broker: TestBroker,
    planner: Client,
    helper: Client,
    session: String,
}

impl Stage {
    async fn new() -> Self {
        let broker = TestBroker::start_with(Setup::governed()).await;
        let (planner, helper) = (broker.client(AGENT_PATH).await, broker.client(HELPER).await);
        let session = planner.session().await;
        Self { broker, planner, helper, session }
    }

    async fn delegate(&self, request: DelegateRequest) -> Result<String, tonic::Status> {
        let answer = self.planner.sessions().delegate(request).await;
        answer.map(|opened| opened.into_inner().session_id)
    }
}

#[tokio::test]
async fn the_delegate_alone_can_use_it_and_its_token_says_who_was_before() {
    let stage = Stage::new().await;
    let delegated = stage.delegate(delegating(&stage.session)).await.expect("delegated");
    assert_eq!(reason(stage.planner.exchange(exchange(&delegated)).await), "session_unknown", "not the delegator");
    let issued = stage.helper.exchange(exchange(&delegated)).await.expect("a token");
    let bytes = crumb_token::TokenText::from_presented(&issued.token).and_then(|text| text.decode()).expect("bytes");
    let token = Unverified::parse(&bytes).expect("a token");
    let claims = token.claims();
    assert_eq!((claims.agent.as_str(), claims.holder.clone()), ("helper", id(HELPER)));
    assert_eq!(claims.actors, [id(AGENT_PATH)]);
    assert_eq!(claims.origin.to_string(), "user:bob@a.test (asserted)");
    assert_eq!(claims.subject.as_ref().map(|s| s.name.as_str()), Some("bob@a.test"));
    let [above] = &claims.ancestors[..] else { panic!("one session above") };
    assert_eq!((above.session.to_string(), above.agent.as_str()), (stage.session.clone(), "research-bot"));
    let record = stage.broker.trail().await.pop().expect("a record");
    assert_eq!((record.subject.as_str(), &record.ancestors[..]), ("bob@a.test (asserted)", &[stage.session][..]));
    assert_eq!(record.actors, [id(AGENT_PATH).to_string()]);
}

#[tokio::test]
async fn a_child_that_asks_for_more_is_told_what_would_pass() {
    let stage = Stage::new().await;
    let wider = |resource: &str| DelegateRequest {
        envelope: vec![files(&[("read_file", "read", resource)])],
        ..delegating(&stage.session)
    };
    let (_, denial) = refusal(stage.delegate(wider("file:///*")).await);
    assert_eq!(denial.reason.code(), "outside_envelope");
    assert!(denial.next.contains("read_file read file:///docs/*"), "{}", denial.next);
    assert_eq!(reason(stage.delegate(wider("file:///other/*")).await), "outside_envelope");
    let delegated = stage.delegate(wider("file:///docs/a/*")).await.expect("narrower");
    assert_eq!(reason(stage.helper.exchange(exchange(&delegated)).await), "outside_envelope");
}

#[tokio::test]
async fn refuses_another_peer_than_the_agents_own_and_more_levels_than_there_are() {
    let stage = Stage::new().await;
    let stranger = DelegateRequest { peer: id("/somebody").to_string(), ..delegating(&stage.session) };
    assert_eq!(reason(stage.delegate(stranger).await), "agent_not_spoken_for");
    let deep = DelegateRequest { depth: 8, ..delegating(&stage.session) };
    assert_eq!(reason(stage.delegate(deep).await), "delegation_refused");
    let last = stage.delegate(delegating(&stage.session)).await.expect("no further level");
    let further =
        DelegateRequest { agent: "research-bot".into(), peer: id(AGENT_PATH).to_string(), ..delegating(&last) };
    assert_eq!(reason(stage.helper.sessions().delegate(further).await), "delegation_refused");
    assert_eq!(reason(stage.helper.sessions().delegate(delegating(&stage.session)).await), "session_unknown");
}

#[tokio::test]
async fn a_delegation_is_made_once_by_its_request_id() {
    let stage = Stage::new().await;
    let request = delegating(&stage.session);
    let first = stage.delegate(request.clone()).await.expect("delegated");
    assert_eq!(stage.delegate(request.clone()).await.expect("the same"), first);
    let other = DelegateRequest { intent: "something else".into(), ..request };
    assert_eq!(reason(stage.delegate(other).await), "request_conflict");
}

#[tokio::test]
async fn the_delegate_is_told_on_whose_behalf_and_nobody_else_is() {
    let stage = Stage::new().await;
    let delegated = stage.delegate(delegating(&stage.session)).await.expect("delegated");
    let ask = DescribeSessionRequest { session_id: delegated };
    let told = stage.helper.sessions().describe_session(ask.clone()).await.expect("its own").into_inner();
    assert_eq!((told.agent.as_str(), told.intent.as_str(), told.depth), ("helper", "read a part of it", 0));
    assert_eq!((told.above[0].agent.as_str(), told.actors.len()), ("research-bot", 1));
    assert!(!told.origin_verified && told.origin.is_some());
    assert_eq!(told.envelope[0].grants, [grant("read_file", "read", "file:///docs/*")]);
    assert_eq!(reason(stage.planner.sessions().describe_session(ask).await), "session_unknown");
}

#[tokio::test]
async fn a_delegate_loses_what_its_delegator_loses() {
    let stage = Stage::new().await;
    let delegated = stage.delegate(delegating(&stage.session)).await.expect("delegated");
    stage.helper.exchange(exchange(&delegated)).await.expect("a token");
    let narrower = MANIFESTS.replacen("[\"file:///docs/*\", \"file:///notes/*\"]", "[\"file:///notes/*\"]", 1);
    let documents = vec![ManifestFile { file: "all.yaml".into(), text: narrower }];
    let apply = ApplyRequest { documents, ..ApplyRequest::default() };
    let applied = RegistryServiceClient::new(stage.broker.admin()).apply(apply).await.expect("applied").into_inner();
    assert!(applied.defects.is_empty(), "{:?}", applied.defects);
    assert_eq!(reason(stage.helper.exchange(exchange(&delegated)).await), "outside_manifest");
    assert_eq!(reason(stage.delegate(delegating(&stage.session)).await), "outside_manifest");
}

#[tokio::test]
async fn delegating_uses_up_nobody_elses_sessions() {
    let stage = Stage::new().await;
    for _ in 0..256 {
        stage.delegate(delegating(&stage.session)).await.expect("room");
    }
    assert_eq!(reason(stage.delegate(delegating(&stage.session)).await), "too_many_sessions");
    let own = OpenSessionRequest {
        agent: "helper".into(),
        envelope: vec![files(&[("read_file", "read", "file:///docs/*")])],
        ..opening()
    };
    stage.helper.open(own).await.expect("its own sessions are its own");
}
