//! Renewing a deployment's lease, and ending what a deployment that is gone has left behind.

use super::{Broker, Refused};
use crate::{audit::Kind, caller, session};
use crumb_proto::{Violations, wire};
use crumb_token::{AgentName, Denial, Reason, Timestamp};
use tonic::Extensions;

impl Broker {
    /// Renews the lease of an agent for whoever may speak for it; returns its new end.
    ///
    /// # Errors
    ///
    /// [`Refused`]; `request_invalid` for an agent whose manifest names no lease.
    pub async fn renew_lease(
        &self,
        wire: &wire::RenewLeaseRequest,
        extensions: &Extensions,
    ) -> Result<Timestamp, Refused> {
        let _place = self.admit()?;
        let now = self.clock.now().wall;
        let caller = caller::attest(&self.workload, extensions, now)?;
        let mut v = Violations::default();
        let agent: Option<AgentName> = v.parse("agent", &wire.agent);
        let name = agent.ok_or(Refused::Malformed(v))?;
        let registry = self.registry();
        let agent = session::registered(&name, &caller, &registry, now)?;
        let Some(lease) = agent.lease else {
            let denial = Denial::new(Reason::RequestInvalid).asked(format!("agent {name}"));
            return Err(denial.by("its manifest names no lease", &agent.owner).into());
        };
        let until = now.plus(lease);
        self.within_limit(async {
            self.store.renew_lease(name.clone(), until).await.map_err(Denial::from)?;
            self.leases.renew(name, until);
            Ok(until)
        })
        .await
    }

    /// Ends what is alive of agents whose lease has ended. Called again and again; what fails is done the next time.
    pub(crate) async fn end_leases(&self) {
        let now = self.clock.now().wall;
        for agent in self.leases.ended(&self.registry(), now) {
            let mut record = self.operation(Kind::Revoke, "the broker");
            record.agent = agent.to_string();
            record.detail = format!("revoke agent:{agent}: its deployment has stopped renewing its lease");
            record.allow();
            match self.end_agents(std::slice::from_ref(&agent), record).await {
                Ok(()) => self.leases.settle(&agent, now),
                Err(denial) => {
                    tracing::error!(%agent, reason = %denial.reason, "a lease has ended, and its tokens have not")
                }
            }
        }
    }
}
