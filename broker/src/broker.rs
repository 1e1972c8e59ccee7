//! The broker itself: what every request is held against, and the two things that every flow does, refusing and
//! remembering.
//!
//! The flows (issuance, sessions, decisions) are methods of [`Broker`], one file each. They decide nothing: they fetch, ask
//! the pure code, commit, and answer.
//!
//! # Invariants
//!
//! - Nothing is answered before its record is durable, neither yes nor no.
//! - When a record cannot be made durable, the answer is `store_unavailable`, and nothing else.

mod approvals;
mod decisions;
mod delegation;
mod endings;
mod issuance;
mod leases;
mod manifests;
mod reviews;
mod sessions;

pub use approvals::Shown;
pub(crate) use delegation::to_description;
pub use endings::Revoked;
pub use issuance::Issued;
pub use manifests::Outcome;
pub(crate) use manifests::{at_start, describe, ending_of};
pub use sessions::Opened;

use crate::{
    answers::Answers,
    audit::{Kind, Record},
    caller::{self, Caller},
    drift::Rules,
    feed::Feed,
    keys::Keys,
    leases::Leases,
    pace::Paces,
    registry::Registry,
    stops::Switch,
    store::{Request, RequestKey, Seen, Store, Written},
    strangers::Strangers,
    subjects::Subjects,
};
use arc_swap::ArcSwap;
use crumb_identity::Workload;
use crumb_proto::Violations;
use crumb_token::{
    ApprovalId, Clock, Denial, Environment, Reason, RecordId, RequestId, Timestamp, claims::IdentityProvider,
    denial::Class,
};
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, SemaphorePermit, broadcast};
use tonic::Extensions;
use uuid::Uuid;

/// The longest that a request takes. All that it waits for is the store.
const ANSWER_MAX: Duration = Duration::from_millis(950);

/// Everything that requests share.
pub struct Broker {
    pub(crate) workload: Workload,
    pub(crate) provider: IdentityProvider,
    /// Replaced as a whole when manifests are applied; each request is held against one snapshot.
    pub(crate) registry: Arc<ArcSwap<Registry>>,
    /// Where the broker runs.
    pub(crate) environment: Environment,
    /// Whose tokens prove on whose behalf an agent acts.
    pub(crate) subjects: Subjects,
    /// Whose tokens prove who approves.
    pub(crate) approvers: Subjects,
    /// How often agents were given and refused tokens lately.
    pub(crate) paces: Paces,
    /// Told of each request for approval that changes.
    pub(crate) approval_news: broadcast::Sender<ApprovalId>,
    /// Whose deployments are there.
    pub(crate) leases: Leases,
    /// Who asked for agents that nobody registered.
    pub(crate) strangers: Strangers,
    /// What operators have stopped.
    pub(crate) stops: Arc<Switch>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) answers: Answers,
    /// How many requests are worked on at once, over all connections.
    pub(crate) in_flight: Semaphore,
    /// How many sessions one agent may have open.
    pub(crate) sessions_max: u32,
    /// When a session behaves unlike its kind.
    pub(crate) drift: Rules,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("store", &self.store).field("feed", &self.feed).finish_non_exhaustive()
    }
}

/// Why a flow ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Refused; the record is still to be written.
    Refuse(Denial),
    /// Refused malformed, with the fields to name; the record is still to be written.
    Malformed(Violations),
    /// Answered: the record is there already, or cannot be made.
    Answered(Denial),
}

impl From<Denial> for Stop {
    fn from(denial: Denial) -> Self {
        Self::Refuse(denial)
    }
}

impl From<crate::store::StoreError> for Stop {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Answered(error.into())
    }
}

/// A refusal as it leaves: a denial, or the fields that are wrong.
#[derive(Debug)]
pub enum Refused {
    /// Not allowed, and why.
    Denied(Denial),
    /// Not well-formed, and where.
    Malformed(Violations),
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

/// A request as far as it has been read.
pub(crate) struct Asked<'a> {
    /// The method, which is part of what the request says.
    pub(crate) kind: Kind,
    /// What the transport knows about the sender.
    pub(crate) extensions: &'a Extensions,
    /// The number that the caller gave, as it was written; empty when the method has none.
    pub(crate) request_id: &'a str,
    /// The encoded message.
    pub(crate) message: Vec<u8>,
}

