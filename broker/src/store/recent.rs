//! Sessions that were looked at lately, so that a busy one is not read anew for every token.
//!
//! Apart from the store proper because nothing here is true for certain: a session may have been closed, halted or used since.
//! A yes may be built on it, for [`Store::issue`](super::Store::issue) holds that to the store in its transaction; a no may not.
//! Nothing is taken out when the store changes. A session that turned out to be another than is remembered is forgotten, and
//! the next look puts it in as it is.

use crate::session::Session;
use crumb_token::SessionId;
use std::{fmt, sync::Arc};

/// How many sessions are kept; at some kilobytes each, some megabytes.
const LEN_MAX: u64 = 4_096;

/// Sessions by their number.
#[derive(Clone)]
pub(super) struct Recent(moka::sync::Cache<SessionId, Arc<Session>>);

impl Recent {
    /// Begins with none.
    pub(super) fn new() -> Self {
        Self(moka::sync::Cache::new(LEN_MAX))
    }

    /// Returns a session as it was when it was looked at.
    pub(super) fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.0.get(&id)
    }

    /// Keeps a session as it is now.
    pub(super) fn keep(&self, session: &Session) {
        self.0.insert(session.id, Arc::new(session.clone()));
    }

    /// Forgets a session that is not what is remembered of it.
    pub(super) fn forget(&self, id: SessionId) {
        self.0.invalidate(&id);
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recent({})", self.0.entry_count())
    }
}
