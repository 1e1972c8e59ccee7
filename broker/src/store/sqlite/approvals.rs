//! Requests for approval in SQL. A vote and a redemption read, decide and write in one transaction of the one writing
//! thread, so of many at once each sees what the one before it did.
//!
//! A refusal stands for every ask with the same gist until it is appealed, so it is looked for first, and once more when a
//! token is issued.

use super::{
    super::{Asking, Keep, Listing, approval_row::ApprovalRow},
    integer, natural, outbox, trail,
    writer::JobError,
};
use crate::{
    approval::{self, Approval, State, Vote, Wanted},
    audit::Record,
    notify::{Kind as Event, Moment},
};
use crumb_token::{AgentName, ApprovalId, Denial, Reason, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};

#[cfg(test)]
mod tests;

/// The most requests of one session that wait at once.
const PENDING_MAX: i64 = 32;

/// How many requests one listing looks at: the newest of what it is about.
const SCANNED_MAX: u32 = 2_000;

/// How far back an agent's history goes, in seconds: thirty days.
const HISTORY_S: u64 = 30 * 24 * 3600;

const FIND: &str = "SELECT body FROM approvals WHERE id = ?1";

const REFUSED: &str = "SELECT body FROM approvals INDEXED BY approvals_refused
                       WHERE session = ?1 AND gist = ?2 AND state = 'refused' AND appealed = 0
                       ORDER BY id DESC LIMIT 1";

const NEWEST: &str = "SELECT body FROM approvals INDEXED BY approvals_by_ask
                      WHERE session = ?1 AND digest = ?2 AND appealed = 0 ORDER BY id DESC LIMIT 1";

const WAITING: &str = "SELECT count(*) FROM approvals INDEXED BY approvals_waiting
                       WHERE session = ?1 AND state = 'pending' AND expires_at > ?2";

const LIST: &str = "SELECT body FROM approvals ORDER BY id DESC LIMIT ?1";

const LIST_SESSION: &str = "SELECT body FROM approvals INDEXED BY approvals_by_session
                            WHERE session = ?2 ORDER BY id DESC LIMIT ?1";

const LIST_WAITING: &str = "SELECT body FROM approvals INDEXED BY approvals_waiting
                            WHERE session = ?2 AND state = 'pending' AND expires_at > ?3 ORDER BY id DESC LIMIT ?1";

/// What is decided for good.
const LIST_STATE: &str = "SELECT body FROM approvals INDEXED BY approvals_by_state
                          WHERE state = ?2 ORDER BY id DESC LIMIT ?1";

/// What is not over yet. Those that are over stay in the same state, and would be walked through by their number.
const LIST_LIVE: &str = "SELECT body FROM approvals INDEXED BY approvals_by_end
                         WHERE state = ?2 AND expires_at > ?3 ORDER BY id DESC LIMIT ?1";

/// Those that end in a span of time, undecided or unused.
const ENDING: &str = "FROM approvals INDEXED BY approvals_by_end
                      WHERE state IN ('pending', 'approved') AND expires_at > ?1 AND expires_at <= ?2 ORDER BY expires_at";

const HISTORY: &str = "SELECT count(*), coalesce(sum(state IN ('approved', 'redeemed')), 0),
                              coalesce(sum(state = 'refused'), 0)
                       FROM approvals INDEXED BY approvals_by_agent WHERE agent = ?1 AND asked_at >= ?2";

/// Returns a request.
pub(super) fn find(connection: &Connection, id: ApprovalId) -> Result<Option<Approval>, JobError> {
    one(connection, FIND, params![id.to_string()])
}

/// Returns the request that answers an ask: a refusal that stands, or else the newest for exactly this.
pub(super) fn answering(connection: &Connection, wanted: &Wanted) -> Result<Option<Approval>, JobError> {
    let refused = refusal(connection, wanted)?;
    if refused.is_some() {
        return Ok(refused);
    }
    one(connection, NEWEST, params![wanted.session.to_string(), approval::digest(wanted)])
}

/// Returns the newest refusal of this ask that nobody has appealed, whatever its lifetime and step.
fn refusal(connection: &Connection, wanted: &Wanted) -> Result<Option<Approval>, JobError> {
    one(connection, REFUSED, params![wanted.session.to_string(), approval::gist(wanted)])
}

fn one(connection: &Connection, sql: &str, with: &[&dyn ToSql]) -> Result<Option<Approval>, JobError> {
    let body: Option<String> = connection.prepare_cached(sql)?.query_row(with, |row| row.get(0)).optional()?;
    body.map(|body| read(&body)).transpose()
}

