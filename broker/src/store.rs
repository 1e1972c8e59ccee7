//! What the broker remembers, behind one trait: sessions, requests and their answers, revocations, public keys, the trail.
//!
//! Apart so that a second store can stand behind the same words. Each writing method is one transaction: it is committed
//! and durable when it answers, or it did not happen, or (when it answers [`StoreError::Unavailable`]) nobody knows and
//! nothing may leave the broker on its account.
//!
//! # Invariants
//!
//! - Audit numbers and revocation sequences have no gaps and are in commit order.
//! - A token's record and the check that its session is still open are one transaction.
//! - Every wait is bounded by [`WAIT_MAX`], and so is every queue.

mod answer;
mod approval_row;
mod outbox;
mod recent;
mod sqlite;

pub use answer::{Answer, ClaimsRow, DenialRow};
pub use outbox::{Letter, Outbox, Recipient, Settled, Telling, Waiting};
pub use sqlite::{OpenError, SqliteStore};

use crate::{
    approval::{Approval, Vote, Wanted},
    audit::Record,
    drift::{Event, Rules},
    registry::{Edits, Shelf},
    session::Session,
    stops::{Scope, Stop, Stops},
};
use crumb_token::{
    AgentName, ApprovalId, Clock, Denial, KeyId, Owner, Reason, RecordId, RequestId, SessionId, SpiffeId, Timestamp,
    TokenId, revocation::Target,
};
use futures::future::BoxFuture;
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The longest wait for an answer of the store. With it a request is refused within a second when the disk hangs.
pub const WAIT_MAX: Duration = Duration::from_millis(800);

/// A store that did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot write or read, did not answer in time, or does not know what became of the write.
    #[error("the store is unavailable")]
    Unavailable,
    /// More is waiting than it takes.
    #[error("the store has too much to do")]
    Overloaded,
    /// It holds something that this version cannot read.
    #[error("the store holds a {0} that cannot be read")]
    Corrupt(&'static str),
}

impl From<StoreError> for Denial {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable | StoreError::Corrupt(_) => Self::new(Reason::StoreUnavailable),
            StoreError::Overloaded => Self::new(Reason::Overloaded),
        }
    }
}

/// Which request: ids are made by callers, so they count per caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Who asked.
    pub peer: SpiffeId,
    /// The number that it gave.
    pub id: RequestId,
}

/// A request with the digest of everything that it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub key: RequestKey,
    /// SHA-256 over the method and the message.
    pub digest: [u8; 32],
    /// When it came.
    pub at: Timestamp,
}

/// A request that was answered before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The digest of what it said then.
    pub digest: [u8; 32],
    /// What it was told.
    pub answer: Answer,
}

/// What is known before a decision: one read for both.
#[derive(Debug, Clone)]
pub struct Known {
    /// The same request, when it was answered before.
    pub seen: Option<Seen>,
    /// The session that the request names.
    pub session: Option<Session>,
}

/// The outcome of writing an answer down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is durable now.
    Committed,
    /// The same request was answered in the meantime; that answer counts.
    Seen(Seen),
    /// The session was closed in the meantime.
    SessionClosed,
    /// Something that the decision was based on has changed in the meantime: the approval, the budget, or a halt.
    Changed(Denial),
    /// The agent has as many sessions open as it may.
    TooManySessions,
}

/// A token that is about to be issued.
#[derive(Debug, Clone)]
pub struct Issuance {
    /// The request that it answers.
    pub request: Request,
    /// What it says.
    pub claims: Arc<ClaimsRow>,
    /// Its number, for whoever approved it.
    pub token: String,
    /// In which session.
    pub session: SessionId,
    /// Which manifests were in force when it was decided.
    pub revision: u64,
    /// How many times what is held against the session had changed when it was decided.
    pub changes: u64,
    /// How many tokens the outermost session may have, this one among them.
    pub budget: Option<u64>,
    /// The approval that it takes.
    pub redeems: Option<ApprovalId>,
    /// What goes into the trail.
    pub record: Record,
}

