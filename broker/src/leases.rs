//! Deployment leases: an agent whose manifest names one gets tokens only while its deployment says that it is there.
//!
//! A lease begins with the first renewal; an agent that was never deployed has none, and gets nothing. Kept in the store and
//! read from memory.

use crate::registry::{Agent, Registry};
use crumb_token::{AgentName, Denial, Reason, Timestamp};
use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

/// Until when each agent's deployment counts as there.
#[derive(Debug, Default)]
pub struct Leases(RwLock<BTreeMap<AgentName, Lease>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lease {
    until: Timestamp,
    /// What it left behind has been ended.
    settled: bool,
}

impl Leases {
    /// Begins with what the store knows. What ended meanwhile is still to be settled.
    pub fn new(known: impl IntoIterator<Item = (AgentName, Timestamp)>) -> Self {
        let lease = |(name, until)| (name, Lease { until, settled: false });
        Self(RwLock::new(known.into_iter().map(lease).collect()))
    }

    /// Notes a renewal, once it is durable.
    pub fn renew(&self, agent: AgentName, until: Timestamp) {
        let mut leases = self.0.write().unwrap_or_else(PoisonError::into_inner);
        leases.insert(agent, Lease { until, settled: false });
    }

    /// Refuses an agent whose lease has ended, or was never begun.
    ///
    /// # Errors
    ///
    /// `lease_ended`.
    pub fn check(&self, agent: &Agent, now: Timestamp) -> Result<(), Denial> {
        let Some(lease) = agent.lease else { return Ok(()) };
        let leases = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if leases.get(&agent.name).is_some_and(|lease| now < lease.until) {
            return Ok(());
        }
        let rule = format!("a lease of {} s, {}", lease.as_secs(), agent.manifest());
        Err(Denial::new(Reason::LeaseEnded).asked(format!("agent {}", agent.name)).by(rule, &agent.owner))
    }

    /// Returns the agents whose lease has ended and who may still have tokens.
    pub fn ended(&self, registry: &Registry, now: Timestamp) -> Vec<AgentName> {
        let leases = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let has_lease = |name: &AgentName| registry.agent(name).is_some_and(|agent| agent.lease.is_some());
        let over = leases.iter().filter(|(name, lease)| !lease.settled && now >= lease.until && has_lease(name));
        over.map(|(name, _)| name.clone()).collect()
    }

    /// Notes that what an agent left behind has been ended; a renewal in the meantime counts.
    pub fn settle(&self, agent: &AgentName, now: Timestamp) {
        let mut leases = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = leases.get_mut(agent).filter(|lease| now >= lease.until) {
            lease.settled = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, time::Duration};

    const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);

    fn registry(deployment: &str) -> Registry {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!(
            "apiVersion: crumb.dev/v1
kind: ToolServer
metadata: {{ name: files }}
spec:
  audience: spiffe://td/tool/files
  spiffeId: spiffe://td/tool/files
  owner: ada@acme.example
  address: 127.0.0.1:9443
  tools: [{{ name: read_file, operation: read, risk: low }}]
---
apiVersion: crumb.dev/v1
kind: Agent
metadata: {{ name: bot }}
spec:
  spiffeId: spiffe://td/agent/bot
  owner: ada@acme.example
  purpose: Tests.
  version: 1.0.0
  environment: test
  {deployment}
  scopes:
    - toolServer: files
      tools: [{{ tool: read_file, operation: read, resources: [\"a/*\"] }}]
"
        );
        fs::write(directory.path().join("all.yaml"), text).expect("a file of our own");
        Registry::load(directory.path()).expect("good manifests")
    }

    fn bot() -> AgentName {
        "bot".parse().expect("a name")
    }

    #[test]
    fn refuses_before_the_first_renewal_and_from_the_end_on() {
        let registry = registry("deployment: { lease: 10m }");
        let agent = registry.agent(&bot()).expect("registered");
        let leases = Leases::default();
        assert_eq!(leases.check(agent, NOW).expect_err("never deployed").reason, Reason::LeaseEnded);
        let until = NOW.plus(Duration::from_secs(600));
        leases.renew(bot(), until);
        assert_eq!(leases.check(agent, NOW.plus(Duration::from_secs(599))), Ok(()));
        assert!(leases.check(agent, until).is_err());
    }

    #[test]
    fn what_has_ended_is_settled_once_and_comes_back_with_a_renewal() {
        let registry = registry("deployment: { lease: 10m }");
        let leases = Leases::new([(bot(), NOW)]);
        assert_eq!(leases.ended(&registry, NOW), [bot()]);
        leases.settle(&bot(), NOW);
        assert!(leases.ended(&registry, NOW).is_empty());
        leases.renew(bot(), NOW.plus(Duration::from_secs(1)));
        leases.settle(&bot(), NOW);
        assert_eq!(leases.ended(&registry, NOW.plus(Duration::from_secs(1))), [bot()]);
    }

    #[test]
    fn an_agent_without_a_lease_needs_none() {
        let registry = registry("model: acme/large");
        let agent = registry.agent(&bot()).expect("registered");
        assert_eq!(Leases::default().check(agent, NOW), Ok(()));
        assert!(Leases::new([(bot(), NOW)]).ended(&registry, NOW).is_empty());
    }
}
