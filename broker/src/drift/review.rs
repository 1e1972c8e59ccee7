//! What is held against a session until somebody has looked at it.

use super::Finding;
use crumb_token::{Denial, Reason, SessionId, Timestamp};

/// What was found, and what followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The session that it is about: the one that is held, or one above it.
    pub session: SessionId,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub finding: Finding,
}

/// Whether a session waits for review: by itself, or with a session above it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Review {
    /// It gets no tokens.
    pub halt: Option<Held>,
    /// It gets only rights of low risk.
    pub contraction: Option<Held>,
    /// Its tokens that say they were issued until then are revoked.
    pub tokens_ended: Option<Timestamp>,
    /// How many times it was halted, contracted or resumed, and the sessions above it: a decision that was made from another
    /// number counts no more.
    pub changes: u64,
}

impl Review {
    /// Adds what is held against a session above.
    pub fn merge(&mut self, above: Self) {
        let Self { halt, contraction, tokens_ended, changes } = above;
        self.halt = self.halt.take().or(halt);
        self.contraction = self.contraction.take().or(contraction);
        self.tokens_ended = self.tokens_ended.max(tokens_ended);
        self.changes = self.changes.saturating_add(changes);
    }

    /// Refuses whatever is asked in a session that is halted.
    ///
    /// # Errors
    ///
    /// `session_halted`, with the rule and its numbers.
    pub fn check_halt(&self) -> Result<(), Denial> {
        let Some(Held { session, finding, .. }) = &self.halt else { return Ok(()) };
        let next = format!(
            "have the agent's owner look at it, and an operator resume it: `crumb session resume {session} --why …`"
        );
        let denial = Denial::new(Reason::SessionHalted).asked(session).by(finding, "the broker's configuration");
        Err(denial.next(next))
    }

    /// Refuses a token in the very second in which the tokens before it were revoked: nobody could tell it from those.
    ///
    /// # Errors
    ///
    /// `overloaded`, which is asked again.
    pub fn check_moment(&self, now: Timestamp) -> Result<(), Denial> {
        if !self.has_ended(now) {
            return Ok(());
        }
        let rule = "the session's tokens were revoked in this second";
        Err(Denial::new(Reason::Overloaded).by(rule, "the broker").next("ask again in a second"))
    }

    /// Says whether a token that was issued then is revoked with the session's tokens.
    pub fn has_ended(&self, issued_at: Timestamp) -> bool {
        self.tokens_ended.is_some_and(|ended| issued_at <= ended)
    }
}
