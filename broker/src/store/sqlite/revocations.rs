//! Revocations in SQL: numbered inside the writing transaction, so without gaps and in commit order.
//!
//! A sequence that is handed out before the commit loses revocations: the one with the lower number can become visible
//! after the one with the higher. Here one thread writes, and a number exists only with its row.

use super::{super::Revocation, integer, natural, writer::JobError};
use crumb_token::{Timestamp, revocation::Target};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// Returns the number of the newest revocation; 0 when there is none.
pub(super) fn newest(connection: &Connection) -> Result<u64, JobError> {
    let sql = "SELECT coalesce(max(sequence), 0) FROM revocations";
    Ok(natural(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
}

/// Returns the number of the revocation of `target`, when there is one.
pub(super) fn find(tx: &Connection, target: &Target) -> Result<Option<u64>, JobError> {
    let sql = "SELECT sequence FROM revocations WHERE kind = ?1 AND target = ?2";
    let row: Option<i64> =
        tx.prepare_cached(sql)?.query_row(params![target.kind(), target.name()], |row| row.get(0)).optional()?;
    Ok(row.map(natural))
}

/// Adds a revocation with the next number. It takes the place of one of the same target, and reaches as far as either: the
/// clock may have been set back in between.
pub(super) fn insert(
    tx: &Connection,
    target: Target,
    issued_until: Timestamp,
    until: Timestamp,
) -> Result<Revocation, JobError> {
    let (kind, name) = (target.kind(), target.name());
    let sequence = newest(tx)?.saturating_add(1);
    let earlier = of(tx, &target)?;
    let reach =
        |ours: Timestamp, theirs: fn(&Revocation) -> Timestamp| earlier.as_ref().map_or(ours, |e| ours.max(theirs(e)));
    let (issued_until, until) = (reach(issued_until, |e| e.issued_until), reach(until, |e| e.until));
    let sql = "INSERT OR REPLACE INTO revocations (sequence, kind, target, issued_until, until)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let (reach, end) = (integer(issued_until.as_unix_s()), integer(until.as_unix_s()));
    tx.prepare_cached(sql)?.execute(params![integer(sequence), kind, name, reach, end])?;
    Ok(Revocation { sequence, target, issued_until, until })
}

/// Returns the revocation of `target`, when there is one.
pub(super) fn of(tx: &Connection, target: &Target) -> Result<Option<Revocation>, JobError> {
    let sql = "SELECT sequence, kind, target, issued_until, until FROM revocations WHERE kind = ?1 AND target = ?2";
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(params![target.kind(), target.name()])?;
    rows.next()?.map(read).transpose()
}

/// Says whether one of `targets` is revoked for what was issued then.
pub(super) fn reaches(connection: &Connection, targets: &[Target], issued_at: Timestamp) -> Result<bool, JobError> {
    for target in targets {
        if of(connection, target)?.is_some_and(|revocation| issued_at <= revocation.issued_until) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns how many are in force.
pub(super) fn count_live(tx: &Connection, now: Timestamp) -> Result<u32, JobError> {
    let sql = "SELECT count(*) FROM revocations WHERE until > ?1";
    Ok(tx.prepare_cached(sql)?.query_row([integer(now.as_unix_s())], |row| row.get(0))?)
}

/// Returns those in force, in order.
pub(super) fn live(connection: &Connection, now: Timestamp) -> Result<Vec<Revocation>, JobError> {
    let sql = "SELECT sequence, kind, target, issued_until, until FROM revocations WHERE until > ?1 ORDER BY sequence";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([integer(now.as_unix_s())])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Revocation, JobError> {
    let (kind, name): (String, String) = (row.get(1)?, row.get(2)?);
    let issued_until = match row.get::<_, i64>(3)? {
        // How the end of time is written, which is later than any moment that fits.
        i64::MAX => u64::MAX,
        at => natural(at),
    };
    Ok(Revocation {
        sequence: natural(row.get(0)?),
        target: Target::from_words(&kind, &name).ok_or(JobError::Corrupt("revocation"))?,
        issued_until: Timestamp::from_unix_s(issued_until),
        until: Timestamp::from_unix_s(natural(row.get(4)?)),
    })
}
