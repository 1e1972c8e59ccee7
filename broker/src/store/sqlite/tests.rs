//! The store by itself: numbers without gaps, answers that stay, and what it refuses to do.

mod approvals;
mod drift;
mod usage;
mod writing;

use super::*;
use crate::{
    approval::{Approval, Need, Said, Vote, Wanted},
    audit::Kind,
    drift::Rules,
    session::Lineage,
    store::{ClaimsRow, Seen, StoreError, Written},
};
use crumb_token::{Claims, Clock, Denial, Grant, Grants, Now, Origin, Reason, RecordId, RequestId, TokenId};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);

fn record(kind: Kind) -> Record {
    Record::new(RecordId::from_uuid(Uuid::now_v7()), 1, kind, "v")
}

fn request(n: u128, digest: u8) -> Request {
    let key = RequestKey { peer: "spiffe://td/a".parse().expect("id"), id: RequestId::from_uuid(Uuid::from_u128(n)) };
    Request { key, digest: [digest; 32], at: NOW }
}

fn session(n: u128, parent: Option<u128>) -> Session {
    let origin = match parent {
        None => Origin::Schedule { name: "nightly".parse().expect("name") },
        Some(n) => Origin::Agent { session: SessionId::from_uuid(Uuid::from_u128(n)) },
    };
    let root = Lineage::root(Origin::Schedule { name: "nightly".parse().expect("name") });
    let right = Grant {
        tool: "t".parse().expect("tool"),
        operation: "read".parse().expect("operation"),
        resource: "a/*".parse().expect("resource"),
    };
    Session {
        id: SessionId::from_uuid(Uuid::from_u128(n)),
        agent: "bot".parse().expect("name"),
        version: "1".parse().expect("version"),
        owner: "ada@a.example".parse().expect("owner"),
        peer: "spiffe://td/a".parse().expect("id"),
        process: Some(crate::session::BoundProcess { uid: 7, exe: "/bot".into() }),
        intent: "test".parse().expect("intent"),
        origin,
        envelope: vec![("spiffe://td/tool".parse().expect("audience"), Grants::try_new([right]).expect("one"))],
        lineage: parent.map_or_else(|| root, |n| Lineage::below(&session(n, None))),
        opened_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(100)),
        closed_at: None,
        tokens: 0,
        review: crate::drift::Review::default(),
    }
}

fn reported(record: &Record, digest: u8) -> Reported {
    Reported { record: record.clone(), digest: [digest; 32], event: None }
}

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Now {
        Now { wall: NOW, ticks: Duration::ZERO }
    }
}

fn watch() -> Watch {
    Watch { rules: Rules::default(), clock: Arc::new(Stopped), live_max: 1000, registry_version: "v".into() }
}

fn nothing() -> OnRevoked {
    Box::new(|_| {})
}

async fn open(store: &SqliteStore, n: u128, parent: Option<u128>) -> Written {
    store.open(request(n, 0), session(n, parent), 10, record(Kind::SessionOpen)).await.expect("written")
}

fn store() -> (SqliteStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    (SqliteStore::open(directory.path()).expect("a store"), directory)
}

#[tokio::test]
async fn a_session_comes_back_as_it_went() {
    let (store, _directory) = store();
    assert_eq!(open(&store, 1, None).await, Written::Committed);
    let known = store.look_up(request(1, 0).key, Some(session(1, None).id)).await.expect("read");
    assert_eq!(known.session, Some(session(1, None)));
    assert!(matches!(known.seen, Some(Seen { answer: Answer::Opened { .. }, .. })));
}

