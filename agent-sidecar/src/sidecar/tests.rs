//! Sessions, tasks and calls against a broker and tool servers in memory.

mod accepted;
mod crossed;

use super::*;
use crate::fixtures::{
    AUDIENCE, FakeBroker, FakeOwn, FakeTools, StillClock, approval_id, at, caller, description, grants, process,
    session_id, task_id,
};
use crumb_token::{Caveat, parse::Unverified};
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

struct Bench {
    broker: Arc<FakeBroker>,
    tools: Arc<FakeTools>,
    sidecar: Sidecar,
}

fn bench() -> Bench {
    let clock = StillClock::at(1000);
    let (broker, own, tools) = (FakeBroker::new(&clock, 900), FakeOwn::new(), Arc::<FakeTools>::default());
    let shared: Arc<dyn Broker> = Arc::<FakeBroker>::clone(&broker);
    let (clock, own): (Arc<dyn Clock>, Arc<dyn OwnIdentity>) = (clock, own);
    let delegation = Arc::new(Delegator::new());
    let cache = Cache::new(
        Arc::clone(&shared),
        Arc::clone(&clock),
        Arc::clone(&own),
        delegation.key(),
        CancellationToken::new(),
    );
    let seen: Arc<dyn Tools> = Arc::<FakeTools>::clone(&tools);
    let parts = Parts { broker: shared, tools: seen, own, clock, cache, delegation, memory_locked: false };
    Bench { broker, tools, sidecar: Sidecar::new(parts) }
}

fn attested(exe: &str) -> Attested {
    Attested { identity: caller(exe), process: process() }
}

fn opening() -> Opening {
    Opening {
        agent: "bot".parse().expect("a name"),
        intent: "summarise the notes".parse().expect("a sentence"),
        origin: Origin::Schedule { name: "nightly".parse().expect("a name") },
        envelope: vec![(AUDIENCE.parse().expect("an audience"), grants("docs/*"))],
        lifetime_s: 0,
        subject_token: None,
    }
}

fn beginning(session: SessionId, by_agent: bool) -> Beginning {
    let audience = AUDIENCE.parse().expect("an audience");
    Beginning { session, task: None, audience, grants: grants("docs/*"), ttl_s: 0, by_agent, may_act: vec![] }
}

fn ask() -> Ask {
    let tool = "read_file".parse().expect("a tool");
    Ask::new(tool, "read".parse().expect("an operation"), "docs/a.md".parse().expect("a resource"))
}

async fn begun(b: &Bench, caller: &Attested, by_agent: bool) -> (SessionId, TaskId) {
    let (session, _) = b.sidecar.open(caller, opening()).await.expect("the broker opens it");
    let begun = b.sidecar.begin(caller, beginning(session, by_agent)).await.expect("the broker grants it");
    (session, begun.task)
}

#[tokio::test]
async fn an_agent_presents_tokens_that_are_its_own() {
    let (b, one) = (bench(), attested("/bin/one"));
    let (_, task) = begun(&b, &one, true).await;
    let token = b.sidecar.call_token(&one, task, &ask(), CallTtl::default()).await.expect("granted");
    let read = Unverified::parse(&token.token.decode().expect("base64url")).expect("inside the profile");
    assert_eq!(read.claims().holder.as_str(), "spiffe://td/agent/bot");
}

#[tokio::test]
async fn a_call_carries_the_digest_of_its_arguments() {
    let (b, one) = (bench(), attested("/bin/one"));
    let (_, task) = begun(&b, &one, false).await;
    let arguments = Bytes::from_static(b"{\"path\":\"docs/a.md\"}");
    b.sidecar.call(&one, task, ask(), arguments.clone()).await.expect("the tool answers");
    let arrived = b.tools.0.lock().expect("not poisoned").pop().expect("one call");
    assert_eq!((&arrived.1, &arrived.2), (&ask().tool, &arguments));
    let read = Unverified::parse(&arrived.0.decode().expect("base64url")).expect("inside the profile");
    assert!(read.blocks()[0].contains(&Caveat::ArgsDigest(Sha256::digest(&arguments).into())));
}

