//! A request for approval, as the broker tells it, and what can be said to it.

mod follow;

pub use follow::{ApprovalWatch, WAIT_MAX};

use super::subject_token::{SubjectToken, exposed};
use crate::failure::{CallFailed, Party};
use crumb_proto::{
    Violations,
    convert::{self, to_grants},
    wire,
};
use crumb_token::{
    AgentName, ApprovalId, Audience, Denial, Grants, Intent, Owner, Reason, SessionId, SpiffeId, Timestamp, TokenId,
    Version, origin::Principal,
};
use std::{str::FromStr, time::Duration};

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApprovalState {
    /// More people have to agree.
    Pending,
    /// It can be redeemed: by asking the same again.
    Approved,
    /// Somebody said no.
    Refused,
    /// It became a token.
    Redeemed,
    /// It was not decided, or not redeemed, in time.
    Expired,
}

/// A word that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no state of a request for approval")]
pub struct UnknownState;

impl ApprovalState {
    /// Every state, in the order that a request goes through them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Refused, Self::Redeemed, Self::Expired];

    /// Returns the word that the wire carries.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Redeemed => "redeemed",
            Self::Expired => "expired",
        }
    }
}

impl FromStr for ApprovalState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.word() == word).ok_or(UnknownState)
    }
}

/// A request for approval, with what a person needs to decide on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// Where it is.
    pub state: ApprovalState,
    /// The session that it is for.
    pub session: SessionId,
    /// The agent that asks.
    pub agent: AgentName,
    /// Which version of it.
    pub version: Version,
    /// Who answers for it.
    pub owner: Owner,
    /// The workload that asks.
    pub peer: SpiffeId,
    /// What the session says it will do.
    pub intent: Intent,
    /// What set off the outermost session, as the trail writes it.
    pub origin: String,
    /// On whose behalf.
    pub subject: Option<Principal>,
    /// Who acted above, nearest first.
    pub actors: Vec<SpiffeId>,
    /// The tool server.
    pub audience: Audience,
    /// The rights that are asked for.
    pub grants: Grants,
    /// For how long; `None` for the broker's default.
    pub ttl: Option<Duration>,
    /// What this step of the session is.
    pub task: Option<Intent>,
    /// `low`, `medium` or `high`.
    pub risk: String,
    /// Why policy wants it approved.
    pub because: Vec<String>,
    /// Who has to agree.
    pub needed: Vec<Needed>,
    /// Who did, or did not.
    pub votes: Vec<Vote>,
    /// Since when.
    pub asked_at: Timestamp,
    /// Until when it can be decided, or redeemed.
    pub expires_at: Timestamp,
    /// The refused request that it appeals, and why.
    pub appeal: Option<(ApprovalId, String)>,
    /// The same agent's requests lately.
    pub history: History,
    /// The token that it became.
    pub token: Option<TokenId>,
}

/// So many people of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The group.
    pub group: String,
    /// How many of it.
    pub count: u32,
    /// How many have agreed.
    pub approved: u32,
}

/// One person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub approver: String,
    /// For which groups.
    pub groups: Vec<String>,
    /// Yes, or no.
    pub approved: bool,
    /// What is approved: all that was asked, or less.
    pub grants: Option<Grants>,
    /// For how long at most; `None` for what was asked.
    pub ttl: Option<Duration>,
    /// Why; empty when nothing was said.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// How an agent's requests came out lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct History {
    /// How many there were.
    pub asked: u32,
    /// How many were approved.
    pub approved: u32,
    /// How many were refused.
    pub refused: u32,
}

/// A yes.
#[derive(Clone, Debug)]
pub struct Approve {
    /// To which request.
    pub id: ApprovalId,
    /// Fewer or narrower rights than were asked; `None` for all of them.
    pub grants: Option<Grants>,
    /// A shorter time, in whole seconds; `None` for what was asked.
    pub ttl: Option<Duration>,
    /// Why, in one sentence; may be empty.
    pub why: String,
    /// Who approves, when it is a person and not this workload.
    pub by: Option<SubjectToken>,
}

/// A no.
#[derive(Clone, Debug)]
pub struct Refuse {
    /// To which request.
    pub id: ApprovalId,
    /// Why, in one sentence; may be empty.
    pub why: String,
    /// Who refuses, when it is a person and not this workload.
    pub by: Option<SubjectToken>,
}

/// Which requests to list; all that the caller may see by default.
#[derive(Clone, Debug, Default)]
pub struct ListApprovals {
    /// Only those in this state.
    pub state: Option<ApprovalState>,
    /// Only those of this session.
    pub session: Option<SessionId>,
    /// Who looks, when it is a person and not this workload.
    pub by: Option<SubjectToken>,
}

/// Returns the request that a denial says has to be approved first.
pub fn awaited(denial: &Denial) -> Option<ApprovalId> {
    if denial.reason == Reason::ApprovalNeeded { denial.asked.parse().ok() } else { None }
}

