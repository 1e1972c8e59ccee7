//! Baselines of drift in SQL: for each kind of session how many there were, how much they called, and in how many of them
//! each tool was used. Counters and nothing else; whoever may read the file can check each.

use super::{integer, natural, writer::JobError};
use crate::drift::{Baseline, Behaviour, Kin};
use crumb_token::{Audience, ToolName};
use rusqlite::{Connection, OptionalExtension as _, params};

/// The tables of drift: baselines, what each session did, and what is held against it.
pub(super) const TABLES: &str = "
CREATE TABLE baselines (
    kin TEXT PRIMARY KEY,
    sessions INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    minutes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE baseline_tools (
    kin TEXT NOT NULL,
    audience TEXT NOT NULL,
    tool TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (kin, audience, tool)
) STRICT, WITHOUT ROWID;

CREATE TABLE behaviours (
    session TEXT PRIMARY KEY REFERENCES sessions (id),
    kin TEXT NOT NULL,
    denials_in_a_row INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    minutes INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    calls_in_minute INTEGER NOT NULL,
    noted TEXT NOT NULL DEFAULT '',
    halt TEXT,
    contraction TEXT,
    tokens_ended INTEGER,
    changes INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX behaviours_held ON behaviours (session) WHERE halt IS NOT NULL OR contraction IS NOT NULL;

CREATE TABLE behaviour_tools (
    session TEXT NOT NULL REFERENCES behaviours (session),
    audience TEXT NOT NULL,
    tool TEXT NOT NULL,
    counted INTEGER NOT NULL,
    PRIMARY KEY (session, audience, tool)
) STRICT, WITHOUT ROWID;
";

/// What a session adds to the baseline of its kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct More {
    /// One for a new session.
    pub(super) sessions: u64,
    /// Calls.
    pub(super) calls: u64,
    /// Minutes with a call.
    pub(super) minutes: u64,
}

/// Adds what a session did.
pub(super) fn add(tx: &Connection, kin: &Kin, more: More) -> Result<(), JobError> {
    let sql = "INSERT INTO baselines (kin, sessions, calls, minutes) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (kin) DO UPDATE SET
                 sessions = sessions + excluded.sessions, calls = calls + excluded.calls, minutes = minutes + excluded.minutes";
    let More { sessions, calls, minutes } = more;
    tx.prepare_cached(sql)?.execute(params![kin.as_str(), integer(sessions), integer(calls), integer(minutes)])?;
    Ok(())
}

/// Counts one more session that used a tool.
pub(super) fn add_tool(tx: &Connection, kin: &Kin, audience: &str, tool: &str) -> Result<(), JobError> {
    let sql = "INSERT INTO baseline_tools (kin, audience, tool, sessions) VALUES (?1, ?2, ?3, 1)
               ON CONFLICT (kin, audience, tool) DO UPDATE SET sessions = sessions + 1";
    tx.prepare_cached(sql)?.execute(params![kin.as_str(), audience, tool])?;
    Ok(())
}

/// Returns what the other sessions did: all of the kind without `own`, which is one of them and counted so far.
pub(super) fn of_others(tx: &Connection, kin: &Kin, own: &Behaviour) -> Result<Baseline, JobError> {
    let sql = "SELECT sessions, calls, minutes FROM baselines WHERE kin = ?1";
    let all = tx.prepare_cached(sql)?.query_row([kin.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (sessions, calls, minutes) = all.optional()?.unwrap_or_default();
    Ok(Baseline {
        sessions: natural(sessions).saturating_sub(1),
        calls: natural(calls).saturating_sub(own.calls),
        minutes: natural(minutes).saturating_sub(own.minutes),
        sessions_with_tool: 0,
    })
}

/// Returns in how many sessions a tool was used.
pub(super) fn with_tool(tx: &Connection, kin: &Kin, audience: &Audience, tool: &ToolName) -> Result<u64, JobError> {
    let sql = "SELECT sessions FROM baseline_tools WHERE kin = ?1 AND audience = ?2 AND tool = ?3";
    let found = tx
        .prepare_cached(sql)?
        .query_row(params![kin.as_str(), audience.as_str(), tool.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.map_or(0, natural))
}
