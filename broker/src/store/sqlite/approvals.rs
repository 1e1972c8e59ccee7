//! Requests for approval in SQL. A vote and a redemption read, decide and write in one transaction of the one writing
//! thread, so of many at once each sees what the one before it did.

use super::{
    super::approval_row::ApprovalRow,
    integer, natural, trail,
    writer::JobError,
};
use crate::{
    approval::{self, Approval, State, Vote},
    audit::Record,
};
use crumb_token::{ApprovalId, Denial, Reason, SessionId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

/// The most requests of one session that wait at once.
const PENDING_MAX: i64 = 32;

/// How far back an agent's history goes, in seconds: thirty days.
const HISTORY_S: u64 = 30 * 24 * 3600;

/// Returns a request.
pub(super) fn find(connection: &Connection, id: ApprovalId) -> Result<Option<Approval>, JobError> {
    let sql = "SELECT body FROM approvals WHERE id = ?1";
    let body: Option<String> =
        connection.prepare_cached(sql)?.query_row([id.to_string()], |row| row.get(0)).optional()?;
    body.map(|body| read(&body)).transpose()
}

/// Returns the newest request for exactly this ask.
pub(super) fn newest(
    connection: &Connection,
    session: SessionId,
    digest: &[u8; 32],
) -> Result<Option<Approval>, JobError> {
    let sql = "SELECT body FROM approvals WHERE session = ?1 AND digest = ?2 ORDER BY id DESC LIMIT 1";
    let body: Option<String> =
        connection.prepare_cached(sql)?.query_row(params![session.to_string(), digest], |row| row.get(0)).optional()?;
    body.map(|body| read(&body)).transpose()
}

/// Returns the newest requests, of one session and in one state when given.
pub(super) fn list(
    connection: &Connection,
    session: Option<SessionId>,
    limit: u32,
) -> Result<Vec<Approval>, JobError> {
    let sql = "SELECT body FROM approvals WHERE ?1 IS NULL OR session = ?1 ORDER BY id DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let session = session.map(|id| id.to_string());
    let bodies = statement.query_map(params![session, limit], |row| row.get::<_, String>(0))?;
    bodies.map(|body| read(&body?)).collect()
}

/// Writes a new request and its record, unless the same waits already; then returns that.
pub(super) fn ask(
    tx: &Connection,
    approval: Approval,
    agent: &str,
    now: Timestamp,
    record: &Record,
) -> Result<Result<Approval, Denial>, JobError> {
    let digest = approval::digest(&approval.wanted);
    let session = approval.wanted.session;
    if let Some(earlier) = newest(tx, session, &digest)?
        && matches!(earlier.state, State::Pending | State::Approved { .. })
        && now < earlier.expires_at
    {
        return Ok(Ok(earlier));
    }
    let sql = "SELECT count(*) FROM approvals WHERE session = ?1 AND state = 'pending' AND expires_at > ?2";
    let waiting: i64 = tx
        .prepare_cached(sql)?
        .query_row(params![session.to_string(), integer(now.as_unix_s())], |row| row.get(0))?;
    if waiting >= PENDING_MAX {
        let rule = format!("at most {PENDING_MAX} requests of one session wait at once");
        return Ok(Err(Denial::new(Reason::Overloaded).asked(session).by(rule, "the broker")));
    }
    let sql = "INSERT INTO approvals (id, session, digest, agent, state, asked_at, expires_at, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    tx.prepare_cached(sql)?.execute(params![
        approval.id.to_string(),
        session.to_string(),
        digest,
        agent,
        stored(&approval.state),
        integer(approval.asked_at.as_unix_s()),
        integer(approval.expires_at.as_unix_s()),
        text(&approval)?,
    ])?;
    trail::append(tx, record)?;
    Ok(Ok(approval))
}

/// Takes a vote, and writes its record.
pub(super) fn vote(
    tx: &Connection,
    id: ApprovalId,
    vote: Vote,
    now: Timestamp,
    record: &Record,
) -> Result<Result<Approval, Denial>, JobError> {
    let Some(mut approval) = find(tx, id)? else {
        return Ok(Err(Denial::new(Reason::ApprovalUnknown).asked(id)));
    };
    if let Err(denial) = approval.vote(vote, now) {
        return Ok(Err(denial));
    }
    update(tx, &approval)?;
    trail::append(tx, record)?;
    Ok(Ok(approval))
}

/// Redeems an approval for a token. The denial when it cannot be, now.
pub(super) fn redeem(
    tx: &Connection,
    id: ApprovalId,
    token: &str,
    now: Timestamp,
) -> Result<Result<(), Denial>, JobError> {
    let Some(mut approval) = find(tx, id)? else {
        return Ok(Err(Denial::new(Reason::ApprovalUnknown).asked(id)));
    };
    if let Some(denial) = approval.answer(now) {
        return Ok(Err(denial));
    }
    approval.state = State::Redeemed { token: token.to_owned() };
    update(tx, &approval)?;
    Ok(Ok(()))
}

/// Counts an agent's requests of the last thirty days: all, approved or redeemed, refused.
pub(super) fn history(connection: &Connection, agent: &str, now: Timestamp) -> Result<[u64; 3], JobError> {
    let sql = "SELECT count(*), coalesce(sum(state IN ('approved', 'redeemed')), 0), coalesce(sum(state = 'refused'), 0)
               FROM approvals WHERE agent = ?1 AND asked_at >= ?2";
    let since = integer(now.as_unix_s().saturating_sub(HISTORY_S));
    let row = connection.prepare_cached(sql)?.query_row(params![agent, since], |row| {
        Ok([row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?])
    })?;
    Ok(row.map(natural))
}

fn update(tx: &Connection, approval: &Approval) -> Result<(), JobError> {
    let sql = "UPDATE approvals SET state = ?2, expires_at = ?3, body = ?4 WHERE id = ?1";
    let end = integer(approval.expires_at.as_unix_s());
    let row = params![approval.id.to_string(), stored(&approval.state), end, text(approval)?];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// The word of the column; whether it is over is told by its end.
fn stored(state: &State) -> &'static str {
    state.word(Timestamp::from_unix_s(u64::MAX), Timestamp::from_unix_s(0))
}

fn text(approval: &Approval) -> Result<String, JobError> {
    serde_json::to_string(&ApprovalRow::from(approval)).map_err(|_| JobError::Corrupt("approval"))
}

fn read(body: &str) -> Result<Approval, JobError> {
    let row: ApprovalRow = serde_json::from_str(body).map_err(|_| JobError::Corrupt("approval"))?;
    row.read().ok_or(JobError::Corrupt("approval"))
}
