//! A request for approval as the store keeps it: texts that are parsed strictly when they come back.

use super::answer;
use crate::{
    approval::{Approval, Need, Presented, Said, State, Vote, Wanted},
    session::BoundProcess,
};
use crumb_token::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

type Rights = Vec<(String, String, String)>;

/// The body of a row.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ApprovalRow {
    id: String,
    session: String,
    peer: String,
    process: Option<(u32, String)>,
    holder: Option<String>,
    audience: String,
    grants: Rights,
    ttl_s: u64,
    task: Option<String>,
    needs: Vec<Need>,
    because: Vec<String>,
    risk: String,
    votes: Vec<VoteRow>,
    state: StateRow,
    asked_at: u64,
    expires_at: u64,
    appeal: Option<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct VoteRow {
    approver: String,
    /// Whose word it was, and who brought it.
    presented: Option<(String, String)>,
    groups: Vec<String>,
    at: u64,
    /// What was approved; nothing for a refusal.
    yes: Option<(Rights, u64)>,
    why: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum StateRow {
    Pending,
    Approved(u64),
    Refused,
    Redeemed(String),
}

impl From<&Approval> for ApprovalRow {
    fn from(approval: &Approval) -> Self {
        let wanted = &approval.wanted;
        Self {
            id: approval.id.to_string(),
            session: wanted.session.to_string(),
            peer: wanted.peer.to_string(),
            process: wanted.process.as_ref().map(|process| (process.uid, process.exe.clone())),
            holder: wanted.holder.as_ref().map(ToString::to_string),
            audience: wanted.audience.to_string(),
            grants: answer::rows(&wanted.grants),
            ttl_s: wanted.ttl.as_secs(),
            task: wanted.task.as_ref().map(ToString::to_string),
            needs: approval.needs.clone(),
            because: approval.because.clone(),
            risk: approval.risk.clone(),
            votes: approval.votes.iter().map(VoteRow::from).collect(),
            state: match &approval.state {
                State::Pending => StateRow::Pending,
                State::Approved { at } => StateRow::Approved(at.as_unix_s()),
                State::Refused => StateRow::Refused,
                State::Redeemed { token } => StateRow::Redeemed(token.clone()),
            },
            asked_at: approval.asked_at.as_unix_s(),
            expires_at: approval.expires_at.as_unix_s(),
            appeal: approval.appeal.as_ref().map(|(id, why)| (id.to_string(), why.to_string())),
        }
    }
}

impl From<&Vote> for VoteRow {
    fn from(vote: &Vote) -> Self {
        Self {
            approver: vote.approver.to_string(),
            presented: vote.presented.as_ref().map(|token| (token.issuer.to_string(), token.through.to_string())),
            groups: vote.groups.clone(),
            at: vote.at.as_unix_s(),
            yes: match &vote.said {
                Said::Yes { grants, ttl } => Some((answer::rows(grants), ttl.as_secs())),
                Said::No => None,
            },
            why: vote.why.as_ref().map(ToString::to_string),
        }
    }
}

impl ApprovalRow {
    /// Reads it back; `None` when this version cannot.
    pub(super) fn read(self) -> Option<Approval> {
        Some(Approval {
            id: self.id.parse().ok()?,
            wanted: Wanted {
                session: self.session.parse().ok()?,
                peer: self.peer.parse().ok()?,
                process: self.process.map(|(uid, exe)| BoundProcess { uid, exe }),
                holder: optional(self.holder)?,
                audience: self.audience.parse().ok()?,
                grants: answer::grants(&self.grants)?,
                ttl: Duration::from_secs(self.ttl_s),
                task: optional(self.task)?,
            },
            needs: self.needs,
            because: self.because,
            risk: self.risk,
            votes: self.votes.into_iter().map(VoteRow::read).collect::<Option<_>>()?,
            state: match self.state {
                StateRow::Pending => State::Pending,
                StateRow::Approved(at) => State::Approved { at: Timestamp::from_unix_s(at) },
                StateRow::Refused => State::Refused,
                StateRow::Redeemed(token) => State::Redeemed { token },
            },
            asked_at: Timestamp::from_unix_s(self.asked_at),
            expires_at: Timestamp::from_unix_s(self.expires_at),
            appeal: match self.appeal {
                Some((id, why)) => Some((id.parse().ok()?, why.parse().ok()?)),
                None => None,
            },
        })
    }
}

impl VoteRow {
    fn read(self) -> Option<Vote> {
        Some(Vote {
            approver: self.approver.parse().ok()?,
            presented: match self.presented {
                Some((issuer, through)) => Some(Presented { issuer: issuer.into(), through: through.parse().ok()? }),
                None => None,
            },
            groups: self.groups,
            at: Timestamp::from_unix_s(self.at),
            said: match self.yes {
                Some((rights, ttl_s)) => {
                    Said::Yes { grants: answer::grants(&rights)?, ttl: Duration::from_secs(ttl_s) }
                }
                None => Said::No,
            },
            why: optional(self.why)?,
        })
    }
}

/// Reads a text that may be absent. `None` when it is there and cannot be read.
fn optional<T: std::str::FromStr>(text: Option<String>) -> Option<Option<T>> {
    match text {
        Some(text) => text.parse().ok().map(Some),
        None => Some(None),
    }
}
