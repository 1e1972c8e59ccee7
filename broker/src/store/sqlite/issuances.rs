//! Issuing in SQL: the answer, the record, the session that must be open, and the approval that is used up, all or none.

use super::{
    super::{Answer, Issuance, Written},
    approvals, requests, sessions, trail,
    writer::JobError,
};
use rusqlite::Connection;

/// Writes an issuance.
pub(super) fn issue(tx: &Connection, issuance: Issuance) -> Result<Written, JobError> {
    let Issuance { request, claims, token, session, changes: _, redeems, record } = issuance;
    if let Some(seen) = requests::find(tx, &request.key)? {
        return Ok(Written::Seen(seen));
    }
    // Looked at before anything is written: a denial leaves nothing behind.
    if !sessions::is_open(tx, session, request.at)? {
        return Ok(Written::SessionClosed);
    }
    if let Some(approval) = redeems
        && let Err(denial) = approvals::redeem(tx, approval, &token, request.at)?
    {
        return Ok(Written::NotApproved(denial));
    }
    sessions::note_token(tx, session, request.at, claims.expires_at())?;
    requests::insert(tx, &request, &Answer::Issued(Box::new(claims)))?;
    trail::append(tx, &record)?;
    Ok(Written::Committed)
}
