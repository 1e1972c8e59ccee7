//! What holds now of a token in the hands of those whom it may be handed to, offline.
//!
//! Apart from what holds of it for its holder: revoking an agent that it may be handed to ends it there and behind, and
//! leaves the holder's own alone. The broker sees no hop, so this is about who may have it and never about who does. The
//! record names agents and their IDs, and no versions; what it does not tell is said not to be known.

use super::{Outcome, Step};
use crate::{audit::Record, broker::Broker};
use crumb_proto::Layer;
use crumb_token::{
    AgentName, Denial, SpiffeId, Timestamp,
    handover::{Delegate, Hop},
    revocation::{Target, hop_targets},
};

/// How the record of an issuance begins to say it.
const MAY_GO: &str = "may be handed on offline to ";

/// An agent that a token may be handed to, as the record tells it.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    agent: AgentName,
    /// Not there when the record was too long for it.
    holder: Option<SpiffeId>,
}

impl Broker {
    /// Tells of each agent that a token may be handed to whether it is revoked; nothing of a token that goes nowhere.
    pub(super) async fn delegates_now(&self, record: &Record) -> Result<Vec<Step>, Denial> {
        let Some(told) = record.detail.strip_prefix(MAY_GO) else { return Ok(Vec::new()) };
        let Some(delegates) = named(told) else {
            let rule = "it may be handed on, and the record does not say in full to whom: whether they are revoked is not known";
            return Ok(vec![Step::new(Layer::Revocation, Outcome::Noted, rule, "")]);
        };
        let issued_at = Timestamp::from_unix_s(record.at_unix_ms / 1000);
        let mut steps = Vec::new();
        for delegate in delegates {
            steps.push(self.delegate_now(delegate, record, issued_at).await?);
        }
        Ok(steps)
    }

    async fn delegate_now(&self, delegate: Named, record: &Record, issued_at: Timestamp) -> Result<Step, Denial> {
        let Named { agent, holder } = delegate;
        let registry = self.registry();
        let version = registry.agent(&agent).map(|agent| agent.version.clone());
        // Under other manifests than then it may have been another version that the token names.
        let is_known = registry.version() == record.registry_version && version.is_some() && holder.is_some();
        let targets = match version.zip(holder) {
            Some((version, holder)) => {
                let to = Delegate { holder, agent: agent.clone(), version };
                hop_targets(&Hop { to, key: None, block: 1 }).to_vec()
            }
            None => vec![Target::Agent(agent.clone())],
        };
        let reaching = self.store.reaching(targets, issued_at).await?;
        let (said, by) = match reaching.first() {
            Some(revocation) => {
                let denial = self.revoked(revocation).await?;
                (format!("it is over: {}", denial.rule), denial.author)
            }
            None if is_known => ("nothing is revoked".to_owned(), String::new()),
            None => {
                let said = "the agent is not revoked; the version that the token names is not on record, so of that it is not known";
                (said.to_owned(), String::new())
            }
        };
        Ok(Step::new(Layer::Revocation, Outcome::Noted, format!("in the hands of {agent}: {said}"), by))
    }
}

/// Reads names, and the IDs behind them; `None` when a name may be missing.
fn named(told: &str) -> Option<Vec<Named>> {
    let (names, ids) = told.split_once(": ")?;
    let mut ids = ids.split(", ").map(|id| id.parse().ok());
    names.split(", ").map(|name| Some(Named { agent: name.parse().ok()?, holder: ids.next().flatten() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(detail: &str) -> Option<Vec<(String, bool)>> {
        let named = named(detail.strip_prefix(MAY_GO).expect("it begins so"))?;
        Some(named.into_iter().map(|named| (named.agent.to_string(), named.holder.is_some())).collect())
    }

    #[test]
    fn names_are_read_before_ids_and_an_id_that_was_cut_is_none() {
        let both = "may be handed on offline to reader, digger: spiffe://td/agent/reader, spiffe://td/agent/digger";
        assert_eq!(told(both), Some(vec![("reader".into(), true), ("digger".into(), true)]));
        let cut = "may be handed on offline to reader, digger: spiffe://td/agent/reader, spi";
        assert_eq!(told(cut), Some(vec![("reader".into(), true), ("digger".into(), false)]));
    }

    #[test]
    fn names_that_may_be_missing_are_not_guessed() {
        for detail in ["reader", "reader, dig", "", "reader (spiffe://td/agent/reader)", "No Name: spiffe://td/a"] {
            assert_eq!(told(&format!("{MAY_GO}{detail}")), None, "{detail}");
        }
    }
}
