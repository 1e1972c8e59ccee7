//! Numbers, times and judges the steps of the story.

use super::{Decision, Step, since};
use crate::{
    exit::{Exit, Failure},
    output::dim,
};
use crumb_identity::SystemClock;
use crumb_sdk::call::ToolAnswer;
use crumb_token::Clock;
use std::time::Duration;

/// What to do when a step does not come out as it has to.
pub(super) const REPORT: &str = "this is a defect of Crumb: report it with this output";

/// Numbers and times the steps, and holds each to what has to come of it.
pub(super) struct Teller<'s> {
    clock: SystemClock,
    show: &'s mut dyn FnMut(&Step),
    number: u32,
    began: Duration,
}

impl<'s> Teller<'s> {
    pub(super) fn new(clock: SystemClock, show: &'s mut dyn FnMut(&Step)) -> Self {
        Self { clock, show, number: 0, began: clock.now().ticks }
    }

    fn step(&mut self, name: &str, decision: Decision, reason: String, detail: Vec<String>) {
        self.number += 1;
        let ms = since(&self.clock, self.began);
        (self.show)(&Step { step: self.number, name: name.to_owned(), decision, reason, ms, detail });
        self.began = self.clock.now().ticks;
    }

    pub(super) fn done(&mut self, name: &str, detail: Vec<String>) {
        self.step(name, Decision::Done, String::new(), detail);
    }

    pub(super) fn tell(&mut self, name: &str, wanted: Option<&str>, answer: &ToolAnswer) -> Result<(), Failure> {
        let (decision, reason) = decision_of(answer);
        let mut detail = Vec::new();
        if let Some(denial) = &answer.denial {
            detail.push(format!("{}: {}", denial.reason.code(), denial.reason.sentence()));
            detail.push(dim(&format!(
                "asked {}; refused by {}, written by {}",
                denial.asked, denial.rule, denial.author
            )));
            detail.push(dim(&format!("next: {}", denial.next)));
        }
        self.step(name, decision, reason.clone(), detail);
        let right = match wanted {
            None => decision == Decision::Allowed,
            Some(wanted) => decision == Decision::Denied && reason == wanted,
        };
        if right { Ok(()) } else { Err(wrong(name, wanted.unwrap_or("allowed"), &reason)) }
    }

    pub(super) fn expect(&mut self, name: &str, wanted: &str, reason: String) -> Result<(), Failure> {
        self.expect_with(name, wanted, reason, Vec::new())
    }

    pub(super) fn expect_with(
        &mut self,
        name: &str,
        wanted: &str,
        reason: String,
        mut detail: Vec<String>,
    ) -> Result<(), Failure> {
        let decision = if reason.is_empty() { Decision::Allowed } else { Decision::Denied };
        if let Ok(known) = reason.parse::<crumb_token::Reason>() {
            detail.insert(0, format!("{reason}: {}", known.sentence()));
        }
        self.step(name, decision, reason.clone(), detail);
        if reason == wanted { Ok(()) } else { Err(wrong(name, wanted, &reason)) }
    }
}

fn wrong(name: &str, wanted: &str, got: &str) -> Failure {
    let got = if got.is_empty() { "allowed" } else { got };
    Failure::new(Exit::CheckFailed, format!("{name}: expected {wanted}, got {got}"), REPORT)
}

/// Returns the verdict of an answer, and the reason when it is a refusal.
pub(crate) fn decision_of(answer: &ToolAnswer) -> (Decision, String) {
    match &answer.denial {
        Some(denial) => (Decision::Denied, denial.reason.code().to_owned()),
        None if (200..300).contains(&answer.status) => (Decision::Allowed, String::new()),
        None => (Decision::Denied, format!("status_{}", answer.status)),
    }
}
