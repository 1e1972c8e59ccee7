//! Requests for approval: what is asked, who has to agree, who did, and what it is good for.
//!
//! Pure: the flow around it fetches, commits and tells. A request is bound to the digest of the exact ask ([`Wanted`]); an
//! approval of one ask is no approval of another, and is redeemed once.
//!
//! # Invariants
//!
//! - Whoever asks, is asked for, acted above, or answers for any agent in the chain, approves nothing of it, and no workload
//!   that acts as an agent brings a person's word ([`Electorate`]).
//! - One person has one vote, however the name is written. A refusal ends it, and stands for the same ask with another
//!   lifetime or step ([`gist`]) until it is appealed, once.
//! - What was approved is never wider or longer than what was asked: the meet of the ask and every vote.
//! - Votes count again when an approval is redeemed: for what policy wants then, from those who may approve then.

mod eligible;
mod places;
mod viewer;
mod wanted;

pub use eligible::{Approver, Electorate, InvalidApprover, groups_of};
pub use places::{Place, Places};
pub use viewer::{InvalidPresenter, Presented, Presenter, Viewer};
pub use wanted::{Wanted, digest, gist};

use crate::session::Session;
use crumb_token::{ApprovalId, Denial, Grants, Reason, Timestamp, bounded_text, text::is_printable};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// How long a request waits for approval at most; its session's end may be sooner.
pub const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// How long an approval is good for once it is given: long enough to ask again, too short to be kept for later.
pub const GOOD_FOR: Duration = Duration::from_secs(15 * 60);

/// The most votes on one request.
pub const VOTES_MAX: usize = 64;

bounded_text! {
    /// Why somebody approved, refused or appeals, in one sentence.
    Why, 500, is_printable
}

/// So many people of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The group: the name of an ApprovalRule.
    pub group: String,
    /// How many of it.
    pub count: u32,
}

/// One person's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub approver: Approver,
    /// For a person: whose word it was, and who brought it.
    pub presented: Option<Presented>,
    /// The groups that this counts for.
    pub groups: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// Yes, or no.
    pub said: Said,
    /// Why.
    pub why: Option<Why>,
}

/// What a vote says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Yes, to these rights, for at most so long.
    Yes {
        /// Never wider than what was asked.
        grants: Grants,
        /// Zero for what was asked.
        ttl: Duration,
    },
    /// No.
    No,
}

/// Where a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// More votes are needed.
    Pending,
    /// Enough have agreed; it can be redeemed.
    Approved {
        /// Since when.
        at: Timestamp,
    },
    /// Somebody said no.
    Refused,
    /// It became a token.
    Redeemed {
        /// Which.
        token: String,
    },
}

impl State {
    /// All words of [`word`](Self::word).
    pub const WORDS: [&'static str; 5] = ["pending", "approved", "refused", "redeemed", "expired"];

    /// Returns the word that wire, store and trail carry; `now` tells whether it is over.
    pub fn word(&self, expires_at: Timestamp, now: Timestamp) -> &'static str {
        match self {
            Self::Redeemed { .. } => "redeemed",
            Self::Refused => "refused",
            Self::Pending | Self::Approved { .. } if now >= expires_at => "expired",
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
        }
    }
}

/// A request for approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Its number.
    pub id: ApprovalId,
    /// What is asked.
    pub wanted: Wanted,
    /// Who has to agree: all of these.
    pub needs: Vec<Need>,
    /// Why policy wants it.
    pub because: Vec<String>,
    /// The highest risk of the tools asked for.
    pub risk: String,
    /// Who agreed, or did not.
    pub votes: Vec<Vote>,
    /// Where it is.
    pub state: State,
    /// Since when.
    pub asked_at: Timestamp,
    /// Until when it can be decided, or, once approved, redeemed.
    pub expires_at: Timestamp,
    /// The refused request that it appeals, and why.
    pub appeal: Option<(ApprovalId, Why)>,
}

impl Approval {
    /// Begins one, for `session`.
    pub fn ask(id: ApprovalId, wanted: Wanted, needs: Vec<Need>, session: &Session, now: Timestamp) -> Self {
        Self {
            id,
            wanted,
            needs,
            because: Vec::new(),
            risk: String::new(),
            votes: Vec::new(),
            state: State::Pending,
            asked_at: now,
            expires_at: now.plus(WAIT_MAX).min(session.expires_at),
            appeal: None,
        }
    }

