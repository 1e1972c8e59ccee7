//! How many requests are being answered, by caller and in all. One caller that floods must not starve the others.

use crumb_attestors::unix_process::LocalIdentity;
use crumb_token::{Denial, Reason};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The most requests of one caller at a time. An agent that makes more calls at once than this does not wait for answers.
pub(crate) const PER_CALLER_MAX: usize = 64;
/// The most requests at a time. Each may hold a thread of the blocking pool (512 by default) for its attestation.
pub(crate) const TOTAL_MAX: usize = 384;

/// The count.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashMap<Arc<LocalIdentity>, usize>>>);

/// One request being answered; dropped when it has been.
#[derive(Debug)]
pub(crate) struct Turn {
    count: InFlight,
    caller: Arc<LocalIdentity>,
}

impl InFlight {
    /// Takes a turn for `caller`.
    ///
    /// # Errors
    ///
    /// [`Reason::Overloaded`] at either limit.
    pub(crate) fn enter(&self, caller: &Arc<LocalIdentity>) -> Result<Turn, Denial> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.get(caller).copied().unwrap_or(0);
        let total: usize = counts.values().sum();
        if own >= PER_CALLER_MAX || total >= TOTAL_MAX {
            let rule = format!("at most {PER_CALLER_MAX} requests of one caller, and {TOTAL_MAX} in all, at a time");
            return Err(Denial::new(Reason::Overloaded).by(rule, "the sidecar"));
        }
        counts.insert(Arc::clone(caller), own + 1);
        Ok(Turn { count: self.clone(), caller: Arc::clone(caller) })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.count.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let count = InFlight::default();
        let turns: Vec<_> = (0..PER_CALLER_MAX).map(|_| count.enter(&caller(1)).expect("below the limit")).collect();
        assert_eq!(count.enter(&caller(1)).expect_err("at the limit").reason, Reason::Overloaded);
        assert!(count.enter(&caller(2)).is_ok());
        drop(turns);
        assert!(count.0.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn all_callers_together_are_bounded() {
        let count = InFlight::default();
        let turns: Vec<_> = (0u32..).map_while(|n| count.enter(&caller(n)).ok()).collect();
        assert_eq!(turns.len(), TOTAL_MAX);
    }
}