#[tokio::test]
async fn the_first_answer_to_a_request_stays() {
    let (store, _directory) = store();
    let denial = Denial::new(Reason::OutsideManifest).asked("x");
    let first = store.refuse(Some((request(1, 1), denial.clone())), record(Kind::Exchange)).await;
    assert_eq!(first, Ok(Written::Committed));
    let again = store.refuse(Some((request(1, 2), denial)), record(Kind::Exchange)).await.expect("written");
    assert!(matches!(again, Written::Seen(Seen { digest, .. }) if digest == [1; 32]));
    let other = RequestKey { peer: "spiffe://td/b".parse().expect("id"), ..request(1, 1).key };
    assert_eq!(store.look_up(other, None).await.expect("read").seen, None, "ids count per caller");
    assert_eq!(store.records(0, None, 10).await.expect("read").len(), 1, "a repeated request has no second record");
}

#[tokio::test]
async fn numbers_have_no_gaps_whoever_writes_at_once() {
    let (store, _directory) = store();
    let store = Arc::new(store);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=60u128 {
        let (store, heard) = (Arc::clone(&store), Arc::clone(&heard));
        tasks.spawn(async move {
            let opened = store.open(request(n, 0), session(n, None), 100, record(Kind::SessionOpen)).await;
            assert_eq!(opened, Ok(Written::Committed));
            // Some writes fail halfway, and must leave no hole.
            let twice = record(Kind::Decision);
            assert_eq!(
                store.append(vec![reported(&twice, 0), reported(&twice, 1)], watch(), nothing()).await,
                Ok(false)
            );
            let on_revoked: OnRevoked = Box::new(move |revoked| {
                heard.lock().expect("no panic").extend(revoked.iter().map(|r| r.sequence));
            });
            let id = session(n, None).id;
            store.close(id, NOW, 1000, record(Kind::SessionClose), on_revoked).await.expect("closed")
        });
    }
    tasks.join_all().await;
    assert_eq!(*heard.lock().expect("no panic"), (1..=60).collect::<Vec<u64>>(), "told in the order of their numbers");
    let numbers: Vec<_> = store.records(0, None, 1000).await.expect("read").into_iter().map(|(n, _)| n).collect();
    assert_eq!(numbers, (1..=120).collect::<Vec<u64>>());
    assert_eq!(*store.newest().borrow(), 120);
}

#[tokio::test]
async fn closing_a_session_closes_those_inside_it() {
    let (store, _directory) = store();
    for (n, parent) in [(1, None), (2, Some(1)), (3, Some(2)), (4, None)] {
        assert_eq!(open(&store, n, parent).await, Written::Committed);
    }
    let id = |n| session(n, None).id;
    let closed = store.close(id(1), NOW, 1000, record(Kind::SessionClose), nothing()).await;
    assert_eq!(closed, Ok(Closed::Revoked(1)), "one revocation for all: their tokens name it");
    assert_eq!(store.close(id(2), NOW, 1000, record(Kind::SessionClose), nothing()).await, Ok(Closed::Revoked(1)));
    assert_eq!(store.close(id(9), NOW, 1000, record(Kind::SessionClose), nothing()).await, Ok(Closed::Unknown));
    let open: Vec<_> = store.sessions((1..=4).map(id).collect()).await.expect("read");
    assert_eq!(open.iter().filter(|s| s.is_open(NOW)).map(|s| s.id).collect::<Vec<_>>(), [id(4)]);
    assert_eq!(self::open(&store, 5, Some(1)).await, Written::SessionClosed);
}

fn issuance(n: u128, claims: ClaimsRow, session: SessionId, redeems: Option<ApprovalId>) -> Issuance {
    let token = TokenId::from_uuid(Uuid::from_u128(n)).to_string();
    Issuance {
        request: request(n, 0),
        claims: Arc::new(claims),
        token,
        session,
        revision: 0,
        changes: 0,
        budget: None,
        redeems,
        record: record(Kind::Exchange),
    }
}

