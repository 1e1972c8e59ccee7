//! What a session did, what its kind does, and whether the one is unlike the other.

use super::{Action, Event, Rules, What};
use crumb_token::ToolName;
use std::fmt;

/// What is counted of one session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Behaviour {
    /// Refusals since the last allowed call, or since somebody resumed it.
    pub denials_in_a_row: u64,
    /// Calls, allowed or not.
    pub calls: u64,
    /// Minutes in which there was a call.
    pub minutes: u64,
    /// The newest of these, in minutes since 1970.
    pub minute: u64,
    /// Calls in that one.
    pub calls_in_minute: u64,
    /// The tool that the newest call used, when it is the first use in this session.
    pub first_use: Option<ToolName>,
}

impl Behaviour {
    /// Counts an event. `first_use` says whether its tool was not used in this session before.
    pub fn take(&mut self, event: &Event, first_use: bool) {
        self.first_use = None;
        match &event.what {
            What::Called(tool) => {
                self.denials_in_a_row = 0;
                self.first_use = tool.clone().filter(|_| first_use);
                self.call(event.at.as_unix_s() / 60);
            }
            What::CallRefused => {
                self.denials_in_a_row = self.denials_in_a_row.saturating_add(1);
                self.call(event.at.as_unix_s() / 60);
            }
            What::ExchangeRefused => self.denials_in_a_row = self.denials_in_a_row.saturating_add(1),
        }
    }

    /// Begins the counting anew, where it is about what was just reviewed.
    pub fn reviewed(&mut self) {
        self.denials_in_a_row = 0;
        self.calls_in_minute = 0;
    }

    fn call(&mut self, minute: u64) {
        self.calls = self.calls.saturating_add(1);
        // Servers report one after the other; what comes late from an older minute counts for the whole, and not for the
        // newest minute.
        if minute > self.minute {
            (self.minute, self.calls_in_minute) = (minute, 0);
            self.minutes = self.minutes.saturating_add(1);
        }
        if minute == self.minute {
            self.calls_in_minute = self.calls_in_minute.saturating_add(1);
        }
    }
}

/// What the other sessions of the same kind did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Baseline {
    /// How many there were.
    pub sessions: u64,
    /// Calls in all of them.
    pub calls: u64,
    /// Minutes in which there was a call, of all of them.
    pub minutes: u64,
    /// In how many of them the tool of [`Behaviour::first_use`] was used.
    pub sessions_with_tool: u64,
}

/// Which rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleName {
    /// [`DenialsInARow`](super::DenialsInARow).
    DenialsInARow,
    /// [`NewTool`](super::NewTool).
    NewTool,
    /// [`CallsPerMinute`](super::CallsPerMinute).
    CallsPerMinute,
}

impl RuleName {
    /// Every rule.
    pub const ALL: [Self; 3] = [Self::DenialsInARow, Self::NewTool, Self::CallsPerMinute];

    /// Returns the name of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DenialsInARow => "denials_in_a_row",
            Self::NewTool => "new_tool",
            Self::CallsPerMinute => "calls_per_minute",
        }
    }

    /// Reads it back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == word)
    }
}

/// A rule that was broken, with the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: RuleName,
    /// What was counted.
    pub measured: u64,
    /// What the rule allows, in this case.
    pub threshold: u64,
    /// What follows.
    pub action: Action,
    /// What it was counted from, in words.
    pub basis: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, measured, threshold, action, basis } = self;
        let (rule, action) = (rule.as_str(), action.as_str());
        write!(f, "drift rule {rule}: measured {measured}, threshold {threshold}, action {action} ({basis})")
    }
}

/// Holds what a session did against the rules and against its kind. Of several findings the gravest counts.
pub fn judge(rules: &Rules, behaviour: &Behaviour, baseline: &Baseline) -> Option<Finding> {
    let findings = [
        denials_in_a_row(rules, behaviour),
        new_tool(rules, behaviour, baseline),
        calls_per_minute(rules, behaviour, baseline),
    ];
    // The first of those that are equally grave, so that the answer does not depend on anything else.
    findings.into_iter().flatten().reduce(|gravest, next| if next.action > gravest.action { next } else { gravest })
}

fn denials_in_a_row(rules: &Rules, behaviour: &Behaviour) -> Option<Finding> {
    let (rule, measured) = (&rules.denials_in_a_row, behaviour.denials_in_a_row);
    let threshold = rule.threshold.into();
    (measured >= threshold).then(|| Finding {
        rule: RuleName::DenialsInARow,
        measured,
        threshold,
        action: rule.action,
        basis: "refused one after another, with no allowed call between them".to_owned(),
    })
}

fn new_tool(rules: &Rules, behaviour: &Behaviour, baseline: &Baseline) -> Option<Finding> {
    let (rule, tool) = (&rules.new_tool, behaviour.first_use.as_ref()?);
    let (measured, threshold) = (baseline.sessions, rule.threshold.into());
    (baseline.sessions_with_tool == 0 && measured >= threshold).then(|| Finding {
        rule: RuleName::NewTool,
        measured,
        threshold,
        action: rule.action,
        basis: format!("{tool} was called, and in none of {measured} other sessions of its kind"),
    })
}

fn calls_per_minute(rules: &Rules, behaviour: &Behaviour, baseline: &Baseline) -> Option<Finding> {
    let (rule, measured) = (&rules.calls_per_minute, behaviour.calls_in_minute);
    if baseline.sessions < rule.sessions.into() || baseline.minutes == 0 {
        return None;
    }
    // Times the average, rounded up: a part of a call is no call.
    let usual = baseline.calls.saturating_mul(rule.times.into()).div_ceil(baseline.minutes);
    let threshold = usual.max(rule.threshold.into());
    (measured > threshold).then(|| Finding {
        rule: RuleName::CallsPerMinute,
        measured,
        threshold,
        action: rule.action,
        basis: format!(
            "calls in one minute; {} other sessions of its kind made {} calls in {} minutes",
            baseline.sessions, baseline.calls, baseline.minutes
        ),
    })
}
