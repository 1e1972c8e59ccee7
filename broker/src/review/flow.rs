//! Holding one agent's rights against the trail: read page by page, counted as it comes, told with what is missing.

use super::{
    draft::{self, Draft},
    moment,
    usage::Usage,
};
use crate::{
    broker::Broker,
    clamp::SESSION_MAX,
    registry::{
        Agent, Author, Kept, Key, Kind, ManifestFile, Registry,
        plan::{self, Action, Change, Wanted},
        widening,
    },
    store::SessionStart,
};
use crumb_token::{AgentName, Denial, Reason, SessionId, Timestamp};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// How many sessions one page has.
const SESSIONS_AT_ONCE: u32 = 64;
/// How many records one page has: some milliseconds of a reading thread.
const RECORDS_AT_ONCE: u32 = 512;
/// The most sessions of one agent that a review looks at, with those inside them.
const SESSIONS_MAX: usize = 20_000;
/// The most sessions inside one that a review looks at.
const FAMILY_MAX: u32 = 4_096;
/// The most records of one agent that a review looks at.
const RECORDS_MAX: u64 = 200_000;

/// From when to when a review looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    since: Timestamp,
    until: Timestamp,
}

impl Window {
    /// How long when nobody says: a quarter.
    pub const DEFAULT: Duration = Duration::from_secs(90 * 86_400);
    /// The longest: a year, and a month to do the review in.
    pub const MAX: Duration = Duration::from_secs(400 * 86_400);

    /// Looks back from `now`; zero for the default.
    pub fn back(length: Duration, now: Timestamp) -> Self {
        let length = if length.is_zero() { Self::DEFAULT } else { length.min(Self::MAX) };
        Self { since: Timestamp::from_unix_s(now.as_unix_s().saturating_sub(length.as_secs())), until: now }
    }

    /// Returns its beginning, in Unix milliseconds.
    pub fn since_ms(self) -> u64 {
        self.since.as_unix_s().saturating_mul(1000)
    }

    /// Returns its end, in Unix milliseconds.
    pub fn until_ms(self) -> u64 {
        self.until.as_unix_s().saturating_mul(1000)
    }
}

/// What a review says about one agent.
#[derive(Debug)]
pub struct AgentReview {
    /// The snapshot that its rights were read from.
    pub registry: Arc<Registry>,
    /// The agent.
    pub agent: Agent,
    /// Its manifest.
    pub kept: Kept,
    /// From when to when.
    pub window: Window,
    /// How many sessions were looked at.
    pub sessions: u64,
    /// What was used.
    pub usage: Usage,
    /// What the window does not show.
    pub unseen: Vec<String>,
    /// The narrower manifest, when it was asked for.
    pub proposal: Option<Proposal>,
}

/// A narrower manifest, held against the one in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// There is nothing to narrow.
    Keep {
        /// Why, when a narrower one could not be made.
        notes: Vec<String>,
    },
    /// Less would do, or nothing was used.
    Change {
        /// Whether nothing was used.
        aside: bool,
        /// The manifest as it would be applied, without its version.
        text: String,
        /// What applying it does.
        change: Change,
        /// What to look at.
        notes: Vec<String>,
    },
}

/// What was read of the trail.
struct Reading {
    usage: Usage,
    seen: HashSet<SessionId>,
    records: u64,
    cut: bool,
}

impl Broker {
    /// Returns the agents that a review is about, by name.
    ///
    /// # Errors
    ///
    /// `agent_unknown` when one is named that is not registered.
    pub fn to_review(&self, agent: Option<&AgentName>, owner: Option<&str>) -> Result<Vec<AgentName>, Denial> {
        let registry = self.registry();
        if let Some(name) = agent.filter(|name| registry.agent(name).is_none()) {
            return Err(Denial::new(Reason::AgentUnknown).asked(name).by("registry", "the registry's owner"));
        }
        let is_wanted = |a: &&Agent| {
            agent.is_none_or(|name| a.name == *name)
                && owner.is_none_or(|owner| a.owner.as_str().eq_ignore_ascii_case(owner))
        };
        Ok(registry.agents().filter(is_wanted).map(|agent| agent.name.clone()).collect())
    }

