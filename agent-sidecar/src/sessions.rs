//! Which local caller has which session: who opened it, or took over one that was delegated. Only that caller may use or
//! close it.
//!
//! In memory alone: after a restart agents open new sessions, and the broker ends the old ones in time.

use crumb_attestors::unix_process::LocalIdentity;
use crumb_token::{AgentName, Denial, Reason, SessionId, SpiffeId, Timestamp};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// The most open sessions of one caller. One process that opens more has lost count.
pub(crate) const PER_CALLER_MAX: usize = 64;
/// The most open sessions: a busy host's agents, at some hundred bytes each.
pub(crate) const TOTAL_MAX: usize = 1024;

/// An open session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Whose it is.
    pub(crate) caller: Arc<LocalIdentity>,
    /// The agent it acts as.
    pub(crate) agent: AgentName,
    /// The agent's own SPIFFE ID, once it was asked for.
    pub(crate) agent_id: Arc<OnceCell<SpiffeId>>,
    /// Its end.
    pub(crate) expires_at: Timestamp,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    /// From the moment that its caller wants it closed: then it can only be closed, again and again until it is.
    closing: bool,
}

/// The open sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<SessionId, Entry>>);

impl Sessions {
    /// Makes sure that `caller` may open one more.
    ///
    /// # Errors
    ///
    /// [`Reason::TooManySessions`] at either limit.
    pub(crate) fn ensure_room(&self, caller: &LocalIdentity, now: Timestamp) -> Result<(), Denial> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, entry| entry.session.expires_at > now);
        let own = sessions.values().filter(|entry| *entry.session.caller == *caller).count();
        if own >= PER_CALLER_MAX || sessions.len() >= TOTAL_MAX {
            let rule = format!("at most {PER_CALLER_MAX} open sessions of one caller, and {TOTAL_MAX} in all");
            return Err(Denial::new(Reason::TooManySessions).by(rule, "the sidecar"));
        }
        Ok(())
    }

    /// Notes a session of the caller that it names. One that is noted for somebody else stays theirs.
    ///
    /// # Errors
    ///
    /// As [`Self::ensure_room`]: others may have been quicker. [`Reason::SessionUnknown`] when it has another caller.
    pub(crate) fn add(&self, id: SessionId, session: Session, now: Timestamp) -> Result<(), Denial> {
        self.ensure_room(&session.caller, now)?;
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sessions.get(&id) {
            Some(entry) if entry.is_of(&session.caller, now) => Ok(()),
            Some(entry) if entry.session.expires_at > now => Err(unknown(id)),
            _ => {
                sessions.insert(id, Entry { session, closing: false });
                Ok(())
            }
        }
    }

    /// Returns `caller`'s session.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`], also for another caller's session: whether it exists is not this caller's to know.
    /// [`Reason::SessionClosed`] once it is being closed.
    pub(crate) fn find(&self, id: SessionId, caller: &LocalIdentity, now: Timestamp) -> Result<Session, Denial> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = sessions.get(&id).filter(|entry| entry.is_of(caller, now)).ok_or_else(|| unknown(id))?;
        if entry.closing { Err(Denial::new(Reason::SessionClosed).asked(id)) } else { Ok(entry.session.clone()) }
    }

    /// Lets `caller`'s session be used no more.
    ///
    /// # Errors
    ///
    /// [`Reason::SessionUnknown`], as in [`Self::find`].
    pub(crate) fn begin_closing(&self, id: SessionId, caller: &LocalIdentity, now: Timestamp) -> Result<(), Denial> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = sessions.get_mut(&id).filter(|entry| entry.is_of(caller, now)).ok_or_else(|| unknown(id))?;
        entry.closing = true;
        Ok(())
    }

    /// Forgets a session.
    pub(crate) fn remove(&self, id: SessionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Returns how many are open.
    pub(crate) fn count(&self, now: Timestamp) -> usize {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.values().filter(|entry| entry.session.expires_at > now).count()
    }
}

