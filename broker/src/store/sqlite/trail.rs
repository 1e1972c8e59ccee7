//! Records in SQL: appended, numbered without gaps, read in order.

use super::{integer, natural, writer::JobError};
use crate::audit::Record;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Returns the number of the newest record; 0 when there is none.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(number), 0) FROM audit";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).map(natural)
}

/// Appends a record of the broker's own.
pub(super) fn append(tx: &Connection, record: &Record) -> Result<(), JobError> {
    insert(tx, record, None)
}

/// Appends a record that somebody else numbered, once. `false` when its number stands for something else.
pub(super) fn append_once(tx: &Connection, record: &Record, digest: &[u8; 32]) -> Result<bool, JobError> {
    let known: Option<Option<[u8; 32]>> = tx
        .prepare_cached("SELECT digest FROM audit WHERE record_id = ?1")?
        .query_row([&record.record_id], |row| row.get(0))
        .optional()?;
    match known {
        Some(known) => Ok(known.as_ref() == Some(digest)),
        None => insert(tx, record, Some(digest)).map(|()| true),
    }
}

fn insert(tx: &Connection, record: &Record, digest: Option<&[u8; 32]>) -> Result<(), JobError> {
    let text = serde_json::to_string(record).map_err(|_| JobError::Corrupt("record"))?;
    // Without AUTOINCREMENT a rowid is the largest plus one, so numbers have no gaps: nothing is ever deleted.
    let sql =
        "INSERT INTO audit (record_id, at_unix_ms, kind, allowed, reason, request_id, peer, agent, session, token,
                                  registry_version, digest, record)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    tx.prepare_cached(sql)?.execute(params![
        record.record_id,
        integer(record.at_unix_ms),
        record.kind.as_str(),
        record.allowed,
        record.reason(),
        record.request_id,
        record.peer,
        record.agent,
        record.session_id,
        record.token_id,
        record.registry_version,
        digest,
        text,
    ])?;
    Ok(())
}

/// Returns records after `after`, of one session when given.
pub(super) fn after(
    connection: &Connection,
    after: u64,
    session: Option<&str>,
    limit: u32,
) -> Result<Vec<(u64, Record)>, JobError> {
    let all = "SELECT number, record FROM audit WHERE number > ?1 ORDER BY number LIMIT ?2";
    let one = "SELECT number, record FROM audit WHERE number > ?1 AND session = ?3 AND session <> '' ORDER BY number LIMIT ?2";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let rows: Result<Vec<(i64, String)>, _> = match session {
        None => connection.prepare_cached(all)?.query_map(params![integer(after), limit], read)?.collect(),
        Some(session) => {
            connection.prepare_cached(one)?.query_map(params![integer(after), limit, session], read)?.collect()
        }
    };
    let parse = |(number, text): (i64, String)| {
        let record = serde_json::from_str(&text).map_err(|_| JobError::Corrupt("record"))?;
        Ok((natural(number), record))
    };
    rows?.into_iter().map(parse).collect()
}
