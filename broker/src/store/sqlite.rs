//! The store in one SQLite file: one thread writes, a few read, nothing else touches it.

mod approvals;
mod baselines;
mod behaviours;
mod endings;
mod issuances;
mod keys;
mod leases;
mod manifests;
mod outbox;
mod readers;
mod requests;
mod reviews;
mod revocations;
mod schema;
mod sessions;
mod stops;
#[cfg(test)]
mod tests;
mod trail;
mod usage;
mod writer;

use super::{
    Answer, Applied, Asking, Beginning, Closed, Clue, Ended, Ending, Issuance, Keep, Known, Listing, OnCommitted,
    OnEnded, OnRevoked, Pending, Reported, Request, RequestKey, Revocation, SessionStart, Store, Used, Watch, Written,
    recent::Recent,
};
use crate::{
    approval::{Approval, Vote, Wanted},
    audit::Record,
    drift::Event,
    registry::{Edits, Shelf},
    session::Session,
    stops::{Scope, Stops},
};
use crumb_token::{AgentName, ApprovalId, Denial, KeyId, Owner, SessionId, Timestamp, revocation::Target};
use readers::Readers;
use rusqlite::Connection;
use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
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
    recent: Recent,
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
        let (writer, readers) = (Writer::start(connection)?, Readers::start(connections));
        Ok(Self { writer, readers, recent: Recent::new(), _lock: lock })
    }

    fn write<T, W>(&self, work: W) -> Pending<'_, T>
    where
        T: Send + 'static,
        W: Fn(&Connection) -> Result<T, JobError> + Send + 'static,
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
        let recent = self.recent.clone();
        self.readers.submit(move |connection| {
            let seen = requests::find(connection, &request)?;
            let session = session.map(|id| sessions::find(connection, id)).transpose()?.flatten();
            session.iter().for_each(|session| recent.keep(session));
            Ok(Known { seen, session })
        })
    }

    fn recall(&self, session: SessionId) -> Option<Arc<Session>> {
        self.recent.get(session)
    }

    fn sessions(&self, ids: Vec<SessionId>) -> Pending<'_, Vec<Session>> {
        self.readers.submit(move |connection| {
            let found = ids.into_iter().map(|id| sessions::find(connection, id)).collect::<Result<Vec<_>, _>>()?;
            Ok(found.into_iter().flatten().collect())
        })
    }

    fn issue(&self, issuance: Issuance) -> Pending<'_, Written> {
        let (recent, session) = (self.recent.clone(), issuance.session);
        let committed = move |written: &Written| {
            if matches!(written, Written::SessionClosed | Written::Changed(_)) {
                recent.forget(session);
            }
        };
        self.writer.submit(move |tx| issuances::issue(tx, &issuance), committed)
    }

    fn approval(&self, id: ApprovalId) -> Pending<'_, Option<Approval>> {
        self.readers.submit(move |connection| approvals::find(connection, id))
    }

    fn approval_of(&self, wanted: Wanted) -> Pending<'_, Option<Approval>> {
        self.readers.submit(move |connection| approvals::answering(connection, &wanted))
    }

    fn approvals(&self, listing: Listing, keep: Keep) -> Pending<'_, Vec<Approval>> {
        self.readers.submit(move |connection| approvals::list(connection, &listing, &keep))
    }

    fn approval_histories(&self, agents: Vec<AgentName>, now: Timestamp) -> Pending<'_, Vec<[u64; 3]>> {
        let history = move |connection: &Connection, agent: &AgentName| approvals::history(connection, agent, now);
        self.readers.submit(move |connection| agents.iter().map(|agent| history(connection, agent)).collect())
    }

    fn ask_approval(&self, asking: Asking) -> Pending<'_, Result<Approval, Denial>> {
        self.write(move |tx| approvals::ask(tx, &asking))
    }

    fn vote(
        &self,
        id: ApprovalId,
        vote: Vote,
        now: Timestamp,
        record: Record,
    ) -> Pending<'_, Result<Approval, Denial>> {
        self.write(move |tx| approvals::vote(tx, id, vote.clone(), now, &record))
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
            if !sessions::has_room(tx, &session, open_max, request.at)? {
                return Ok(Written::TooManySessions);
            }
            let answer = Answer::Opened { session: session.id.to_string(), expires_at: session.expires_at.as_unix_s() };
            if let Some(seen) = requests::insert(tx, &request, &answer)? {
                return Ok(Written::Seen(seen));
            }
            sessions::insert(tx, &session)?;
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
        let work = move |tx: &Connection| endings::close(tx, session, now, live_max, &record);
        let told = self.writer.submit(work, |(_, revoked): &(Closed, Vec<Revocation>)| committed(revoked));
        Box::pin(async move { told.await.map(|(closed, _)| closed) })
    }

    fn acting_agents(&self, owner: Option<Owner>, now: Timestamp) -> Pending<'_, Vec<AgentName>> {
        self.readers.submit(move |connection| sessions::acting_agents(connection, owner.as_ref(), now))
    }

    fn count_ending(&self, targets: Vec<Target>, now: Timestamp) -> Pending<'_, u64> {
        self.readers.submit(move |connection| endings::count(connection, &targets, now))
    }

    fn revoke(&self, ending: Ending, record: Record, committed: OnEnded) -> Pending<'_, Ended> {
        let work = move |tx: &Connection| endings::revoke(tx, &ending, &record);
        let told = self.writer.submit(work, |(ended, revoked): &(Ended, Vec<Revocation>)| committed(*ended, revoked));
        Box::pin(async move { told.await.map(|(ended, _)| ended) })
    }

    fn is_revoked(&self, targets: Vec<Target>, issued_at: Timestamp) -> Pending<'_, bool> {
        self.readers.submit(move |connection| revocations::reaches(connection, &targets, issued_at))
    }

    fn leases(&self) -> Pending<'_, Vec<(AgentName, Timestamp)>> {
        self.readers.submit(leases::all)
    }

    fn renew_lease(&self, agent: AgentName, until: Timestamp) -> Pending<'_, ()> {
        self.write(move |tx| leases::renew(tx, &agent, until))
    }

    fn stops(&self) -> Pending<'_, Stops> {
        self.readers.submit(stops::all)
    }

    fn lift(&self, scope: Scope, record: Record, committed: OnCommitted) -> Pending<'_, bool> {
        let work = move |tx: &Connection| {
            let lifted = stops::lift(tx, &scope)?;
            if lifted {
                trail::append(tx, &record)?;
                outbox::put_lifted(tx, &scope, &record)?;
            }
            Ok(lifted)
        };
        self.writer.submit(work, |_: &bool| committed())
    }

    fn refuse(&self, request: Option<(Request, Denial)>, record: Record) -> Pending<'_, Written> {
        self.write(move |tx| {
            if let Some((request, denial)) = &request
                && let Some(seen) = requests::insert(tx, request, &Answer::Refused(denial.into()))?
            {
                return Ok(Written::Seen(seen));
            }
            trail::append(tx, &record)?;
            Ok(Written::Committed)
        })
    }

    fn append(&self, reported: Vec<Reported>, watch: Watch, committed: OnRevoked) -> Pending<'_, bool> {
        let work = move |tx: &Connection| {
            // Seen through before the first is written, so that a conflict leaves nothing behind.
            tx.execute_batch("SAVEPOINT decisions")?;
            let mut events = Vec::new();
            for Reported { record, digest, event } in &reported {
                let newest = trail::newest(tx)?;
                if !trail::append_once(tx, record, digest)? {
                    tx.execute_batch("ROLLBACK TO decisions; RELEASE decisions")?;
                    return Ok((false, Vec::new()));
                }
                // What was on record already was counted then.
                if trail::newest(tx)? > newest {
                    events.extend(event.clone());
                }
            }
            tx.execute_batch("RELEASE decisions")?;
            Ok((true, behaviours::observe(tx, &events, &watch)?))
        };
        let told = self.writer.submit(work, |(_, revoked): &(bool, Vec<Revocation>)| committed(revoked));
        Box::pin(async move { told.await.map(|(kept, _)| kept) })
    }

    fn observe(&self, event: Event, watch: Watch, committed: OnRevoked) -> Pending<'_, ()> {
        let work = move |tx: &Connection| behaviours::observe(tx, std::slice::from_ref(&event), &watch);
        let told = self.writer.submit(work, |revoked: &Vec<Revocation>| committed(revoked));
        Box::pin(async move { told.await.map(|_| ()) })
    }

    fn resume(&self, session: SessionId, record: Record) -> Pending<'_, bool> {
        self.write(move |tx| reviews::resume(tx, session, &record))
    }

    fn held(&self, now: Timestamp) -> Pending<'_, Vec<Session>> {
        self.readers.submit(move |connection| reviews::held(connection, now))
    }

    fn add_key(&self, public: [u8; 32], not_before: Timestamp, not_after: Timestamp) -> Pending<'_, KeyId> {
        self.write(move |tx| keys::insert(tx, &public, not_before, not_after))
    }

    fn records(&self, after: u64, session: Option<String>, limit: u32) -> Pending<'_, Vec<(u64, Record)>> {
        self.readers.submit(move |connection| trail::after(connection, after, session.as_deref(), limit))
    }

    fn evidence(&self, clue: Clue, limit: u32) -> Pending<'_, Vec<(u64, Record)>> {
        self.readers.submit(move |connection| usage::evidence(connection, &clue, limit))
    }

    fn reaching(&self, targets: Vec<Target>, issued_at: Timestamp) -> Pending<'_, Vec<Revocation>> {
        self.readers.submit(move |connection| usage::reaching(connection, &targets, issued_at))
    }

    fn trail_start(&self) -> Pending<'_, Option<u64>> {
        self.readers.submit(usage::trail_start)
    }

    fn own_sessions(
        &self,
        agent: AgentName,
        since: Timestamp,
        before: Option<SessionStart>,
        limit: u32,
    ) -> Pending<'_, Vec<SessionStart>> {
        self.readers.submit(move |connection| usage::own_sessions(connection, &agent, since, before, limit))
    }

    fn family(&self, session: SessionId, limit: u32) -> Pending<'_, Vec<SessionId>> {
        self.readers.submit(move |connection| usage::family(connection, session, limit))
    }

    fn used(&self, session: SessionId, after: u64, since_ms: u64, limit: u32) -> Pending<'_, Vec<Used>> {
        self.readers.submit(move |connection| usage::used(connection, session, after, since_ms, limit))
    }

    fn shelf(&self) -> Pending<'_, Shelf> {
        self.readers.submit(manifests::shelf)
    }

    fn apply_manifests(
        &self,
        edits: Edits,
        record: Option<Record>,
        ending: Option<(Ending, Record)>,
        committed: OnRevoked,
    ) -> Pending<'_, Applied> {
        let work = move |tx: &Connection| manifests::apply_and_end(tx, &edits, record.as_ref(), ending.as_ref());
        let told = self.writer.submit(work, |(applied, revoked): &(Applied, Vec<Revocation>)| {
            if *applied != Applied::Conflict {
                committed(revoked);
            }
        });
        Box::pin(async move { told.await.map(|(applied, _)| applied) })
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.writer.newest()
    }

    fn is_usable(&self) -> bool {
        self.writer.is_usable()
    }
}

/// Writes an unsigned number as SQLite's signed one; beyond its end it stops there.
fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Reads it back; this store never writes a negative one.
fn natural(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
