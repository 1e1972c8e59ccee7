//! How many requests are being answered, by caller and in all. One caller that floods must not starve the others.

use crumb_attestors::unix_process::LocalIdentity;
use crumb_token::{Denial, Reason};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How many there may be at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    per_caller: usize,
    total: usize,
    /// What is counted, for people.
    what: &'static str,
}

/// Requests. An agent that makes more calls at once does not wait for answers; and each may hold a thread of the blocking
/// pool (512 by default) for its attestation.
pub(crate) const REQUESTS: Limits = Limits { per_caller: 64, total: 384, what: "requests" };

/// Requests that wait for people. They stay for minutes, so they must leave most turns to those that do not.
pub(crate) const WAITS: Limits = Limits { per_caller: 16, total: 96, what: "requests that wait for an approval" };

/// The count.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    counts: Arc<Mutex<HashMap<Arc<LocalIdentity>, usize>>>,
    limits: Limits,
}

/// One request being answered; dropped when it has been.
#[derive(Debug)]
pub(crate) struct Turn {
    count: InFlight,
    caller: Arc<LocalIdentity>,
}

impl InFlight {
    /// Begins with none.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { counts: Arc::default(), limits }
    }

    /// Takes a turn for `caller`.
    ///
    /// # Errors
    ///
    /// [`Reason::Overloaded`] at either limit.
    pub(crate) fn enter(&self, caller: &Arc<LocalIdentity>) -> Result<Turn, Denial> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.get(caller).copied().unwrap_or(0);
        let total: usize = counts.values().sum();
        let Limits { per_caller, total: in_all, what } = self.limits;
        if own >= per_caller || total >= in_all {
            let rule = format!("at most {per_caller} {what} of one caller, and {in_all} in all, at a time");
            return Err(Denial::new(Reason::Overloaded).by(rule, "the sidecar"));
        }
        counts.insert(Arc::clone(caller), own + 1);
        Ok(Turn { count: self.clone(), caller: Arc::clone(caller) })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.count.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.caller) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                counts.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(uid: u32) -> Arc<LocalIdentity> {
        let exe = "/bin/agent".into();
        Arc::new(LocalIdentity { uid, gid: 0, exe, exe_sha256: [0; 32], cgroup: String::new() })
    }

    #[test]
    fn one_caller_cannot_take_every_turn() {
        let count = InFlight::new(REQUESTS);
        let turns: Vec<_> =
            (0..REQUESTS.per_caller).map(|_| count.enter(&caller(1)).expect("below the limit")).collect();
        assert_eq!(count.enter(&caller(1)).expect_err("at the limit").reason, Reason::Overloaded);
        assert!(count.enter(&caller(2)).is_ok());
        drop(turns);
        assert!(count.counts.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn all_callers_together_are_bounded() {
        let count = InFlight::new(REQUESTS);
        let turns: Vec<_> = (0u32..).map_while(|n| count.enter(&caller(n)).ok()).collect();
        assert_eq!(turns.len(), REQUESTS.total);
    }

    #[test]
    fn those_who_wait_for_people_leave_turns_to_the_others() {
        let waits = InFlight::new(WAITS);
        let places: Vec<_> = (0..WAITS.per_caller).map(|_| waits.enter(&caller(1)).expect("below the limit")).collect();
        assert_eq!(waits.enter(&caller(1)).expect_err("at the limit").reason, Reason::Overloaded);
        assert!(places.len() < REQUESTS.per_caller && WAITS.total < REQUESTS.total);
    }
}
