//! Manifests in SQL: those in force, and every version that ever was, which nothing changes or deletes.

use super::{
    super::{Applied, Ended, Ending, Revocation},
    endings, integer, natural, trail,
    writer::JobError,
};
use crate::{
    audit::Record,
    registry::{Edits, Kept, Key, Shelf},
};
use crumb_token::Timestamp;
use rusqlite::{Connection, Row, params};

/// The tables.
pub(super) const TABLES: &str = "
CREATE TABLE manifests (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    text TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    applied_by TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE manifest_history (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    text TEXT,
    applied_at INTEGER NOT NULL,
    applied_by TEXT NOT NULL,
    UNIQUE (kind, name, version)
) STRICT;
CREATE TRIGGER manifest_history_is_never_changed BEFORE UPDATE ON manifest_history
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER manifest_history_is_never_deleted BEFORE DELETE ON manifest_history
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
";

/// Reads everything that is kept, at one moment.
pub(super) fn shelf(connection: &Connection) -> Result<Shelf, JobError> {
    // A transaction of its own, so that all of it is of one moment.
    let tx = connection.unchecked_transaction()?;
    let shelf = Shelf {
        revision: revision(&tx)?,
        manifests: rows(&tx, IN_FORCE)?,
        gone: rows(&tx, GONE)?,
        from_directory: rows(&tx, FROM_DIRECTORY)?.into_iter().map(|kept| (kept.key, kept.text)).collect(),
    };
    tx.finish()?;
    Ok(shelf)
}

const IN_FORCE: &str = "SELECT kind, name, version, text, applied_at, applied_by FROM manifests ORDER BY kind, name";

/// The newest text of each manifest that is not in force any more, with the version that took it away.
const GONE: &str = "
SELECT h.kind, h.name, last.version, h.text, last.applied_at, last.applied_by
FROM manifest_history AS h
JOIN manifest_history AS last ON last.kind = h.kind AND last.name = h.name AND last.version = h.version + 1
WHERE last.text IS NULL AND h.text IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM manifests AS m WHERE m.kind = h.kind AND m.name = h.name)
  AND NOT EXISTS (SELECT 1 FROM manifest_history AS n WHERE n.kind = h.kind AND n.name = h.name AND n.version > last.version)
ORDER BY h.kind, h.name";

/// The newest text that the registry directory had for each manifest.
const FROM_DIRECTORY: &str = "
SELECT kind, name, version, text, applied_at, applied_by FROM manifest_history
WHERE number IN (
    SELECT max(number) FROM manifest_history WHERE applied_by = 'directory' AND text IS NOT NULL GROUP BY kind, name
)";

fn rows(connection: &Connection, sql: &str) -> Result<Vec<Kept>, JobError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok(kept(row)))?;
    rows.map(|row| row?).collect()
}

fn kept(row: &Row<'_>) -> Result<Kept, JobError> {
    let corrupt = || JobError::Corrupt("manifest");
    let kind: String = row.get(0)?;
    let name: String = row.get(1)?;
    let kind = kind.parse().map_err(|_| corrupt())?;
    Ok(Kept {
        key: Key::new(kind, &name).map_err(|_| corrupt())?,
        version: natural(row.get(2)?),
        text: row.get(3)?,
        applied_at: Timestamp::from_unix_s(natural(row.get(4)?)),
        applied_by: row.get(5)?,
    })
}

