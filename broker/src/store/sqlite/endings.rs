//! What ends tokens, in SQL: closing a session, and revoking by any target. Each is one transaction with its record.
//!
//! A token names its session and every session above it, so one revocation ends a whole tree of sessions.

use super::{
    super::{Closed, Ended, Ending, Revocation},
    integer, natural, revocations, sessions, stops, trail,
    writer::JobError,
};
use crate::audit::Record;
use crumb_token::{SessionId, Timestamp, revocation::Target};
use rusqlite::{Connection, params};

/// The moment after which whatever was issued is not reached: for what cannot come back.
const END_OF_TIME: Timestamp = Timestamp::from_unix_s(u64::MAX);

/// Closes a session and all inside it, by one revocation.
pub(super) fn close(
    tx: &Connection,
    session: SessionId,
    now: Timestamp,
    live_max: u32,
    record: &Record,
) -> Result<(Closed, Vec<Revocation>), JobError> {
    for above in sessions::above(tx, session)? {
        // One that is only halted has a revocation too, and is not over.
        if sessions::is_closed(tx, above)?
            && let Some(sequence) = revocations::find(tx, &Target::Session(above))?
        {
            return Ok((Closed::Revoked(sequence), Vec::new()));
        }
    }
    let open = sessions::open_with_inside(tx, session)?;
    if open.is_empty() {
        return Ok((Closed::Unknown, Vec::new()));
    }
    if revocations::count_live(tx, now)? >= live_max {
        return Ok((Closed::TooManyRevocations, Vec::new()));
    }
    let revocation = close_all(tx, session, &open, now)?;
    trail::append(tx, record)?;
    Ok((Closed::Revoked(revocation.sequence), vec![revocation]))
}

/// Closes `open`, which are `session` and what is inside it, and revokes `session`.
fn close_all(
    tx: &Connection,
    session: SessionId,
    open: &[(SessionId, Timestamp)],
    now: Timestamp,
) -> Result<Revocation, JobError> {
    for (id, _) in open {
        sessions::close(tx, *id, now)?;
    }
    // A session without living tokens is revoked as well; verifiers may then forget it at once.
    let until = open.iter().map(|(_, tokens_until)| *tokens_until).fold(now, Ord::max);
    revocations::insert(tx, Target::Session(session), END_OF_TIME, until)
}

/// Revokes each target, and closes the sessions that end with it. Nothing happens when it would be too much.
pub(super) fn revoke(tx: &Connection, ending: &Ending, record: &Record) -> Result<(Ended, Vec<Revocation>), JobError> {
    let more = u32::try_from(ending.targets.len()).unwrap_or(u32::MAX);
    if revocations::count_live(tx, ending.now)?.saturating_add(more) > ending.live_max {
        return Ok((Ended::TooManyRevocations, Vec::new()));
    }
    let mut closed = 0;
    let mut revoked = Vec::with_capacity(ending.targets.len());
    for target in &ending.targets {
        closed += close_under(tx, target, ending.now)?;
        let issued_until = if target.goes_on() { ending.now } else { END_OF_TIME };
        revoked.push(revocations::insert(tx, target.clone(), issued_until, ending.tokens_until)?);
    }
    if let Some((scope, stop)) = &ending.stop {
        stops::insert(tx, scope, stop)?;
    }
    trail::append(tx, record)?;
    let sequence = revoked.last().map_or(0, |revocation| revocation.sequence);
    Ok((Ended::Revoked { sequence, sessions: closed }, revoked))
}

/// Returns how many open sessions would end with the targets. One that would end with two of them counts twice.
pub(super) fn count(connection: &Connection, targets: &[Target], now: Timestamp) -> Result<u64, JobError> {
    let mut sessions = 0;
    for target in targets {
        let Some(roots) = roots(target) else { continue };
        let sql = format!("{} SELECT count(*) FROM sessions WHERE {}", inside(roots), LIVE);
        let params = params![target.name(), integer(now.as_unix_s())];
        let found: i64 = connection.prepare_cached(&sql)?.query_row(params, |row| row.get(0))?;
        sessions += natural(found);
    }
    Ok(sessions)
}

fn close_under(tx: &Connection, target: &Target, now: Timestamp) -> Result<u64, JobError> {
    let Some(roots) = roots(target) else { return Ok(0) };
    let sql = format!("{} UPDATE sessions SET closed_at = ?2 WHERE {}", inside(roots), LIVE);
    let closed = tx.prepare_cached(&sql)?.execute(params![target.name(), integer(now.as_unix_s())])?;
    Ok(closed as u64)
}

const LIVE: &str = "closed_at IS NULL AND expires_at > ?2 AND id IN (SELECT id FROM inside)";

/// The sessions that `roots` selects, and all inside them.
fn inside(roots: &str) -> String {
    format!(
        "WITH RECURSIVE inside (id) AS (
           SELECT id FROM sessions WHERE closed_at IS NULL AND {roots}
           UNION SELECT s.id FROM sessions s JOIN inside i ON s.parent = i.id)"
    )
}

/// Returns the condition for sessions that have no sense any more once `target` is revoked. A tool server's revocation, a
/// token's and a key's leave sessions open: they can get another token.
fn roots(target: &Target) -> Option<&'static str> {
    match target {
        Target::Session(_) => Some("id = ?1"),
        Target::Agent(_) => Some("agent = ?1"),
        Target::Version(..) => Some("agent || '@' || version = ?1"),
        Target::Subject(_) => {
            Some("json_extract(lineage, '$[0][0]') = 'user' AND json_extract(lineage, '$[0][1]') = ?1")
        }
        Target::Token(_) | Target::ToolServer(_) | Target::Key(_) => None,
    }
}
