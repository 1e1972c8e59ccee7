//! Applying manifests, end to end: read what is kept, plan, commit, put the new snapshot in force, end what it stops.

use super::{Broker, Refused};
use crate::{
    audit::{Kind, Record, cut},
    feed,
    registry::{
        Defect, Key, Shelf,
        plan::{self, Action, Change, NotApplied, Plan, Wanted},
    },
    store::{Applied, Ended, Ending},
};
use crumb_proto::wire;
use crumb_token::{AgentName, Clock, Denial, Reason, Timestamp, revocation::Target};
use std::sync::Arc;

/// How often a plan is made anew because somebody else applied something meanwhile.
const ATTEMPTS_MAX: usize = 4;

/// What came of applying manifests.
#[derive(Debug)]
pub enum Outcome {
    /// They are in force, or would be.
    Applied {
        /// What became of each manifest.
        changes: Vec<Change>,
        /// The version of the registry before.
        before: String,
        /// The version of the registry after.
        after: String,
    },
    /// They are wrong, and nothing was applied.
    Defects(Vec<Defect>),
}

impl Broker {
    /// Applies manifests, all or none; with `dry_run` it says what that would do.
    ///
    /// # Errors
    ///
    /// [`Refused`]. `registry_conflict` when a version that was named is not the one in force, and nothing was applied.
    pub async fn apply(&self, wanted: Wanted, dry_run: bool) -> Result<Outcome, Refused> {
        let _place = self.admit()?;
        for _ in 0..ATTEMPTS_MAX {
            let shelf = self.store.shelf().await.map_err(Denial::from)?;
            let before = self.registry().version().to_owned();
            let plan = match self.plan(shelf, wanted.clone()).await? {
                Ok(plan) => plan,
                Err(NotApplied::Defects(defects)) => {
                    let denial = Denial::new(Reason::ManifestInvalid).asked(first_of(&defects));
                    self.refuse_apply(&wanted, denial, dry_run).await?;
                    return Ok(Outcome::Defects(defects));
                }
                Err(NotApplied::Conflict { key, seen, kept }) => {
                    let denial = conflict(&key, seen, kept);
                    self.refuse_apply(&wanted, denial.clone(), dry_run).await?;
                    return Err(denial.into());
                }
            };
            let after = plan.registry.version().to_owned();
            if dry_run || plan.edits.edits.is_empty() {
                return Ok(Outcome::Applied { changes: plan.changes, before, after });
            }
            if let Some(changes) = self.commit(plan, &wanted, &before).await? {
                return Ok(Outcome::Applied { changes, before, after });
            }
        }
        let denial = Denial::new(Reason::RegistryConflict).by("others apply manifests all the time", "the registry");
        Err(denial.next("apply it again").into())
    }

    /// Returns all that is kept.
    ///
    /// # Errors
    ///
    /// `store_unavailable`.
    pub async fn shelf(&self) -> Result<Shelf, Denial> {
        Ok(self.store.shelf().await?)
    }

    /// Plans a change of manifests that is somebody's decision.
    ///
    /// # Errors
    ///
    /// `manifest_invalid` with the first defect, `registry_conflict` when a version that was named is not the one in force.
    pub(crate) async fn plan_for(&self, wanted: &Wanted) -> Result<Plan, Denial> {
        let shelf = self.shelf().await?;
        self.plan(shelf, wanted.clone()).await?.map_err(|not_applied| match not_applied {
            NotApplied::Defects(defects) => Denial::new(Reason::ManifestInvalid).asked(first_of(&defects)),
            NotApplied::Conflict { key, seen, kept } => conflict(&key, seen, kept),
        })
    }

    /// Plans where it holds up nobody: a thousand manifests take a while to read.
    async fn plan(&self, shelf: Shelf, wanted: Wanted) -> Result<Result<Plan, NotApplied>, Denial> {
        let now = self.clock.now().wall;
        let in_force = self.registry();
        let plan = move || plan::plan(&shelf, Some(&in_force), &wanted, now);
        let planned = tokio::task::spawn_blocking(plan).await;
        planned.map_err(|_| Denial::new(Reason::Unforeseen))
    }

    /// Writes a plan and puts its snapshot in force. `None` when somebody else wrote first.
    async fn commit(&self, plan: Plan, wanted: &Wanted, before: &str) -> Result<Option<Vec<Change>>, Refused> {
        let mut record = self.operation(Kind::RegistryApply, &wanted.author.to_string());
        describe(&mut record, &plan.changes, before, plan.registry.version());
        record.allow();
        self.put_in_force(plan, record, &wanted.author.to_string()).await
    }

    /// Writes a plan with the record of why, ends what it stops in the same transaction, and puts its snapshot in force. `None`
    /// when somebody else wrote first.
    pub(crate) async fn put_in_force(
        &self,
        plan: Plan,
        record: Record,
        by: &str,
    ) -> Result<Option<Vec<Change>>, Refused> {
        let Plan { changes, registry, edits, stopped } = plan;
        let mut revoking = self.operation(Kind::Revoke, by);
        registry.version().clone_into(&mut revoking.registry_version);
        let ending = ending_of(&stopped, revoking, &self.clock);
        let (registry, in_force, feed) = (Arc::new(registry), Arc::clone(&self.registry), Arc::clone(&self.feed));
        // On the writing thread, so that the snapshot in force is that of the last commit, whoever is waited for.
        let committed = Box::new(move |revocations: &[_]| {
            in_force.store(registry);
            feed.revoke(revocations);
        });
        match self.store.apply_manifests(edits, Some(record), ending, committed).await.map_err(Denial::from)? {
            Applied::Done => Ok(Some(changes)),
            Applied::NothingEnded => Err(still_alive(&stopped).into()),
            Applied::Conflict => Ok(None),
        }
    }

