//! Taking a reviewer's decision: one change of the agent's manifest, with a record that names who decided and why.

use super::{
    day,
    flow::{Proposal, Window, one_manifest, only_change},
    reviewer::Reviewer,
};
use crate::{
    approval::Viewer,
    audit::{Kind, cut},
    broker::{Broker, Refused, describe},
    registry::{
        Agent, Author, Kept, Lifecycle,
        amend::{Amendment, amend},
        plan::Change,
        widening,
    },
};
use crumb_proto::{Violations, wire};
use crumb_token::{AgentName, Denial, Owner, Reason, Timestamp, bounded_text, text::is_printable};
use std::time::Duration;
use time::{Date, format_description::well_known::Iso8601};

bounded_text! {
    /// Why a reviewer decided so, in one sentence.
    Because, 500, is_printable
}

/// How long a review counts when the reviewer does not say: a quarter.
const NEXT_DEFAULT: time::Duration = time::Duration::days(90);
/// How long a review counts at most: a year, and some days to do the next one in.
const NEXT_MAX: time::Duration = time::Duration::days(380);
/// The longest manifest that a decision brings, in bytes.
const MANIFEST_LEN_MAX: usize = 48 * 1024;

/// A decision that was taken.
#[derive(Debug, Clone)]
pub struct Reviewed {
    /// Who decided.
    pub reviewer: Owner,
    /// What became of the manifest.
    pub change: Change,
    /// From when on the next review is overdue; none for an agent that was removed.
    pub review_by: Option<Timestamp>,
}

/// What a reviewer decides.
#[derive(Debug)]
enum Verdict {
    /// What it may do stays.
    Keep,
    /// It may do less: this, or what the window proposes.
    Narrow(Option<String>, Window),
    /// It is retired.
    Remove,
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Keep => "kept",
            Self::Narrow(..) => "narrowed",
            Self::Remove => "removed",
        }
    }
}

/// A decision, well-formed.
#[derive(Debug)]
struct Decided {
    agent: AgentName,
    verdict: Verdict,
    because: Because,
    next: Date,
}

impl Broker {
    /// Takes a decision. It is in force and on record when this returns.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing was changed, and a refusal of somebody who may not review is on record.
    pub async fn decide_review(&self, wire: wire::DecideReviewRequest, viewer: &Viewer) -> Result<Reviewed, Refused> {
        let _place = self.admit()?;
        let decided = read(&wire, self.clock.now().wall).map_err(Refused::Malformed)?;
        let registry = self.registry();
        let unknown = || Denial::new(Reason::AgentUnknown).asked(&decided.agent).by("registry", "the registry's owner");
        let agent = registry.agent(&decided.agent).cloned().ok_or_else(unknown)?;
        let reviewer = match Reviewer::admit(viewer, &agent, &registry) {
            Ok(reviewer) => reviewer,
            Err(denial) => return Err(self.refuse_review(&decided, &agent, viewer, denial).await),
        };
        let kept = self.manifest_of(&agent.name).await?.ok_or_else(unknown)?;
        let text = self.text_of(&decided, &agent, &kept).await?;
        let (change, before) = self.put_review(&decided, &agent, kept.version, text, &reviewer, viewer).await?;
        let review_by = match decided.verdict {
            Verdict::Remove => None,
            _ => self.registry().agent(&agent.name).and_then(|agent| agent.review_by),
        };
        tracing::info!(agent = %agent.name, reviewer = %reviewer.person, %before, "an agent was reviewed");
        Ok(Reviewed { reviewer: reviewer.person, change, review_by })
    }

    /// Writes down who tried to review and may not.
    async fn refuse_review(&self, decided: &Decided, agent: &Agent, viewer: &Viewer, denial: Denial) -> Refused {
        let mut record = self.operation(Kind::RegistryReview, &viewer.presenter());
        (record.agent, record.owner) = (agent.name.to_string(), agent.owner.to_string());
        record.detail = cut(&format!("review of {}{}", decided.agent, viewer.word()));
        record.refuse(&denial);
        match self.store.refuse(None, record).await {
            Ok(_) => Refused::Denied(denial),
            Err(error) => Refused::Denied(error.into()),
        }
    }