impl Approve {
    pub(super) fn to_wire(&self) -> wire::ApproveRequest {
        wire::ApproveRequest {
            approval_id: self.id.to_string(),
            grants: self.grants.as_ref().map(to_grants).unwrap_or_default(),
            ttl_s: super::whole_seconds(self.ttl),
            why: self.why.clone(),
            approver_token: exposed(self.by.as_ref()),
        }
    }
}

impl Refuse {
    pub(super) fn to_wire(&self) -> wire::RefuseRequest {
        wire::RefuseRequest {
            approval_id: self.id.to_string(),
            why: self.why.clone(),
            approver_token: exposed(self.by.as_ref()),
        }
    }
}

impl ListApprovals {
    pub(super) fn to_wire(&self) -> wire::ListApprovalsRequest {
        wire::ListApprovalsRequest {
            state: self.state.map(ApprovalState::word).unwrap_or_default().to_owned(),
            session_id: self.session.as_ref().map(ToString::to_string).unwrap_or_default(),
            approver_token: exposed(self.by.as_ref()),
        }
    }
}

impl Approval {
    pub(super) fn read(told: &wire::Approval) -> Result<Self, CallFailed> {
        let mut v = Violations::default();
        let read = Self::fields(&mut v, told);
        read.filter(|_| v.is_empty()).ok_or_else(|| CallFailed::unreadable(Party::Broker, &v))
    }

    fn fields(v: &mut Violations, told: &wire::Approval) -> Option<Self> {
        let (audience, grants) = convert::scope(v, "scope", told.scope.as_ref())?;
        let votes: Vec<_> = told.votes.iter().enumerate().map(|(i, vote)| Vote::read(v, i, vote)).collect();
        let actors: Vec<_> = told.actors.iter().map(|actor| v.parse("actors", actor)).collect();
        let appeal: Option<Option<ApprovalId>> = optional(v, "appeal_of", &told.appeal_of);
        let history = told.history.unwrap_or_default();
        Some(Self {
            id: v.parse("approval_id", &told.approval_id)?,
            state: v.parse("state", &told.state)?,
            session: v.parse("session_id", &told.session_id)?,
            agent: v.parse("agent", &told.agent)?,
            version: v.parse("agent_version", &told.agent_version)?,
            owner: v.parse("owner", &told.owner)?,
            peer: v.parse("peer", &told.peer)?,
            intent: v.parse("intent", &told.intent)?,
            origin: told.origin.clone(),
            subject: optional(v, "subject", &told.subject)?,
            actors: actors.into_iter().collect::<Option<_>>()?,
            audience,
            grants,
            ttl: seconds(told.ttl_s),
            task: optional(v, "task", &told.task)?,
            risk: told.risk.clone(),
            because: told.because.clone(),
            needed: told.needed.iter().map(Needed::read).collect(),
            votes: votes.into_iter().collect::<Option<_>>()?,
            asked_at: Timestamp::from_unix_s(told.asked_at),
            expires_at: Timestamp::from_unix_s(told.expires_at),
            appeal: appeal?.map(|of| (of, told.appeal_why.clone())),
            history: History { asked: history.asked, approved: history.approved, refused: history.refused },
            token: optional(v, "token_id", &told.token_id)?,
        })
    }

    /// Returns what an ask is told that waited for this request in vain; `None` while it is open, or can be redeemed.
    pub fn refusal(&self) -> Option<Denial> {
        let denial = |reason: Reason| Denial::new(reason).asked(self.id);
        match self.state {
            ApprovalState::Pending | ApprovalState::Approved => None,
            ApprovalState::Expired => Some(denial(Reason::ApprovalExpired)),
            ApprovalState::Redeemed => Some(denial(Reason::ApprovalUsed)),
            ApprovalState::Refused => {
                let no = self.votes.iter().find(|vote| !vote.approved);
                let why = no.map(|vote| vote.why.as_str()).filter(|why| !why.is_empty());
                let who = no.map_or("an approver", |vote| vote.approver.as_str());
                Some(denial(Reason::ApprovalDenied).by(why.unwrap_or("no reason given"), who))
            }
        }
    }
}

impl Needed {
    fn read(told: &wire::Needed) -> Self {
        Self { group: told.group.clone(), count: told.count, approved: told.approved }
    }
}

impl Vote {
    fn read(v: &mut Violations, i: usize, told: &wire::Vote) -> Option<Self> {
        let grants = match told.grants.is_empty() {
            true => None,
            false => Some(convert::grants(v, &format!("votes[{i}].grants"), &told.grants)?),
        };
        Some(Self {
            approver: told.approver.clone(),
            groups: told.groups.clone(),
            approved: told.approved,
            grants,
            ttl: seconds(told.ttl_s),
            why: told.why.clone(),
            at: Timestamp::from_unix_s(told.at),
        })
    }
}

/// Reads a text that may be absent: empty on the wire.
fn optional<T: FromStr<Err: std::fmt::Display>>(v: &mut Violations, field: &str, text: &str) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { v.parse(field, text).map(Some) }
}

fn seconds(seconds: u32) -> Option<Duration> {
    (seconds != 0).then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests;
