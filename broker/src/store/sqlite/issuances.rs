//! Issuing in SQL: the answer, the record, the session that must be open, and the approval that is used up, all or none.

use super::{
    super::{Answer, Issuance, Written},
    approvals, manifests, requests, reviews,
    sessions::{self, Standing},
    trail,
    writer::JobError,
};
use crumb_token::{Denial, Reason};
use rusqlite::Connection;

/// Writes an issuance.
pub(super) fn issue(tx: &Connection, issuance: &Issuance) -> Result<Written, JobError> {
    let Issuance { request, claims, session, redeems, record, .. } = issuance;
    let standing = sessions::standing(tx, *session, request.at)?;
    // Looked at before anything is written: a denial leaves nothing behind. And a request that has its answer gets no other.
    if let Some(denied) = denied(tx, issuance, standing.as_ref())? {
        return Ok(requests::find(tx, &request.key)?.map_or(denied, Written::Seen));
    }
    if let Some(approval) = redeems {
        if let Some(seen) = requests::find(tx, &request.key)? {
            return Ok(Written::Seen(seen));
        }
        if let Err(denial) = approvals::redeem(tx, *approval, &issuance.token, request.at)? {
            return Ok(Written::Changed(denial));
        }
    }
    if let Some(seen) = requests::insert(tx, request, &Answer::Issued(claims.clone()))? {
        return Ok(Written::Seen(seen));
    }
    let is_inside = standing.is_some_and(|standing| standing.is_inside);
    sessions::note_token(tx, *session, claims.expires_at(), is_inside)?;
    trail::append(tx, record)?;
    Ok(Written::Committed)
}

/// Returns why the session has no token, when it has none.
fn denied(tx: &Connection, issuance: &Issuance, standing: Option<&Standing>) -> Result<Option<Written>, JobError> {
    let Issuance { session, revision, changes, budget, .. } = issuance;
    // Manifests that narrowed meanwhile count for this token already.
    if manifests::revision(tx)? != *revision {
        let rule = "the manifests were changed while this was decided";
        return Ok(Some(Written::Changed(Denial::new(Reason::Overloaded).by(rule, "the registry"))));
    }
    let Some(standing) = standing.filter(|standing| standing.is_open) else {
        return Ok(Some(Written::SessionClosed));
    };
    // What is held against it alone has been read with it.
    if (standing.is_inside || standing.changes != *changes)
        && let Some(denial) = reviews::check(tx, *session, *changes)?
    {
        return Ok(Some(Written::Changed(denial)));
    }
    if let Some(most) = budget
        && sessions::spent(tx, *session)? >= *most
    {
        let rule = format!("{most} tokens a session, with all inside it");
        let denial = Denial::new(Reason::BudgetSpent).asked(session).by(rule, "the issuance policy");
        return Ok(Some(Written::Changed(denial)));
    }
    Ok(None)
}
