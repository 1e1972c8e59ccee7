//! Requests and their answers in SQL.

use super::{
    super::{Answer, Request, RequestKey, Seen},
    integer,
    writer::JobError,
};
use crumb_token::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::time::Duration;

/// How long an answer is kept: longer than any session lives, so that a repeated request never becomes a new one inside
/// its own session.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How many old requests go when one comes; more than one, so that the table shrinks.
const FORGOTTEN_AT_ONCE: u32 = 2;

/// Returns the answer to the same request, when there was one.
pub(super) fn find(connection: &Connection, key: &RequestKey) -> Result<Option<Seen>, JobError> {
    let sql = "SELECT digest, answer FROM requests WHERE peer = ?1 AND request_id = ?2";
    let row: Option<([u8; 32], String)> = connection
        .prepare_cached(sql)?
        .query_row(params![key.peer.as_str(), key.id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((digest, text)) = row else { return Ok(None) };
    let answer = serde_json::from_str(&text).map_err(|_| JobError::Corrupt("answer"))?;
    Ok(Some(Seen { digest, answer }))
}

/// Keeps the answer to a request, unless it has one already; then returns that, and nothing is written.
pub(super) fn insert(tx: &Connection, request: &Request, answer: &Answer) -> Result<Option<Seen>, JobError> {
    let text = serde_json::to_string(answer).map_err(|_| JobError::Corrupt("answer"))?;
    let sql = "INSERT INTO requests (peer, request_id, digest, at, answer) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (peer, request_id) DO NOTHING";
    let inserted = tx.prepare_cached(sql)?.execute(params![
        request.key.peer.as_str(),
        request.key.id.to_string(),
        request.digest,
        integer(request.at.as_unix_s()),
        text,
    ])?;
    if inserted == 0 {
        return find(tx, &request.key);
    }
    forget(tx, request.at)?;
    Ok(None)
}

fn forget(tx: &Connection, now: Timestamp) -> Result<(), JobError> {
    let before = now.as_unix_s().saturating_sub(KEPT.as_secs());
    let sql = "DELETE FROM requests WHERE (peer, request_id) IN
                 (SELECT peer, request_id FROM requests WHERE at < ?1 ORDER BY at LIMIT ?2)";
    tx.prepare_cached(sql)?.execute(params![integer(before), FORGOTTEN_AT_ONCE])?;
    Ok(())
}