/// Returns the number of the newest version of any manifest.
pub(super) fn revision(connection: &Connection) -> Result<u64, JobError> {
    let sql = "SELECT coalesce(max(number), 0) FROM manifest_history";
    Ok(natural(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
}

/// Writes all edits with their record, and ends what they stop: one transaction, so that no manifest is in force whose ending
/// was lost. What was decided by the manifests before and is written after this is refused by their revision.
pub(super) fn apply_and_end(
    tx: &Connection,
    edits: &Edits,
    record: Option<&Record>,
    ending: Option<&(Ending, Record)>,
) -> Result<(Applied, Vec<Revocation>), JobError> {
    if !apply(tx, edits)? {
        return Ok((Applied::Conflict, Vec::new()));
    }
    if let Some(record) = record {
        trail::append(tx, record)?;
    }
    let Some((ending, record)) = ending else { return Ok((Applied::Done, Vec::new())) };
    let (ended, revoked) = endings::revoke(tx, ending, record)?;
    let applied = match ended {
        Ended::Revoked { .. } => Applied::Done,
        Ended::TooManyRevocations => Applied::NothingEnded,
    };
    Ok((applied, revoked))
}

/// Writes all edits. `false`, and nothing written, when something was written since they were made.
fn apply(tx: &Connection, edits: &Edits) -> Result<bool, JobError> {
    if revision(tx)? != edits.revision {
        return Ok(false);
    }
    let (at, by) = (integer(edits.at.as_unix_s()), edits.by.to_string());
    for edit in &edits.edits {
        let (kind, name, version) = (edit.key.kind.as_str(), edit.key.name.as_str(), integer(edit.version));
        let sql = "INSERT INTO manifest_history (kind, name, version, text, applied_at, applied_by)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        tx.prepare_cached(sql)?.execute(params![kind, name, version, edit.text, at, by])?;
        match &edit.text {
            Some(text) => {
                let sql = "INSERT OR REPLACE INTO manifests (kind, name, version, text, applied_at, applied_by)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                tx.prepare_cached(sql)?.execute(params![kind, name, version, text, at, by])?;
            }
            None => {
                let sql = "DELETE FROM manifests WHERE kind = ?1 AND name = ?2";
                tx.prepare_cached(sql)?.execute(params![kind, name])?;
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Author, Edit, Kind};

    fn database() -> Connection {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(TABLES).expect("the tables");
        connection
    }

    fn operator() -> Author {
        Author::Operator("uid:5".into())
    }

    fn edit(name: &str, version: u64, text: Option<&str>) -> Edit {
        Edit { key: Key::new(Kind::Agent, name).expect("a name"), version, text: text.map(str::to_owned) }
    }

    fn write(connection: &Connection, by: Author, edits: Vec<Edit>) -> bool {
        let revision = revision(connection).expect("read");
        apply(connection, &Edits { revision, edits, at: Timestamp::from_unix_s(7), by }).expect("written")
    }

    #[test]
    fn keeps_what_is_in_force_what_is_gone_and_what_the_directory_said() {
        let db = database();
        assert_eq!(shelf(&db).expect("read"), Shelf::default());
        assert!(write(&db, Author::Directory, vec![edit("a", 1, Some("a1")), edit("b", 1, Some("b1"))]));
        assert!(write(&db, operator(), vec![edit("a", 2, Some("a2")), edit("b", 2, None)]));
        let kept = shelf(&db).expect("read");
        assert_eq!(kept.revision, 4);
        let row = |k: &Kept| (k.key.to_string(), k.version, k.text.clone(), k.applied_by.clone());
        assert_eq!(
            kept.manifests.iter().map(row).collect::<Vec<_>>(),
            [("Agent/a".into(), 2, "a2".into(), "uid:5".into())]
        );
        let gone: Vec<_> = kept.gone.iter().map(row).collect();
        assert_eq!(gone, [("Agent/b".into(), 2, "b1".into(), "uid:5".into())]);
        let said: Vec<_> = kept.from_directory.values().cloned().collect();
        assert_eq!(said, ["a1", "b1"]);
        assert!(write(&db, operator(), vec![edit("b", 3, Some("b3"))]));
        assert_eq!(shelf(&db).expect("read").gone, []);
    }

    #[test]
    fn writes_nothing_when_something_was_written_since() {
        let db = database();
        let edits = |n| Edits {
            revision: 0,
            edits: vec![edit("a", n, Some("x"))],
            at: Timestamp::from_unix_s(7),
            by: operator(),
        };
        assert!(apply(&db, &edits(1)).expect("written"));
        assert!(!apply(&db, &edits(2)).expect("not written"));
        assert_eq!(shelf(&db).expect("read").manifests.len(), 1);
    }

    #[test]
    fn the_history_is_never_changed() {
        let db = database();
        assert!(write(&db, Author::Directory, vec![edit("a", 1, Some("a1"))]));
        assert!(db.execute("UPDATE manifest_history SET text = 'x'", []).is_err());
        assert!(db.execute("DELETE FROM manifest_history", []).is_err());
    }
}