    /// Returns the manifest that the decision wants.
    async fn text_of(&self, decided: &Decided, agent: &Agent, kept: &Kept) -> Result<String, Refused> {
        let base = match &decided.verdict {
            Verdict::Keep => kept.text.clone(),
            Verdict::Remove => {
                let retired = Amendment::Set("lifecycle", format!("lifecycle: {}\n", Lifecycle::Retired));
                return Ok(amended(&kept.text, retired)?);
            }
            Verdict::Narrow(Some(text), _) => text.clone(),
            Verdict::Narrow(None, window) => self.proposed(agent, *window).await?,
        };
        Ok(amended(&base, Amendment::Set("reviewBy", format!("reviewBy: {}\n", decided.next)))?)
    }

    /// Returns what the window proposes.
    async fn proposed(&self, agent: &Agent, window: Window) -> Result<String, Denial> {
        let refuse =
            |rule: String, next: &str| Err(Denial::new(Reason::NothingGranted).by(rule, "the broker").next(next));
        let reviewed = self.review(&agent.name, window, true).await?;
        match reviewed.and_then(|reviewed| reviewed.proposal) {
            Some(Proposal::Change { aside: false, text, .. }) => Ok(text),
            Some(Proposal::Change { .. }) => refuse(
                "nothing was used, so nothing is left to narrow to".to_owned(),
                "remove it, or keep it and say why",
            ),
            Some(Proposal::Keep { notes }) if !notes.is_empty() => {
                refuse(notes.join("; "), "bring a narrower manifest")
            }
            _ => refuse("all that it may do was used".to_owned(), "keep it, or bring a narrower manifest"),
        }
    }

    /// Puts the manifest in force, with the record of the review.
    async fn put_review(
        &self,
        decided: &Decided,
        agent: &Agent,
        version: u64,
        text: String,
        reviewer: &Reviewer,
        viewer: &Viewer,
    ) -> Result<(Change, String), Refused> {
        let author = Author::Operator(format!("{} through {}", reviewer.person, viewer.presenter()));
        let wanted = one_manifest(&agent.name, text, version, author)?;
        let before = self.registry().version().to_owned();
        let plan = self.plan_for(&wanted).await?;
        let change = only_change(&plan.changes, &agent.name).cloned().ok_or_else(|| {
            let denial = Denial::new(Reason::ManifestInvalid).asked(format!("a review of agent {}", agent.name));
            denial.by("a review changes the manifest of its agent alone", "the broker")
        })?;
        let new = plan.registry.agent(&agent.name);
        // The day is what a review moves; it was read with limits of its own.
        let day = new.map(widening::of_review);
        if let Some(wider) = change.widens.iter().find(|wider| Some(*wider) != day.as_ref()) {
            let denial = Denial::new(Reason::OutsideManifest).asked(wider).by(agent.manifest(), &agent.owner);
            return Err(denial.next("a review gives nothing: have the owner apply what is wider").into());
        }
        if let Some(rule) = new.and_then(|new| changed_else(agent, new, &decided.verdict)) {
            let denial = Denial::new(Reason::ManifestInvalid).asked(format!("a review of agent {}", agent.name));
            return Err(denial.by(rule, "the broker").next("apply other changes by themselves: `crumb apply`").into());
        }
        let mut record = self.operation(Kind::RegistryReview, &viewer.presenter());
        describe(&mut record, &plan.changes, &before, plan.registry.version());
        (record.agent, record.owner) = (agent.name.to_string(), agent.owner.to_string());
        let (word, because, next) = (decided.verdict.word(), &decided.because, decided.next);
        let until = if matches!(decided.verdict, Verdict::Remove) { String::new() } else { format!(", until {next}") };
        record.detail = cut(&format!("{word} {}{}{until}: {because}; {}", agent.name, viewer.word(), record.detail));
        record.allow();
        match self.put_in_force(plan, record, &viewer.presenter()).await? {
            Some(_) => Ok((change, before)),
            None => Err(Denial::new(Reason::RegistryConflict).asked(format!("agent {}", agent.name)).into()),
        }
    }
}

