//! The facts of events, as receivers read them: `docs/events.md` lists each field.
//!
//! Made from the broker's own types and nothing else, so that no text of a caller gets in that was not checked. What stands
//! for a whole, such as the digest of an ask, is written in hex.

use crate::{
    approval::{self, Approval, Need, Said, Vote},
    drift::Finding,
    registry::Agent,
    session::Session,
    stops::{Scope, Stop},
    strangers::Stranger,
    subjects::{KeysState, Purpose},
};
use crumb_token::Timestamp;
use serde::{Serialize, Serializer, ser::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The most rights that an event lists.
const RIGHTS_MAX: usize = 32;

/// A moment, written as in `2027-01-31T12:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    unix_ms: u64,
}

impl Moment {
    /// Makes it from milliseconds since the Unix epoch.
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        Self { unix_ms }
    }

    /// Returns milliseconds since the Unix epoch.
    pub const fn as_unix_ms(self) -> u64 {
        self.unix_ms
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self { unix_ms: at.as_unix_s().saturating_mul(1000) }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.unix_ms) * 1_000_000);
        let text = at.map_err(S::Error::custom)?.format(&Rfc3339).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

/// A session, with the chain that it stands in.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct SessionFacts {
    pub id: String,
    pub agent: String,
    pub version: String,
    pub owner: String,
    pub workload: String,
    pub intent: String,
    pub origin: String,
    /// What set off the outermost session.
    pub root_origin: String,
    pub actors: Vec<String>,
    pub above: Vec<SessionAbove>,
    pub expires_at: Moment,
}

/// A session above another one.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct SessionAbove {
    pub id: String,
    pub agent: String,
    pub version: String,
    pub intent_sha256: String,
}

impl From<&Session> for SessionFacts {
    fn from(session: &Session) -> Self {
        let lineage = &session.lineage;
        let above = lineage.ancestors.iter().map(|above| SessionAbove {
            id: above.session.to_string(),
            agent: above.agent.to_string(),
            version: above.version.to_string(),
            intent_sha256: hex::encode(above.intent_digest),
        });
        Self {
            id: session.id.to_string(),
            agent: session.agent.to_string(),
            version: session.version.to_string(),
            owner: session.owner.to_string(),
            workload: session.peer.to_string(),
            intent: session.intent.to_string(),
            origin: session.origin.to_string(),
            root_origin: lineage.root.to_string(),
            actors: lineage.actors.iter().map(ToString::to_string).collect(),
            above: above.collect(),
            expires_at: session.expires_at.into(),
        }
    }
}

/// A request for approval.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct ApprovalFacts {
    pub id: String,
    pub state: &'static str,
    pub risk: String,
    pub because: Vec<String>,
    pub needs: Vec<Need>,
    pub audience: String,
    pub rights: Vec<Right>,
    /// How many more rights are asked for than are listed.
    pub rights_left_out: usize,
    pub ttl_s: u64,
    pub task: Option<String>,
    pub ask_sha256: String,
    pub asked_at: Moment,
    pub expires_at: Moment,
    pub appeals: Option<String>,
    pub votes: Vec<VoteFacts>,
    pub session: Option<SessionFacts>,
}

/// One right that is asked for.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct Right {
    pub tool: String,
    pub operation: String,
    pub resource: String,
}

/// One vote.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct VoteFacts {
    pub approver: String,
    pub said: &'static str,
    pub why: Option<String>,
    pub at: Moment,
}

impl ApprovalFacts {
    /// Takes a request as it is at `now`.
    pub fn new(approval: &Approval, session: Option<&Session>, now: Timestamp) -> Self {
        let wanted = &approval.wanted;
        let rights = wanted.grants.iter().take(RIGHTS_MAX).map(|grant| Right {
            tool: grant.tool.to_string(),
            operation: grant.operation.to_string(),
            resource: grant.resource.to_string(),
        });
        Self {
            id: approval.id.to_string(),
            state: approval.state.word(approval.expires_at, now),
            risk: approval.risk.clone(),
            because: approval.because.clone(),
            needs: approval.needs.clone(),
            audience: wanted.audience.to_string(),
            rights: rights.collect(),
            rights_left_out: wanted.grants.iter().count().saturating_sub(RIGHTS_MAX),
            ttl_s: wanted.ttl.as_secs(),
            task: wanted.task.as_ref().map(ToString::to_string),
            ask_sha256: hex::encode(approval::digest(wanted)),
            asked_at: approval.asked_at.into(),
            expires_at: approval.expires_at.into(),
            appeals: approval.appeal.as_ref().map(|(refused, _)| refused.to_string()),
            votes: approval.votes.iter().map(VoteFacts::from).collect(),
            session: session.map(SessionFacts::from),
        }
    }
}

