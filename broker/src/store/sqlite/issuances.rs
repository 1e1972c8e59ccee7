//! Issuing in SQL: the answer, the record, the session that must be open, and the approval that is used up, all or none.

use super::{
    super::{Answer, Issuance, Written},
    approvals, requests, reviews, sessions, trail,
    writer::JobError,
};
use crumb_token::{Denial, Reason};
use rusqlite::Connection;

/// Writes an issuance.
pub(super) fn issue(tx: &Connection, issuance: Issuance) -> Result<Written, JobError> {
    let Issuance { request, claims, token, session, changes, budget, redeems, record } = issuance;
    if let Some(seen) = requests::find(tx, &request.key)? {
        return Ok(Written::Seen(seen));
    }
    // Looked at before anything is written: a denial leaves nothing behind.
    if !sessions::is_open(tx, session, request.at)? {
        return Ok(Written::SessionClosed);
    }
    if let Some(denial) = reviews::check(tx, session, changes)? {
        return Ok(Written::Changed(denial));
    }
    if let Some(most) = budget
        && sessions::spent(tx, session)? >= most
    {
        let rule = format!("{most} tokens a session, with all inside it");
        return Ok(Written::Changed(Denial::new(Reason::BudgetSpent).asked(session).by(rule, "the issuance policy")));
    }
    if let Some(approval) = redeems
        && let Err(denial) = approvals::redeem(tx, approval, &token, request.at)?
    {
        return Ok(Written::Changed(denial));
    }
    sessions::note_token(tx, session, request.at, claims.expires_at())?;
    requests::insert(tx, &request, &Answer::Issued(Box::new(claims)))?;
    trail::append(tx, &record)?;
    Ok(Written::Committed)
}