/// A request for approval that is about to be made.
#[derive(Debug, Clone)]
pub struct Asking {
    /// What it says.
    pub approval: Approval,
    /// The agent that asks.
    pub agent: AgentName,
    /// Now.
    pub now: Timestamp,
    /// An approval of the same ask that does not hold any more; it is over then.
    pub instead_of: Option<ApprovalId>,
    /// What goes into the trail.
    pub record: Record,
}

/// Which requests for approval to list.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// Only this session's.
    pub session: Option<SessionId>,
    /// Only those in this state, one of [`State::WORDS`](crate::approval::State::WORDS).
    pub state: Option<&'static str>,
    /// Now.
    pub now: Timestamp,
    /// At most so many.
    pub limit: usize,
}

/// A decision that a tool server reported.
#[derive(Debug, Clone)]
pub struct Reported {
    /// What goes into the trail.
    pub record: Record,
    /// SHA-256 of what was reported.
    pub digest: [u8; 32],
    /// What it counts for drift, when it does.
    pub event: Option<Event>,
}

/// What events are judged with, in the transaction that counts them.
#[derive(Clone)]
pub struct Watch {
    /// The rules of drift.
    pub rules: Rules,
    /// Read in the transaction.
    pub clock: Arc<dyn Clock>,
    /// How many revocations may be in force.
    pub live_max: u32,
    /// Which manifests are in force.
    pub registry_version: String,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its number, without gaps.
    pub sequence: u64,
    /// What it ends.
    pub target: Target,
    /// It ends what was issued until then; the end of time for what cannot come back.
    pub issued_until: Timestamp,
    /// After this nothing that it ends can be alive.
    pub until: Timestamp,
}

/// The outcome of closing a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// It is closed, now or before, and this is the number of its revocation.
    Revoked(u64),
    /// There is no such session.
    Unknown,
    /// More revocations are in force than the feed can carry.
    TooManyRevocations,
}

/// What is to be ended.
#[derive(Clone)]
pub struct Ending {
    /// What, each by a revocation of its own.
    pub targets: Vec<Target>,
    /// Read in the transaction: whatever was issued before it is reached.
    pub clock: Arc<dyn Clock>,
    /// How many revocations may be in force.
    pub live_max: u32,
    /// What is stopped together with it.
    pub stop: Option<(Scope, Stop)>,
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").field("targets", &self.targets).field("stop", &self.stop).finish_non_exhaustive()
    }
}

/// The outcome of an ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is over.
    Revoked {
        /// The number of the last revocation.
        sequence: u64,
        /// How many sessions were closed.
        sessions: u64,
    },
    /// More revocations would be in force than the feed can carry, so nothing was ended.
    TooManyRevocations,
}

/// The outcome of applying manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// They are in force, and what they stop is over.
    Done,
    /// They are in force, and nothing was ended: more revocations would be in force than the feed can carry.
    NothingEnded,
    /// Something was written since the edits were made, so nothing was now.
    Conflict,
}

/// A signing key's public part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its number.
    pub id: KeyId,
    /// Ed25519.
    pub public: [u8; 32],
    /// Nothing that it signed says it was issued earlier.
    pub not_before: Timestamp,
    /// Nothing that it signed is alive later.
    pub not_after: Timestamp,
}

/// What a broker begins with.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The number of this start: greater than that of every start before, and about the time in milliseconds.
    pub epoch: u64,
    /// The number of the newest revocation.
    pub sequence: u64,
    /// Revocations that something alive may be under.
    pub revocations: Vec<Revocation>,
    /// Keys of earlier starts whose tokens may be alive.
    pub keys: Vec<PublicKey>,
}

/// What records are looked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clue {
    /// The number of the record itself.
    Record(RecordId),
    /// The number that a caller gave.
    Request(RequestId),
    /// The token that was issued with it.
    Issuance(TokenId),
    /// The token that a call was made with.
    Calls(TokenId),
    /// The session whose beginning, end and reviews they are.
    Session(SessionId),
    /// Nothing but that operators revoked something.
    Revocations,
}

/// A session, and where it stands among those of its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionStart {
    /// Since when.
    pub opened_at: Timestamp,
    /// Which.
    pub id: SessionId,
}