    /// Ends what is alive of agents that get no tokens any more. The snapshot that says so is in force already.
    pub(crate) async fn end_tokens(&self, stopped: &[AgentName], by: &str) -> Result<(), Denial> {
        match ending_of(stopped, self.operation(Kind::Revoke, by), &self.clock) {
            Some((ending, record)) => self.end_by(ending, record).await,
            None => Ok(()),
        }
    }

    /// Ends what agents have now, and writes the record.
    pub(super) async fn end_agents(&self, agents: &[AgentName], record: Record) -> Result<(), Denial> {
        self.end_by(ending(agents, &self.clock), record).await
    }

    async fn end_by(&self, ending: Ending, record: Record) -> Result<(), Denial> {
        match self.store.revoke(ending, record, self.on_ended(None)).await? {
            Ended::Revoked { .. } => Ok(()),
            Ended::TooManyRevocations => Err(Denial::new(Reason::Overloaded)),
        }
    }

    /// Writes down that nothing was applied, and why.
    async fn refuse_apply(&self, wanted: &Wanted, denial: Denial, dry_run: bool) -> Result<(), Denial> {
        if dry_run {
            return Ok(());
        }
        let mut record = self.operation(Kind::RegistryApply, &wanted.author.to_string());
        record.refuse(&denial);
        self.store.refuse(None, record).await?;
        Ok(())
    }
}

fn conflict(key: &Key, seen: u64, kept: u64) -> Denial {
    let denial = Denial::new(Reason::RegistryConflict).asked(format!("{key}, seen at version {seen}"));
    denial.by(format!("it is at version {kept}"), "the registry")
}

fn first_of(defects: &[Defect]) -> String {
    let first = defects.first().map(ToString::to_string).unwrap_or_default();
    format!("{} defects, the first: {first}", defects.len())
}

fn still_alive(stopped: &[AgentName]) -> Denial {
    let names: Vec<_> = stopped.iter().map(AgentName::as_str).collect();
    let next = format!("the manifests are in force, and tokens of {} are still alive: revoke them", names.join(", "));
    Denial::new(Reason::Overloaded).next(next)
}

fn ending(agents: &[AgentName], clock: &Arc<dyn Clock>) -> Ending {
    let targets = agents.iter().cloned().map(Target::Agent).collect();
    Ending { targets, clock: Arc::clone(clock), live_max: feed::REVOCATIONS_MAX, stop: None }
}

/// Returns what ends all that is alive of agents that get no tokens any more, and completes its record. `None` without agents.
pub(crate) fn ending_of(stopped: &[AgentName], mut record: Record, clock: &Arc<dyn Clock>) -> Option<(Ending, Record)> {
    if stopped.is_empty() {
        return None;
    }
    let names: Vec<_> = stopped.iter().map(AgentName::as_str).collect();
    record.detail = cut(&format!("revoke agent:{}: by their manifests they get no tokens", names.join(", agent:")));
    record.allow();
    Some((ending(stopped, clock), record))
}

/// Notes in a record what became of the registry: each change as a right, and the whole in a sentence.
pub(crate) fn describe(record: &mut Record, changes: &[Change], before: &str, after: &str) {
    after.clone_into(&mut record.registry_version);
    let real = || changes.iter().filter(|change| change.action != Action::Unchanged);
    let told: Vec<_> = real()
        .map(|change| wire::Grant {
            tool: change.key.to_string(),
            operation: change.action.as_str().to_owned(),
            resource: format!("version/{}", change.to_version),
        })
        .collect();
    record.ask(&told);
    let count = |action| real().filter(|change| change.action == action).count();
    let wider: Vec<_> = real().filter(|change| !change.widens.is_empty()).map(|c| c.key.to_string()).collect();
    let wider = if wider.is_empty() { String::new() } else { format!("; wider: {}", wider.join(", ")) };
    record.detail = cut(&format!(
        "registry {before} -> {after}: {} created, {} updated, {} deleted{wider}",
        count(Action::Create),
        count(Action::Update),
        count(Action::Delete),
    ));
}

/// What a start makes of the registry directory and of what is kept.
///
/// # Errors
///
/// The defects; a start names nobody's versions, so there is no conflict.
pub(crate) fn at_start(shelf: &Shelf, wanted: &Wanted, now: Timestamp) -> Result<Plan, Vec<Defect>> {
    plan::plan(shelf, None, wanted, now).map_err(|not_applied| match not_applied {
        NotApplied::Defects(defects) => defects,
        NotApplied::Conflict { key, kept, .. } => {
            let reason = format!("{key} is at version {kept}: a registry directory names no versions");
            vec![Defect { file: key.file_name().into(), line: 1, reason }]
        }
    })
}