/// Says what a manifest changes besides what the agent may do: whose it is, what holds it in, and where it is in its life, are
/// no matter of a review.
fn changed_else(old: &Agent, new: &Agent, verdict: &Verdict) -> Option<&'static str> {
    if old.owner != new.owner || old.identity != new.identity || old.purpose != new.purpose {
        return Some("a review does not change whose the agent is and what it is for");
    }
    let removed = matches!(verdict, Verdict::Remove);
    if old.lifecycle != new.lifecycle && !removed {
        return Some("a review keeps the agent where it is in its life, or removes it");
    }
    // By default a field counts: one that is added later is no matter of a review either.
    let reviewed = Agent {
        scopes: old.scopes.clone(),
        bundles: old.bundles.clone(),
        review_by: old.review_by,
        lifecycle: old.lifecycle,
        ..new.clone()
    };
    (reviewed != *old).then_some("a review changes the scopes and bundles of the agent, and the day of the next review")
}

fn amended(text: &str, amendment: Amendment) -> Result<String, Denial> {
    let unreadable = || Denial::new(Reason::ManifestInvalid).by("a manifest with a spec", "the registry");
    amend(text, &[amendment]).ok_or_else(unreadable)
}

fn read(wire: &wire::DecideReviewRequest, now: Timestamp) -> Result<Decided, Violations> {
    let mut v = Violations::default();
    let agent = v.parse("agent", &wire.agent);
    let because = v.parse("reason", &wire.reason);
    let next = v.keep("next_review", next(&wire.next_review, now));
    let text = (!wire.manifest.is_empty()).then(|| wire.manifest.clone());
    if wire.manifest.len() > MANIFEST_LEN_MAX {
        v.add("manifest", format!("has at most {MANIFEST_LEN_MAX} bytes"));
    }
    if text.is_some() && wire.verdict != "narrow" {
        v.add("manifest", "goes with the verdict narrow");
    }
    let verdict = match wire.verdict.as_str() {
        "keep" => Some(Verdict::Keep),
        "narrow" => Some(Verdict::Narrow(text, Window::back(Duration::from_secs(wire.window_s), now))),
        "remove" => Some(Verdict::Remove),
        _ => {
            v.add("verdict", "is keep, narrow or remove");
            None
        }
    };
    let read = || Some(Decided { agent: agent?, verdict: verdict?, because: because?, next: next? });
    read().filter(|_| v.is_empty()).ok_or(v)
}

/// Reads the day until which the review counts.
fn next(text: &str, now: Timestamp) -> Result<Date, &'static str> {
    let today = day(now).ok_or("cannot be counted from this clock")?;
    let after = |span| today.checked_add(span).ok_or("cannot be counted from this clock");
    if text.is_empty() {
        return after(NEXT_DEFAULT);
    }
    let date = Date::parse(text, &Iso8601::DATE).ok().filter(|date| date.to_string() == text);
    let date = date.ok_or("is a date, written 2027-01-31")?;
    if date > today && date <= after(NEXT_MAX)? { Ok(date) } else { Err("is from tomorrow to 380 days from now") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);

    fn request() -> wire::DecideReviewRequest {
        wire::DecideReviewRequest {
            agent: "bot".into(),
            verdict: "keep".into(),
            reason: "as agreed".into(),
            ..Default::default()
        }
    }

    #[test]
    fn the_next_review_is_in_a_quarter_unless_somebody_says() {
        assert_eq!(read(&request(), NOW).expect("well-formed").next.to_string(), "2027-04-15");
        for (day, good) in [
            ("2027-01-16", true),
            ("2027-01-15", false),
            ("2026-01-31", false),
            ("2028-01-30", true),
            ("2028-01-31", false),
            ("2027-1-31", false),
            ("soon", false),
        ] {
            let request = wire::DecideReviewRequest { next_review: day.into(), ..request() };
            assert_eq!(read(&request, NOW).is_ok(), good, "{day}");
        }
    }

    #[test]
    fn refuses_decisions_that_leave_something_open() {
        let bad = [
            wire::DecideReviewRequest { reason: String::new(), ..request() },
            wire::DecideReviewRequest { reason: "a\u{1b}[31m".into(), ..request() },
            wire::DecideReviewRequest { verdict: "widen".into(), ..request() },
            wire::DecideReviewRequest { verdict: String::new(), ..request() },
            wire::DecideReviewRequest { agent: "no such".into(), ..request() },
            wire::DecideReviewRequest { manifest: "kind: Agent".into(), ..request() },
            wire::DecideReviewRequest {
                manifest: "x".repeat(MANIFEST_LEN_MAX + 1),
                verdict: "narrow".into(),
                ..request()
            },
        ];
        for request in bad {
            assert!(read(&request, NOW).is_err(), "{request:?}");
        }
    }
}
