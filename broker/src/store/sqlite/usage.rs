//! Reading back in SQL: what became of one thing, and what agents used. No writes.
//!
//! Each query is short and walks an index, so that a review of months is many small reads between which everybody else has
//! a turn; none of them holds up the writer.

use super::{
    super::{Clue, Revocation, SessionStart, Used},
    integer, natural, revocations,
    writer::JobError,
};
use crate::audit::Record;
use crumb_token::{AgentName, SessionId, Timestamp, revocation::Target};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

/// The indexes. Ids are made in the order of time, so all of them grow at their end.
pub(super) const INDEXES: &str = "
CREATE INDEX audit_by_request ON audit (request_id, number) WHERE request_id <> '';
CREATE INDEX audit_by_token ON audit (token, number) WHERE token <> '';
CREATE INDEX audit_of_revocations ON audit (number) WHERE kind = 'revoke';
CREATE INDEX sessions_by_agent ON sessions (agent, opened_at);
";

const BY_RECORD: &str = "SELECT number, record FROM audit WHERE record_id = ?1 LIMIT ?2";

const BY_REQUEST: &str = "SELECT number, record FROM audit INDEXED BY audit_by_request
                          WHERE request_id = ?1 AND request_id <> '' ORDER BY number DESC LIMIT ?2";

const ISSUED: &str = "SELECT number, record FROM audit INDEXED BY audit_by_token
                      WHERE token = ?1 AND token <> '' AND kind = 'exchange' AND allowed = 1 ORDER BY number LIMIT ?2";

const DECIDED: &str = "SELECT number, record FROM audit INDEXED BY audit_by_token
                       WHERE token = ?1 AND token <> '' AND kind = 'decision' ORDER BY number DESC LIMIT ?2";

const OF_SESSION: &str = "SELECT number, record FROM audit INDEXED BY audit_by_session
                          WHERE session = ?1 AND session <> '' AND kind NOT IN ('exchange', 'decision')
                          ORDER BY number DESC LIMIT ?2";

const REVOKING: &str = "SELECT number, record FROM audit INDEXED BY audit_of_revocations
                        WHERE kind = 'revoke' ORDER BY number DESC LIMIT ?1";

const OWN: &str = "SELECT opened_at, id FROM sessions INDEXED BY sessions_by_agent
                   WHERE agent = ?1 AND opened_at >= ?2 AND (opened_at, id) < (?3, ?4)
                   ORDER BY opened_at DESC, id DESC LIMIT ?5";

/// A session, and everything inside it.
const FAMILY: &str = "
    WITH RECURSIVE family (id) AS (
      SELECT ?1 UNION SELECT s.id FROM sessions s JOIN family f ON s.parent = f.id)
    SELECT id FROM family LIMIT ?2";

const USED: &str = "SELECT number, record FROM audit INDEXED BY audit_by_session
                    WHERE session = ?1 AND session <> '' AND number > ?2 AND allowed = 1 AND at_unix_ms >= ?3
                      AND kind IN ('exchange', 'decision')
                    ORDER BY number LIMIT ?4";

/// Returns the records that a clue leads to, the newest first; for the issuance of a token the one that there is.
pub(super) fn evidence(connection: &Connection, clue: &Clue, limit: u32) -> Result<Vec<(u64, Record)>, JobError> {
    match clue {
        Clue::Record(id) => records(connection, BY_RECORD, params![id.to_string(), limit]),
        Clue::Request(id) => records(connection, BY_REQUEST, params![id.to_string(), limit]),
        Clue::Issuance(id) => records(connection, ISSUED, params![id.to_string(), limit]),
        Clue::Calls(id) => records(connection, DECIDED, params![id.to_string(), limit]),
        Clue::Session(id) => records(connection, OF_SESSION, params![id.to_string(), limit]),
        Clue::Revocations => records(connection, REVOKING, params![limit]),
    }
}

fn records(connection: &Connection, sql: &str, with: &[&dyn ToSql]) -> Result<Vec<(u64, Record)>, JobError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(with, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| parse(row?)).collect()
}