impl Asked<'_> {
    /// Returns SHA-256 over method and message.
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.kind.as_str());
        digest.update([0]);
        digest.update(&self.message);
        digest.finalize().into()
    }

    /// Returns the request for the store; `None` when its number is not well-formed.
    fn request(&self, caller: &Caller, at: Timestamp) -> Option<Request> {
        let id: RequestId = self.request_id.parse().ok()?;
        Some(Request { key: RequestKey { peer: caller.id.clone(), id }, digest: self.digest(), at })
    }
}

impl Broker {
    /// Returns the registry as it is now.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// Puts another registry in force, for every request that is decided from here on.
    pub fn replace_registry(&self, registry: Registry) {
        self.registry.store(Arc::new(registry));
    }

    /// Takes one of the places for requests.
    ///
    /// # Errors
    ///
    /// `overloaded` when all are taken.
    pub(crate) fn admit(&self) -> Result<SemaphorePermit<'_>, Denial> {
        self.in_flight.try_acquire().map_err(|_| Denial::new(Reason::Overloaded))
    }

    /// Waits for a flow, as long as a request may take.
    pub(crate) async fn within_limit<T>(&self, flow: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
        match tokio::time::timeout(ANSWER_MAX, flow).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Refused::Denied(Denial::new(Reason::StoreUnavailable))),
        }
    }

    /// Begins the record of a request.
    pub(crate) fn record(&self, asked: &Asked<'_>) -> Record {
        let id = RecordId::from_uuid(Uuid::now_v7());
        let mut record = Record::new(id, self.clock.unix_ms(), asked.kind, self.registry().version());
        asked.request_id.clone_into(&mut record.request_id);
        record.request_id = crate::audit::cut(&record.request_id);
        record.peer = caller::claimed(asked.extensions).map(ToString::to_string).unwrap_or_default();
        record
    }

    /// Proves who sent the request, for this request.
    pub(crate) fn attest(&self, asked: &Asked<'_>, now: Timestamp) -> Result<Caller, Denial> {
        caller::attest(&self.workload, asked.extensions, now)
    }

    /// Ends a flow that did not get through: writes the refusal down, unless it is, and then answers.
    pub(crate) async fn stop(&self, stop: Stop, mut record: Record, request: Option<Request>) -> Refused {
        let (denial, refused) = match stop {
            Stop::Answered(denial) => return Refused::Denied(denial),
            Stop::Refuse(denial) => (denial.clone(), Refused::Denied(denial)),
            Stop::Malformed(violations) => (violations.to_denial(), Refused::Malformed(violations)),
        };
        record.refuse(&denial);
        if denial.reason == Reason::AgentUnknown
            && let Ok(peer) = record.peer.parse()
        {
            self.strangers.note(&peer, &record.agent, self.clock.now().wall);
        }
        let answer = request.filter(|_| is_final(&denial)).map(|request| (request, denial));
        match self.store.refuse(answer, record).await {
            Ok(Written::Seen(seen)) => Refused::Denied(earlier_denial(seen)),
            Ok(_) => refused,
            Err(error) => Refused::Denied(error.into()),
        }
    }
}

/// Says whether the same request will be told the same for ever. What may be gone a moment later is asked anew.
fn is_final(denial: &Denial) -> bool {
    let may_change = matches!(
        denial.reason,
        Reason::RequestConflict | Reason::ApprovalNeeded | Reason::Stopped | Reason::SessionHalted
    );
    !may_change && matches!(denial.reason.class(), Class::Denied | Class::Invalid)
}

/// Returns the denial that a request got before. Two of the same request at once can end here with one of them allowed;
/// the other is then told to ask again, and gets the same answer.
fn earlier_denial(seen: Seen) -> Denial {
    match seen.answer {
        crate::store::Answer::Refused(row) => row.into(),
        _ => Denial::new(Reason::RequestConflict).next("send the same request again"),
    }
}

/// Compares a request with the one that was answered under its number before.
///
/// # Errors
///
/// `request_conflict` when they differ.
pub(crate) fn same_request(seen: &Seen, request: &Request) -> Result<(), Denial> {
    if seen.digest == request.digest {
        return Ok(());
    }
    Err(Denial::new(Reason::RequestConflict).asked(request.key.id).by("a request id names one request", "the broker"))
}