impl From<&Vote> for VoteFacts {
    fn from(vote: &Vote) -> Self {
        Self {
            approver: vote.approver.to_string(),
            said: if vote.said == Said::No { "no" } else { "yes" },
            why: vote.why.as_ref().map(ToString::to_string),
            at: vote.at.into(),
        }
    }
}

/// A session that was contracted or halted.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct DriftFacts {
    pub session: SessionFacts,
    pub rule: &'static str,
    pub measured: u64,
    pub threshold: u64,
    pub basis: String,
    pub audience: String,
}

impl DriftFacts {
    /// Takes what was found in a session, at a tool server.
    pub fn new(session: &Session, finding: &Finding, audience: &crumb_token::Audience) -> Self {
        Self {
            session: session.into(),
            rule: finding.rule.as_str(),
            measured: finding.measured,
            threshold: finding.threshold,
            basis: finding.basis.clone(),
            audience: audience.to_string(),
        }
    }
}

/// A session that may go on.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct ReviewFacts {
    pub session: Option<SessionFacts>,
    pub by: String,
    pub detail: String,
}

/// An agent.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct AgentFacts {
    pub name: String,
    pub version: String,
    pub owner: String,
    pub environment: String,
    pub lifecycle: &'static str,
    pub valid_until: Option<Moment>,
    pub review_by: Option<Moment>,
}

impl From<&Agent> for AgentFacts {
    fn from(agent: &Agent) -> Self {
        Self {
            name: agent.name.to_string(),
            version: agent.version.to_string(),
            owner: agent.owner.to_string(),
            environment: agent.environment.to_string(),
            lifecycle: agent.lifecycle.as_str(),
            valid_until: agent.valid_until.map(Moment::from),
            review_by: agent.review_by.map(Moment::from),
        }
    }
}

/// Somebody who asked in the name of no agent.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct StrangerFacts {
    pub workload: String,
    pub agent: String,
    pub first_seen: Moment,
    pub times: u64,
}

impl From<&Stranger> for StrangerFacts {
    fn from(stranger: &Stranger) -> Self {
        Self {
            workload: stranger.peer.to_string(),
            agent: stranger.agent.clone(),
            first_seen: stranger.first_seen.into(),
            times: stranger.times,
        }
    }
}

/// What was stopped, or goes on.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct StopFacts {
    pub kind: &'static str,
    pub name: String,
    pub by: String,
    pub why: String,
    pub sessions_closed: u64,
}

impl StopFacts {
    /// Takes a stop that closed so many sessions.
    pub fn pulled(scope: &Scope, stop: &Stop, sessions_closed: u64) -> Self {
        let (by, why) = (stop.by.clone(), stop.why.clone());
        Self { kind: scope.kind(), name: scope.name().to_owned(), by, why, sessions_closed }
    }

    /// Takes a stop that was lifted.
    pub fn lifted(scope: &Scope, by: &str, why: &str) -> Self {
        let (by, why) = (by.to_owned(), why.to_owned());
        Self { kind: scope.kind(), name: scope.name().to_owned(), by, why, sessions_closed: 0 }
    }
}

/// An issuer whose tokens are refused for want of its keys.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct IssuerFacts {
    pub issuer: String,
    pub list: String,
    pub failures: u32,
}

impl IssuerFacts {
    /// Takes the issuer of a list.
    pub fn new(purpose: Purpose, keys: &KeysState) -> Self {
        Self { issuer: keys.issuer.to_string(), list: purpose.to_string(), failures: keys.failures }
    }
}

/// Events that nobody will get.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of docs/events.md, which says what they are")]
pub struct DroppedFacts {
    pub dropped: u64,
    pub dropped_in_all: u64,
}