#[tokio::test]
async fn nobody_gets_a_token_that_another_presents() {
    let (b, one) = (bench(), attested("/bin/one"));
    let (_, by_sidecar) = begun(&b, &one, false).await;
    let denial = b.sidecar.call_token(&one, by_sidecar, &ask(), CallTtl::default()).await.expect_err("not the agent's");
    assert_eq!(denial.reason, Reason::HolderMismatch);
    let (_, by_agent) = begun(&b, &one, true).await;
    let denial = b.sidecar.call(&one, by_agent, ask(), Bytes::new()).await.expect_err("not the sidecar's");
    assert_eq!(denial.reason, Reason::HolderMismatch);
    assert!(b.tools.0.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn another_caller_finds_neither_session_nor_task() {
    let (b, one, other) = (bench(), attested("/bin/one"), attested("/bin/other"));
    let (session, task) = begun(&b, &one, true).await;
    let unknown = |denial: Denial| assert_eq!(denial.reason, Reason::SessionUnknown);
    unknown(b.sidecar.begin(&other, beginning(session, true)).await.expect_err("not its session"));
    unknown(b.sidecar.call_token(&other, task, &ask(), CallTtl::default()).await.expect_err("not its task"));
    unknown(b.sidecar.call(&other, task, ask(), Bytes::new()).await.expect_err("not its task"));
    unknown(b.sidecar.close(&other, session).await.expect_err("not its session"));
    unknown(b.sidecar.close(&other, session_id(77)).await.expect_err("no session"));
    unknown(b.sidecar.call(&one, task_id(77), ask(), Bytes::new()).await.expect_err("no task"));
    assert_eq!(b.broker.exchanges(), 1);
    assert!(b.sidecar.call_token(&one, task, &ask(), CallTtl::default()).await.is_ok());
}

#[tokio::test]
async fn nobody_opens_a_session_inside_another_callers() {
    let (b, one, other) = (bench(), attested("/bin/one"), attested("/bin/other"));
    let (session, _) = begun(&b, &one, true).await;
    let inside = || Opening { origin: Origin::Agent { session }, ..opening() };
    let denial = b.sidecar.open(&other, inside()).await.expect_err("not its session");
    assert_eq!(denial.reason, Reason::SessionUnknown);
    assert!(b.sidecar.open(&one, inside()).await.is_ok());
}

#[tokio::test]
async fn closing_takes_tokens_and_handles_away_at_once_and_can_be_asked_again() {
    let (b, one) = (bench(), attested("/bin/one"));
    let (session, task) = begun(&b, &one, true).await;
    b.broker.down.store(true, Ordering::SeqCst);
    let denial = b.sidecar.close(&one, session).await.expect_err("the broker is down");
    assert_eq!(denial.reason, Reason::BrokerUnreachable);
    assert!(b.sidecar.call_token(&one, task, &ask(), CallTtl::default()).await.is_err());
    assert_eq!(b.sidecar.health().await.task_tokens, 0);
    let denial = b.sidecar.begin(&one, beginning(session, true)).await.expect_err("it is being closed");
    assert_eq!(denial.reason, Reason::SessionClosed);

    b.broker.down.store(false, Ordering::SeqCst);
    b.sidecar.close(&one, session).await.expect("the broker is back");
    assert_eq!(*b.broker.closed.lock().expect("not poisoned"), [session]);
    assert_eq!(b.sidecar.health().await.sessions, 0);
}

#[tokio::test]
async fn a_token_that_comes_after_the_close_is_not_kept() {
    let (b, one) = (bench(), attested("/bin/one"));
    let (session, _) = b.sidecar.open(&one, opening()).await.expect("the broker opens it");
    b.broker.gate.forget_permits(usize::MAX);
    let begin = b.sidecar.begin(&one, beginning(session, true));
    let close = async {
        while b.broker.exchanges() == 0 {
            tokio::task::yield_now().await;
        }
        b.sidecar.close(&one, session).await.expect("closes");
        b.broker.gate.add_permits(1);
    };
    let (began, ()) = tokio::join!(begin, close);
    assert_eq!(began.expect_err("closed meanwhile").reason, Reason::SessionUnknown);
    assert_eq!(b.sidecar.health().await.task_tokens, 0);
}

#[tokio::test]
async fn the_same_call_again_gets_the_same_token_and_another_caller_none() {
    let (b, one, other) = (bench(), attested("/bin/one"), attested("/bin/other"));
    let (session, task) = begun(&b, &one, true).await;
    let first = b.sidecar.call_token(&one, task, &ask(), CallTtl::default()).await.expect("granted");
    let again = b.sidecar.call_token(&one, task, &ask(), CallTtl::default()).await.expect("granted");
    assert_eq!(first.token.expose(), again.token.expose());
    let denial = b.sidecar.call_token(&other, task, &ask(), CallTtl::default()).await.expect_err("not its task");
    assert_eq!(denial.reason, Reason::SessionUnknown);
    b.sidecar.close(&one, session).await.expect("its own");
    assert!(b.sidecar.call_token(&one, task, &ask(), CallTtl::default()).await.is_err(), "gone with its session");
}

fn delegating(session: SessionId) -> Delegating {
    Delegating {
        session,
        agent: "reader".parse().expect("a name"),
        peer: "spiffe://td/agent/reader".parse().expect("canonical"),
        intent: "read the notes".parse().expect("a sentence"),
        envelope: vec![(AUDIENCE.parse().expect("an audience"), grants("docs/a/*"))],
        lifetime_s: 60,
        depth: 1,
    }
}

#[tokio::test]
async fn what_is_delegated_is_told_with_the_callers_process_and_is_not_the_callers() {
    let (b, one, other) = (bench(), attested("/bin/one"), attested("/bin/other"));
    let (session, _) = b.sidecar.open(&one, opening()).await.expect("the broker opens it");
    let (delegated, _) = b.sidecar.delegate(&one, delegating(session)).await.expect("the broker opens it");
    let told = b.broker.delegations.lock().expect("not poisoned").pop().expect("one");
    assert_eq!((told.session, told.process, told.depth), (session, Some(process()), 1));
    assert_eq!(told.lifetime, Some(Duration::from_secs(60)));
    let unknown = |denial: Denial| assert_eq!(denial.reason, Reason::SessionUnknown);
    unknown(b.sidecar.delegate(&other, delegating(session)).await.expect_err("not its session"));
    unknown(b.sidecar.begin(&one, beginning(delegated, true)).await.expect_err("the other agent's"));
    assert!(b.broker.delegations.lock().expect("not poisoned").is_empty());
}

fn delegated_to_us(b: &Bench, session: SessionId, change: impl FnOnce(&mut crumb_sdk::broker::SessionDescription)) {
    let mut description = description(5000);
    change(&mut description);
    b.broker.delegated.lock().expect("not poisoned").push((session, description));
}

#[tokio::test]
async fn the_first_who_adopts_a_session_has_it() {
    let (b, one, other) = (bench(), attested("/bin/one"), attested("/bin/other"));
    delegated_to_us(&b, session_id(7), |_| ());
    let adopted = b.sidecar.adopt(&one, session_id(7)).await.expect("delegated to us");
    assert_eq!(adopted.above.len(), 1);
    let second = b.sidecar.adopt(&other, session_id(7)).await.expect_err("it has a caller");
    let none = b.sidecar.adopt(&other, session_id(8)).await.expect_err("there is none");
    assert_eq!(second.reason, Reason::SessionUnknown);
    assert_eq!((second.rule, second.author), (none.rule, none.author), "which of the two is not for it to know");
    b.sidecar.adopt(&one, session_id(7)).await.expect("its own, again");
    assert!(b.sidecar.begin(&one, beginning(session_id(7), true)).await.is_ok());
    assert!(b.sidecar.begin(&other, beginning(session_id(7), true)).await.is_err());
    assert!(b.sidecar.describe(&one, session_id(7)).await.is_ok());
    let denial = b.sidecar.describe(&other, session_id(7)).await.expect_err("not its session");
    assert_eq!(denial.reason, Reason::SessionUnknown);
}

#[tokio::test]
async fn what_was_not_delegated_or_is_over_cannot_be_adopted() {
    let (b, one) = (bench(), attested("/bin/one"));
    delegated_to_us(&b, session_id(7), |d| d.above.clear());
    delegated_to_us(&b, session_id(8), |d| d.expires_at = at(1000));
    for (id, reason) in [(7, Reason::SessionUnknown), (8, Reason::SessionClosed), (9, Reason::SessionUnknown)] {
        assert_eq!(b.sidecar.adopt(&one, session_id(id)).await.expect_err("refused").reason, reason, "{id}");
    }
    assert_eq!(b.sidecar.health().await.sessions, 0);
}

#[tokio::test]
async fn what_is_being_closed_is_not_adopted_anew() {
    let (b, one) = (bench(), attested("/bin/one"));
    delegated_to_us(&b, session_id(7), |_| ());
    b.sidecar.adopt(&one, session_id(7)).await.expect("delegated to us");
    b.broker.down.store(true, Ordering::SeqCst);
    b.sidecar.close(&one, session_id(7)).await.expect_err("the broker is down");
    let denial = b.sidecar.adopt(&one, session_id(7)).await.expect_err("it is being closed");
    assert_eq!(denial.reason, Reason::SessionClosed);
}

#[tokio::test]
async fn a_wait_that_is_too_short_is_no_approval() {
    let b = bench();
    b.broker.approvals.store(2, Ordering::SeqCst);
    assert_eq!(b.sidecar.await_approval(approval_id(), Duration::ZERO).await, Ok(false));
    assert_eq!(b.sidecar.await_approval(approval_id(), Duration::from_secs(1)).await, Ok(false));
    assert_eq!(b.sidecar.await_approval(approval_id(), Duration::from_secs(1)).await, Ok(true));
}
