//! What ends tokens, in SQL: closing a session, and revoking by any target. Each is one transaction with its record.
//!
//! A token names its session and every session above it, so one revocation ends a whole tree of sessions.

use super::{
    super::{Closed, Ended, Ending, Revocation},
    integer, natural, outbox, revocations, sessions, stops, trail,
    writer::JobError,
};
use crate::{
    audit::Record,
    clamp,
    notify::{Data, Event, Kind, Moment, StopFacts},
};
use crumb_token::{SessionId, Timestamp, revocation::Target};
use rusqlite::{Connection, params};
use std::time::Duration;

/// The moment after which whatever was issued is not reached: for what cannot come back.
const END_OF_TIME: Timestamp = Timestamp::from_unix_s(u64::MAX);

/// How much longer a revocation is told than anything that it ends can be alive: the skew that verifiers allow, and one
/// second for rounding.
const SLACK: Duration = Duration::from_secs(3);

/// How long a signing key, or a token that it signed, is alive at most: the longest rotation, and the longest token.
const KEY_LIFE_MAX: Duration = Duration::from_secs(26 * 3600);

/// Closes a session and all inside it, by one revocation.
pub(super) fn close(
    tx: &Connection,
    session: SessionId,
    now: Timestamp,
    live_max: u32,
    record: &Record,
) -> Result<(Closed, Vec<Revocation>), JobError> {
    let above = sessions::above(tx, session)?;
    if above.is_empty() {
        return Ok((Closed::Unknown, Vec::new()));
    }
    for id in above {
        // One that is only halted has a revocation too, and is not over.
        if sessions::is_closed(tx, id)?
            && let Some(sequence) = revocations::find(tx, &Target::Session(id))?
        {
            return Ok((Closed::Revoked(sequence), Vec::new()));
        }
    }
    if !sessions::is_open(tx, session, now)? {
        // Its time is over, or it ended with its agent or with whom it was for: whatever it had is dead or revoked.
        return Ok((Closed::Revoked(revocations::newest(tx)?), Vec::new()));
    }
    if revocations::count_live(tx, now)? >= live_max {
        return Ok((Closed::TooManyRevocations, Vec::new()));
    }
    let target = Target::Session(session);
    // A session that never had a token is revoked as well; verifiers may then forget it at once.
    let until = tokens_until(tx, &target, now)?;
    close_under(tx, &target, now)?;
    let revocation = revocations::insert(tx, target, END_OF_TIME, until)?;
    trail::append(tx, record)?;
    Ok((Closed::Revoked(revocation.sequence), vec![revocation]))
}

/// Revokes each target, and closes the sessions that end with it. Nothing happens when it would be too much.
///
/// The time is read here, on the thread that writes: whatever was committed before was issued no later.
pub(super) fn revoke(tx: &Connection, ending: &Ending, record: &Record) -> Result<(Ended, Vec<Revocation>), JobError> {
    let now = ending.clock.now().wall;
    let more = u32::try_from(ending.targets.len()).unwrap_or(u32::MAX);
    if revocations::count_live(tx, now)?.saturating_add(more) > ending.live_max {
        return Ok((Ended::TooManyRevocations, Vec::new()));
    }
    let mut closed = 0;
    let mut revoked = Vec::with_capacity(ending.targets.len());
    for target in &ending.targets {
        closed += close_under(tx, target, now)?;
        let issued_until = if target.goes_on() { now } else { END_OF_TIME };
        let life = if matches!(target, Target::Key(_)) { KEY_LIFE_MAX } else { clamp::TTL_MAX };
        revoked.push(revocations::insert(tx, target.clone(), issued_until, now.plus(life).plus(SLACK))?);
    }
    if let Some((scope, stop)) = &ending.stop {
        stops::insert(tx, scope, stop)?;
        let facts = Data::Stop(StopFacts::pulled(scope, stop, closed));
        outbox::put(tx, &Event::new(Kind::KillswitchPulled, Moment::from_unix_ms(record.at_unix_ms), facts))?;
    }
    trail::append(tx, record)?;
    let sequence = revoked.last().map_or(0, |revocation| revocation.sequence);
    Ok((Ended::Revoked { sequence, sessions: closed }, revoked))
}