    /// Reviews one agent. `None` when it is not registered any more.
    ///
    /// # Errors
    ///
    /// `store_unavailable`, when the trail cannot be read.
    pub async fn review(&self, name: &AgentName, window: Window, propose: bool) -> Result<Option<AgentReview>, Denial> {
        let registry = self.registry();
        let Some(agent) = registry.agent(name).cloned() else { return Ok(None) };
        let Some(kept) = self.manifest_of(name).await? else { return Ok(None) };
        let reading = self.read_usage(&agent, window).await?;
        let mut unseen = self.unseen(&reading, &kept, window).await?;
        unseen.extend(handed(&agent, &registry));
        let Reading { usage, seen, .. } = reading;
        let proposal = match propose {
            true => Some(self.propose(&agent, &registry, &kept, &usage).await?),
            false => None,
        };
        let sessions = u64::try_from(seen.len()).unwrap_or(u64::MAX);
        Ok(Some(AgentReview { registry, agent, kept, window, sessions, usage, unseen, proposal }))
    }

    /// Returns the manifest in force of an agent.
    pub(super) async fn manifest_of(&self, name: &AgentName) -> Result<Option<Kept>, Denial> {
        let shelf = self.shelf().await?;
        let is_it = |key: &Key| key.kind == Kind::Agent && key.name.as_str() == name.as_str();
        Ok(shelf.manifests.into_iter().find(|kept| is_it(&kept.key)))
    }

    /// Reads what was used, the newest sessions first, until the window or a limit ends.
    async fn read_usage(&self, agent: &Agent, window: Window) -> Result<Reading, Denial> {
        let usage = Usage::of(&agent.scopes);
        let mut reading = Reading { usage, seen: HashSet::new(), records: 0, cut: false };
        // A session that was opened before the window may have lived in it.
        let opened = Timestamp::from_unix_s(window.since.as_unix_s().saturating_sub(SESSION_MAX.as_secs()));
        let mut before: Option<SessionStart> = None;
        loop {
            let page = self.store.own_sessions(agent.name.clone(), opened, before, SESSIONS_AT_ONCE).await?;
            for start in &page {
                for session in self.store.family(start.id, FAMILY_MAX).await? {
                    if reading.seen.len() >= SESSIONS_MAX || reading.records >= RECORDS_MAX {
                        reading.cut = true;
                        return Ok(reading);
                    }
                    if reading.seen.insert(session) {
                        self.read_session(&agent.name, session, window, &mut reading).await?;
                    }
                }
            }
            match page.last() {
                Some(last) => before = Some(*last),
                None => return Ok(reading),
            }
        }
    }

