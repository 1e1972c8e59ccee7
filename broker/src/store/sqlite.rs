//! The store in one SQLite file: one thread writes, a few read, nothing else touches it.

mod keys;
mod readers;
mod requests;
mod revocations;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;
mod trail;
mod writer;

use super::{
    Answer, Beginning, ClaimsRow, Closed, Known, OnRevoked, Pending, Request, RequestKey, Revocation, Store, Written,
};
use crate::{audit::Record, session::Session};
use crumb_token::{Denial, KeyId, SessionId, Timestamp, revocation::Target};
use readers::Readers;
use rusqlite::Connection;
use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};
use tokio::sync::watch;
use writer::{JobError, Writer};

/// How many threads read. Reads come from memory; two keep one slow listing from holding up exchanges.
const READERS: usize = 2;

/// A data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be made, or files in it cannot be.
    #[error("the data directory cannot be used")]
    Directory(#[source] io::Error),
    /// Another broker is using it.
    #[error("another broker is using the data directory")]
    InUse,
    /// The database cannot be opened.
    #[error("the database cannot be opened")]
    Database(#[from] rusqlite::Error),
    /// A newer version made the tables.
    #[error("the database was made by a newer version")]
    Newer,
}

/// The store in `crumb.db` of a data directory.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    /// Held for as long as the store is open, and given back by the kernel when the process ends in whatever way.
    _lock: File,
}

impl SqliteStore {
    /// Opens the store, making directory and tables when they are not there.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed that a later start would not change as well.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(OpenError::Directory)?;
        let lock = lock(directory)?;
        let file = directory.join("crumb.db");
        let mut connection = Connection::open(&file)?;
        // Intents and owners are nobody else's to read; SQLite gives its log the same mode.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).map_err(OpenError::Directory)?;
        if schema::is_newer(&connection)? {
            return Err(OpenError::Newer);
        }
        schema::prepare_writer(&mut connection)?;
        let reader = |_| {
            let connection = Connection::open(&file)?;
            schema::prepare_reader(&connection)?;
            Ok(connection)
        };
        let connections = (0..READERS).map(reader).collect::<Result<_, rusqlite::Error>>()?;
        Ok(Self { writer: Writer::start(connection)?, readers: Readers::start(connections), _lock: lock })
    }

    fn write<T, W>(&self, work: W) -> Pending<'_, T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, JobError> + Send + 'static,
    {
        self.writer.submit(work, |_| {})
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(path).map_err(OpenError::Directory)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(error)) => Err(OpenError::Directory(error)),
    }
}

