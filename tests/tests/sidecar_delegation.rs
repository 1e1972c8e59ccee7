//! Sessions that pass from one agent to another through a sidecar and the real broker, and asks that wait for people.

use crumb_sdk::{
    CallFailed,
    broker::{
        BrokerClient, Delegate, OpenSession,
        approval::{Approve, ListApprovals, Refuse},
        new_request_id,
    },
    sidecar::{BeginTask, CallToken, Open, Presenter},
};
use crumb_tests::{
    broker::FILES,
    member::Member,
    processes::copy_program,
    sidecar::{Scene, ask, begin, delegate, grants, id, one_shot, opening, until},
};
use crumb_token::{ApprovalId, Grant, Grants, Origin, Reason, SessionId};
use std::{path::Path, time::Duration};

/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(60);

fn refusal<T: std::fmt::Debug>(answer: Result<T, CallFailed>) -> Reason {
    answer.expect_err("it is refused").to_denial().reason
}

/// A lead agent with a session of its own.
struct Lead {
    broker: BrokerClient,
    session: SessionId,
    _member: Member,
}

impl Lead {
    async fn of(scene: &Scene) -> Self {
        let (broker, _member) = scene.workload("/agent/lead").await;
        let open = OpenSession {
            request: new_request_id(),
            agent: "lead".parse().expect("a name"),
            intent: "have the notes summarised".parse().expect("a sentence"),
            origin: Origin::Schedule { name: "nightly".parse().expect("a name") },
            envelope: vec![(FILES.parse().expect("an audience"), grants("docs/*"))],
            lifetime: None,
            process: None,
            subject_token: None,
        };
        let session = broker.open_session(&open).await.expect("the lead may").id;
        Self { broker, session, _member }
    }

    fn delegation(&self, peer: &str, resource: &str) -> Delegate {
        Delegate {
            request: new_request_id(),
            session: self.session,
            agent: "research-bot".parse().expect("a name"),
            peer: id(peer),
            intent: "summarise one folder".parse().expect("a sentence"),
            envelope: vec![(FILES.parse().expect("an audience"), grants(resource))],
            lifetime: None,
            depth: 0,
            process: None,
        }
    }

    async fn delegate_to(&self, peer: &str) -> SessionId {
        self.broker.delegate(&self.delegation(peer, "docs/a/*")).await.expect("inside its own").id
    }
}

fn reading(session: SessionId) -> BeginTask {
    let audience = FILES.parse().expect("an audience");
    BeginTask { audience, ..begin(session, "docs/a/*", Presenter::Agent) }
}

fn deleting(session: SessionId) -> BeginTask {
    let grant = Grant {
        tool: "delete_file".parse().expect("a tool"),
        operation: "delete".parse().expect("an operation"),
        resource: "tmp/*".parse().expect("a pattern"),
    };
    BeginTask { grants: Grants::try_new([grant]).expect("one"), ..reading(session) }
}

fn own_session() -> Open {
    let deleting = deleting(SessionId::from_uuid(uuid::Uuid::nil())).grants;
    let both = Grants::try_new(grants("docs/*").iter().chain(deleting.iter()).cloned()).expect("two");
    Open { envelope: vec![(FILES.parse().expect("an audience"), both)], ..opening() }
}

#[tokio::test]
async fn a_delegated_session_is_used_by_the_first_local_caller_that_adopts_it() {
    let Some(scene) = Scene::set("sidecar: adopt").await else { return };
    let lead = Lead::of(&scene).await;
    let session = lead.delegate_to("spiffe://a.test/sidecar/host-1").await;
    let client = scene.sidecar.client();
    assert_eq!(refusal(client.begin_task(&reading(session)).await), Reason::SessionUnknown, "not before it is adopted");
    let adopted = client.adopt(session).await.expect("delegated to this sidecar");
    assert_eq!((adopted.above[0].session, adopted.above[0].agent.as_str()), (lead.session, "lead"));
    assert_eq!((adopted.actors.as_slice(), adopted.depth), ([id("spiffe://a.test/agent/lead")].as_slice(), 0));
    assert_eq!(client.describe_session(session).await.expect("its own"), adopted);
    assert_eq!(client.adopt(session).await.expect("again"), adopted);

    let task = client.begin_task(&reading(session)).await.expect("this program is the agent").id;
    let asked = ask("docs/a/1.md");
    let (tool, operation, resource) = (asked.tool.clone(), asked.operation.clone(), asked.resource.clone());
    let wanted = CallToken { task, tool, operation, resource, args_digest: None, ttl: None };
    let token = client.call_token(&wanted).await.expect("granted").token;
    until("the verifier hears the feed", async || scene.decide(&token, &asked) == Ok(())).await;

    let other = scene.site.path("other");
    copy_program(Path::new(env!("CARGO_BIN_EXE_sidecar_agent")), &other).expect("it is built");
    let (socket, session) = (scene.sidecar.socket.to_str().expect("ASCII"), session.to_string());
    for request in ["adopt", "describe", "delegate", "begin", "close"] {
        assert_eq!(one_shot(&other, None, &[socket, request, &session]).await, "session_unknown", "{request}");
    }
    // What is above it ends it.
    lead.broker.close_session(lead.session).await.expect("its own");
    until("the verifier hears of the end", async || scene.decide(&token, &asked) == Err(Reason::TokenRevoked)).await;
}