fn approval(n: u128, session: &Session) -> Approval {
    let wanted = Wanted {
        session: session.id,
        peer: session.peer.clone(),
        process: None,
        holder: None,
        audience: session.envelope[0].0.clone(),
        grants: session.envelope[0].1.clone(),
        ttl: Duration::from_secs(u64::try_from(n).expect("small")),
        task: None,
    };
    let needs = vec![Need { group: "security".into(), count: 1 }];
    Approval::ask(ApprovalId::from_uuid(Uuid::from_u128(n)), wanted, needs, session, NOW)
}

async fn approve(store: &SqliteStore, approval: &Approval) -> Result<Approval, Denial> {
    let said = Said::Yes { grants: approval.wanted.grants.clone(), ttl: Duration::ZERO };
    let approver = "eve".parse().expect("a name");
    let vote = Vote { approver, presented: None, groups: vec!["security".into()], at: NOW, said, why: None };
    store.vote(approval.id, vote, NOW, record(Kind::Approval)).await.expect("a store")
}

async fn ask(store: &SqliteStore, approval: Approval) -> Result<Approval, Denial> {
    let agent = "bot".parse().expect("name");
    let asking = Asking { approval, agent, now: NOW, instead_of: None, record: record(Kind::Exchange) };
    store.ask_approval(asking).await.expect("a store")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_approvals_are_redeemed_once_each_by_sixty_four_at_once() {
    let (store, _directory) = store();
    let store = Arc::new(store);
    assert_eq!(open(&store, 1, None).await, Written::Committed);
    let session = session(1, None);
    let mut number = 100_000;
    for n in 1..=1000 {
        let approval = approval(n, &session);
        ask(&store, approval.clone()).await.expect("room");
        approve(&store, &approval).await.expect("approved");
        let mut redeeming = tokio::task::JoinSet::new();
        for _ in 0..64 {
            number += 1;
            let issuance = issuance(number, claims(1, Duration::from_secs(60)), session.id, Some(approval.id));
            let store = store.clone();
            redeeming.spawn(async move { store.issue(issuance).await.expect("a store") });
        }
        let outcomes = redeeming.join_all().await;
        let won = outcomes.iter().filter(|outcome| **outcome == Written::Committed).count();
        let used = |outcome: &&Written| matches!(outcome, Written::Changed(d) if d.reason == Reason::ApprovalUsed);
        assert_eq!((won, outcomes.iter().filter(used).count()), (1, 63), "approval {n}");
    }
}

#[tokio::test]
async fn the_same_ask_waits_once_and_a_session_has_only_so_many_waiting() {
    let (store, _directory) = store();
    assert_eq!(open(&store, 1, None).await, Written::Committed);
    let session = session(1, None);
    let first = ask(&store, approval(1, &session)).await.expect("room");
    let again = Approval { id: ApprovalId::from_uuid(Uuid::from_u128(77)), ..approval(1, &session) };
    assert_eq!(ask(&store, again).await.expect("the same").id, first.id);
    for n in 2..=32 {
        ask(&store, approval(n, &session)).await.expect("room");
    }
    assert_eq!(ask(&store, approval(33, &session)).await.expect_err("full").reason, Reason::Overloaded);
    let listing = Listing { session: Some(session.id), state: None, now: NOW, limit: 100 };
    assert_eq!(store.approvals(listing, Box::new(|_| true)).await.expect("read").len(), 32);
}

#[tokio::test]
async fn an_approval_that_nobody_gave_issues_nothing() {
    let (store, _directory) = store();
    assert_eq!(open(&store, 1, None).await, Written::Committed);
    let session = session(1, None);
    let waiting = ask(&store, approval(1, &session)).await.expect("room");
    let issuance = issuance(5, claims(1, Duration::from_secs(60)), session.id, Some(waiting.id));
    let Written::Changed(denial) = store.issue(issuance).await.expect("a store") else { panic!("issued") };
    assert_eq!(denial.reason, Reason::ApprovalNeeded);
    let known = store.look_up(request(5, 0).key, None).await.expect("read");
    assert!(known.seen.is_none(), "and nothing is left of it");
}

fn claims(n: u128, life: Duration) -> ClaimsRow {
    let session = session(n, None);
    ClaimsRow::from(&Claims {
        token: TokenId::from_uuid(Uuid::from_u128(n)),
        session: session.id,
        agent: session.agent,
        version: session.version,
        environment: "test".parse().expect("environment"),
        holder: session.peer,
        subject: None,
        actors: Vec::new(),
        ancestors: Vec::new(),
        origin: session.origin,
        intent_digest: session.intent.digest(),
        audience: session.envelope[0].0.clone(),
        grants: session.envelope[0].1.clone(),
        issued_at: NOW,
        expires_at: NOW.plus(life),
        may_act: None,
        depth_limit: 8,
        identity_provider: "spire".parse().expect("provider"),
    })
}

#[tokio::test]
async fn nothing_is_issued_in_a_session_that_was_closed_a_moment_ago() {
    let (store, _directory) = store();
    open(&store, 1, None).await;
    let (id, minute) = (session(1, None).id, Duration::from_secs(60));
    let issue = |n| store.issue(issuance(n, claims(1, minute), id, None));
    assert_eq!(issue(10).await, Ok(Written::Committed));
    let until = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&until);
    let on_revoked: OnRevoked = Box::new(move |revoked| *heard.lock().expect("no panic") = Some(revoked[0].until));
    store.close(id, NOW, 1000, record(Kind::SessionClose), on_revoked).await.expect("closed");
    assert_eq!(
        *until.lock().expect("no panic"),
        Some(NOW.plus(minute + Duration::from_secs(3))),
        "until its last token has ended for all"
    );
    assert_eq!(issue(11).await, Ok(Written::SessionClosed));
    assert_eq!(store.look_up(request(11, 0).key, None).await.expect("read").seen, None);
    assert_eq!(store.records(0, None, 10).await.expect("read").len(), 3, "open, issue, close");
}