/// Returns the newest requests of a listing that `keep` takes.
pub(super) fn list(connection: &Connection, listing: &Listing, keep: &Keep) -> Result<Vec<Approval>, JobError> {
    let Listing { session, state, now, limit } = *listing;
    let (session, seconds) = (session.map(|id| id.to_string()), integer(now.as_unix_s()));
    let (sql, with): (&str, Vec<&dyn ToSql>) = match (&session, &state) {
        (Some(session), Some("pending")) => (LIST_WAITING, vec![&SCANNED_MAX, session, &seconds]),
        (Some(session), _) => (LIST_SESSION, vec![&SCANNED_MAX, session]),
        (None, Some(state @ ("pending" | "approved"))) => (LIST_LIVE, vec![&SCANNED_MAX, state, &seconds]),
        (None, Some(state @ ("refused" | "redeemed"))) => (LIST_STATE, vec![&SCANNED_MAX, state]),
        (None, _) => (LIST, vec![&SCANNED_MAX]),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(&with[..])?;
    let mut kept = Vec::new();
    while kept.len() < limit
        && let Some(row) = rows.next()?
    {
        let approval = read(&row.get::<_, String>(0)?)?;
        let is_asked_for = state.is_none_or(|state| state == approval.state.word(approval.expires_at, now));
        if is_asked_for && keep(&approval) {
            kept.push(approval);
        }
    }
    Ok(kept)
}

/// Writes a new request and its record, unless another one answers the same already; then returns that.
pub(super) fn ask(tx: &Connection, asking: &Asking) -> Result<Result<Approval, Denial>, JobError> {
    let Asking { approval, agent, now, instead_of, record } = asking;
    // All that may stand in the way is looked at before anything is written.
    if let Some(answer) = instead(tx, asking)? {
        return Ok(answer);
    }
    let session = approval.wanted.session.to_string();
    let seconds = integer(now.as_unix_s());
    let waiting: i64 = tx.prepare_cached(WAITING)?.query_row(params![session, seconds], |row| row.get(0))?;
    if waiting >= PENDING_MAX {
        let rule = format!("at most {PENDING_MAX} requests of one session wait at once");
        return Ok(Err(Denial::new(Reason::Overloaded).asked(session).by(rule, "the broker")));
    }
    if let Some((refused, _)) = &approval.appeal {
        tx.prepare_cached("UPDATE approvals SET appealed = 1 WHERE id = ?1")?.execute([refused.to_string()])?;
    }
    if let Some(mut spent) = instead_of.map(|id| find(tx, id)).transpose()?.flatten() {
        spent.expires_at = spent.expires_at.min(*now);
        update(tx, &spent)?;
    }
    insert(tx, approval, agent)?;
    trail::append(tx, record)?;
    outbox::put_approval(tx, Event::ApprovalRequested, approval, *now, Moment::from_unix_ms(record.at_unix_ms))?;
    Ok(Ok(approval.clone()))
}

/// Returns what answers an ask instead of a new request.
fn instead(tx: &Connection, asking: &Asking) -> Result<Option<Result<Approval, Denial>>, JobError> {
    if let Some((refused, _)) = &asking.approval.appeal {
        let sql = "SELECT count(*) FROM approvals WHERE id = ?1 AND state = 'refused' AND appealed = 0";
        let stands: i64 = tx.prepare_cached(sql)?.query_row([refused.to_string()], |row| row.get(0))?;
        let used = || Denial::new(Reason::ApprovalUsed).asked(refused).by("one appeal for each refusal", "the broker");
        return Ok((stands == 0).then(|| Err(used())));
    }
    let earlier = answering(tx, &asking.approval.wanted)?;
    let stands = |earlier: &Approval| match earlier.state {
        State::Refused => true,
        State::Pending | State::Approved { .. } => {
            asking.now < earlier.expires_at && asking.instead_of != Some(earlier.id)
        }
        State::Redeemed { .. } => false,
    };
    Ok(earlier.filter(stands).map(Ok))
}

fn insert(tx: &Connection, approval: &Approval, agent: &AgentName) -> Result<(), JobError> {
    let sql = "INSERT INTO approvals (id, session, digest, gist, agent, state, asked_at, expires_at, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    tx.prepare_cached(sql)?.execute(params![
        approval.id.to_string(),
        approval.wanted.session.to_string(),
        approval::digest(&approval.wanted),
        approval::gist(&approval.wanted),
        agent.as_str(),
        stored(&approval.state),
        integer(approval.asked_at.as_unix_s()),
        integer(approval.expires_at.as_unix_s()),
        text(approval)?,
    ])?;
    Ok(())
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
    if approval.state != State::Pending {
        outbox::put_approval(tx, Event::ApprovalDecided, &approval, now, Moment::from_unix_ms(record.at_unix_ms))?;
    }
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
    let refused = refusal(tx, &approval.wanted)?;
    if let Some(denial) = refused.as_ref().unwrap_or(&approval).answer(now) {
        return Ok(Err(denial));
    }
    approval.state = State::Redeemed { token: token.to_owned() };
    update(tx, &approval)?;
    Ok(Ok(()))
}

/// Returns the end of the first `count` requests, or a few more, that end in a span of time; `None` when none does.
pub(super) fn expiries(connection: &Connection, span: (i64, i64), count: u32) -> Result<Option<i64>, JobError> {
    let sql = format!("SELECT max(expires_at) FROM (SELECT expires_at {ENDING} LIMIT ?3)");
    let params = params![span.0, span.1, count];
    Ok(connection.prepare_cached(&sql)?.query_row(params, |row| row.get(0))?)
}

/// Returns the requests that end in a span of time, undecided or unused.
pub(super) fn expired(connection: &Connection, span: (i64, i64)) -> Result<Vec<Approval>, JobError> {
    let mut statement = connection.prepare_cached(&format!("SELECT body {ENDING}, id"))?;
    let rows = statement.query_map(params![span.0, span.1], |row| row.get::<_, String>(0))?;
    rows.map(|body| read(&body?)).collect()
}

/// Counts an agent's requests of the last thirty days: all, approved or redeemed, refused.
pub(super) fn history(connection: &Connection, agent: &AgentName, now: Timestamp) -> Result<[u64; 3], JobError> {
    let since = integer(now.as_unix_s().saturating_sub(HISTORY_S));
    let row = connection.prepare_cached(HISTORY)?.query_row(params![agent.as_str(), since], |row| {
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
