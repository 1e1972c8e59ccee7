//! The cache against a broker in memory: single flight, renewal, outage, and tokens that are not what was asked for.

use super::*;
use crate::delegator::Delegator;
use crate::fixtures::{FakeBroker, FakeOwn, OWN_ID, StillClock, caller, grants, key_of, process, session_id};
use futures::future::join_all;
use tokio::sync::Semaphore;

struct Bench {
    clock: Arc<StillClock>,
    broker: Arc<FakeBroker>,
    cache: Cache,
    own: Arc<FakeOwn>,
}

fn bench(life_s: u64) -> Bench {
    let clock = StillClock::at(1_000_000);
    let broker = FakeBroker::new(&clock, life_s);
    let own = FakeOwn::new();
    let cache = Cache::new(
        Arc::<FakeBroker>::clone(&broker),
        Arc::<StillClock>::clone(&clock),
        Arc::<FakeOwn>::clone(&own),
        Delegator::new().key(),
        CancellationToken::new(),
    );
    Bench { clock, broker, cache, own }
}

fn key(resource: &str) -> Arc<RequestKey> {
    Arc::new(key_of(&caller("/bin/one"), session_id(1), resource))
}

async fn until(what: &str, done: impl AsyncFn() -> bool) {
    let polled = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), polled).await.expect(what);
}

#[tokio::test]
async fn the_same_request_is_one_exchange_however_many_ask() {
    let b = bench(900);
    let (key, process) = (key("docs/*"), process());
    let all = join_all((0..64).map(|_| b.cache.get(&key, &process))).await;
    let ids: std::collections::BTreeSet<_> = all.into_iter().map(|held| held.expect("granted").id).collect();
    assert_eq!((ids.len(), b.broker.exchanges()), (1, 1));
}

#[tokio::test]
async fn every_part_of_the_request_tells_tokens_apart() {
    let b = bench(900);
    let base = key_of(&caller("/bin/one"), session_id(1), "docs/*");
    let others = [
        RequestKey { caller: caller("/bin/other"), ..base.clone() },
        RequestKey { session: session_id(2), ..base.clone() },
        RequestKey { task: Some("step two".parse().expect("a sentence")), ..base.clone() },
        RequestKey { audience: "spiffe://td/tool/mail".parse().expect("an audience"), ..base.clone() },
        RequestKey { grants: grants("docs/a.md"), ..base.clone() },
        RequestKey { ttl_s: 60, ..base.clone() },
        RequestKey {
            may_act: vec![("bot".parse().expect("a name"), "spiffe://td/agent/bot".parse().expect("an id"))],
            ..base.clone()
        },
        RequestKey { presenter: Presenter::Agent("spiffe://td/agent/bot".parse().expect("an id")), ..base.clone() },
    ];
    let mut ids = std::collections::BTreeSet::new();
    for key in others.into_iter().chain([base]).map(Arc::new) {
        ids.insert(b.cache.get(&key, &process()).await.expect("granted").id);
    }
    assert_eq!((ids.len(), b.broker.exchanges()), (9, 9));
}

#[tokio::test]
async fn renews_in_the_background_once_and_keeps_the_old_one_meanwhile() {
    let b = bench(100);
    let key = key("docs/*");
    let first = b.cache.get(&key, &process()).await.expect("granted").id;
    b.clock.set(1_000_049);
    assert_eq!(b.cache.get(&key, &process()).await.expect("held").id, first);
    assert_eq!(b.broker.exchanges(), 1);

    b.broker.gate.forget_permits(Semaphore::MAX_PERMITS);
    b.clock.set(1_000_081);
    for _ in 0..8 {
        assert_eq!(b.cache.get(&key, &process()).await.expect("held").id, first);
    }
    until("the renewal begins", async || b.broker.exchanges() == 2).await;
    b.broker.gate.add_permits(1);
    until("the new token is used", async || b.cache.get(&key, &process()).await.expect("held").id != first).await;
    assert_eq!(b.broker.exchanges(), 2);
}

#[tokio::test]
async fn goes_on_with_what_it_holds_while_the_broker_is_down() {
    let b = bench(100);
    let key = key("docs/*");
    let first = b.cache.get(&key, &process()).await.expect("granted").id;
    b.broker.down.store(true, Ordering::SeqCst);
    b.clock.set(1_000_090);
    assert_eq!(b.cache.get(&key, &process()).await.expect("held").id, first);
    until("the renewal was tried", async || b.broker.exchanges() == 2).await;
    assert_eq!(b.cache.get(&key, &process()).await.expect("held").id, first);

    b.clock.set(1_000_099);
    let denial = b.cache.get(&key, &process()).await.expect_err("nothing is left of it");
    assert_eq!(denial.reason, Reason::BrokerUnreachable);
    b.broker.down.store(false, Ordering::SeqCst);
    assert_ne!(b.cache.get(&key, &process()).await.expect("the broker is back").id, first);
}