/// An allowed call, or an issued token.
#[derive(Debug, Clone)]
pub struct Used {
    /// The number of its record.
    pub number: u64,
    /// In which session.
    pub session: SessionId,
    /// What the trail says.
    pub record: Record,
}

/// The answer of a store, to be waited for.
pub type Pending<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Told about revocations right after they are committed, in their order, even when nobody waits for the answer any more.
pub type OnRevoked = Box<dyn FnOnce(&[Revocation]) + Send>;

/// Told what came of an ending right after it is committed, like [`OnRevoked`]. Dropped untold when the write failed.
pub type OnEnded = Box<dyn FnOnce(Ended, &[Revocation]) + Send>;

/// Told right after something is committed, in the order of commits, even when nobody waits for the answer any more.
pub type OnCommitted = Box<dyn FnOnce() + Send>;

/// Says which requests for approval a listing takes.
pub type Keep = Box<dyn Fn(&Approval) -> bool + Send>;

/// Where the broker remembers.
pub trait Store: Outbox + fmt::Debug + Send + Sync {
    /// Begins a new start: takes an epoch, forgets requests that are too old to be repeated, records the start.
    fn begin(&self, record: Record, now: Timestamp) -> Pending<'_, Beginning>;

    /// Looks for an earlier answer to a request, and for a session.
    fn look_up(&self, request: RequestKey, session: Option<SessionId>) -> Pending<'_, Known>;

    /// Returns a session as it was when it was looked up last, when that is remembered. It may have changed since, so only a yes
    /// may be built on it: [`issue`](Self::issue) holds that to what is true, and a no has to be looked up.
    fn recall(&self, session: SessionId) -> Option<Arc<Session>>;

    /// Returns those of `ids` that exist.
    fn sessions(&self, ids: Vec<SessionId>) -> Pending<'_, Vec<Session>>;

    /// Writes an issuance: its record and answer, while its session is open; and redeems the approval that it took.
    fn issue(&self, issuance: Issuance) -> Pending<'_, Written>;

    /// Returns a request for approval.
    fn approval(&self, id: ApprovalId) -> Pending<'_, Option<Approval>>;

    /// Returns the request for approval that answers an ask: the newest refusal of it, whatever its lifetime and step, that
    /// nobody has appealed, or else the newest request for exactly this.
    fn approval_of(&self, wanted: Wanted) -> Pending<'_, Option<Approval>>;

    /// Returns requests for approval, the newest first: those of the newest 2,000 of the listing that `keep` takes.
    fn approvals(&self, listing: Listing, keep: Keep) -> Pending<'_, Vec<Approval>>;

    /// Counts each agent's requests for approval lately: all, approved, refused. In the order of `agents`.
    fn approval_histories(&self, agents: Vec<AgentName>, now: Timestamp) -> Pending<'_, Vec<[u64; 3]>>;

    /// Writes a new request for approval with its record, or returns the one that answers the same ask already. The denial,
    /// and nothing written, when as many wait as may, and for a second appeal.
    fn ask_approval(&self, asking: Asking) -> Pending<'_, Result<Approval, Denial>>;

    /// Takes a vote and writes its record. The denial when it cannot be taken; then nothing was written.
    fn vote(&self, id: ApprovalId, vote: Vote, now: Timestamp, record: Record)
    -> Pending<'_, Result<Approval, Denial>>;

    /// Writes a new session with its record and answer, while its agent has fewer than `open_max`.
    fn open(&self, request: Request, session: Session, open_max: u32, record: Record) -> Pending<'_, Written>;

    /// Closes a session and all sessions inside it, and revokes each, at most `live_max` being in force.
    fn close(
        &self,
        session: SessionId,
        now: Timestamp,
        live_max: u32,
        record: Record,
        committed: OnRevoked,
    ) -> Pending<'_, Closed>;

    /// Returns the agents that have open sessions, of one owner when given.
    fn acting_agents(&self, owner: Option<Owner>, now: Timestamp) -> Pending<'_, Vec<AgentName>>;

    /// Returns how many open sessions would end with the targets.
    fn count_ending(&self, targets: Vec<Target>, now: Timestamp) -> Pending<'_, u64>;

    /// Revokes, closes the sessions that end with it, and writes the record.
    fn revoke(&self, ending: Ending, record: Record, committed: OnEnded) -> Pending<'_, Ended>;

