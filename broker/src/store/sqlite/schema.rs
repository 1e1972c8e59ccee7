//! The tables, and the steps from one version of them to the next.

use rusqlite::{Connection, config::DbConfig};
use std::time::Duration;

/// One step per version; `PRAGMA user_version` says how many were taken. A step is never changed once released.
const STEPS: &[&str] =
    &[FIRST, LINEAGE, super::manifests::TABLES, super::baselines::TABLES, super::usage::INDEXES, super::outbox::TABLES];

const FIRST: &str = "
CREATE TABLE starts (
    epoch INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    record_id TEXT NOT NULL UNIQUE,
    at_unix_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    reason TEXT,
    request_id TEXT NOT NULL,
    peer TEXT NOT NULL,
    agent TEXT NOT NULL,
    session TEXT NOT NULL,
    token TEXT NOT NULL,
    registry_version TEXT NOT NULL,
    digest BLOB,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_session ON audit (session, number) WHERE session <> '';
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    parent TEXT REFERENCES sessions (id),
    depth INTEGER NOT NULL,
    agent TEXT NOT NULL,
    version TEXT NOT NULL,
    owner TEXT NOT NULL,
    peer TEXT NOT NULL,
    uid INTEGER,
    exe TEXT,
    intent TEXT NOT NULL,
    origin_kind TEXT NOT NULL,
    origin_name TEXT NOT NULL,
    origin_assurance TEXT NOT NULL,
    envelope TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    closed_at INTEGER,
    tokens_until INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_open ON sessions (agent, expires_at) WHERE closed_at IS NULL;
CREATE INDEX sessions_inside ON sessions (parent) WHERE parent IS NOT NULL;

CREATE TABLE requests (
    peer TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    at INTEGER NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (peer, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_age ON requests (at);

CREATE TABLE revocations (
    sequence INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    until INTEGER NOT NULL,
    UNIQUE (kind, target)
) STRICT;
CREATE INDEX revocations_by_end ON revocations (until);

CREATE TABLE signing_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public BLOB NOT NULL UNIQUE,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL
) STRICT;
";

/// What a session comes from, and how far a revocation reaches. A session inside another one from before has no lineage,
/// and gets no tokens any more.
const LINEAGE: &str = "
ALTER TABLE sessions ADD COLUMN lineage TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN subject TEXT;
ALTER TABLE sessions ADD COLUMN root TEXT;
CREATE INDEX sessions_of_subject ON sessions (subject, expires_at) WHERE closed_at IS NULL AND subject IS NOT NULL;
CREATE INDEX sessions_of_root ON sessions (root, expires_at) WHERE closed_at IS NULL AND root IS NOT NULL;
ALTER TABLE revocations ADD COLUMN issued_until INTEGER NOT NULL DEFAULT 9223372036854775807;

CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    digest BLOB NOT NULL,
    gist BLOB NOT NULL,
    agent TEXT NOT NULL,
    state TEXT NOT NULL,
    appealed INTEGER NOT NULL DEFAULT 0,
    asked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_by_ask ON approvals (session, digest, id);
CREATE INDEX approvals_by_session ON approvals (session, id);
CREATE INDEX approvals_by_agent ON approvals (agent, asked_at);
CREATE INDEX approvals_by_state ON approvals (state, id);
CREATE INDEX approvals_by_end ON approvals (state, expires_at);
CREATE INDEX approvals_waiting ON approvals (session, expires_at) WHERE state = 'pending';
CREATE INDEX approvals_refused ON approvals (session, gist, id) WHERE state = 'refused' AND appealed = 0;

CREATE TABLE leases (
    agent TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE stops (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    by TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
";

/// How many prepared statements a connection keeps: all that there are, some of which are made again for every request.
const STATEMENTS: usize = 96;

/// How long a statement waits for a lock that another process holds, such as somebody's `sqlite3`.
const BUSY_WAIT: Duration = Duration::from_millis(300);

/// Sets a connection up for durable writing, and brings the tables up to date.
pub(super) fn prepare_writer(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit is answered only once it would survive a loss of power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    keep_plans(connection)?;
    // SQLite swallows errors of its automatic checkpoints, a failed fsync among them. The writer makes its own.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    let tx = connection.transaction()?;
    for step in STEPS.iter().skip(version(&tx)?) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", i64::try_from(STEPS.len()).unwrap_or(i64::MAX))?;
    tx.commit()
}

/// Sets a connection up for reading.
pub(super) fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "query_only", true)?;
    keep_plans(connection)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// Lets no plan depend on the values that are bound. Otherwise SQLite makes a statement with a range anew for every new value,
/// which costs ten times its run; and no statement here has a plan that should be another one for other values.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Says whether the tables were made by a newer version, which this one must not write to.
pub(super) fn is_newer(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(version(connection)? > STEPS.len())
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}