impl Entry {
    fn is_of(&self, caller: &LocalIdentity, now: Timestamp) -> bool {
        *self.session.caller == *caller && self.session.expires_at > now
    }
}

/// Says that a caller has no such session, in the same words whether there is one or not.
pub(crate) fn unknown(id: SessionId) -> Denial {
    Denial::new(Reason::SessionUnknown).asked(id).by("sessions by caller", "the sidecar")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, caller, session_id};

    fn session(caller: &Arc<LocalIdentity>, end: u64) -> Session {
        Session {
            caller: Arc::clone(caller),
            agent: "bot".parse().expect("a name"),
            agent_id: Arc::default(),
            expires_at: at(end),
        }
    }

    #[test]
    fn only_the_caller_who_opened_it_finds_it() {
        let (sessions, one, other) = (Sessions::default(), caller("/bin/one"), caller("/bin/other"));
        sessions.add(session_id(1), session(&one, 100), at(0)).expect("room");
        assert_eq!(sessions.find(session_id(1), &one, at(0)).expect("own").agent.as_str(), "bot");
        for denial in [sessions.find(session_id(1), &other, at(0)), sessions.find(session_id(2), &one, at(0))] {
            assert_eq!(denial.expect_err("not its own").reason, Reason::SessionUnknown);
        }
    }

    #[test]
    fn a_session_has_the_caller_who_came_first() {
        let (sessions, one, other) = (Sessions::default(), caller("/bin/one"), caller("/bin/other"));
        sessions.add(session_id(1), session(&one, 100), at(0)).expect("room");
        let denial = sessions.add(session_id(1), session(&other, 100), at(0)).expect_err("it has a caller");
        assert_eq!(denial.reason, Reason::SessionUnknown);
        sessions.add(session_id(1), session(&one, 100), at(0)).expect("its own");
        sessions.begin_closing(session_id(1), &one, at(0)).expect("its own");
        sessions.add(session_id(1), session(&one, 100), at(0)).expect("its own");
        assert_eq!(sessions.find(session_id(1), &one, at(0)).expect_err("closing").reason, Reason::SessionClosed);
        assert!(sessions.find(session_id(1), &other, at(0)).is_err());
    }

    #[test]
    fn what_is_being_closed_can_only_be_closed() {
        let (sessions, one, other) = (Sessions::default(), caller("/bin/one"), caller("/bin/other"));
        sessions.add(session_id(1), session(&one, 100), at(0)).expect("room");
        assert!(sessions.begin_closing(session_id(1), &other, at(0)).is_err());
        assert!(sessions.find(session_id(1), &one, at(0)).is_ok());
        sessions.begin_closing(session_id(1), &one, at(0)).expect("its own");
        assert_eq!(sessions.find(session_id(1), &one, at(0)).expect_err("closing").reason, Reason::SessionClosed);
        sessions.begin_closing(session_id(1), &one, at(0)).expect("again");
    }

    #[test]
    fn forgets_at_the_end() {
        let (sessions, one) = (Sessions::default(), caller("/bin/one"));
        sessions.add(session_id(1), session(&one, 100), at(0)).expect("room");
        assert!(sessions.find(session_id(1), &one, at(100)).is_err());
        assert_eq!(sessions.count(at(100)), 0);
    }

    #[test]
    fn one_caller_opens_no_more_than_its_share_and_ended_ones_make_room() {
        let (sessions, one) = (Sessions::default(), caller("/bin/one"));
        for n in 0..PER_CALLER_MAX as u128 {
            sessions.add(session_id(n), session(&one, 100), at(0)).expect("room");
        }
        let denial = sessions.add(session_id(999), session(&one, 100), at(0)).expect_err("full");
        assert_eq!(denial.reason, Reason::TooManySessions);
        assert!(sessions.ensure_room(&caller("/bin/other"), at(0)).is_ok());
        assert!(sessions.add(session_id(999), session(&one, 200), at(100)).is_ok());
    }
}
