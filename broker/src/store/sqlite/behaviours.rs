//! What each session did, in SQL: counted, judged, and acted upon in the transaction that brings the news.
//!
//! # Invariants
//!
//! - Every event is counted once, and into the baseline of its kind together with the session's own count.
//! - A tool whose first use contracted or halted a session is not usual before somebody has resumed that session.

use super::{
    super::{Revocation, Watch},
    baselines::{self, More},
    integer, natural, reviews,
    writer::JobError,
};
use crate::drift::{self, Action, Behaviour, Event, Finding, Kin, What};
use crumb_token::{Audience, SessionId, ToolName};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// Counts events, acts upon what is found, and returns what was revoked.
pub(super) fn observe(tx: &Connection, events: &[Event], watch: &Watch) -> Result<Vec<Revocation>, JobError> {
    let mut revoked = Vec::new();
    let mut seen: Vec<SessionId> = Vec::new();
    for first in events {
        if !seen.contains(&first.session) {
            seen.push(first.session);
            let of_session = events.iter().filter(|event| event.session == first.session);
            observe_session(tx, first, of_session, watch, &mut revoked)?;
        }
    }
    Ok(revoked)
}

fn observe_session<'e>(
    tx: &Connection,
    first: &Event,
    events: impl Iterator<Item = &'e Event>,
    watch: &Watch,
    revoked: &mut Vec<Revocation>,
) -> Result<(), JobError> {
    let session = first.session;
    let (kin, mut behaviour) = match find(tx, session)? {
        Some(found) => found,
        None => begin(tx, session, &first.kin)?,
    };
    let before = behaviour.clone();
    // The session's own part of the baseline changes with it, so what the others did stays the same meanwhile.
    let others = baselines::of_others(tx, &kin, &behaviour)?;
    for event in events {
        let mut baseline = others;
        let used = match &event.what {
            What::Called(Some(tool)) if is_first_use(tx, session, &event.audience, tool)? => Some(tool),
            _ => None,
        };
        if let Some(tool) = used {
            baseline.sessions_with_tool = baselines::with_tool(tx, &kin, &event.audience, tool)?;
        }
        behaviour.take(event, used.is_some());
        let finding = drift::judge(&watch.rules, &behaviour, &baseline);
        if let Some(tool) = used {
            let counted = !finding.as_ref().is_some_and(|found| is_about_tool(found) && found.action > Action::Note);
            use_tool(tx, session, &kin, (&event.audience, tool), counted)?;
        }
        if let Some(finding) = finding {
            revoked.extend(reviews::act(tx, event, finding, watch)?);
        }
    }
    let (calls, minutes) = (behaviour.calls - before.calls, behaviour.minutes - before.minutes);
    baselines::add(tx, &kin, More { sessions: 0, calls, minutes })?;
    save(tx, session, &behaviour)
}

fn is_about_tool(finding: &Finding) -> bool {
    finding.rule == drift::RuleName::NewTool
}

/// Returns a session's kind, and what it did so far.
pub(super) fn find(tx: &Connection, session: SessionId) -> Result<Option<(Kin, Behaviour)>, JobError> {
    let sql =
        "SELECT kin, denials_in_a_row, calls, minutes, minute, calls_in_minute FROM behaviours WHERE session = ?1";
    let read = |row: &Row<'_>| {
        let number = |column: &str| row.get::<_, i64>(column).map(natural);
        let behaviour = Behaviour {
            denials_in_a_row: number("denials_in_a_row")?,
            calls: number("calls")?,
            minutes: number("minutes")?,
            minute: number("minute")?,
            calls_in_minute: number("calls_in_minute")?,
            first_use: None,
        };
        Ok((Kin::from_text(row.get("kin")?), behaviour))
    };
    Ok(tx.prepare_cached(sql)?.query_row([session.to_string()], read).optional()?)
}

/// Begins to count a session, and counts it as one of its kind.
fn begin(tx: &Connection, session: SessionId, kin: &Kin) -> Result<(Kin, Behaviour), JobError> {
    let sql = "INSERT INTO behaviours (session, kin, denials_in_a_row, calls, minutes, minute, calls_in_minute)
               VALUES (?1, ?2, 0, 0, 0, 0, 0)";
    tx.prepare_cached(sql)?.execute(params![session.to_string(), kin.as_str()])?;
    baselines::add(tx, kin, More { sessions: 1, calls: 0, minutes: 0 })?;
    Ok((kin.clone(), Behaviour::default()))
}

/// Writes what a session did.
pub(super) fn save(tx: &Connection, session: SessionId, behaviour: &Behaviour) -> Result<(), JobError> {
    let sql = "UPDATE behaviours SET denials_in_a_row = ?2, calls = ?3, minutes = ?4, minute = ?5, calls_in_minute = ?6
               WHERE session = ?1";
    tx.prepare_cached(sql)?.execute(params![
        session.to_string(),
        integer(behaviour.denials_in_a_row),
        integer(behaviour.calls),
        integer(behaviour.minutes),
        integer(behaviour.minute),
        integer(behaviour.calls_in_minute),
    ])?;
    Ok(())
}

fn is_first_use(tx: &Connection, session: SessionId, audience: &Audience, tool: &ToolName) -> Result<bool, JobError> {
    let sql = "SELECT count(*) FROM behaviour_tools WHERE session = ?1 AND audience = ?2 AND tool = ?3";
    let found: i64 = tx
        .prepare_cached(sql)?
        .query_row(params![session.to_string(), audience.as_str(), tool.as_str()], |row| row.get(0))?;
    Ok(found == 0)
}

fn use_tool(
    tx: &Connection,
    session: SessionId,
    kin: &Kin,
    (audience, tool): (&Audience, &ToolName),
    counted: bool,
) -> Result<(), JobError> {
    let sql = "INSERT INTO behaviour_tools (session, audience, tool, counted) VALUES (?1, ?2, ?3, ?4)";
    tx.prepare_cached(sql)?.execute(params![session.to_string(), audience.as_str(), tool.as_str(), counted])?;
    if counted { baselines::add_tool(tx, kin, audience.as_str(), tool.as_str()) } else { Ok(()) }
}

/// Takes the tools of a session that was reviewed into the baseline of its kind.
pub(super) fn accept_tools(tx: &Connection, session: SessionId, kin: &Kin) -> Result<(), JobError> {
    let session = session.to_string();
    let sql = "UPDATE behaviour_tools SET counted = 1 WHERE session = ?1 AND counted = 0 RETURNING audience, tool";
    let mut statement = tx.prepare_cached(sql)?;
    let rows = statement.query_map([session], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let tools = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    tools.iter().try_for_each(|(audience, tool)| baselines::add_tool(tx, kin, audience, tool))
}
