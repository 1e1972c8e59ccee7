//! How jobs share a transaction, what a decision from memory comes to, and what is one commit.

use super::*;
use crate::{
    registry::{Author, Edit, Key, Kind as ManifestKind},
    stops::{Stop, Switch},
};
use rusqlite::StatementStatus;
use std::sync::mpsc;

async fn starts(store: &SqliteStore) -> i64 {
    let count = |c: &Connection| Ok(c.query_row("SELECT count(*) FROM starts", [], |row| row.get(0))?);
    store.readers.submit(count).await.expect("read")
}

#[tokio::test]
async fn a_job_that_fails_halfway_undoes_no_other_and_leaves_nothing() {
    let (store, _directory) = store();
    let (go, wait) = mpsc::channel::<()>();
    // Holds the thread up until `go` is gone, so that what comes meanwhile is one batch.
    let held = store.write(move |_| {
        let _ = wait.recv();
        Ok(())
    });
    let append = || {
        let record = record(Kind::Exchange);
        store.write(move |tx| trail::append(tx, &record))
    };
    let before = append();
    let twice = store.write(|tx| {
        for _ in 0..2 {
            tx.execute("INSERT INTO starts (epoch) VALUES (1)", [])?;
        }
        Ok(())
    });
    let after = append();
    drop(go);
    assert_eq!((held.await, before.await, after.await), (Ok(()), Ok(()), Ok(())));
    assert_eq!(twice.await, Err(StoreError::Unavailable));
    let numbers: Vec<_> = store.records(0, None, 10).await.expect("read").into_iter().map(|(n, _)| n).collect();
    assert_eq!((numbers, starts(&store).await), (vec![1, 2], 0), "what ran twice is there once");
    assert!(store.is_usable());
}

#[tokio::test]
async fn a_remembered_session_that_was_closed_gets_no_token() {
    let (store, _directory) = store();
    open(&store, 1, None).await;
    let id = session(1, None).id;
    assert_eq!(store.recall(id), None, "nobody has looked yet");
    store.look_up(request(1, 0).key, Some(id)).await.expect("read");
    store.close(id, NOW, 10, record(Kind::SessionClose), nothing()).await.expect("closed");
    let remembered = store.recall(id).expect("a look remembers");
    assert!(remembered.is_open(NOW), "memory is not told");
    let minute = Duration::from_secs(60);
    assert_eq!(store.issue(issuance(2, claims(1, minute), id, None)).await, Ok(Written::SessionClosed));
    assert_eq!(store.records(0, None, 10).await.expect("read").len(), 2, "no record of a token that nobody got");
    assert_eq!(store.recall(id), None, "nobody builds on it once more");
    store.look_up(request(1, 0).key, Some(id)).await.expect("read");
    assert!(store.recall(id).is_some_and(|session| !session.is_open(NOW)), "the next look tells it");
}

#[tokio::test]
async fn a_request_that_was_answered_gets_that_answer_even_once_its_session_is_closed() {
    let (store, _directory) = store();
    open(&store, 1, None).await;
    let id = session(1, None).id;
    let issue = || store.issue(issuance(2, claims(1, Duration::from_secs(60)), id, None));
    assert_eq!(issue().await, Ok(Written::Committed));
    assert!(matches!(issue().await, Ok(Written::Seen(Seen { answer: Answer::Issued(_), .. }))));
    store.close(id, NOW, 10, record(Kind::SessionClose), nothing()).await.expect("closed");
    assert!(matches!(issue().await, Ok(Written::Seen(Seen { answer: Answer::Issued(_), .. }))));
}

#[tokio::test]
async fn what_was_decided_by_manifests_that_have_changed_since_is_not_issued() {
    let (store, _directory) = store();
    open(&store, 1, None).await;
    let id = session(1, None).id;
    let stale = Issuance { revision: 1, ..issuance(2, claims(1, Duration::from_secs(60)), id, None) };
    let Ok(Written::Changed(denial)) = store.issue(stale.clone()).await else { panic!("it is not issued") };
    assert_eq!(denial.reason, Reason::Overloaded);
    assert_eq!(store.records(0, None, 10).await.expect("read").len(), 1, "no record of a token that nobody got");
    assert_eq!(store.issue(Issuance { revision: 0, ..stale }).await, Ok(Written::Committed));
}

#[tokio::test]
async fn a_remembered_session_is_forgotten_once_a_decision_by_it_does_not_hold() {
    let (store, _directory) = store();
    open(&store, 1, None).await;
    let id = session(1, None).id;
    store.look_up(request(1, 0).key, Some(id)).await.expect("read");
    let good = issuance(2, claims(1, Duration::from_secs(60)), id, None);
    assert_eq!(store.issue(good.clone()).await, Ok(Written::Committed));
    assert!(store.recall(id).is_some(), "what held is remembered");
    let stale = Issuance { revision: 1, ..issuance(3, claims(2, Duration::from_secs(60)), id, None) };
    assert!(matches!(store.issue(stale).await, Ok(Written::Changed(_))));
    assert_eq!(store.recall(id), None);
}

