//! Tokens that other agents handed to a caller of ours, offline, each behind a handle.
//!
//! Apart from [`crate::cache`], whose tokens were asked for and can be asked for again: these come from elsewhere, are kept
//! until they end, and are never renewed.
//!
//! # Invariants
//!
//! - A token is found only by the caller who brought it, and only while this workload is its holder.
//! - Bounded in number, for each caller and in all.

use crate::cache::Held;
use crumb_attestors::unix_process::LocalIdentity;
use crumb_token::{Denial, Reason, TaskId, Timestamp};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The most handed tokens of one caller.
pub(crate) const PER_CALLER_MAX: usize = 64;
/// The most handed tokens.
pub(crate) const TOTAL_MAX: usize = 512;

/// The tokens that were handed to us.
#[derive(Debug, Default)]
pub(crate) struct Handed(Mutex<HashMap<TaskId, One>>);

#[derive(Debug)]
struct One {
    caller: Arc<LocalIdentity>,
    held: Arc<Held>,
}

impl Handed {
    /// Keeps `held` for `caller` under `fresh`.
    ///
    /// # Errors
    ///
    /// [`Reason::Overloaded`] at either limit.
    pub(crate) fn keep(
        &self,
        fresh: TaskId,
        caller: &Arc<LocalIdentity>,
        held: Arc<Held>,
        now: Timestamp,
    ) -> Result<(), Denial> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, one| one.held.expires_at > now);
        let own = table.values().filter(|one| one.caller == *caller).count();
        if own >= PER_CALLER_MAX || table.len() >= TOTAL_MAX {
            let rule = format!("at most {PER_CALLER_MAX} handed tokens of one caller, and {TOTAL_MAX} in all");
            return Err(Denial::new(Reason::Overloaded).by(rule, "the sidecar").next("wait until some have ended"));
        }
        table.insert(fresh, One { caller: Arc::clone(caller), held });
        Ok(())
    }

    /// Returns what `caller`'s handle stands for, when it is one of these.
    pub(crate) fn find(&self, id: TaskId, caller: &LocalIdentity) -> Option<Arc<Held>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = table.get(&id)?;
        (*one.caller == *caller).then(|| Arc::clone(&one.held))
    }

    /// Returns how many there are.
    pub(crate) fn count(&self, now: Timestamp) -> usize {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.values().filter(|one| one.held.expires_at > now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, caller, key_of, mint_for, session_id, task_id};
    use crumb_sdk::broker::{Exchange, new_request_id};
    use crumb_token::attenuate::Parent;

    fn held() -> Arc<Held> {
        let key = key_of(&caller("/bin/one"), session_id(1), "docs/*");
        let exchange = Exchange {
            request: new_request_id(),
            session: key.session,
            task: None,
            audience: key.audience,
            grants: key.grants,
            ttl: None,
            holder: None,
            process: None,
            handing: None,
        };
        let token = mint_for(&exchange, at(0), 100).token.decode().expect("base64");
        Arc::new(Held::handed(Parent::read(&token).expect("a token")))
    }

    #[test]
    fn only_the_caller_who_brought_it_finds_it() {
        let handed = Handed::default();
        handed.keep(task_id(1), &caller("/bin/one"), held(), at(0)).expect("room");
        assert!(handed.find(task_id(1), &caller("/bin/one")).is_some());
        assert!(handed.find(task_id(1), &caller("/bin/other")).is_none());
        assert!(handed.find(task_id(2), &caller("/bin/one")).is_none());
    }

    #[test]
    fn one_caller_leaves_room_for_others_and_what_has_ended_makes_room() {
        let handed = Handed::default();
        let one = held();
        for n in 0..PER_CALLER_MAX as u128 {
            handed.keep(task_id(n), &caller("/bin/one"), Arc::clone(&one), at(0)).expect("room");
        }
        let refused = handed.keep(task_id(999), &caller("/bin/one"), Arc::clone(&one), at(0)).expect_err("full");
        assert_eq!(refused.reason, Reason::Overloaded);
        handed.keep(task_id(999), &caller("/bin/other"), Arc::clone(&one), at(0)).expect("another caller");
        assert_eq!((handed.count(at(0)), handed.count(at(100))), (PER_CALLER_MAX + 1, 0));
        handed.keep(task_id(999), &caller("/bin/one"), one, at(100)).expect("the others have ended");
    }
}
