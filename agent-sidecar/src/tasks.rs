//! The handles that callers hold instead of task tokens.
//!
//! A handle names what was asked for, not the token: the token behind it is renewed, and fetched anew when it was lost.
//! It is good for the caller it was given to, and for nobody else.

use crate::request::RequestKey;
use crumb_attestors::unix_process::LocalIdentity;
use crumb_token::{Denial, Reason, SessionId, TaskId, Timestamp};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The most handles of one caller: several tool servers in each of many sessions.
pub(crate) const PER_CALLER_MAX: usize = 512;
/// The most handles, at about one KiB each.
pub(crate) const TOTAL_MAX: usize = 4096;

#[derive(Debug)]
struct Task {
    key: Arc<RequestKey>,
    /// The end of its session.
    ends: Timestamp,
}

/// The handles in use.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<TaskId, Task>,
    by_key: HashMap<Arc<RequestKey>, TaskId>,
}

impl Table {
    fn forget(&mut self, gone: impl Fn(&Task) -> bool) {
        self.by_id.retain(|_, task| !gone(task));
        let by_id = &self.by_id;
        self.by_key.retain(|_, id| by_id.contains_key(id));
    }
}

impl Tasks {
    /// Returns the handle for `key`, good until `ends`: the one it has already, or `fresh`.
    ///
    /// # Errors
    ///
    /// [`Reason::Overloaded`] at either limit.
    pub(crate) fn add(
        &self,
        key: Arc<RequestKey>,
        ends: Timestamp,
        fresh: TaskId,
        now: Timestamp,
    ) -> Result<TaskId, Denial> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.forget(|task| task.ends <= now);
        if let Some(id) = table.by_key.get(&key) {
            return Ok(*id);
        }
        let own = table.by_id.values().filter(|task| task.key.caller == key.caller).count();
        if own >= PER_CALLER_MAX || table.by_id.len() >= TOTAL_MAX {
            let rule = format!("at most {PER_CALLER_MAX} tasks of one caller, and {TOTAL_MAX} in all");
            return Err(Denial::new(Reason::Overloaded).by(rule, "the sidecar").next("close sessions that are done"));
        }
        table.by_key.insert(Arc::clone(&key), fresh);
        table.by_id.insert(fresh, Task { key, ends });
        Ok(fresh)
    }

    /// Returns what `caller`'s handle stands for.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`], also for another caller's handle.
    pub(crate) fn find(&self, id: TaskId, caller: &LocalIdentity, now: Timestamp) -> Result<Arc<RequestKey>, Denial> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = table.by_id.get(&id).filter(|task| *task.key.caller == *caller && task.ends > now);
        found.map(|task| Arc::clone(&task.key)).ok_or_else(|| {
            Denial::new(Reason::SessionUnknown)
                .asked(id)
                .by("tasks by caller", "the sidecar")
                .next("open a session and begin the task in it")
        })
    }

    /// Forgets the handles of a session.
    pub(crate) fn remove_session(&self, session: SessionId) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.forget(|task| task.key.session == session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, caller, key_of, session_id, task_id};

    fn key(exe: &str, session: u128) -> Arc<RequestKey> {
        Arc::new(key_of(&caller(exe), session_id(session), "docs/*"))
    }

    #[test]
    fn only_the_caller_it_was_given_to_can_use_a_handle() {
        let tasks = Tasks::default();
        let id = tasks.add(key("/bin/one", 1), at(100), task_id(1), at(0)).expect("room");
        assert!(tasks.find(id, &caller("/bin/one"), at(0)).is_ok());
        let denial = tasks.find(id, &caller("/bin/other"), at(0)).expect_err("not its own");
        assert_eq!(denial.reason, Reason::SessionUnknown);
    }

    #[test]
    fn the_same_request_has_the_same_handle() {
        let tasks = Tasks::default();
        let first = tasks.add(key("/bin/one", 1), at(100), task_id(1), at(0)).expect("room");
        assert_eq!(tasks.add(key("/bin/one", 1), at(100), task_id(2), at(0)), Ok(first));
        assert_eq!(tasks.add(key("/bin/other", 1), at(100), task_id(3), at(0)), Ok(task_id(3)));
    }

    #[test]
    fn handles_end_with_their_session() {
        let tasks = Tasks::default();
        let id = tasks.add(key("/bin/one", 1), at(100), task_id(1), at(0)).expect("room");
        assert!(tasks.find(id, &caller("/bin/one"), at(100)).is_err());
        tasks.remove_session(session_id(1));
        assert!(tasks.find(id, &caller("/bin/one"), at(0)).is_err());
        assert_eq!(tasks.add(key("/bin/one", 1), at(100), task_id(2), at(0)), Ok(task_id(2)));
    }

    #[test]
    fn one_caller_holds_no_more_than_its_share() {
        let tasks = Tasks::default();
        for n in 0..PER_CALLER_MAX as u128 {
            tasks.add(key("/bin/one", n), at(100), task_id(n), at(0)).expect("room");
        }
        let denial = tasks.add(key("/bin/one", 9999), at(100), task_id(9999), at(0)).expect_err("full");
        assert_eq!(denial.reason, Reason::Overloaded);
        assert!(tasks.add(key("/bin/other", 1), at(100), task_id(10_000), at(0)).is_ok());
    }
}
