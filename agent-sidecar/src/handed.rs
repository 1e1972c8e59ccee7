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
    /// SHA-256 of the token.
    digest: [u8; 32],
    held: Arc<Held>,
}

impl Handed {
    /// Keeps the token with the SHA-256 `digest` for `caller`, and returns its handle: the one it has already, or `fresh`.
    /// At a caller's own limit the one that ends first goes.
    ///
    /// # Errors
    ///
    /// [`Reason::Overloaded`] when there is no room at all.
    pub(crate) fn keep(
        &self,
        fresh: TaskId,
        caller: &Arc<LocalIdentity>,
        digest: [u8; 32],
        held: Arc<Held>,
        now: Timestamp,
    ) -> Result<TaskId, Denial> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, one| one.held.expires_at > now);
        let own: Vec<_> = table.iter().filter(|(_, one)| one.caller == *caller).collect();
        if let Some((id, _)) = own.iter().find(|(_, one)| one.digest == digest) {
            return Ok(**id);
        }
        if own.len() >= PER_CALLER_MAX {
            let oldest = own.iter().min_by_key(|(_, one)| one.held.expires_at).map(|(id, _)| **id);
            oldest.map(|id| table.remove(&id));
        } else if table.len() >= TOTAL_MAX {
            let rule = format!("at most {TOTAL_MAX} handed tokens");
            return Err(Denial::new(Reason::Overloaded).by(rule, "the sidecar").next("wait until some have ended"));
        }
        table.insert(fresh, One { caller: Arc::clone(caller), digest, held });
        Ok(fresh)
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
    use sha2::Digest as _;

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
        let keep = |id, exe| handed.keep(task_id(id), &caller(exe), [1; 32], held(), at(0)).expect("room");
        assert_eq!(keep(1, "/bin/one"), task_id(1));
        assert_eq!(keep(2, "/bin/one"), task_id(1), "the same token has the same handle");
        assert_eq!(keep(3, "/bin/other"), task_id(3));
        assert!(handed.find(task_id(1), &caller("/bin/one")).is_some());
        assert!(handed.find(task_id(1), &caller("/bin/other")).is_none());
        assert!(handed.find(task_id(2), &caller("/bin/one")).is_none());
    }

    #[test]
    fn one_caller_leaves_room_for_others_and_what_has_ended_makes_room() {
        let (handed, one) = (Handed::default(), held());
        let keep = |n: u128, exe: &str, now| {
            let digest = sha2::Sha256::digest(n.to_be_bytes()).into();
            handed.keep(task_id(n), &caller(exe), digest, Arc::clone(&one), at(now))
        };
        let per_caller = PER_CALLER_MAX as u128;
        for n in 0..=per_caller {
            keep(n, "/bin/0", 0).expect("its oldest goes");
        }
        assert_eq!(handed.count(at(0)), PER_CALLER_MAX);
        for n in per_caller + 1..=TOTAL_MAX as u128 {
            keep(n, &format!("/bin/{}", n / per_caller), 0).expect("room");
        }
        assert_eq!(keep(9_999, "/bin/late", 0).expect_err("full").reason, Reason::Overloaded);
        keep(9_999, "/bin/late", 100).expect("the others have ended");
        assert_eq!(handed.count(at(0)), 1);
    }
}
