//! A policy that passed its own tests, and its decision on one ask.

use crate::{
    bundle::Loaded,
    defect::Place,
    engine::{Fault, Heard, Machine},
    explain::{Explanation, RuleTrace},
    input::Input,
    marks::Mark,
    said::Said,
    verdict::Verdict,
};
use regorus::Value;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long one decision may take. A thousand times what it takes; past it the policy is at fault, not the machine.
pub const DECISION_TIME_MAX: Duration = Duration::from_millis(250);

/// A checked bundle, ready to decide. Shared between threads by reference; each decision is on its own.
#[derive(Clone, Debug)]
pub struct Policy {
    version: Arc<str>,
    machine: Machine,
    marks: Arc<[Mark]>,
}

/// Why there is no verdict. The ask is refused, and that is never told as the policy's denial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Indeterminate {
    /// The evaluation was stopped.
    #[error("the policy took longer than {} ms", DECISION_TIME_MAX.as_millis())]
    TimeUp,
    /// The rules said more than is listened to.
    #[error("the policy said too much")]
    TooMuch,
    /// The input has more grants or actors than one ask may have.
    #[error("the ask has more grants or actors than the policy looks at")]
    InputTooLarge,
    /// The engine gave up inside a rule.
    #[error("the policy failed{}: {detail}", at(rule.as_ref()))]
    Failed {
        /// Where, when the engine said.
        rule: Option<Place>,
        /// Its sentence.
        detail: String,
    },
    /// A rule said what is not understood.
    #[error("the rule at {rule} said what is not understood: {detail}")]
    NotUnderstood {
        /// Which.
        rule: Place,
        /// What is wrong with it.
        detail: String,
    },
}

fn at(place: Option<&Place>) -> String {
    place.map(|p| format!(" at {p}")).unwrap_or_default()
}

/// Of a rule whose body holds, while what it says has no value.
pub(crate) const UNSAID: &str = "its body holds, but what it says has no value, or several";

impl Policy {
    pub(crate) fn new(version: Arc<str>, loaded: Loaded) -> Self {
        Self { version, machine: loaded.deciding, marks: loaded.marks }
    }

    /// Returns the version: SHA-256 of the bundle, in hex. It stands in every verdict.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Decides one ask.
    ///
    /// # Errors
    ///
    /// [`Indeterminate`], when the evaluation was stopped or failed; then the ask is refused.
    pub fn decide(&self, input: &Input) -> Result<Verdict, Indeterminate> {
        let heard = self.hear(input)?;
        self.verdict(&heard)
    }

    /// Decides one ask, and says of every rule whether it matched.
    ///
    /// # Errors
    ///
    /// As [`Self::decide`].
    pub fn explain(&self, input: &Input) -> Result<Explanation, Indeterminate> {
        let heard = self.hear(input)?;
        let matched: BTreeSet<_> = heard.iter().map(|(number, _)| *number).collect();
        let traces = self.marks.iter().enumerate().map(|(number, mark)| RuleTrace {
            place: mark.place.clone(),
            name: mark.name.clone(),
            voice: mark.voice,
            matched: matched.contains(&number),
        });
        Ok(Explanation { verdict: self.verdict(&heard)?, rules: traces.collect() })
    }

    fn hear(&self, input: &Input) -> Result<Heard, Indeterminate> {
        if !input.is_within_limits() {
            return Err(Indeterminate::InputTooLarge);
        }
        self.machine.decide(Value::from(input.to_json()), DECISION_TIME_MAX).map_err(|fault| self.indeterminate(fault))
    }

    fn indeterminate(&self, fault: Fault) -> Indeterminate {
        match fault {
            Fault::TimeUp => Indeterminate::TimeUp,
            Fault::TooMuch => Indeterminate::TooMuch,
            Fault::Failed { place, detail } => Indeterminate::Failed { rule: place, detail },
            Fault::Unsaid { mark } => {
                let rule = self.marks.get(mark).map(|m| m.place.clone());
                Indeterminate::Failed { rule, detail: UNSAID.to_owned() }
            }
        }
    }

    fn verdict(&self, heard: &Heard) -> Result<Verdict, Indeterminate> {
        let mut said = Vec::new();
        for (number, value) in heard {
            let Some(mark) = self.marks.get(*number) else { continue };
            let Some(voice) = mark.voice else { continue };
            let read = Said::read(voice, value)
                .map_err(|detail| Indeterminate::NotUnderstood { rule: mark.place.clone(), detail })?;
            said.push((mark.place.clone(), read));
        }
        Ok(Verdict::combine(self.version.clone(), said))
    }
}
