//! What waits, what is dropped, and what is told once; on a store of its own.

use super::*;
use crate::notify::{AgentFacts, DroppedFacts};

const NOW: Moment = Moment::from_unix_ms(0);

fn store() -> (SqliteStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    (SqliteStore::open(directory.path()).expect("a store"), directory)
}

fn recipient(name: &str, kinds: &[Kind], waiting_max: u32) -> Recipient {
    Recipient { name: name.into(), kinds: kinds.to_vec(), waiting_max }
}

fn event(kind: Kind) -> Event {
    let agent = AgentFacts {
        name: "bot".into(),
        version: "1".into(),
        owner: "ada@acme.example".into(),
        environment: "test".into(),
        lifecycle: "built",
        valid_until: None,
        review_by: None,
    };
    Event::new(kind, NOW, Data::Agent(agent))
}

async fn write(store: &SqliteStore, events: Vec<Event>) {
    store.write(move |tx| events.iter().try_for_each(|event| put(tx, event))).await.expect("written");
}

/// Takes out everything that waits for somebody, and returns the events' numbers.
async fn drain(store: &SqliteStore, name: &str) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(letter) = store.waiting(name.into()).await.expect("read").letter {
        store.settle(name.into(), Settled::Has(letter.number)).await.expect("written");
        ids.push(letter.id);
    }
    ids
}

fn ids(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.id.clone()).collect()
}

#[tokio::test]
async fn an_event_waits_for_whoever_wants_its_kind_in_order_and_outlives_the_process() {
    let (store, directory) = store();
    write(&store, vec![event(Kind::AgentExpired)]).await;
    let all = recipient("all", Kind::ALL, 100);
    let some = recipient("some", &[Kind::AgentRetired], 100);
    assert_eq!(store.set_recipients(vec![all.clone(), some.clone()]).await, Ok(0));
    let events = [event(Kind::AgentExpired), event(Kind::AgentRetired), event(Kind::AgentOrphaned)];
    write(&store, events.to_vec()).await;
    drop(store);
    let store = SqliteStore::open(directory.path()).expect("opened again");
    assert_eq!(store.set_recipients(vec![all, some]).await, Ok(0));
    assert_eq!(drain(&store, "all").await, ids(&events), "and nothing from before anybody listened");
    assert_eq!(drain(&store, "some").await, ids(&events[1..2]));
}

#[tokio::test]
async fn an_event_that_is_written_twice_waits_once() {
    let (store, _directory) = store();
    store.set_recipients(vec![recipient("all", Kind::ALL, 100)]).await.expect("written");
    let one = event(Kind::AgentExpired);
    write(&store, vec![one.clone(), one.clone()]).await;
    assert_eq!(drain(&store, "all").await, [one.id]);
}

#[tokio::test]
async fn past_the_bound_the_oldest_goes_and_is_counted_until_it_is_told() {
    let (store, _directory) = store();
    store.set_recipients(vec![recipient("all", Kind::ALL, 3)]).await.expect("written");
    let events: Vec<Event> = (0..5).map(|_| event(Kind::AgentExpired)).collect();
    write(&store, events.clone()).await;
    let waiting = store.waiting("all".into()).await.expect("read");
    assert_eq!((waiting.dropped, waiting.dropped_told), (2, 0));
    assert_eq!(waiting.letter.as_ref().map(|letter| letter.id.as_str()), Some(events[2].id.as_str()));
    store.settle("all".into(), Settled::ToldOfDropped(2)).await.expect("written");
    let number = waiting.letter.expect("one waits").number;
    store.settle("all".into(), Settled::GivenUp(number)).await.expect("written");
    store.settle("all".into(), Settled::GivenUp(number)).await.expect("nothing to give up any more");
    let waiting = store.waiting("all".into()).await.expect("read");
    assert_eq!((waiting.dropped, waiting.dropped_told), (3, 2));
    let more: Vec<Event> = (0..2).map(|_| event(Kind::AgentExpired)).collect();
    write(&store, more.clone()).await;
    assert_eq!(drain(&store, "all").await, [ids(&events[4..]), ids(&more)].concat(), "there was room for one more");
}

#[tokio::test]
async fn what_waits_for_nobody_any_more_is_forgotten() {
    let (store, _directory) = store();
    store.set_recipients(vec![recipient("old", Kind::ALL, 10), recipient("all", Kind::ALL, 10)]).await.expect("ok");
    write(&store, vec![event(Kind::AgentExpired), event(Kind::AgentRetired)]).await;
    assert_eq!(store.set_recipients(vec![recipient("all", Kind::ALL, 10)]).await, Ok(2));
    assert_eq!(store.waiting("old".into()).await, Ok(Waiting::default()));
    assert_eq!(drain(&store, "all").await.len(), 2);
}

#[tokio::test]
async fn what_is_so_is_told_once_and_again_after_it_was_not() {
    let (store, _directory) = store();
    store.set_recipients(vec![recipient("all", Kind::ALL, 10)]).await.expect("written");
    let is = || Telling::Is("agent/bot/agent.expired".into(), Box::new(event(Kind::AgentExpired)));
    let not = || Telling::IsNot("agent/bot/agent.expired".into());
    for tellings in [vec![is(), is()], vec![is()], vec![not()], vec![not(), is()], vec![Telling::Was("begun".into())]] {
        store.tell(tellings, NOW).await.expect("written");
    }
    assert_eq!(drain(&store, "all").await.len(), 2);
    let told = store.told().await.expect("read");
    assert_eq!(told.keys().collect::<Vec<_>>(), ["agent/bot/agent.expired", "begun"]);
}

#[test]
fn no_event_is_looked_for_in_the_whole_table() {
    let mut connection = Connection::open_in_memory().expect("a database");
    super::super::schema::prepare_writer(&mut connection).expect("the tables");
    let sql = "EXPLAIN QUERY PLAN DELETE FROM outbox WHERE number IN
                 (SELECT number FROM outbox WHERE recipient = ?1 ORDER BY number LIMIT ?2)";
    let mut statement = connection.prepare(sql).expect("a plan");
    let steps = statement.query_map(params!["all", 1], |row| row.get::<_, String>("detail")).expect("steps");
    let steps: Vec<String> = steps.collect::<Result<_, _>>().expect("steps");
    assert!(steps.iter().all(|step| !step.contains("SCAN") && !step.contains("TEMP B-TREE")), "{steps:?}");
}

#[test]
fn dropped_events_are_counted_in_a_body_of_their_own() {
    let facts = Data::Dropped(DroppedFacts { dropped: 2, dropped_in_all: 7 });
    let body = serde_json::to_value(Event::new(Kind::EventsDropped, NOW, facts)).expect("JSON");
    assert_eq!((&body["type"], &body["data"]["dropped"]), (&"events.dropped".into(), &2.into()));
    assert_eq!(body["timestamp"], "1970-01-01T00:00:00Z");
}
