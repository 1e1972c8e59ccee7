//! The answer: a ruling, why, and how much smaller the token becomes.

use crate::{defect::Place, said::Said};
use crumb_token::bounded_text;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeMap, num::NonZeroU8, sync::Arc};

bounded_text! {
    /// A group of people that may approve, such as `security`.
    GroupName, 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

impl<'de> Deserialize<'de> for GroupName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for GroupName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// So many people of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// The group.
    pub from: GroupName,
    /// How many of it.
    pub count: NonZeroU8,
}

/// Yes, yes after approval, or no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// Some rule allows it, and none is against it.
    Allow,
    /// Some rule allows it when all of these approve. One entry a group.
    NeedsApproval(Vec<Approval>),
    /// A rule denies it, or none allows it.
    Deny,
}

/// Why a rule spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The rule; `None` when what decides is that no rule allows it.
    pub rule: Option<Place>,
    /// Its sentence.
    pub because: Box<str>,
    /// What the asker can do about it, when the rule says.
    pub fix: Option<Box<str>>,
}

/// The smallest of what the clamps that matched say. `None` clamps nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Clamp {
    /// The longest lifetime, in seconds.
    pub ttl_s: Option<u32>,
    /// The most tokens in a minute.
    pub per_minute: Option<u32>,
    /// The most that the session may spend.
    pub budget: Option<u64>,
    /// The rules that clamped.
    pub reasons: Vec<Reason>,
}

/// What a policy says about one ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The ruling.
    pub ruling: Ruling,
    /// The rules that made it: those that deny, else those that want approval, else those that allow. Never empty.
    pub reasons: Vec<Reason>,
    /// What is made smaller, whatever the ruling.
    pub clamp: Clamp,
    /// [`Policy::version`](crate::Policy::version) of the policy that decided.
    pub policy: Arc<str>,
}

/// What stands in the reason of a denial that no rule made.
pub const NO_RULE_ALLOWS: &str = "no rule allows it";

impl Verdict {
    /// Combines what the rules said.
    pub(crate) fn combine(policy: Arc<str>, said: Vec<(Place, Said)>) -> Self {
        let (mut allows, mut denies, mut wants) = (Vec::new(), Vec::new(), Vec::new());
        let mut approvals: BTreeMap<GroupName, NonZeroU8> = BTreeMap::new();
        let mut clamp = Clamp::default();
        for (place, said) in said {
            let because = |because: crate::said::Because, fix: Option<crate::said::Because>| Reason {
                rule: Some(place.clone()),
                because: because.as_str().into(),
                fix: fix.map(|f| f.as_str().into()),
            };
            match said {
                Said::Allow { because: why } => allows.push(because(why, None)),
                Said::Deny { because: why, fix } => denies.push(because(why, fix)),
                Said::Approval { because: why, from, count } => {
                    approvals.entry(from).and_modify(|c| *c = count.max(*c)).or_insert(count);
                    wants.push(because(why, None));
                }
                Said::Clamp { because: why, ttl_s, per_minute, budget } => {
                    clamp.ttl_s = smaller(clamp.ttl_s, ttl_s.map(Into::into));
                    clamp.per_minute = smaller(clamp.per_minute, per_minute.map(Into::into));
                    clamp.budget = smaller(clamp.budget, budget.map(Into::into));
                    clamp.reasons.push(because(why, None));
                }
            }
        }
        let (ruling, reasons) = if !denies.is_empty() {
            (Ruling::Deny, denies)
        } else if allows.is_empty() {
            (Ruling::Deny, vec![Reason { rule: None, because: NO_RULE_ALLOWS.into(), fix: None }])
        } else if approvals.is_empty() {
            (Ruling::Allow, allows)
        } else {
            let approvals = approvals.into_iter().map(|(from, count)| Approval { from, count }).collect();
            (Ruling::NeedsApproval(approvals), wants)
        };
        Self { ruling, reasons, clamp, policy }
    }
}

fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said::Voice;
    use regorus::Value;

    fn verdict(said: &[(Voice, &str)]) -> Verdict {
        let said = said.iter().enumerate().map(|(i, (voice, json))| {
            let value = Value::from_json_str(json).expect(json);
            (Place::new("p.rego", u32::try_from(i).expect("few")), Said::read(*voice, &value).expect(json))
        });
        Verdict::combine("v".into(), said.collect())
    }

    const ALLOW: (Voice, &str) = (Voice::Allow, r#"{"because": "reads"}"#);
    const DENY: (Voice, &str) = (Voice::Deny, r#"{"because": "night", "fix": "wait"}"#);
    const TWO: (Voice, &str) = (Voice::Approval, r#"{"because": "high", "from": "security", "count": 2}"#);
    const ONE: (Voice, &str) = (Voice::Approval, r#"{"because": "db", "from": "security", "count": 1}"#);
    const DBA: (Voice, &str) = (Voice::Approval, r#"{"because": "db", "from": "dba", "count": 1}"#);

    #[test]
    fn nothing_said_is_a_denial() {
        let verdict = verdict(&[]);
        assert_eq!(verdict.ruling, Ruling::Deny);
        assert_eq!(&*verdict.reasons[0].because, NO_RULE_ALLOWS);
    }

    #[test]
    fn a_denial_beats_approval_and_that_beats_allowing() {
        assert_eq!(verdict(&[ALLOW]).ruling, Ruling::Allow);
        assert!(matches!(verdict(&[ALLOW, TWO]).ruling, Ruling::NeedsApproval(_)));
        let verdict = verdict(&[ALLOW, TWO, DENY]);
        assert_eq!(verdict.ruling, Ruling::Deny);
        assert_eq!((verdict.reasons.len(), verdict.reasons[0].fix.as_deref()), (1, Some("wait")));
    }

    #[test]
    fn an_approval_alone_allows_nothing() {
        assert_eq!(verdict(&[TWO]).ruling, Ruling::Deny);
    }

    #[test]
    fn every_group_must_approve_with_its_largest_count() {
        let Ruling::NeedsApproval(all) = verdict(&[ALLOW, ONE, TWO, DBA]).ruling else {
            panic!("needs approval");
        };
        let all: Vec<_> = all.iter().map(|a| (a.from.as_str(), a.count.get())).collect();
        assert_eq!(all, [("dba", 1), ("security", 2)]);
    }

    #[test]
    fn clamps_combine_to_the_smallest() {
        let verdict = verdict(&[
            (Voice::Clamp, r#"{"because": "a", "ttl_s": 300, "budget": 10}"#),
            (Voice::Clamp, r#"{"because": "b", "ttl_s": 60, "per_minute": 3}"#),
        ]);
        let clamp = verdict.clamp;
        assert_eq!((clamp.ttl_s, clamp.per_minute, clamp.budget), (Some(60), Some(3), Some(10)));
        assert_eq!(clamp.reasons.len(), 2);
    }
}
