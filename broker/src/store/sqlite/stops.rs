//! Stops in SQL.

use super::{integer, natural, writer::JobError};
use crate::stops::{Scope, Stop, Stops};
use crumb_token::Timestamp;
use rusqlite::{Connection, Row, params};

/// Returns all.
pub(super) fn all(connection: &Connection) -> Result<Stops, JobError> {
    let mut statement = connection.prepare_cached("SELECT kind, name, since, by, why FROM stops")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found.into_iter().collect())
}

/// Stops something, or says anew who did and why.
pub(super) fn insert(tx: &Connection, scope: &Scope, stop: &Stop) -> Result<(), JobError> {
    let sql = "INSERT OR REPLACE INTO stops (kind, name, since, by, why) VALUES (?1, ?2, ?3, ?4, ?5)";
    let since = integer(stop.since.as_unix_s());
    tx.prepare_cached(sql)?.execute(params![scope.kind(), scope.name(), since, stop.by, stop.why])?;
    Ok(())
}

/// Lifts a stop; `false` when there is none.
pub(super) fn lift(tx: &Connection, scope: &Scope) -> Result<bool, JobError> {
    let sql = "DELETE FROM stops WHERE kind = ?1 AND name = ?2";
    Ok(tx.prepare_cached(sql)?.execute(params![scope.kind(), scope.name()])? == 1)
}

fn read(row: &Row<'_>) -> Result<(Scope, Stop), JobError> {
    let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
    let scope = Scope::from_words(&kind, &name).ok_or(JobError::Corrupt("stop"))?;
    Ok((scope, Stop { since: Timestamp::from_unix_s(natural(row.get(2)?)), by: row.get(3)?, why: row.get(4)? }))
}
