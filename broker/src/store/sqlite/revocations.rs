//! Revocations in SQL: numbered inside the writing transaction, so without gaps and in commit order.
//!
//! A sequence that is handed out before the commit loses revocations: the one with the lower number can become visible
//! after the one with the higher. Here one thread writes, and a number exists only with its row.

use super::{super::Revocation, integer, natural, writer::JobError};
use crumb_token::{KeyId, Timestamp, revocation::Target};
use rusqlite::{Connection, OptionalExtension as _, params};

/// Returns the number of the newest revocation; 0 when there is none.
pub(super) fn newest(connection: &Connection) -> Result<u64, JobError> {
    let sql = "SELECT coalesce(max(sequence), 0) FROM revocations";
    Ok(natural(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
}

/// Returns the number of the revocation of `target`, when there is one.
pub(super) fn find(tx: &Connection, target: &Target) -> Result<Option<u64>, JobError> {
    let (kind, name) = words(target);
    let sql = "SELECT sequence FROM revocations WHERE kind = ?1 AND target = ?2";
    let row: Option<i64> = tx.prepare_cached(sql)?.query_row(params![kind, name], |row| row.get(0)).optional()?;
    Ok(row.map(natural))
}

/// Adds a revocation with the next number.
pub(super) fn insert(tx: &Connection, target: Target, until: Timestamp) -> Result<Revocation, JobError> {
    let (kind, name) = words(&target);
    let sequence = newest(tx)?.saturating_add(1);
    let sql = "INSERT INTO revocations (sequence, kind, target, until) VALUES (?1, ?2, ?3, ?4)";
    tx.prepare_cached(sql)?.execute(params![integer(sequence), kind, name, integer(until.as_unix_s())])?;
    Ok(Revocation { sequence, target, until })
}

/// Returns how many are in force.
pub(super) fn count_live(tx: &Connection, now: Timestamp) -> Result<u32, JobError> {
    let sql = "SELECT count(*) FROM revocations WHERE until > ?1";
    Ok(tx.prepare_cached(sql)?.query_row([integer(now.as_unix_s())], |row| row.get(0))?)
}

/// Returns those in force, in order.
pub(super) fn live(connection: &Connection, now: Timestamp) -> Result<Vec<Revocation>, JobError> {
    let sql = "SELECT sequence, kind, target, until FROM revocations WHERE until > ?1 ORDER BY sequence";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([integer(now.as_unix_s())], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?))
    })?;
    let parse = |row: rusqlite::Result<(i64, String, String, i64)>| {
        let (sequence, kind, name, until) = row?;
        let target = target(&kind, &name).ok_or(JobError::Corrupt("revocation"))?;
        Ok(Revocation { sequence: natural(sequence), target, until: Timestamp::from_unix_s(natural(until)) })
    };
    rows.map(parse).collect()
}

fn words(target: &Target) -> (&'static str, String) {
    match target {
        Target::Token(id) => ("token", id.to_string()),
        Target::Session(id) => ("session", id.to_string()),
        Target::Agent(name) => ("agent", name.to_string()),
        Target::Key(id) => ("key", id.to_string()),
    }
}

fn target(kind: &str, name: &str) -> Option<Target> {
    match kind {
        "token" => name.parse().ok().map(Target::Token),
        "session" => name.parse().ok().map(Target::Session),
        "agent" => name.parse().ok().map(Target::Agent),
        "key" => name.parse().ok().map(|id| Target::Key(KeyId(id))),
        _ => None,
    }
}
