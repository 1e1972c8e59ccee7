//! Revoking, the kill switch, and lifting it, end to end. Operators ask for these, on the admin socket.

use super::{Broker, Refused};
use crate::{
    audit::{Kind, Record},
    feed, rotation,
    stops::{Pull, Scope, Stop, Stops},
    store::{Ended, Ending, OnEnded},
};
use crumb_proto::{Violations, wire};
use crumb_token::{
    AgentName, Denial, KeyId, Owner, Reason, RecordId, Timestamp, bounded_text, origin::Principal, revocation::Target,
    text::is_printable,
};
use std::{collections::BTreeSet, sync::Arc};
use uuid::Uuid;

bounded_text! {
    /// Why an operator does something, in one sentence.
    Why, 500, is_printable
}

/// The most targets of one revocation: as many agents as one person answers for, and as a registry has.
const TARGETS_MAX: usize = 1_000;

/// What is to be ended, well-formed.
#[derive(Debug)]
struct Wanted {
    what: What,
    why: Why,
    stop: Option<Scope>,
}

#[derive(Debug)]
enum What {
    One(Target),
    Owner(Owner),
    Everything,
}

/// What was ended, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// What was revoked, each by itself.
    pub targets: Vec<Target>,
    /// Open sessions that were closed with it.
    pub sessions: u64,
    /// The number of the last revocation; `None` when it was only counted, or there was nothing to revoke.
    pub sequence: Option<u64>,
}

impl Broker {
    /// Revokes, for the operator `by`; with `dry_run` it only counts.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing was ended.
    pub async fn revoke(&self, wire: wire::RevokeRequest, by: &str) -> Result<Revoked, Refused> {
        let _place = self.admit()?;
        let wanted = read(&wire).map_err(Refused::Malformed)?;
        let now = self.clock.now().wall;
        self.within_limit(async {
            let targets = self.targets(&wanted.what, now).await?;
            if targets.len() > TARGETS_MAX {
                let rule = format!("at most {TARGETS_MAX} at once");
                return Err(Denial::new(Reason::Overloaded).by(rule, "the broker").into());
            }
            if wire.dry_run {
                let sessions = self.store.count_ending(targets.clone(), now).await.map_err(Denial::from)?;
                return Ok(Revoked { targets, sessions, sequence: None });
            }
            self.end(&wanted, targets, by).await
        })
        .await
    }

    async fn end(&self, wanted: &Wanted, targets: Vec<Target>, by: &str) -> Result<Revoked, Refused> {
        let mut record = self.operation(Kind::Revoke, by);
        let named: Vec<String> = targets.iter().take(16).map(ToString::to_string).collect();
        let stopping = if wanted.stop.is_some() { " and stop" } else { "" };
        record.detail = crate::audit::cut(&format!("revoke{stopping} {}: {}", named.join(", "), wanted.why));
        record.allow();
        let since = self.clock.now().wall;
        let stop =
            wanted.stop.clone().map(|scope| (scope, Stop { since, by: by.to_owned(), why: wanted.why.to_string() }));
        let pull = stop.as_ref().map(|(scope, stop)| self.stops.pull(scope, stop)).transpose()?;
        // The stop is in force before the writing thread reads the time: whatever got past it was issued no later, and is
        // revoked. When nobody knows what became of the write, it stays in force.
        let clock = Arc::clone(&self.clock);
        let ending = Ending { targets: targets.clone(), clock, live_max: feed::REVOCATIONS_MAX, stop };
        match self.store.revoke(ending, record, self.on_ended(pull)).await.map_err(Denial::from)? {
            Ended::Revoked { sequence, sessions } => {
                self.turn_away_from(&targets).await;
                Ok(Revoked { sequence: (!targets.is_empty()).then_some(sequence), targets, sessions })
            }
            Ended::TooManyRevocations => Err(Denial::new(Reason::Overloaded)
                .by(format!("at most {} revocations are in force", feed::REVOCATIONS_MAX), "the broker")
                .next("revoke something wider: a session, an agent, a key")
                .into()),
        }
    }

    /// What is done once an ending is committed, on the writing thread, so that memory changes in the order of commits.
    pub(super) fn on_ended(&self, pull: Option<Pull>) -> OnEnded {
        let feed = Arc::clone(&self.feed);
        Box::new(move |ended, revocations| {
            match (pull, ended) {
                (Some(pull), Ended::Revoked { .. }) => pull.keep(),
                (Some(pull), Ended::TooManyRevocations) => pull.take_back(),
                (None, _) => {}
            }
            feed.revoke(revocations);
        })
    }