#[tokio::test]
async fn a_revocation_lasts_as_long_as_the_tokens_it_ends() {
    let (store, _directory) = store();
    open(&store, 1, None).await;
    open(&store, 2, None).await;
    let live = Arc::new(Mutex::new(Vec::new()));
    for n in [1, 2] {
        let live = Arc::clone(&live);
        let on_revoked: OnRevoked = Box::new(move |revoked| live.lock().expect("no panic").extend(revoked.to_vec()));
        if n == 2 {
            let minute = claims(2, Duration::from_secs(60));
            store.issue(issuance(20, minute, session(2, None).id, None)).await.expect("written");
        }
        store.close(session(n, None).id, NOW, 1, record(Kind::SessionClose), on_revoked).await.expect("closed");
    }
    let ends: Vec<_> = live.lock().expect("no panic").iter().map(|r| r.until.since(NOW).as_secs()).collect();
    assert_eq!(ends, [0, 63], "a verifier may be some seconds behind");
    open(&store, 3, None).await;
    let full = store.close(session(3, None).id, NOW, 1, record(Kind::SessionClose), nothing()).await;
    assert_eq!(full, Ok(Closed::TooManyRevocations), "one is in force, and one may be");
}

#[tokio::test]
async fn the_trail_cannot_be_changed() {
    let (store, directory) = store();
    store.refuse(None, record(Kind::Exchange)).await.expect("written");
    let other = Connection::open(directory.path().join("crumb.db")).expect("opened");
    for sql in ["UPDATE audit SET allowed = 1", "DELETE FROM audit"] {
        let error = other.execute(sql, []).expect_err("refused");
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_is_held_up_says_so_in_time_and_goes_on_later() {
    let (store, directory) = store();
    let other = Connection::open(directory.path().join("crumb.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let begun = tokio::time::Instant::now();
    let held_up = store.refuse(None, record(Kind::Exchange)).await;
    assert_eq!(held_up, Err(StoreError::Unavailable));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    other.execute_batch("ROLLBACK").expect("released");
    assert!(store.is_usable());
    assert_eq!(store.refuse(None, record(Kind::Exchange)).await, Ok(Written::Committed));
    assert_eq!(store.records(0, None, 10).await.expect("read").len(), 1);
}

#[tokio::test]
async fn epochs_only_grow_and_old_keys_end() {
    let (store, _directory) = store();
    let mut late = record(Kind::BrokerStart);
    late.at_unix_ms = 5_000;
    assert_eq!(store.begin(late, NOW).await.expect("begun").epoch, 5_000);
    let hour = Duration::from_secs(3600);
    store.add_key([1; 32], NOW, NOW.plus(3 * hour)).await.expect("added");
    store.add_key([2; 32], NOW.plus(hour), NOW.plus(4 * hour)).await.expect("added");
    let mut early = record(Kind::BrokerStart);
    early.at_unix_ms = 4_000;
    let again = store.begin(early, NOW.plus(Duration::from_secs(60))).await.expect("begun");
    assert_eq!(again.epoch, 5_001, "even when the clock went back");
    let keys: Vec<_> = again.keys.iter().map(|k| (k.public[0], k.not_after.since(NOW).as_secs())).collect();
    assert_eq!(keys, [(1, 3660)], "one had not begun; the other's last token ends an hour after its process");
    let id = store.add_key([3; 32], NOW, NOW.plus(hour)).await.expect("added");
    assert_eq!(id, KeyId(3), "no number comes twice");
}

#[tokio::test]
async fn a_broker_that_keeps_starting_tells_no_more_keys_than_verifiers_take() {
    let (store, _directory) = store();
    for n in 0..60u8 {
        let now = NOW.plus(Duration::from_secs(n.into()));
        store.begin(record(Kind::BrokerStart), now).await.expect("begun");
        store.add_key([n; 32], now, now.plus(Duration::from_secs(7200))).await.expect("added");
    }
    let last = store.begin(record(Kind::BrokerStart), NOW.plus(Duration::from_secs(60))).await.expect("begun");
    let (keys, newest) = (last.keys.len(), last.keys.last().map(|key| key.public[0]));
    assert_eq!((keys, newest), (48, Some(59)), "the oldest are given up");
    let later = NOW.plus(Duration::from_secs(60 + 3600));
    assert_eq!(store.begin(record(Kind::BrokerStart), later).await.expect("begun").keys, []);
}

#[test]
fn a_directory_is_used_by_one_broker() {
    let (_store, directory) = store();
    assert!(matches!(SqliteStore::open(directory.path()), Err(OpenError::InUse)));
}

#[test]
fn refuses_a_newer_database_and_what_is_none() {
    let (store, directory) = store();
    drop(store);
    let file = directory.path().join("crumb.db");
    Connection::open(&file).and_then(|c| c.pragma_update(None, "user_version", 99)).expect("changed");
    assert!(matches!(SqliteStore::open(directory.path()), Err(OpenError::Newer)));
    fs::write(&file, "not a database, but long enough to look at its first bytes and its header").expect("written");
    assert!(matches!(SqliteStore::open(directory.path()), Err(OpenError::Database(_))));
}

#[tokio::test]
async fn the_files_are_for_the_broker_alone() {
    let (store, directory) = store();
    store.refuse(None, record(Kind::Exchange)).await.expect("written");
    for file in fs::read_dir(directory.path()).expect("listed") {
        let file = file.expect("listed");
        let mode = file.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", file.path());
    }
}

#[test]
fn errors_become_refusals() {
    let reason = |error| Denial::from(error).reason;
    assert_eq!(reason(StoreError::Unavailable), Reason::StoreUnavailable);
    assert_eq!(reason(StoreError::Corrupt("session")), Reason::StoreUnavailable);
    assert_eq!(reason(StoreError::Overloaded), Reason::Overloaded);
}
