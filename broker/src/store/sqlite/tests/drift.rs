//! Drift in the store: what is counted, what is done in the same transaction, and what a decision from before is worth.

use super::*;
use crate::drift::{Event, Kin, RuleName, What};

fn event(n: u128, what: What) -> Event {
    let session = session(n, None);
    let kin = Kin::of(&session.agent, None);
    Event { session: session.id, kin, audience: session.envelope[0].0.clone(), at: NOW, what }
}

fn events(n: u128, what: &What, count: usize) -> Vec<Reported> {
    let one = || Reported { event: Some(event(n, what.clone())), ..reported(&record(Kind::Decision), 0) };
    (0..count).map(|_| one()).collect()
}

async fn halt(store: &SqliteStore, n: u128, watch: Watch) -> Vec<Revocation> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let on_revoked: OnRevoked = Box::new(move |revoked| hearing.lock().expect("no panic").extend(revoked.to_vec()));
    assert_eq!(store.append(events(n, &What::CallRefused, 20), watch, on_revoked).await, Ok(true));
    let heard = heard.lock().expect("no panic");
    heard.clone()
}

fn rule_of(session: &Session) -> Option<RuleName> {
    let review = &session.review;
    review.halt.as_ref().or(review.contraction.as_ref()).map(|held| held.finding.rule)
}

#[tokio::test]
async fn what_was_decided_before_a_halt_is_not_issued_after_it_nor_after_the_resume() {
    let (store, _directory) = store();
    for (n, parent) in [(1, None), (2, Some(1))] {
        open(&store, n, parent).await;
    }
    let (above, inside) = (session(1, None).id, session(2, None).id);
    let minute = Duration::from_secs(60);
    assert_eq!(store.issue(issuance(10, claims(2, minute), inside, None)).await, Ok(Written::Committed));
    let revoked = halt(&store, 1, watch()).await;
    let [revocation] = &revoked[..] else { panic!("one: {revoked:?}") };
    assert_eq!(revocation.target, Target::Session(above));
    assert_eq!(revocation.issued_until, NOW, "it may go on");
    assert!(revocation.until >= NOW.plus(minute), "until the last token inside has ended: {revocation:?}");
    let late = |n| store.issue(issuance(n, claims(3, minute), inside, None));
    let Written::Changed(denial) = late(11).await.expect("a store") else { panic!("issued") };
    assert_eq!(denial.reason, Reason::SessionHalted);
    assert_eq!(store.resume(inside, record(Kind::SessionResume)).await, Ok(false), "it is not held itself");
    assert_eq!(store.resume(above, record(Kind::SessionResume)).await, Ok(true));
    let Written::Changed(denial) = late(12).await.expect("a store") else { panic!("issued") };
    assert_eq!(denial.reason, Reason::Overloaded, "it was decided when the session was another");
    let seen = store.sessions(vec![inside]).await.expect("read");
    let issuance = Issuance { changes: seen[0].review.changes, ..issuance(13, claims(4, minute), inside, None) };
    assert_eq!(store.issue(issuance).await, Ok(Written::Committed));
}

#[tokio::test]
async fn a_session_that_is_halted_while_no_revocation_has_room_gets_no_tokens_all_the_same() {
    let (store, _directory) = store();
    open(&store, 1, None).await;
    assert!(halt(&store, 1, Watch { live_max: 0, ..watch() }).await.is_empty());
    let held = store.held(NOW).await.expect("read");
    assert_eq!(held.iter().map(rule_of).collect::<Vec<_>>(), [Some(RuleName::DenialsInARow)]);
}

#[tokio::test]
async fn calls_far_beyond_those_of_other_sessions_contract() {
    let (store, _directory) = store();
    let mut rules = Rules::default();
    (rules.calls_per_minute.threshold, rules.calls_per_minute.sessions) = (3, 2);
    let watch = || Watch { rules, ..watch() };
    for n in 1..=3 {
        open(&store, n, None).await;
    }
    for n in 1..=2 {
        assert_eq!(store.append(events(n, &What::Called(None), 1), watch(), nothing()).await, Ok(true));
    }
    let third = session(3, None).id;
    let calls = |count| store.append(events(3, &What::Called(None), count), watch(), nothing());
    let is_contracted = async || store.sessions(vec![third]).await.expect("read")[0].review.contraction.is_some();
    assert_eq!(calls(10).await, Ok(true));
    assert!(!is_contracted().await, "ten times what the two others did in a minute");
    assert_eq!(calls(1).await, Ok(true));
    assert!(is_contracted().await);
}