    /// Says whether one of `targets` is revoked for what was issued then.
    fn is_revoked(&self, targets: Vec<Target>, issued_at: Timestamp) -> Pending<'_, bool>;

    /// Returns until when each deployment counts as there.
    fn leases(&self) -> Pending<'_, Vec<(AgentName, Timestamp)>>;

    /// Writes a renewed lease.
    fn renew_lease(&self, agent: AgentName, until: Timestamp) -> Pending<'_, ()>;

    /// Returns everything that is stopped.
    fn stops(&self) -> Pending<'_, Stops>;

    /// Lifts a stop, and writes the record. `false`, and nothing written, when there is none; `committed` is told all the same.
    fn lift(&self, scope: Scope, record: Record, committed: OnCommitted) -> Pending<'_, bool>;

    /// Writes a refusal, and remembers it as the answer to `request` when given.
    fn refuse(&self, request: Option<(Request, Denial)>, record: Record) -> Pending<'_, Written>;

    /// Writes decisions, each once by its id and digest. `false` when an id already stands for something else; then none
    /// of them was written. What counts for drift is counted, and acted upon, with them.
    fn append(&self, reported: Vec<Reported>, watch: Watch, committed: OnRevoked) -> Pending<'_, bool>;

    /// Counts something for drift that no tool server reported, and acts upon it.
    fn observe(&self, event: Event, watch: Watch, committed: OnRevoked) -> Pending<'_, ()>;

    /// Frees a session that is halted or contracted itself, and writes the record. `false`, and nothing written, when it is
    /// neither.
    fn resume(&self, session: SessionId, record: Record) -> Pending<'_, bool>;

    /// Returns the open sessions that are halted or contracted themselves.
    fn held(&self, now: Timestamp) -> Pending<'_, Vec<Session>>;

    /// Writes a public key and numbers it.
    fn add_key(&self, public: [u8; 32], not_before: Timestamp, not_after: Timestamp) -> Pending<'_, KeyId>;

    /// Returns at most `limit` records after number `after`, of one session when given.
    fn records(&self, after: u64, session: Option<String>, limit: u32) -> Pending<'_, Vec<(u64, Record)>>;

    /// Returns at most `limit` records that a clue leads to, the newest first.
    fn evidence(&self, clue: Clue, limit: u32) -> Pending<'_, Vec<(u64, Record)>>;

    /// Returns those revocations of `targets` that reach what was issued then.
    fn reaching(&self, targets: Vec<Target>, issued_at: Timestamp) -> Pending<'_, Vec<Revocation>>;

    /// Returns when the first record was made, in Unix milliseconds.
    fn trail_start(&self) -> Pending<'_, Option<u64>>;

    /// Returns at most `limit` of an agent's sessions that were opened since, the newest first, from `before` on.
    fn own_sessions(
        &self,
        agent: AgentName,
        since: Timestamp,
        before: Option<SessionStart>,
        limit: u32,
    ) -> Pending<'_, Vec<SessionStart>>;

    /// Returns a session and at most `limit` of those inside it, at any depth.
    fn family(&self, session: SessionId, limit: u32) -> Pending<'_, Vec<SessionId>>;

    /// Returns at most `limit` allowed calls and issued tokens of a session since `since_ms`, after a record, in order.
    fn used(&self, session: SessionId, after: u64, since_ms: u64, limit: u32) -> Pending<'_, Vec<Used>>;

    /// Returns all that is kept of manifests.
    fn shelf(&self) -> Pending<'_, Shelf>;

    /// Writes manifests, with a record when given, and in the same transaction ends what they stop, with its own. `committed` is
    /// told when they are in force.
    fn apply_manifests(
        &self,
        edits: Edits,
        record: Option<Record>,
        ending: Option<(Ending, Record)>,
        committed: OnRevoked,
    ) -> Pending<'_, Applied>;

    /// Returns the number of the newest record, and word of newer ones.
    fn newest(&self) -> watch::Receiver<u64>;

    /// Says whether it still writes. Once it does not, it never does again in this process.
    fn is_usable(&self) -> bool;
}
