//! An agent that calls without a pause, and what it was answered when: how the end of its token is seen from outside.

use super::cast::reading;
use crate::{actor::Actor, exit::Failure};
use crumb_identity::SystemClock;
use crumb_token::Clock;
use std::{cell::Cell, time::Duration};

/// When somebody was told that it is done, once they were.
pub(super) type Acknowledged = Cell<Option<Duration>>;

/// How long it goes on after that.
pub(super) const AFTERWARDS: Duration = Duration::from_secs(1);

/// What became of one agent's calls.
#[derive(Debug, Default)]
pub(super) struct CallWatch {
    calls: Vec<(Duration, Option<String>)>,
}

/// What is said about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// From the acknowledgement to the first refusal.
    pub(super) first_refusal: Duration,
    /// Calls before it.
    pub(super) before: usize,
    /// Calls after it.
    pub(super) after: usize,
    /// How many of those were allowed.
    pub(super) allowed_after: usize,
    /// Every reason that was given.
    pub(super) reasons: Vec<String>,
}

impl CallWatch {
    /// Calls until a while after the acknowledgement.
    pub(super) async fn keep(
        actor: &mut Actor,
        token: &str,
        clock: SystemClock,
        acknowledged: &Acknowledged,
    ) -> Result<Self, Failure> {
        let order = reading(token, "files", "docs/readme.md");
        let mut watch = Self::default();
        while acknowledged.get().is_none_or(|at| clock.now().ticks < at + AFTERWARDS) {
            let reply = actor.obey(&order).await?;
            watch.saw(clock.now().ticks, reply.refused.map(|refused| refused.reason));
        }
        Ok(watch)
    }

    fn saw(&mut self, at: Duration, refused: Option<String>) {
        self.calls.push((at, refused));
    }

    /// Says how it ended; `None` when nothing was refused.
    pub(super) fn ended(&self, acknowledged: Duration) -> Option<Ended> {
        let before = self.calls.iter().position(|(_, refused)| refused.is_some())?;
        let after = &self.calls[before + 1..];
        let mut reasons: Vec<String> = self.calls.iter().filter_map(|(_, refused)| refused.clone()).collect();
        reasons.dedup();
        Some(Ended {
            first_refusal: self.calls[before].0.saturating_sub(acknowledged),
            before,
            after: after.len(),
            allowed_after: after.iter().filter(|(_, refused)| refused.is_none()).count(),
            reasons,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(calls: &[(u64, Option<&str>)]) -> CallWatch {
        let mut watch = CallWatch::default();
        for (ms, refused) in calls {
            watch.saw(Duration::from_millis(*ms), refused.map(str::to_owned));
        }
        watch
    }

    #[test]
    fn tells_the_first_refusal_and_whatever_was_allowed_after_it() {
        let calls = [(10, None), (20, Some("token_revoked")), (30, Some("token_revoked")), (40, None)];
        let ended = watch(&calls).ended(Duration::from_millis(15)).expect("refused");
        assert_eq!((ended.first_refusal, ended.before), (Duration::from_millis(5), 1));
        assert_eq!((ended.after, ended.allowed_after, ended.reasons), (2, 1, vec!["token_revoked".to_owned()]));
    }

    #[test]
    fn a_refusal_before_the_acknowledgement_took_no_time() {
        let ended = watch(&[(10, Some("token_revoked"))]).ended(Duration::from_millis(15)).expect("refused");
        assert_eq!((ended.first_refusal, ended.after), (Duration::ZERO, 0));
        assert_eq!(watch(&[(10, None)]).ended(Duration::ZERO), None);
    }
}