#[tokio::test]
async fn another_program_that_adopts_first_gets_no_token_by_it() {
    let Some(scene) = Scene::set("sidecar: adopted by another program").await else { return };
    let lead = Lead::of(&scene).await;
    let session = lead.delegate_to("spiffe://a.test/sidecar/host-1").await.to_string();
    let other = scene.site.path("other");
    copy_program(Path::new(env!("CARGO_BIN_EXE_sidecar_agent")), &other).expect("it is built");
    let socket = scene.sidecar.socket.to_str().expect("ASCII");
    assert_eq!(one_shot(&other, None, &[socket, "adopt", &session]).await, "ok research-bot");
    let refused = one_shot(&other, None, &[socket, "begin", &session]).await;
    assert!(!refused.starts_with("ok"), "{refused}");
    let client = scene.sidecar.client();
    assert_eq!(refusal(client.adopt(session.parse().expect("an id")).await), Reason::SessionUnknown);
}

#[tokio::test]
async fn a_session_that_is_not_delegated_to_this_workload_cannot_be_adopted() {
    let Some(scene) = Scene::set("sidecar: adopting what is not ours").await else { return };
    let lead = Lead::of(&scene).await;
    let client = scene.sidecar.client();
    let elsewhere = lead.delegate_to("spiffe://a.test/sidecar/host-2").await;
    for session in [elsewhere, lead.session, "ses_00000000000070008000000000000000".parse().expect("well-formed")] {
        assert_eq!(refusal(client.adopt(session).await), Reason::SessionUnknown, "{session}");
        assert_eq!(refusal(client.describe_session(session).await), Reason::SessionUnknown, "{session}");
    }
}

#[tokio::test]
async fn a_caller_delegates_what_it_has_and_no_more() {
    let Some(scene) = Scene::set("sidecar: delegate").await else { return };
    let (client, lead) = (scene.sidecar.client(), Lead::of(&scene).await);
    let session = client.open(&own_session()).await.expect("this program is the agent").id;
    let delegated = client.delegate(&delegate(session)).await.expect("a part of its own").id;
    let described = lead.broker.describe_session(delegated).await.expect("the lead's own now");
    assert_eq!((described.above[0].session, described.above[0].agent.as_str()), (session, "research-bot"));
    assert_eq!(refusal(client.begin_task(&reading(delegated)).await), Reason::SessionUnknown, "the other agent's");
    let trail = scene.broker.trail().await;
    let record = trail.iter().find(|record| record.kind == "session.delegate").expect("a record");
    let pid = record.process.as_ref().map(|process| process.pid.unsigned_abs());
    assert_eq!(pid, Some(std::process::id()));

    let mut wider = delegate(session);
    wider.envelope = vec![(FILES.parse().expect("an audience"), grants("*"))];
    assert_eq!(refusal(client.delegate(&wider).await), Reason::OutsideEnvelope);
    assert_eq!(refusal(client.delegate(&delegate(lead.session)).await), Reason::SessionUnknown);
    let stolen = Delegate { session, ..lead.delegation("spiffe://a.test/sidecar/host-1", "docs/a/*") };
    assert_eq!(refusal(lead.broker.delegate(&stolen).await), Reason::SessionUnknown, "not the lead's to delegate");
    assert_eq!(refusal(lead.broker.describe_session(session).await), Reason::SessionUnknown);
}

/// Somebody of the group that has to approve.
async fn portal(scene: &Scene) -> (BrokerClient, Member) {
    scene.workload("/portal").await
}

async fn pending(portal: &BrokerClient) -> ApprovalId {
    let mut found = None;
    until("somebody asks", async || {
        found = portal.list_approvals(&ListApprovals::default()).await.expect("its group's").first().map(|a| a.id);
        found.is_some()
    })
    .await;
    found.expect("one")
}

#[tokio::test]
async fn a_task_waits_for_its_approval_and_begins_with_what_was_approved() {
    let Some(scene) = Scene::set("sidecar: wait").await else { return };
    let (client, (portal, _member)) = (scene.sidecar.client(), portal(&scene).await);
    let session = client.open(&own_session()).await.expect("this program is the agent").id;
    let wanted = deleting(session);
    let approve = async {
        let id = pending(&portal).await;
        let approve = Approve { id, grants: None, ttl: None, why: "once".into(), by: None };
        portal.approve(&approve).await.expect("of the group");
    };
    let (begun, ()) = tokio::join!(client.begin_task_waiting(&wanted, LONG), approve);
    let begun = begun.expect("approved");
    assert_eq!(begun.grants, wanted.grants);
    assert_eq!(client.begin_task(&wanted).await.expect("from memory").id, begun.id);
}

#[tokio::test]
async fn a_wait_ends_with_the_refusal_or_with_its_time() {
    let Some(scene) = Scene::set("sidecar: wait in vain").await else { return };
    let (client, (portal, _member)) = (scene.sidecar.client(), portal(&scene).await);
    let session = client.open(&own_session()).await.expect("this program is the agent").id;
    let wanted = deleting(session);
    let denial = client.begin_task(&wanted).await.expect_err("nobody has approved it").to_denial();
    let late = client.begin_task_waiting(&wanted, Duration::from_secs(1)).await.expect_err("nobody does").to_denial();
    assert_eq!((late.reason, &late.asked), (Reason::ApprovalNeeded, &denial.asked));
    let refuse = async {
        let id = pending(&portal).await;
        portal.refuse(&Refuse { id, why: "not tonight".into(), by: None }).await.expect("of the group");
    };
    let (begun, ()) = tokio::join!(client.begin_task_waiting(&wanted, LONG), refuse);
    let denial = begun.expect_err("refused").to_denial();
    assert_eq!((denial.reason, denial.rule.as_str()), (Reason::ApprovalDenied, "not tonight"));
    let outside = client.begin_task_waiting(&reading_all(session), LONG).await;
    assert_eq!(refusal(outside), Reason::OutsideEnvelope, "nothing to wait for");
}

fn reading_all(session: SessionId) -> BeginTask {
    BeginTask { grants: grants("*"), ..reading(session) }
}
