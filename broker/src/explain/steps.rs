//! What is looked at on the way to a decision, in its order: what held, what refused, and what was not reached.
//!
//! The order is that of the code that decides. A refusal says how far it came: what comes before its layer held, what comes
//! behind it was not reached.

use crate::audit::{Kind, Record};
use crumb_proto::Layer;
use crumb_token::Denial;

/// What became of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did not stand in the way.
    Held,
    /// It said no.
    Refused,
    /// Something before it said no.
    NotReached,
    /// It happened, and decided nothing.
    Noted,
}

impl Outcome {
    /// Returns the word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Refused => "refused",
            Self::NotReached => "not reached",
            Self::Noted => "noted",
        }
    }
}

/// One thing that was looked at, or that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which part of the way.
    pub layer: Layer,
    /// What became of it.
    pub outcome: Outcome,
    /// Which rule.
    pub rule: String,
    /// Who wrote it.
    pub author: String,
    /// When, in Unix milliseconds; 0 when that is the time of the decision.
    pub at_unix_ms: u64,
    /// The number of its record; 0 for none.
    pub number: u64,
}

impl Step {
    /// Makes a step of the decision itself.
    pub fn new(layer: Layer, outcome: Outcome, rule: impl ToString, author: impl ToString) -> Self {
        Self { layer, outcome, rule: rule.to_string(), author: author.to_string(), at_unix_ms: 0, number: 0 }
    }

    /// Makes a step of a record.
    pub fn recorded(layer: Layer, outcome: Outcome, number: u64, record: &Record) -> Self {
        let denial = record.denial();
        let rule = match &denial {
            Some(denial) if denial.rule.is_empty() => denial.reason.sentence().to_owned(),
            Some(denial) => denial.rule.clone(),
            None if record.detail.is_empty() => record.kind.as_str().to_owned(),
            None => record.detail.clone(),
        };
        let author = denial.map_or_else(|| record.peer.clone(), |denial| denial.author);
        Self { layer, outcome, rule, author, at_unix_ms: record.at_unix_ms, number }
    }
}

/// The way of an exchange, in the order in which `exchange::decide`, the stops and the policies look.
const EXCHANGE: &[Layer] = &[
    Layer::Identity,
    Layer::Session,
    Layer::Registry,
    Layer::Drift,
    Layer::Envelope,
    Layer::Manifest,
    Layer::Delegation,
    Layer::Lifetime,
    Layer::KillSwitch,
    Layer::Policy,
    Layer::Pace,
    Layer::Approval,
];

/// The way of a session that is opened.
const SESSION: &[Layer] =
    &[Layer::Identity, Layer::Registry, Layer::Session, Layer::Envelope, Layer::Manifest, Layer::KillSwitch];

/// The way of a call at a tool server. Its rules are looked at in an order of their own, so a refusal is told alone.
const CALL: &[Layer] = &[
    Layer::Feed,
    Layer::Token,
    Layer::Expiry,
    Layer::Revocation,
    Layer::Environment,
    Layer::Holder,
    Layer::Audience,
    Layer::Grant,
    Layer::Condition,
];

/// Returns the steps of a decision that `record` is about.
pub(super) fn of(record: &Record, denial: Option<&Denial>) -> Vec<Step> {
    let way = match record.kind {
        Kind::Exchange => EXCHANGE,
        Kind::SessionOpen | Kind::SessionDelegate => SESSION,
        Kind::Decision => CALL,
        _ => &[],
    };
    let layer = denial.map(|denial| Layer::of(denial.reason));
    let is_told_alone = record.kind == Kind::Decision || layer.is_some_and(|layer| !way.contains(&layer));
    if let (Some(denial), Some(layer), true) = (denial, layer, is_told_alone) {
        return vec![refused(layer, denial)];
    }
    let step = |at: &Layer| match (layer, denial) {
        (Some(layer), Some(denial)) if layer == *at => refused(layer, denial),
        (Some(layer), _) if layer < *at => Step::new(*at, Outcome::NotReached, "", ""),
        _ => held(*at, record),
    };
    way.iter().map(step).collect()
}

fn refused(layer: Layer, denial: &Denial) -> Step {
    let rule = if denial.rule.is_empty() { denial.reason.sentence() } else { &denial.rule };
    Step::new(layer, Outcome::Refused, rule, &denial.author)
}

/// Says what held, as far as the record knows it.
fn held(layer: Layer, record: &Record) -> Step {
    let (rule, author) = match layer {
        Layer::Identity => (record.peer.clone(), "X.509-SVID"),
        Layer::Session => (record.session_id.clone(), record.agent.as_str()),
        Layer::Registry => (format!("registry {}", record.registry_version.get(..12).unwrap_or_default()), ""),
        Layer::Envelope if record.kind == Kind::Exchange => {
            (format!("envelope of {}", record.session_id), record.agent.as_str())
        }
        Layer::Manifest => (format!("manifest {}", record.agent), record.owner.as_str()),
        Layer::Policy => (record.policy_version.clone(), ""),
        _ => (String::new(), ""),
    };
    Step::new(layer, Outcome::Held, rule, author)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::{Reason, RecordId};

    fn record(kind: Kind) -> Record {
        let id = RecordId::from_uuid(uuid::Uuid::from_u128(1));
        Record::new(id, 7, kind, "0123456789abcdef")
    }

    fn told(kind: Kind, reason: Option<Reason>) -> Vec<(Layer, Outcome)> {
        let denial = reason.map(|reason| Denial::new(reason).by("a rule", "ada@a.example"));
        of(&record(kind), denial.as_ref()).into_iter().map(|step| (step.layer, step.outcome)).collect()
    }

    #[test]
    fn a_refusal_says_how_far_it_came() {
        let steps = told(Kind::Exchange, Some(Reason::OutsideManifest));
        assert_eq!(
            steps[4..7],
            [
                (Layer::Envelope, Outcome::Held),
                (Layer::Manifest, Outcome::Refused),
                (Layer::Delegation, Outcome::NotReached),
            ]
        );
        assert_eq!(steps.len(), EXCHANGE.len());
    }

    #[test]
    fn a_yes_is_told_with_all_that_held() {
        for kind in [Kind::Exchange, Kind::SessionOpen, Kind::Decision] {
            let steps = told(kind, None);
            assert!(steps.len() > 5 && steps.iter().all(|(_, outcome)| *outcome == Outcome::Held), "{steps:?}");
        }
        assert_eq!(told(Kind::Revoke, None), []);
    }

    #[test]
    fn what_is_off_the_way_is_told_alone() {
        assert_eq!(told(Kind::Exchange, Some(Reason::StoreUnavailable)), [(Layer::Record, Outcome::Refused)]);
        assert_eq!(told(Kind::Decision, Some(Reason::ResourceNotGranted)), [(Layer::Grant, Outcome::Refused)]);
    }

    #[test]
    fn the_ways_are_in_the_order_of_the_layers_but_for_a_new_session() {
        for way in [EXCHANGE, CALL] {
            assert!(way.is_sorted(), "{way:?}");
        }
    }
}
