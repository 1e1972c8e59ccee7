//! How jobs share a transaction, and what a decision from memory comes to.

use super::*;
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