fn parse((number, text): (i64, String)) -> Result<(u64, Record), JobError> {
    let record = serde_json::from_str(&text).map_err(|_| JobError::Corrupt("record"))?;
    Ok((natural(number), record))
}

/// Returns those revocations of `targets` that reach what was issued then.
pub(super) fn reaching(
    connection: &Connection,
    targets: &[Target],
    issued_at: Timestamp,
) -> Result<Vec<Revocation>, JobError> {
    let mut found = Vec::new();
    for target in targets {
        found.extend(revocations::of(connection, target)?.filter(|revocation| issued_at <= revocation.issued_until));
    }
    Ok(found)
}

/// Returns when the first record was made, in Unix milliseconds.
pub(super) fn trail_start(connection: &Connection) -> Result<Option<u64>, JobError> {
    let sql = "SELECT at_unix_ms FROM audit ORDER BY number LIMIT 1";
    let first: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    Ok(first.map(natural))
}

/// Returns an agent's sessions that were opened since, the newest first, from `before` on.
pub(super) fn own_sessions(
    connection: &Connection,
    agent: &AgentName,
    since: Timestamp,
    before: Option<SessionStart>,
    limit: u32,
) -> Result<Vec<SessionStart>, JobError> {
    let (at, id) = match before {
        Some(SessionStart { opened_at, id }) => (integer(opened_at.as_unix_s()), id.to_string()),
        None => (i64::MAX, String::new()),
    };
    let mut statement = connection.prepare_cached(OWN)?;
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let rows = statement.query_map(params![agent.as_str(), integer(since.as_unix_s()), at, id, limit], read)?;
    let start = |(opened_at, id): (i64, String)| {
        let id = id.parse().map_err(|_| JobError::Corrupt("session"))?;
        Ok(SessionStart { opened_at: Timestamp::from_unix_s(natural(opened_at)), id })
    };
    rows.map(|row| start(row?)).collect()
}

/// Returns a session and those inside it, at any depth.
pub(super) fn family(connection: &Connection, session: SessionId, limit: u32) -> Result<Vec<SessionId>, JobError> {
    let mut statement = connection.prepare_cached(FAMILY)?;
    let rows = statement.query_map(params![session.to_string(), limit], |row| row.get::<_, String>(0))?;
    rows.map(|id| id?.parse().map_err(|_| JobError::Corrupt("session"))).collect()
}

/// Returns what was used in a session: allowed calls and issued tokens since `since_ms`, after a record, in order.
pub(super) fn used(
    connection: &Connection,
    session: SessionId,
    after: u64,
    since_ms: u64,
    limit: u32,
) -> Result<Vec<Used>, JobError> {
    let with = params![session.to_string(), integer(after), integer(since_ms), limit];
    let found = records(connection, USED, with)?;
    Ok(found.into_iter().map(|(number, record)| Used { number, session, record }).collect())
}

#[cfg(test)]
mod tests {
    use super::{super::schema, *};

    #[test]
    fn no_query_walks_a_whole_table() {
        let mut connection = Connection::open_in_memory().expect("a database");
        schema::prepare_writer(&mut connection).expect("tables");
        for (sql, index) in [
            (BY_RECORD, "sqlite_autoindex_audit_1"),
            (BY_REQUEST, "audit_by_request"),
            (ISSUED, "audit_by_token"),
            (DECIDED, "audit_by_token"),
            (OF_SESSION, "audit_by_session"),
            (REVOKING, "audit_of_revocations"),
            (OWN, "sessions_by_agent"),
            (FAMILY, "sessions_inside"),
            (USED, "audit_by_session"),
        ] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
            let unbound = vec![rusqlite::types::Null; plan.parameter_count()];
            let steps = plan.query_map(rusqlite::params_from_iter(unbound), |row| row.get::<_, String>("detail"));
            let steps: Vec<String> = steps.expect("steps").collect::<Result<_, _>>().expect("steps");
            assert!(steps.iter().any(|step| step.contains(index)), "{sql}: {steps:#?}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {steps:#?}");
        }
    }
}
