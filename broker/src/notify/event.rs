//! One event: what happened, when, and the facts that go with it.

use super::facts::{
    AgentFacts, ApprovalFacts, DriftFacts, DroppedFacts, IssuerFacts, Moment, ReviewFacts, StopFacts, StrangerFacts,
};
use serde::Serialize;
use uuid::Uuid;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $word:literal;)*) => {
        /// What happened. Words are never renamed or reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the word, such as `approval.requested`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// Somebody has to approve something.
    ApprovalRequested, "approval.requested";
    /// Enough have agreed, or somebody refused.
    ApprovalDecided, "approval.decided";
    /// A request was not decided in time, or an approval not used in time.
    ApprovalExpired, "approval.expired";
    /// A session that behaved unlike its kind has only rights of low risk now.
    SessionContracted, "session.contracted";
    /// A session that behaved unlike its kind gets no tokens now.
    SessionHalted, "session.halted";
    /// An operator let a session go on.
    SessionResumed, "session.resumed";
    /// An agent's owner has left.
    AgentOrphaned, "agent.orphaned";
    /// An agent's registration has ended.
    AgentExpired, "agent.expired";
    /// An agent was to be reviewed by a day that has passed.
    AgentReviewOverdue, "agent.review_overdue";
    /// A workload asked in the name of an agent that nobody registered.
    AgentUnknown, "agent.unknown";
    /// An agent was put in quarantine.
    AgentQuarantined, "agent.quarantined";
    /// An agent was retired.
    AgentRetired, "agent.retired";
    /// An operator stopped something.
    KillswitchPulled, "killswitch.pulled";
    /// An operator lifted a stop.
    KillswitchLifted, "killswitch.lifted";
    /// There are no keys of an issuer that count: its tokens are refused.
    IssuerKeysUnavailable, "issuer.keys_unavailable";
    /// Events were dropped: more waited than may, one waited too long, or the receiver would not have it.
    EventsDropped, "events.dropped";
}

/// The facts of an event.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Data {
    /// Of `approval.*`.
    Approval(Box<ApprovalFacts>),
    /// Of `session.contracted` and `session.halted`.
    Drift(Box<DriftFacts>),
    /// Of `session.resumed`.
    Review(Box<ReviewFacts>),
    /// Of `agent.*` but for the next.
    Agent(AgentFacts),
    /// Of `agent.unknown`.
    Stranger(StrangerFacts),
    /// Of `killswitch.*`.
    Stop(StopFacts),
    /// Of `issuer.*`.
    Issuer(IssuerFacts),
    /// Of `events.dropped`.
    Dropped(DroppedFacts),
}

/// An event, as receivers get it.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Its number: the same however often it is sent.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When.
    pub timestamp: Moment,
    /// The facts.
    pub data: Data,
}

impl Event {
    /// Makes an event with a new number.
    pub fn new(kind: Kind, timestamp: Moment, data: Data) -> Self {
        Self { id: format!("evt_{}", Uuid::now_v7().simple()), kind, timestamp, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_word_is_another_and_is_what_goes_out() {
        let words: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
        }
    }
}