impl Store for SqliteStore {
    fn begin(&self, record: Record, now: Timestamp) -> Pending<'_, Beginning> {
        self.write(move |tx| {
            let beginning = keys::begin(tx, record.at_unix_ms, now)?;
            trail::append(tx, &record)?;
            Ok(beginning)
        })
    }

    fn look_up(&self, request: RequestKey, session: Option<SessionId>) -> Pending<'_, Known> {
        self.readers.submit(move |connection| {
            let seen = requests::find(connection, &request)?;
            let session = session.map(|id| sessions::find(connection, id)).transpose()?.flatten();
            Ok(Known { seen, session })
        })
    }

    fn sessions(&self, ids: Vec<SessionId>) -> Pending<'_, Vec<Session>> {
        self.readers.submit(move |connection| {
            let found = ids.into_iter().map(|id| sessions::find(connection, id)).collect::<Result<Vec<_>, _>>()?;
            Ok(found.into_iter().flatten().collect())
        })
    }

    fn issue(&self, request: Request, claims: ClaimsRow, session: SessionId, record: Record) -> Pending<'_, Written> {
        self.write(move |tx| {
            if let Some(seen) = requests::find(tx, &request.key)? {
                return Ok(Written::Seen(seen));
            }
            if !sessions::note_token(tx, session, request.at, claims.expires_at())? {
                return Ok(Written::SessionClosed);
            }
            requests::insert(tx, &request, &Answer::Issued(Box::new(claims)))?;
            trail::append(tx, &record)?;
            Ok(Written::Committed)
        })
    }

    fn open(&self, request: Request, session: Session, open_max: u32, record: Record) -> Pending<'_, Written> {
        self.write(move |tx| {
            if let Some(seen) = requests::find(tx, &request.key)? {
                return Ok(Written::Seen(seen));
            }
            if let crumb_token::Origin::Agent { session: parent } = &session.origin
                && !sessions::is_open(tx, *parent, request.at)?
            {
                return Ok(Written::SessionClosed);
            }
            if sessions::count_open(tx, session.agent.as_str(), request.at)? >= open_max {
                return Ok(Written::TooManySessions);
            }
            let answer = Answer::Opened { session: session.id.to_string(), expires_at: session.expires_at.as_unix_s() };
            sessions::insert(tx, &session)?;
            requests::insert(tx, &request, &answer)?;
            trail::append(tx, &record)?;
            Ok(Written::Committed)
        })
    }

    fn close(
        &self,
        session: SessionId,
        now: Timestamp,
        live_max: u32,
        record: Record,
        committed: OnRevoked,
    ) -> Pending<'_, Closed> {
        let work = move |tx: &Connection| close(tx, session, now, live_max, &record);
        let told = self.writer.submit(work, |(_, revoked): &(Closed, Vec<Revocation>)| committed(revoked));
        Box::pin(async move { told.await.map(|(closed, _)| closed) })
    }

    fn refuse(&self, request: Option<(Request, Denial)>, record: Record) -> Pending<'_, Written> {
        self.write(move |tx| {
            if let Some((request, denial)) = request {
                if let Some(seen) = requests::find(tx, &request.key)? {
                    return Ok(Written::Seen(seen));
                }
                requests::insert(tx, &request, &Answer::Refused((&denial).into()))?;
            }
            trail::append(tx, &record)?;
            Ok(Written::Committed)
        })
    }

    fn append(&self, records: Vec<(Record, [u8; 32])>) -> Pending<'_, bool> {
        self.write(move |tx| {
            // Seen through before the first is written, so that a conflict leaves nothing behind.
            tx.execute_batch("SAVEPOINT decisions")?;
            for (record, digest) in &records {
                if !trail::append_once(tx, record, digest)? {
                    tx.execute_batch("ROLLBACK TO decisions; RELEASE decisions")?;
                    return Ok(false);
                }
            }
            tx.execute_batch("RELEASE decisions")?;
            Ok(true)
        })
    }

    fn add_key(&self, public: [u8; 32], not_before: Timestamp, not_after: Timestamp) -> Pending<'_, KeyId> {
        self.write(move |tx| keys::insert(tx, &public, not_before, not_after))
    }

    fn records(&self, after: u64, session: Option<String>, limit: u32) -> Pending<'_, Vec<(u64, Record)>> {
        self.readers.submit(move |connection| trail::after(connection, after, session.as_deref(), limit))
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.writer.newest()
    }

    fn is_usable(&self) -> bool {
        self.writer.is_usable()
    }
}

fn close(
    tx: &Connection,
    session: SessionId,
    now: Timestamp,
    live_max: u32,
    record: &Record,
) -> Result<(Closed, Vec<Revocation>), JobError> {
    if let Some(sequence) = revocations::find(tx, &Target::Session(session))? {
        return Ok((Closed::Revoked(sequence), Vec::new()));
    }
    let open = sessions::open_with_inside(tx, session)?;
    if open.is_empty() {
        return Ok((Closed::Unknown, Vec::new()));
    }
    let more = u32::try_from(open.len()).unwrap_or(u32::MAX);
    if revocations::count_live(tx, now)?.saturating_add(more) > live_max {
        return Ok((Closed::TooManyRevocations, Vec::new()));
    }
    let mut revoked = Vec::with_capacity(open.len());
    for (id, tokens_until) in open {
        sessions::close(tx, id, now)?;
        // A session without living tokens is revoked as well; verifiers may then forget it at once.
        revoked.push(revocations::insert(tx, Target::Session(id), tokens_until.max(now))?);
    }
    trail::append(tx, record)?;
    let sequence = revoked.last().map_or(0, |revocation| revocation.sequence);
    Ok((Closed::Revoked(sequence), revoked))
}

/// Writes an unsigned number as SQLite's signed one; beyond its end it stops there.
fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Reads it back; this store never writes a negative one.
fn natural(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