    /// Returns how many of `group` have agreed.
    pub fn agreed(&self, group: &str) -> u32 {
        let yes = |vote: &&Vote| matches!(vote.said, Said::Yes { .. }) && vote.groups.iter().any(|g| g == group);
        u32::try_from(self.votes.iter().filter(yes).count()).unwrap_or(u32::MAX)
    }

    /// Takes a vote of somebody who may vote.
    ///
    /// # Errors
    ///
    /// `approval_used` when it is decided, `approval_expired` when it is over, `not_an_approver` for a second vote.
    pub fn vote(&mut self, vote: Vote, now: Timestamp) -> Result<(), Denial> {
        let refuse = |reason: Reason| Denial::new(reason).asked(self.id);
        match self.state {
            State::Pending if now >= self.expires_at => return Err(refuse(Reason::ApprovalExpired)),
            State::Pending => {}
            _ => return Err(refuse(Reason::ApprovalUsed)),
        }
        if self.votes.iter().any(|v| v.approver.is_same(&vote.approver)) {
            return Err(refuse(Reason::NotAnApprover).by("one vote for each person", "the broker"));
        }
        if self.votes.len() >= VOTES_MAX {
            return Err(refuse(Reason::Overloaded).by(format!("at most {VOTES_MAX} votes"), "the broker"));
        }
        let no = vote.said == Said::No;
        self.votes.push(vote);
        if no {
            self.state = State::Refused;
        } else if self.needs.iter().all(|need| self.agreed(&need.group) >= need.count) {
            self.state = State::Approved { at: now };
            self.expires_at = self.expires_at.min(now.plus(GOOD_FOR));
        }
        Ok(())
    }

    /// Returns what was approved: what was asked, narrowed by every vote.
    ///
    /// # Errors
    ///
    /// `nothing_granted` when the votes leave nothing in common.
    pub fn granted(&self) -> Result<(Grants, Duration), Denial> {
        let mut grants = self.wanted.grants.clone();
        let mut ttl = self.wanted.ttl;
        for vote in &self.votes {
            let Said::Yes { grants: given, ttl: shorter } = &vote.said else { continue };
            let nothing = |_| Denial::new(Reason::TooManyGrants).asked(self.id);
            grants = grants.meet(given).map_err(nothing)?;
            ttl = shortest(ttl, *shorter);
        }
        if grants.is_empty() {
            return Err(Denial::new(Reason::NothingGranted).asked(self.id).by("the approvers' votes", "the approvers"));
        }
        Ok((grants, ttl))
    }

    /// Says what an ask that comes again is told while this is where it is. `None` when it can be redeemed.
    pub fn answer(&self, now: Timestamp) -> Option<Denial> {
        let groups: BTreeSet<&str> = self.needs.iter().map(|need| need.group.as_str()).collect();
        let groups = groups.into_iter().collect::<Vec<_>>().join(", ");
        let because = self.because.first().map_or("the issuance policy", String::as_str);
        let denial = |reason: Reason| Denial::new(reason).asked(self.id).by(because, "the issuance policy");
        match &self.state {
            State::Redeemed { .. } => Some(denial(Reason::ApprovalUsed)),
            State::Refused => {
                let by = self.votes.iter().find(|v| v.said == Said::No);
                let why = by.and_then(|v| v.why.as_ref()).map_or("no reason given", Why::as_str);
                let who = by.map_or_else(|| "an approver".to_owned(), |v| v.approver.to_string());
                Some(Denial::new(Reason::ApprovalDenied).asked(self.id).by(why, who))
            }
            _ if now >= self.expires_at => Some(denial(Reason::ApprovalExpired)),
            State::Approved { .. } => None,
            State::Pending => Some(denial(Reason::ApprovalNeeded).next(format!(
                "wait until {groups} approves {id}: `crumb requests`, `crumb approve {id}`; then ask the same again",
                id = self.id
            ))),
        }
    }
}

/// Returns the shorter of two times, of which zero is none.
fn shortest(a: Duration, b: Duration) -> Duration {
    match (a.is_zero(), b.is_zero()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.min(b),
    }
}

#[cfg(test)]
mod tests;