/// Returns how many open sessions would end with the targets. One that would end with two of them counts twice.
pub(super) fn count(connection: &Connection, targets: &[Target], now: Timestamp) -> Result<u64, JobError> {
    let mut sessions = 0;
    for target in targets {
        let Some(Roots { condition, name, more }) = roots(target) else { continue };
        let sql = format!("{} SELECT count(*) FROM inside", inside(condition));
        let params = params![name, integer(now.as_unix_s()), more];
        let found: i64 = connection.prepare_cached(&sql)?.query_row(params, |row| row.get(0))?;
        sessions += natural(found);
    }
    Ok(sessions)
}

/// Revokes what was issued until now in a session, and inside it, that may go on afterwards.
pub(super) fn end_tokens(tx: &Connection, session: SessionId, now: Timestamp) -> Result<Revocation, JobError> {
    let target = Target::Session(session);
    let until = tokens_until(tx, &target, now)?;
    revocations::insert(tx, target, now, until)
}

/// Returns until when a revocation of the sessions that end with a target has to be told: until their last token has ended for
/// every verifier, or until now when there never was one.
fn tokens_until(tx: &Connection, target: &Target, now: Timestamp) -> Result<Timestamp, JobError> {
    let Some(Roots { condition, name, more }) = roots(target) else { return Ok(now) };
    let sql = format!(
        "{} SELECT coalesce(max(tokens_until), 0) FROM sessions WHERE id IN (SELECT id FROM inside)",
        inside(condition)
    );
    let params = params![name, integer(now.as_unix_s()), more];
    let until: i64 = tx.prepare_cached(&sql)?.query_row(params, |row| row.get(0))?;
    Ok(if until == 0 { now } else { Timestamp::from_unix_s(natural(until)).plus(SLACK).max(now) })
}

fn close_under(tx: &Connection, target: &Target, now: Timestamp) -> Result<u64, JobError> {
    let Some(Roots { condition, name, more }) = roots(target) else { return Ok(0) };
    let sql = format!("{} UPDATE sessions SET closed_at = ?2 WHERE id IN (SELECT id FROM inside)", inside(condition));
    let closed = tx.prepare_cached(&sql)?.execute(params![name, integer(now.as_unix_s()), more])?;
    Ok(closed as u64)
}

/// The living sessions that `condition` selects, and all living ones inside them. What is over has nothing alive inside, so
/// sessions of the past cost nothing.
fn inside(condition: &str) -> String {
    format!(
        "WITH RECURSIVE inside (id) AS (
           SELECT id FROM sessions WHERE closed_at IS NULL AND expires_at > ?2 AND ?3 = ?3 AND {condition}
           UNION SELECT s.id FROM sessions s JOIN inside i ON s.parent = i.id
                 WHERE s.closed_at IS NULL AND s.expires_at > ?2)"
    )
}

/// Which sessions have no sense any more once a target is revoked.
struct Roots {
    condition: &'static str,
    name: String,
    /// The version, where there is one.
    more: String,
}

/// `None` for a tool server, a token and a key: their sessions stay open, and can get another token.
fn roots(target: &Target) -> Option<Roots> {
    let by = |condition| Some(Roots { condition, name: target.name(), more: String::new() });
    match target {
        Target::Session(_) => by("id = ?1"),
        Target::Agent(_) => by("agent = ?1"),
        Target::Version(agent, version) => {
            let condition = "agent = ?1 AND version = ?3";
            Some(Roots { condition, name: agent.to_string(), more: version.to_string() })
        }
        Target::Subject(_) => by("subject = ?1"),
        Target::Token(_) | Target::ToolServer(_) | Target::Key(_) => None,
    }
}
