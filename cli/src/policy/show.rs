//! How bundles' tests, verdicts and differences look to people.

use crate::output::{dim, verdict};
use crumb_policy::{Clamp, Defect, Difference, Indeterminate, RuleTrace, Ruling, TestRun, Verdict};

pub(super) fn defect(defect: &Defect) -> String {
    format!("{} {defect}", verdict(false, "defect"))
}

pub(super) fn test(test: &TestRun) -> String {
    match &test.failure {
        None => format!("{} {} {}", verdict(true, "passed"), test.name, dim(&test.place.to_string())),
        Some(why) => format!("{} {} {} {why}", verdict(false, "failed"), test.name, dim(&test.place.to_string())),
    }
}

pub(super) fn rule(rule: &RuleTrace) -> String {
    let mark = if rule.matched { verdict(true, "matched") } else { dim("       ") };
    let place = rule.place.to_string();
    format!("{mark} {place:<24} {}", rule.name)
}

/// The ruling, its reasons, and what is clamped.
pub(super) fn verdict_lines(told: &Verdict) -> Vec<String> {
    let mut lines = vec![ruling(&told.ruling)];
    for reason in told.reasons.iter().chain(&told.clamp.reasons) {
        let place = reason.rule.as_ref().map(|p| dim(&format!(" {p}"))).unwrap_or_default();
        let fix = reason.fix.as_ref().map(|f| format!("; {f}")).unwrap_or_default();
        lines.push(format!("  {}{fix}{place}", reason.because));
    }
    lines.extend(clamped(&told.clamp).map(|c| format!("  at most{c}")));
    lines
}

pub(super) fn difference(difference: &Difference) -> [String; 3] {
    let side = |told: &Result<Verdict, Indeterminate>| match told {
        Ok(told) => {
            let because = told.reasons.iter().map(|r| &*r.because).collect::<Vec<_>>().join("; ");
            let clamp = clamped(&told.clamp).map(|c| dim(&format!("; at most{c}"))).unwrap_or_default();
            format!("{}: {because}{clamp}", ruling(&told.ruling))
        }
        Err(e) => format!("{} {e}", verdict(false, "indeterminate")),
    };
    let line = difference.index + 1;
    [format!("input {line}"), format!("  old: {}", side(&difference.old)), format!("  new: {}", side(&difference.new))]
}

fn ruling(told: &Ruling) -> String {
    match told {
        Ruling::Allow => verdict(true, "allowed"),
        Ruling::Deny => verdict(false, "denied"),
        Ruling::NeedsApproval(all) => {
            let all = all.iter().map(|a| format!("{} of {}", a.count, a.from)).collect::<Vec<_>>().join(", ");
            format!("{} by {all}", verdict(false, "needs approval"))
        }
    }
}

fn clamped(clamp: &Clamp) -> Option<String> {
    let parts = [
        clamp.ttl_s.map(|s| format!(" {s} s")),
        clamp.per_minute.map(|n| format!(" {n} a minute")),
        clamp.budget.map(|n| format!(" a budget of {n}")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(","))
}
