//! How requests are found: by an index, whatever the table has grown to.

use super::{super::schema, *};

fn plan(sql: &str) -> String {
    let mut connection = Connection::open_in_memory().expect("a database");
    schema::prepare_writer(&mut connection).expect("the tables");
    let mut statement =
        connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement that can be planned");
    let with = vec![0; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(with), |row| row.get::<_, String>("detail"));
    steps.expect("a plan").map(|step| step.expect("a step")).collect::<Vec<_>>().join("; ")
}

#[test]
fn no_request_is_looked_for_in_the_whole_table() {
    for (sql, by) in [
        (REFUSED, "approvals_refused (session=? AND gist=?)"),
        (NEWEST, "approvals_by_ask (session=? AND digest=?)"),
        (WAITING, "approvals_waiting (session=? AND expires_at>?)"),
        (LIST_WAITING, "approvals_waiting (session=? AND expires_at>?)"),
        (LIST_SESSION, "approvals_by_session (session=?)"),
        (LIST_STATE, "approvals_by_state (state=?)"),
        (LIST_LIVE, "approvals_by_end (state=? AND expires_at>?)"),
        (HISTORY, "approvals_by_agent (agent=? AND asked_at>?)"),
    ] {
        let plan = plan(sql);
        assert!(plan.contains("SEARCH") && plan.contains(by), "{sql}: {plan}");
    }
}

#[test]
fn the_newest_are_walked_through_in_their_order() {
    for sql in [LIST, LIST_SESSION, LIST_STATE, NEWEST, REFUSED] {
        assert!(!plan(sql).contains("TEMP B-TREE"), "{sql}: {}", plan(sql));
    }
}