#[tokio::test]
async fn a_failed_renewal_is_tried_again_only_after_a_pause() {
    let b = bench(1000);
    let key = key("docs/*");
    b.cache.get(&key, &process()).await.expect("granted");
    b.broker.down.store(true, Ordering::SeqCst);
    b.clock.set(1_000_800);
    for _ in 0..16 {
        b.cache.get(&key, &process()).await.expect("held");
    }
    until("the renewal was tried", async || b.broker.exchanges() == 2).await;
    b.clock.set(1_000_800 + RENEW_AGAIN_S);
    b.cache.get(&key, &process()).await.expect("held");
    until("it was tried again", async || b.broker.exchanges() == 3).await;
}

#[tokio::test]
async fn what_people_approved_is_not_renewed_behind_their_backs() {
    let b = bench(1000);
    let key = key("docs/*");
    b.broker.approvals.store(1, Ordering::SeqCst);
    let denial = b.cache.get(&key, &process()).await.expect_err("nobody has approved it");
    assert_eq!(denial.reason, Reason::ApprovalNeeded);
    b.broker.approvals.store(0, Ordering::SeqCst);
    let first = b.cache.get(&key, &process()).await.expect("approved").id;
    b.clock.set(1_000_990);
    assert_eq!(b.cache.get(&key, &process()).await.expect("held").id, first);
    b.cache.renewals.close();
    b.cache.renewals.wait().await;
    assert_eq!(b.broker.exchanges(), 2);
}

#[tokio::test]
async fn a_renewal_that_people_would_have_to_approve_is_tried_once() {
    let b = bench(1000);
    let key = key("docs/*");
    b.cache.get(&key, &process()).await.expect("granted");
    b.broker.approvals.store(1, Ordering::SeqCst);
    b.clock.set(1_000_800);
    b.cache.get(&key, &process()).await.expect("held");
    b.cache.renewals.close();
    b.cache.renewals.wait().await;
    b.clock.set(1_000_990);
    b.cache.get(&key, &process()).await.expect("held");
    b.cache.renewals.wait().await;
    assert_eq!(b.broker.exchanges(), 2);
}

#[tokio::test]
async fn a_token_for_something_else_is_not_used() {
    let tamper: [fn(&mut Exchange); 5] = [
        |e| e.session = session_id(9),
        |e| e.audience = "spiffe://td/tool/mail".parse().expect("an audience"),
        |e| e.holder = Some("spiffe://td/mallory".parse().expect("an id")),
        |e| e.grants = grants("*"),
        |e| {
            let to = vec![("bot".parse().expect("a name"), "spiffe://td/agent/bot".parse().expect("an id"))];
            e.handing = Some(Handing { key: Delegator::new().key(), to });
        },
    ];
    for instead in tamper {
        let b = bench(900);
        *b.broker.instead.lock().expect("not poisoned") = Some(instead);
        let denial = b.cache.get(&key("docs/*"), &process()).await.expect_err("not what was asked");
        assert_eq!(denial.reason, Reason::Unforeseen);
        assert_eq!(b.cache.count().await, 0);
    }
}

#[tokio::test]
async fn a_token_that_was_issued_to_who_we_were_is_not_used() {
    let b = bench(900);
    let key = key("docs/*");
    let first = b.cache.get(&key, &process()).await.expect("granted").id;
    b.own.rename("spiffe://td/sidecar/renamed");
    // The fake broker still mints for the old name, which is then refused.
    assert!(b.cache.get(&key, &process()).await.is_err());
    b.own.rename(OWN_ID);
    assert_ne!(b.cache.get(&key, &process()).await.expect("granted").id, first);
}

#[tokio::test]
async fn lets_the_tokens_of_a_closed_session_go() {
    let b = bench(900);
    let other = Arc::new(key_of(&caller("/bin/one"), session_id(2), "docs/*"));
    b.cache.get(&key("docs/*"), &process()).await.expect("granted");
    b.cache.get(&other, &process()).await.expect("granted");
    b.cache.remove_session(session_id(1)).await;
    assert_eq!(b.cache.count().await, 1);
    b.cache.get(&other, &process()).await.expect("held");
    assert_eq!(b.broker.exchanges(), 2);
}

#[test]
fn renewals_are_spread_over_the_middle_of_a_life() {
    let spread: std::collections::BTreeSet<_> =
        (0..200).map(|_| renew_at(Timestamp::from_unix_s(1000), Timestamp::from_unix_s(2000))).collect();
    assert!(spread.len() > 10);
    assert!(spread.iter().all(|at| (1500..=1800).contains(at)));
}