    /// Signs no more with keys that were revoked, and begins with another one at once.
    async fn turn_away_from(&self, targets: &[Target]) {
        let key = |target: &Target| if let Target::Key(id) = target { Some(*id) } else { None };
        let revoked: Vec<KeyId> = targets.iter().filter_map(key).collect();
        if revoked.is_empty() {
            return;
        }
        self.keys.revoke(&revoked);
        match rotation::turn(&self.keys, self.store.as_ref(), self.clock.now().wall).await {
            Ok(_) => self.feed.announce_keys(),
            Err(error) => tracing::error!(%error, "a signing key was revoked, and there is no other yet"),
        }
    }

    /// Lifts a stop, for the operator `by`. `false` when there was none.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing was lifted.
    pub async fn lift(&self, wire: wire::LiftRequest, by: &str) -> Result<bool, Refused> {
        let _place = self.admit()?;
        let mut v = Violations::default();
        let scope = scope(&mut v, &wire.kind, &wire.name);
        let why: Option<Why> = v.parse("why", &wire.why);
        let (Some(scope), Some(why)) = (scope, why) else { return Err(Refused::Malformed(v)) };
        let mut record = self.operation(Kind::Lift, by);
        record.detail = crate::audit::cut(&format!("lift the stop of {scope}: {why}"));
        record.allow();
        let (switch, what) = (Arc::clone(&self.stops), scope.clone());
        let committed = Box::new(move || switch.lifted(&what));
        self.within_limit(async { Ok(self.store.lift(scope, record, committed).await.map_err(Denial::from)?) }).await
    }

    /// Returns everything that is stopped.
    pub fn stops(&self) -> Arc<Stops> {
        self.stops.load()
    }

    /// Begins the record of what an operator does.
    pub(crate) fn operation(&self, kind: Kind, by: &str) -> Record {
        let id = RecordId::from_uuid(Uuid::now_v7());
        let mut record = Record::new(id, self.clock.unix_ms(), kind, self.registry().version());
        record.peer = by.to_owned();
        record
    }

    /// Spells out what to revoke. A person, and everything, are the agents that act.
    async fn targets(&self, what: &What, now: Timestamp) -> Result<Vec<Target>, Denial> {
        let owner = match what {
            What::One(target) => return Ok(vec![target.clone()]),
            What::Owner(owner) => Some(owner.clone()),
            What::Everything => None,
        };
        let registry = self.registry();
        let registered = registry
            .agents()
            .filter(|a| owner.as_ref().is_none_or(|o| a.owner.as_str().eq_ignore_ascii_case(o.as_str())));
        let mut names: BTreeSet<AgentName> = registered.map(|agent| agent.name.clone()).collect();
        names.extend(self.store.acting_agents(owner, now).await?);
        Ok(names.into_iter().map(Target::Agent).collect())
    }
}

fn read(wire: &wire::RevokeRequest) -> Result<Wanted, Violations> {
    let mut v = Violations::default();
    let what = match wire.kind.as_str() {
        "everything" if wire.name.is_empty() => Some(What::Everything),
        "owner" => v.parse("name", &wire.name).map(What::Owner),
        "subject" => {
            let name: Option<Principal> = v.parse("name", &wire.name);
            name.map(|name| What::One(Target::Subject(name.in_one_spelling())))
        }
        kind => {
            let target = Target::from_words(kind, &wire.name).map(What::One);
            if target.is_none() {
                v.add("kind", "and name say nothing that can be revoked");
            }
            target
        }
    };
    let why = v.parse("why", &wire.why);
    let stop = if wire.stop { scope(&mut v, &wire.kind, &wire.name).map(Some) } else { Some(None) };
    let wanted = || Some(Wanted { what: what?, why: why?, stop: stop? });
    wanted().filter(|_| v.is_empty()).ok_or(v)
}

fn scope(v: &mut Violations, kind: &str, name: &str) -> Option<Scope> {
    let scope = Scope::from_words(kind, name);
    if scope.is_none() {
        v.add("kind", "and name say nothing that can be stopped: agent, owner, tool_server, subject or everything");
    }
    scope
}