fn everything(why: &str) -> (Scope, Stop) {
    (Scope::Everything, Stop { since: NOW, by: "uid:0".into(), why: why.into() })
}

fn ending(targets: Vec<Target>, live_max: u32, stop: Option<(Scope, Stop)>) -> Ending {
    Ending { targets, clock: Arc::new(Stopped), live_max, stop }
}

#[tokio::test]
async fn a_lift_that_is_heard_of_late_takes_back_no_stop_that_came_after_it() {
    let (store, _directory) = store();
    let switch = Arc::new(Switch::new(Stops::default()));
    let pull = |why: &str| {
        let (scope, stop) = everything(why);
        let pull = switch.pull(&scope, &stop).expect("there is room");
        let committed: OnEnded = Box::new(move |_, _| pull.keep());
        store.revoke(ending(Vec::new(), 10, Some((scope, stop))), record(Kind::Revoke), committed)
    };
    pull("first").await.expect("stopped");
    let lifting = Arc::clone(&switch);
    let committed: OnCommitted = Box::new(move || lifting.lifted(&Scope::Everything));
    let lift = store.lift(Scope::Everything, record(Kind::Lift), committed);
    // Whoever lifts is asked to wait while another one stops it again.
    pull("second").await.expect("stopped");
    assert_eq!(lift.await, Ok(true));
    let kept = store.stops().await.expect("read");
    assert_eq!(kept.get(&Scope::Everything).map(|stop| stop.why.as_str()), Some("second"));
    assert_eq!(*switch.load(), kept, "memory says what the store says");
}

/// Manifests that quarantine `bot`, as far as the store looks at them.
fn quarantine(revision: u64) -> Edits {
    let key = Key::new(ManifestKind::Agent, "bot").expect("a name");
    let edit = Edit { key, version: revision + 1, text: Some("quarantined".into()) };
    Edits { revision, edits: vec![edit], at: NOW, by: Author::Operator("uid:0".into()) }
}

fn bot() -> Vec<Target> {
    vec![Target::Agent("bot".parse().expect("a name"))]
}

#[tokio::test]
async fn manifests_are_in_force_only_together_with_the_ending_of_what_they_stop() {
    let (store, _directory) = store();
    let apply = |revoking: Record, live_max: u32| {
        let mut applied = record(Kind::RegistryApply);
        applied.record_id.clone_from(&revoking.record_id);
        (applied, Some((ending(bot(), live_max, None), revoking)))
    };
    // The second record cannot be written: it has the number of the first.
    let (applied, end) = apply(record(Kind::Revoke), 10);
    let failed = store.apply_manifests(quarantine(0), Some(applied), end, nothing()).await;
    assert_eq!(failed, Err(StoreError::Unavailable));
    assert_eq!(store.shelf().await.expect("read").manifests, []);
    let (_, end) = apply(record(Kind::Revoke), 10);
    let done = store.apply_manifests(quarantine(0), Some(record(Kind::RegistryApply)), end, nothing()).await;
    assert_eq!(done, Ok(Applied::Done));
    assert_eq!(store.is_revoked(bot(), NOW).await, Ok(true), "whatever happens to this process from here on");
    let kinds: Vec<_> = store.records(0, None, 10).await.expect("read").into_iter().map(|(_, r)| r.kind).collect();
    assert_eq!(kinds, [Kind::RegistryApply, Kind::Revoke]);
}

#[tokio::test]
async fn manifests_that_were_overtaken_end_nothing_and_a_full_feed_keeps_none_out() {
    let (store, _directory) = store();
    let end = |live_max| Some((ending(bot(), live_max, None), record(Kind::Revoke)));
    let late = store.apply_manifests(quarantine(7), None, end(10), Box::new(|_| unreachable!("nothing is in force")));
    assert_eq!(late.await, Ok(Applied::Conflict));
    let full = store.apply_manifests(quarantine(0), None, end(0), nothing()).await;
    assert_eq!(full, Ok(Applied::NothingEnded));
    assert_eq!(store.is_revoked(bot(), NOW).await, Ok(false), "and whoever applied them is told");
    assert_eq!(store.shelf().await.expect("read").manifests.len(), 1);
}

#[test]
fn no_statement_is_prepared_anew_for_another_value() {
    let mut connection = Connection::open_in_memory().expect("a database");
    schema::prepare_writer(&mut connection).expect("tables");
    let sql = "SELECT peer FROM requests WHERE at < ?1 ORDER BY at LIMIT ?2";
    let mut statement = connection.prepare(sql).expect("a statement");
    for n in 0..4 {
        assert!(!statement.exists([n, n]).expect("runs"));
    }
    assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
}