    async fn read_session(
        &self,
        agent: &AgentName,
        session: SessionId,
        window: Window,
        reading: &mut Reading,
    ) -> Result<(), Denial> {
        let mut after = 0;
        while reading.records < RECORDS_MAX {
            let page = self.store.used(session, after, window.since_ms(), RECORDS_AT_ONCE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.number;
            reading.records += page.len() as u64;
            page.iter().for_each(|used| reading.usage.take(agent, used));
        }
        Ok(())
    }

    /// Says plainly what the window does not show.
    async fn unseen(&self, reading: &Reading, kept: &Kept, window: Window) -> Result<Vec<String>, Denial> {
        let mut unseen = Vec::new();
        match self.store.trail_start().await? {
            Some(start) if start > window.since_ms() => {
                unseen.push(format!("the trail starts at {}, after the window does", moment(start)));
            }
            Some(_) => {}
            None => unseen.push("there is no trail yet".to_owned()),
        }
        let applied_ms = kept.applied_at.as_unix_s().saturating_mul(1000);
        if applied_ms > window.since_ms() {
            let (version, at) = (kept.version, moment(applied_ms));
            unseen.push(format!(
                "version {version} of the manifest is in force since {at}: before that it may have said other things"
            ));
        }
        if reading.cut {
            let (sessions, records) = (reading.seen.len(), reading.records);
            unseen.push(format!("only the newest {sessions} sessions with {records} records were looked at"));
        }
        let usage = &reading.usage;
        for audience in usage.silent() {
            unseen
                .push(format!("{audience} reported no calls, so tokens for it count as the use of all that they give"));
        }
        if usage.outside > 0 {
            unseen.push(format!("{} calls used rights that the manifest does not give any more", usage.outside));
        }
        if usage.unread > 0 {
            unseen.push(format!("{} records do not say what was called", usage.unread));
        }
        Ok(unseen)
    }

    /// Drafts the narrower manifest, and holds it against the registry as applying it would.
    pub(super) async fn propose(
        &self,
        agent: &Agent,
        registry: &Registry,
        kept: &Kept,
        usage: &Usage,
    ) -> Result<Proposal, Denial> {
        let keep = |note: &str| Ok(Proposal::Keep { notes: vec![note.to_owned()] });
        let (text, mut notes, aside) = match draft::draft(agent, registry, &kept.text, usage) {
            Some(Draft::Keep) => return Ok(Proposal::Keep { notes: Vec::new() }),
            Some(Draft::Narrow { text, mut notes }) => {
                notes.extend(handed(agent, registry));
                (text, notes, false)
            }
            Some(Draft::SetAside { .. }) if let Some(unseen) = handed(agent, registry) => return keep(&unseen),
            Some(Draft::SetAside { text }) => {
                let note = "nothing was used: quarantine has a way back, and removing it has none".to_owned();
                (text, vec![note], true)
            }
            None => return keep("the manifest in force cannot be amended: write the narrower one by hand"),
        };
        // The notes tell what goes with a persona; whoever applies it sees that it is no matter of narrowing alone.
        let persona = agent.persona.as_ref().map(widening::without);
        let is_told = |change: &Change| change.widens.iter().all(|wider| Some(wider) == persona.as_ref());
        match self.look_at(&agent.name, &text, kept.version).await? {
            Some(change) if change.action == Action::Update && is_told(&change) => {
                Ok(Proposal::Change { aside, text, change, notes })
            }
            Some(change) if change.action == Action::Unchanged => Ok(Proposal::Keep { notes }),
            _ => {
                notes.push("the narrower manifest would not be taken: write it by hand".to_owned());
                Ok(Proposal::Keep { notes })
            }
        }
    }

    /// Returns what applying one changed manifest of an agent would do; `None` when it would not be taken, or changes another.
    async fn look_at(&self, agent: &AgentName, text: &str, version: u64) -> Result<Option<Change>, Denial> {
        let wanted = one_manifest(agent, text.to_owned(), version, Author::Operator(String::new()))?;
        let shelf = self.shelf().await?;
        let (registry, now) = (self.registry(), self.clock.now().wall);
        let planned = tokio::task::spawn_blocking(move || plan::plan(&shelf, Some(&registry), &wanted, now)).await;
        let planned = planned.map_err(|_| Denial::new(Reason::Unforeseen))?;
        Ok(planned.ok().and_then(|plan| only_change(&plan.changes, agent).cloned()))
    }
}

/// Says that what an agent does with others' tokens is not counted; nothing of one that is handed none.
fn handed(agent: &Agent, registry: &Registry) -> Option<String> {
    let givers = registry.agents().filter(|other| other.hands_to.contains(&agent.name));
    let givers: Vec<&str> = givers.map(|giver| giver.name.as_str()).collect();
    let from = givers.join(", ");
    (!givers.is_empty())
        .then(|| format!("what it did offline with tokens of {from} is in their sessions, and is not counted here"))
}

/// Wants one agent's manifest to be this, and to have been at `version` before.
pub(super) fn one_manifest(agent: &AgentName, text: String, version: u64, author: Author) -> Result<Wanted, Denial> {
    let key = Key::new(Kind::Agent, agent.as_str()).map_err(|_| Denial::new(Reason::AgentUnknown).asked(agent))?;
    let files = vec![ManifestFile { file: key.file_name().into(), text }];
    Ok(Wanted { author, files, prune: false, expected: BTreeMap::from([(key, version)]) })
}

/// Returns the one change of a plan, when it is of this agent's manifest.
pub(super) fn only_change<'c>(changes: &'c [Change], agent: &AgentName) -> Option<&'c Change> {
    let [change] = changes else { return None };
    let is_it = change.key.kind == Kind::Agent && change.key.name.as_str() == agent.as_str();
    is_it.then_some(change)
}
