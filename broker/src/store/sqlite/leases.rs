//! Deployment leases in SQL.

use super::{integer, natural, writer::JobError};
use crumb_token::{AgentName, Timestamp};
use rusqlite::{Connection, params};

/// Returns all.
pub(super) fn all(connection: &Connection) -> Result<Vec<(AgentName, Timestamp)>, JobError> {
    let mut statement = connection.prepare_cached("SELECT agent, until FROM leases")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let agent: String = row.get(0)?;
        let agent = agent.parse().map_err(|_| JobError::Corrupt("lease"))?;
        found.push((agent, Timestamp::from_unix_s(natural(row.get(1)?))));
    }
    Ok(found)
}

/// Renews one.
pub(super) fn renew(tx: &Connection, agent: &AgentName, until: Timestamp) -> Result<(), JobError> {
    let sql = "INSERT OR REPLACE INTO leases (agent, until) VALUES (?1, ?2)";
    tx.prepare_cached(sql)?.execute(params![agent.as_str(), integer(until.as_unix_s())])?;
    Ok(())
}
