//! One act: what happened in it, line by line, and whether that is what has to happen.
//!
//! A line that comes out otherwise is kept all the same, as the last one: what went wrong is shown and not only told.

use crate::{
    actor::{Refused, Reply},
    demo::{Decision, since, teller::REPORT},
    exit::{Exit, Failure},
    output::{self, dim, verdict},
};
use crumb_identity::SystemClock;
use crumb_token::{Clock, Reason};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// Which act. Each is about one reason for saying no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    Envelope,
    Delegation,
    Approval,
    Drift,
    Retirement,
    Environment,
}

impl Plot {
    pub(super) const ALL: [Self; 6] =
        [Self::Envelope, Self::Delegation, Self::Approval, Self::Drift, Self::Retirement, Self::Environment];

    fn name(self) -> &'static str {
        match self {
            Self::Envelope => "an ask outside the session's envelope is told what would pass",
            Self::Delegation => "a sub-agent has what it was given, and no more",
            Self::Approval => "what cannot be undone waits for a person, once",
            Self::Drift => "a session that goes astray is halted until somebody has looked",
            Self::Retirement => "an agent is retired, and everything of it ends",
            Self::Environment => "a development agent is nobody in production",
        }
    }

    fn reason(self) -> Reason {
        match self {
            Self::Envelope | Self::Delegation => Reason::OutsideEnvelope,
            Self::Approval => Reason::ApprovalNeeded,
            Self::Drift => Reason::SessionHalted,
            Self::Retirement => Reason::TokenRevoked,
            Self::Environment => Reason::EnvironmentMismatch,
        }
    }
}

/// What was decided on one thing that somebody did.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    who: String,
    what: String,
    decision: Decision,
    /// The reason code of a denial.
    reason: String,
    asked: String,
    rule: String,
    /// What of the ask would pass, when the denial says so.
    narrowing: String,
    next: String,
    /// What it is about, or what it made: ids, or a sentence.
    about: String,
}

/// One act, as `-o json` writes it.
#[derive(Debug, Serialize)]
pub(super) struct Act {
    act: usize,
    name: &'static str,
    /// Whether everything came out as it has to.
    as_it_should: bool,
    /// The verdict that the act is about.
    decision: Decision,
    reason: String,
    narrowing: String,
    /// Sessions, tokens and approvals, by what they are here.
    ids: BTreeMap<&'static str, String>,
    /// Figures, in milliseconds where the name says so.
    measured: BTreeMap<&'static str, u64>,
    ms: u64,
    steps: Vec<Line>,
    #[serde(skip)]
    plot: Plot,
    #[serde(skip)]
    clock: SystemClock,
    #[serde(skip)]
    began: Duration,
}

impl Act {
    pub(super) fn begin(plot: Plot, clock: SystemClock) -> Self {
        let act = 1 + Plot::ALL.iter().position(|other| *other == plot).unwrap_or_default();
        Self {
            act,
            name: plot.name(),
            as_it_should: false,
            decision: Decision::Allowed,
            reason: String::new(),
            narrowing: String::new(),
            ids: BTreeMap::new(),
            measured: BTreeMap::new(),
            ms: 0,
            steps: Vec::new(),
            plot,
            clock,
            began: clock.now().ticks,
        }
    }

