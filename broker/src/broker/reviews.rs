//! Counting for drift, listing what is held, and letting it go on, end to end. Operators ask for the last two, on the admin
//! socket.

use super::{Broker, Refused, endings::Why};
use crate::{
    audit::Kind,
    drift::Event,
    feed,
    session::Session,
    store::{OnRevoked, Watch},
};
use crumb_proto::{Violations, wire};
use crumb_token::{Denial, SessionId};
use std::sync::Arc;

impl Broker {
    /// Lets a session go on, for the operator `by`. `false` when nothing is held against it itself.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing was changed.
    pub async fn resume(&self, wire: wire::ResumeRequest, by: &str) -> Result<bool, Refused> {
        let _place = self.admit()?;
        let mut v = Violations::default();
        let id: Option<SessionId> = v.parse("session_id", &wire.session_id);
        let why: Option<Why> = v.parse("why", &wire.why);
        let (Some(id), Some(why)) = (id, why) else { return Err(Refused::Malformed(v)) };
        self.within_limit(async {
            let found = self.store.sessions(vec![id]).await.map_err(Denial::from)?;
            let Some(session) = found.first() else { return Ok(false) };
            let mut record = self.operation(Kind::SessionResume, by);
            record.describe(session);
            let held = session.review.halt.as_ref().or(session.review.contraction.as_ref());
            let was = held.map_or_else(String::new, |held| format!(", held by {}", held.finding));
            record.detail = crate::audit::cut(&format!("resume: {why}{was}"));
            record.allow();
            Ok(self.store.resume(id, record).await.map_err(Denial::from)?)
        })
        .await
    }

    /// Returns the open sessions that are halted or contracted themselves.
    ///
    /// # Errors
    ///
    /// [`Refused`], when the store does not answer.
    pub async fn held(&self) -> Result<Vec<Session>, Refused> {
        let _place = self.admit()?;
        let now = self.clock.now().wall;
        self.within_limit(async { Ok(self.store.held(now).await.map_err(Denial::from)?) }).await
    }

    /// Counts what an exchange was refused for.
    pub(super) async fn observe(&self, event: Option<Event>) -> Result<(), Denial> {
        let Some(event) = event else { return Ok(()) };
        Ok(self.store.observe(event, self.watch(), self.on_revoked()).await?)
    }

    /// Returns what the store judges behaviour with.
    pub(super) fn watch(&self) -> Watch {
        Watch {
            rules: self.drift,
            clock: Arc::clone(&self.clock),
            live_max: feed::REVOCATIONS_MAX,
            registry_version: self.registry().version().to_owned(),
        }
    }

    /// Returns what tells the feed about revocations once they are committed.
    pub(super) fn on_revoked(&self) -> OnRevoked {
        let feed = Arc::clone(&self.feed);
        Box::new(move |revocations: &[_]| feed.revoke(revocations))
    }
}
