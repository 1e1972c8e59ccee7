//! Events that wait, in SQL: written in the transaction of what they tell, taken out when they are told.
//!
//! # Invariants
//!
//! - An event waits once for each recipient that wants its kind when it is written, and for nobody else.
//! - No more wait for a recipient than it may have; the oldest goes, and is counted.
//! - What is told once is noted in the transaction that writes the event.

use super::{
    super::{Letter, Outbox, Pending, Recipient, Settled, Telling, Waiting},
    SqliteStore, approvals, integer, natural, sessions,
    writer::JobError,
};
use crate::{
    approval::Approval,
    audit::Record,
    notify::{ApprovalFacts, Data, Event, Kind, Moment, StopFacts},
    stops::Scope,
};
use crumb_token::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// The tables.
pub(super) const TABLES: &str = "
CREATE TABLE recipients (
    name TEXT PRIMARY KEY,
    waiting_max INTEGER NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    dropped_told INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE recipient_kinds (
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    PRIMARY KEY (kind, recipient)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at_unix_ms INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (recipient, id)
) STRICT;
CREATE INDEX outbox_by_recipient ON outbox (recipient, number);

CREATE TABLE told (
    what TEXT PRIMARY KEY,
    at_unix_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE expiries_told (
    until INTEGER NOT NULL
) STRICT;
";

/// About how many requests for approval are looked at in one go.
const EXPIRED_AT_ONCE: u32 = 256;

/// Writes an event for everybody who wants it.
pub(super) fn put(tx: &Connection, event: &Event) -> Result<(), JobError> {
    let mut wanting = tx.prepare_cached("SELECT recipient FROM recipient_kinds WHERE kind = ?1")?;
    let recipients = wanting.query_map([event.kind.as_str()], |row| row.get::<_, String>(0))?;
    let recipients = recipients.collect::<rusqlite::Result<Vec<_>>>()?;
    if recipients.is_empty() {
        return Ok(());
    }
    let body = serde_json::to_string(event).map_err(|_| JobError::Corrupt("event"))?;
    let sql = "INSERT OR IGNORE INTO outbox (recipient, id, kind, at_unix_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    for recipient in recipients {
        let at = integer(event.timestamp.as_unix_ms());
        let row = params![recipient, event.id, event.kind.as_str(), at, body];
        if tx.prepare_cached(sql)?.execute(row)? == 1 {
            tx.prepare_cached("UPDATE recipients SET waiting = waiting + 1 WHERE name = ?1")?.execute([&recipient])?;
            drop_oldest(tx, &recipient)?;
        }
    }
    Ok(())
}

fn drop_oldest(tx: &Connection, recipient: &str) -> Result<(), JobError> {
    let sql = "SELECT max(waiting - waiting_max, 0) FROM recipients WHERE name = ?1";
    let too_many: i64 = tx.prepare_cached(sql)?.query_row([recipient], |row| row.get(0))?;
    if too_many == 0 {
        return Ok(());
    }
    let sql = "DELETE FROM outbox WHERE number IN
                 (SELECT number FROM outbox WHERE recipient = ?1 ORDER BY number LIMIT ?2)";
    let dropped = tx.prepare_cached(sql)?.execute(params![recipient, too_many])?;
    count_out(tx, recipient, dropped, dropped)
}

/// Notes that so many wait no more, of which so many were dropped.
fn count_out(tx: &Connection, recipient: &str, gone: usize, dropped: usize) -> Result<(), JobError> {
    let sql = "UPDATE recipients SET waiting = waiting - ?2, dropped = dropped + ?3 WHERE name = ?1";
    tx.prepare_cached(sql)?.execute(params![recipient, integer(gone as u64), integer(dropped as u64)])?;
    Ok(())
}

fn set_recipients(tx: &Connection, recipients: &[Recipient]) -> Result<u64, JobError> {
    tx.execute("DELETE FROM recipient_kinds", [])?;
    for Recipient { name, kinds, waiting_max } in recipients {
        let sql = "INSERT INTO recipients (name, waiting_max) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET waiting_max = excluded.waiting_max";
        tx.execute(sql, params![name, waiting_max])?;
        for kind in kinds {
            tx.execute("INSERT INTO recipient_kinds (kind, recipient) VALUES (?1, ?2)", [kind.as_str(), name])?;
        }
        drop_oldest(tx, name)?;
    }
    tx.execute("DELETE FROM recipients WHERE name NOT IN (SELECT recipient FROM recipient_kinds)", [])?;
    Ok(tx.execute("DELETE FROM outbox WHERE recipient NOT IN (SELECT name FROM recipients)", [])? as u64)
}

fn waiting(connection: &Connection, recipient: &str) -> Result<Waiting, JobError> {
    let sql = "SELECT dropped, dropped_told FROM recipients WHERE name = ?1";
    let counts = connection
        .prepare_cached(sql)?
        .query_row([recipient], |row| Ok((natural(row.get(0)?), natural(row.get(1)?))))
        .optional()?;
    let (dropped, dropped_told) = counts.unwrap_or_default();
    let sql = "SELECT number, id, kind, at_unix_ms, body FROM outbox INDEXED BY outbox_by_recipient
               WHERE recipient = ?1 ORDER BY number LIMIT 1";
    let letter = connection.prepare_cached(sql)?.query_row([recipient], |row| {
        Ok(Letter {
            number: natural(row.get(0)?),
            id: row.get(1)?,
            kind: row.get(2)?,
            at: Moment::from_unix_ms(natural(row.get(3)?)),
            body: row.get(4)?,
        })
    });
    Ok(Waiting { letter: letter.optional()?, dropped, dropped_told })
}

fn settle(tx: &Connection, recipient: &str, settled: Settled) -> Result<(), JobError> {
    let (number, is_dropped) = match settled {
        Settled::Has(number) => (number, false),
        Settled::GivenUp(number) => (number, true),
        Settled::ToldOfDropped(count) => {
            let sql = "UPDATE recipients SET dropped_told = max(dropped_told, ?2) WHERE name = ?1";
            tx.prepare_cached(sql)?.execute(params![recipient, integer(count)])?;
            return Ok(());
        }
    };
    let sql = "DELETE FROM outbox WHERE number = ?1 AND recipient = ?2";
    let gone = tx.prepare_cached(sql)?.execute(params![integer(number), recipient])?;
    count_out(tx, recipient, gone, if is_dropped { gone } else { 0 })
}

fn told(connection: &Connection) -> Result<BTreeMap<String, Moment>, JobError> {
    let mut statement = connection.prepare_cached("SELECT what, at_unix_ms FROM told")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, Moment::from_unix_ms(natural(row.get(1)?)))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn tell(tx: &Connection, tellings: &[Telling], now: Moment) -> Result<(), JobError> {
    let note = |what: &str| {
        let sql = "INSERT OR IGNORE INTO told (what, at_unix_ms) VALUES (?1, ?2)";
        Ok::<_, JobError>(tx.prepare_cached(sql)?.execute(params![what, integer(now.as_unix_ms())])? == 1)
    };
    for telling in tellings {
        match telling {
            Telling::Is(what, event) => {
                if note(what)? {
                    put(tx, event)?;
                }
            }
            Telling::Was(what) => drop(note(what)?),
            Telling::IsNot(what) => {
                tx.prepare_cached("DELETE FROM told WHERE what = ?1")?.execute([what])?;
            }
        }
    }
    Ok(())
}

/// Writes what became of a request for approval.
pub(super) fn put_approval(
    tx: &Connection,
    kind: Kind,
    approval: &Approval,
    now: Timestamp,
    at: Moment,
) -> Result<(), JobError> {
    let session = sessions::find(tx, approval.wanted.session)?;
    let facts = ApprovalFacts::new(approval, session.as_ref(), now);
    put(tx, &Event::new(kind, at, Data::Approval(Box::new(facts))))
}

/// Writes that a stop was lifted.
pub(super) fn put_lifted(tx: &Connection, scope: &Scope, record: &Record) -> Result<(), JobError> {
    let facts = Data::Stop(StopFacts::lifted(scope, &record.peer, &record.detail));
    put(tx, &Event::new(Kind::KillswitchLifted, Moment::from_unix_ms(record.at_unix_ms), facts))
}

/// Tells what has ended in the seconds before this one: in this one, more may still end.
fn tell_expired(tx: &Connection, now: Moment) -> Result<(), JobError> {
    let last = last_second(now);
    let Some(told) = expiries_told(tx)? else {
        tx.execute("INSERT INTO expiries_told (until) VALUES (?1)", [last])?;
        return Ok(());
    };
    let Some(until) = approvals::expiries(tx, (told, last), EXPIRED_AT_ONCE)? else { return Ok(()) };
    for approval in approvals::expired(tx, (told, until))? {
        put_approval(tx, Kind::ApprovalExpired, &approval, approval.expires_at, now)?;
    }
    tx.execute("UPDATE expiries_told SET until = ?1", [until])?;
    Ok(())
}

fn last_second(now: Moment) -> i64 {
    integer((now.as_unix_ms() / 1000).saturating_sub(1))
}

/// Returns up to which second what ended was told; `None` before the first time.
fn expiries_told(connection: &Connection) -> Result<Option<i64>, JobError> {
    let mut statement = connection.prepare_cached("SELECT until FROM expiries_told")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

/// Says whether there is anything to write: most of the time there is not.
fn has_expired(connection: &Connection, now: Moment) -> Result<bool, JobError> {
    let Some(told) = expiries_told(connection)? else { return Ok(true) };
    Ok(approvals::expiries(connection, (told, last_second(now)), 1)?.is_some())
}

impl Outbox for SqliteStore {
    fn set_recipients(&self, recipients: Vec<Recipient>) -> Pending<'_, u64> {
        self.write(move |tx| set_recipients(tx, &recipients))
    }

    fn waiting(&self, recipient: String) -> Pending<'_, Waiting> {
        self.readers.submit(move |connection| waiting(connection, &recipient))
    }

    fn settle(&self, recipient: String, settled: Settled) -> Pending<'_, ()> {
        self.write(move |tx| settle(tx, &recipient, settled))
    }

    fn told(&self) -> Pending<'_, BTreeMap<String, Moment>> {
        self.readers.submit(told)
    }

    fn tell(&self, tellings: Vec<Telling>, now: Moment) -> Pending<'_, ()> {
        self.write(move |tx| tell(tx, &tellings, now))
    }

    fn tell_expired(&self, now: Moment) -> Pending<'_, ()> {
        Box::pin(async move {
            if self.readers.submit(move |connection| has_expired(connection, now)).await? {
                self.write(move |tx| tell_expired(tx, now)).await?;
            }
            Ok(())
        })
    }
}