    /// Ends an act whose every line came out as it has to: it is about the denial that it was to show.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        let reason = self.plot.reason().code();
        let Some(shown) = self.steps.iter().find(|line| line.reason == reason) else {
            return Err(wrong(self.name, reason, "no such refusal"));
        };
        (self.decision, self.reason, self.narrowing) = (shown.decision, shown.reason.clone(), shown.narrowing.clone());
        self.as_it_should = true;
        Ok(())
    }

    /// Keeps an id.
    pub(super) fn id(&mut self, name: &'static str, id: &str) {
        self.ids.insert(name, id.to_owned());
    }

    /// Keeps a figure.
    pub(super) fn measured(&mut self, name: &'static str, figure: u64) {
        self.measured.insert(name, figure);
    }

    /// Tells what somebody did that nobody decides on.
    pub(super) fn done(&mut self, who: &str, what: impl Into<String>, about: impl Into<String>) {
        self.tell(who, what.into(), Decision::Done, None, about.into());
    }

    /// Tells what was allowed; refused, it is a defect.
    pub(super) fn allowed(&mut self, who: &str, what: impl Into<String>, reply: &Reply) -> Result<(), Failure> {
        let (what, about) = (what.into(), about(reply));
        match &reply.refused {
            None => self.tell(who, what, Decision::Allowed, None, about),
            Some(refused) => {
                let failure = wrong(&what, "allowed", &refused.reason);
                self.tell(who, what, Decision::Denied, Some(refused), about);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Tells what was refused for this reason; anything else is a defect.
    pub(super) fn denied(
        &mut self,
        who: &str,
        what: impl Into<String>,
        reply: &Reply,
        reason: Reason,
    ) -> Result<Refused, Failure> {
        let what = what.into();
        let Some(refused) = &reply.refused else {
            let failure = wrong(&what, reason.code(), "allowed");
            self.tell(who, what, Decision::Allowed, None, about(reply));
            return Err(failure);
        };
        let failure = (refused.reason != reason.code()).then(|| wrong(&what, reason.code(), &refused.reason));
        self.tell(who, what, Decision::Denied, Some(refused), String::new());
        failure.map_or_else(|| Ok(refused.clone()), Err)
    }

    fn tell(&mut self, who: &str, what: String, decision: Decision, refused: Option<&Refused>, about: String) {
        let text = |pick: fn(&Refused) -> &str| refused.map(pick).unwrap_or_default().to_owned();
        self.steps.push(Line {
            who: who.to_owned(),
            what,
            decision,
            reason: text(|r| &r.reason),
            asked: text(|r| &r.asked),
            rule: text(|r| &r.rule),
            narrowing: text(|r| r.narrowing().unwrap_or_default()),
            next: text(|r| &r.next),
            about,
        });
        self.ms = since(&self.clock, self.began);
    }

    /// Writes it for people.
    pub(super) fn show(&self) {
        output::data(format!("{}  {}  {}", self.act, self.name, dim(&format!("{} ms", self.ms))));
        for line in &self.steps {
            line.show();
        }
    }
}

impl Line {
    fn show(&self) {
        let decision = match self.decision {
            Decision::Allowed => verdict(true, "allowed"),
            Decision::Done => verdict(true, "done   "),
            Decision::Denied => verdict(false, "denied "),
        };
        let about = if self.about.is_empty() { String::new() } else { format!("  {}", dim(&self.about)) };
        output::data(format!("   {decision}  {} {}{about}", self.who, self.what));
        if let Ok(reason) = self.reason.parse::<Reason>() {
            let told = [&self.rule, &self.next].into_iter().find(|told| !told.is_empty());
            let told = if self.narrowing.is_empty() { told } else { Some(&self.next) };
            let told = told.map(|told| dim(&format!("; {told}"))).unwrap_or_default();
            output::data(format!("            {reason}: {}{told}", reason.sentence()));
        }
    }
}

/// What a reply that is no refusal made.
fn about(reply: &Reply) -> String {
    let made = [&reply.session, &reply.token].into_iter().filter(|id| !id.is_empty()).cloned();
    made.chain((!reply.grants.is_empty()).then(|| reply.grants.join("; "))).collect::<Vec<_>>().join("  ")
}

fn wrong(what: &str, wanted: &str, got: &str) -> Failure {
    Failure::new(Exit::CheckFailed, format!("{what}: expected {wanted}, got {got}"), REPORT)
}

/// Says that something else is not as it has to be.
pub(super) fn defect(what: impl Into<String>) -> Failure {
    Failure::new(Exit::CheckFailed, what.into(), REPORT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::Denial;

    fn refusal(reason: Reason) -> Reply {
        Reply::refused(&Denial::new(reason))
    }

    #[test]
    fn an_act_that_comes_out_otherwise_is_a_failed_check() {
        let mut act = Act::begin(Plot::Environment, SystemClock::new());
        assert!(act.end().is_err(), "nothing was refused");
        let allowed = act.denied("helper", "calls", &Reply::default(), Reason::EnvironmentMismatch);
        assert_eq!(allowed.expect_err("it was allowed").exit, Exit::CheckFailed);
        let other = act.denied("helper", "calls", &refusal(Reason::FeedStale), Reason::EnvironmentMismatch);
        assert_eq!(other.expect_err("another reason").exit, Exit::CheckFailed);
        assert!(act.allowed("auditor", "calls", &refusal(Reason::FeedStale)).is_err());
        assert_eq!((act.steps.len(), act.as_it_should), (3, false));
    }

    #[test]
    fn an_act_is_about_the_refusal_that_it_was_to_show() {
        let mut act = Act::begin(Plot::Drift, SystemClock::new());
        act.denied("planner", "calls", &refusal(Reason::ResourceNotGranted), Reason::ResourceNotGranted).expect("so");
        act.denied("planner", "asks", &refusal(Reason::SessionHalted), Reason::SessionHalted).expect("so");
        act.end().expect("as it should be");
        assert_eq!((act.act, act.reason.as_str(), act.decision), (4, "session_halted", Decision::Denied));
    }
}
