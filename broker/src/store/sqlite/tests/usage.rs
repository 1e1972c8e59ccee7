//! Reading back: every session of an agent once, with those inside it, and what is on record about one thing.

use super::*;
use crate::store::{Clue, SessionStart};

async fn pages(store: &SqliteStore, limit: u32) -> Vec<SessionStart> {
    let agent = session(1, None).agent;
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = store.own_sessions(agent.clone(), NOW, before, limit).await.expect("read");
        assert!(page.len() <= limit as usize);
        let Some(last) = page.last() else { return all };
        before = Some(*last);
        all.extend(page);
    }
}

#[tokio::test]
async fn every_session_of_an_agent_comes_once_whatever_the_page() {
    let (store, _directory) = store();
    for n in 1..=5 {
        assert_eq!(open(&store, n, None).await, Written::Committed);
    }
    let wanted: Vec<_> = (1..=5).rev().map(|n| session(n, None).id).collect();
    for limit in [1, 2, 5, 64] {
        let found: Vec<_> = pages(&store, limit).await.into_iter().map(|start| start.id).collect();
        assert_eq!(found, wanted, "all were opened in the same second");
    }
    let later = NOW.plus(Duration::from_secs(1));
    let none = store.own_sessions(session(1, None).agent, later, None, 64).await.expect("read");
    assert_eq!(none, [], "none was opened since");
    let other = store.own_sessions("other".parse().expect("a name"), NOW, None, 64).await.expect("read");
    assert_eq!(other, []);
}

#[tokio::test]
async fn a_session_comes_with_those_inside_it_and_what_was_used_in_pages() {
    let (store, _directory) = store();
    open(&store, 1, None).await;
    open(&store, 2, Some(1)).await;
    open(&store, 3, None).await;
    let family = store.family(session(1, None).id, 64).await.expect("read");
    assert_eq!(family, [session(1, None).id, session(2, None).id]);

    let made = |n: u128, allowed: bool, at: u64| {
        let mut record = Record::new(RecordId::from_uuid(Uuid::from_u128(n)), at, Kind::Decision, "v");
        record.session_id = session(1, None).id.to_string();
        record.token_id = TokenId::from_uuid(Uuid::from_u128(7)).to_string();
        if allowed {
            record.allow();
        }
        reported(&record, 0)
    };
    let calls = vec![made(10, true, 50), made(11, false, 50), made(12, true, 49), made(13, true, 51)];
    assert_eq!(store.append(calls, watch(), nothing()).await, Ok(true));
    let id = session(1, None).id;
    let first = store.used(id, 0, 50, 1).await.expect("read");
    let rest = store.used(id, first[0].number, 50, 8).await.expect("read");
    let numbers = [&first[..], &rest[..]].concat().iter().map(|used| used.record.at_unix_ms).collect::<Vec<_>>();
    assert_eq!(numbers, [50, 51], "neither what was refused nor what was before");
    let calls = store.evidence(Clue::Calls(TokenId::from_uuid(Uuid::from_u128(7))), 2).await.expect("read");
    assert_eq!(calls.iter().map(|(_, record)| record.at_unix_ms).collect::<Vec<_>>(), [51, 49], "the newest first");
    let one = store.evidence(Clue::Record(RecordId::from_uuid(Uuid::from_u128(12))), 8).await.expect("read");
    assert_eq!(one.len(), 1);
    assert!(store.trail_start().await.expect("read").is_some());
}
