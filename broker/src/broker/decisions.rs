//! Taking the decisions of tool servers into the trail.

use super::{Broker, Refused};
use crate::{
    audit::decision::Decision,
    caller,
    drift::{Event, Told},
    store::Reported,
};
use crumb_proto::{Violations, wire};
use crumb_token::{Denial, Reason, SessionId};
use std::collections::BTreeSet;
use tonic::Extensions;

impl Broker {
    /// Keeps decisions, each once. They are durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Refused`]; then none of them was kept.
    pub async fn record_decisions(
        &self,
        wire: wire::RecordDecisionsRequest,
        extensions: &Extensions,
    ) -> Result<(), Refused> {
        let _place = self.admit()?;
        self.within_limit(self.try_record(wire, extensions)).await
    }

    async fn try_record(&self, wire: wire::RecordDecisionsRequest, extensions: &Extensions) -> Result<(), Refused> {
        let caller = caller::attest(&self.workload, extensions, self.clock.now().wall)?;
        let decisions = read(wire).map_err(Refused::Malformed)?;
        let registry = self.registry();
        for (decision, _) in &decisions {
            let server = registry.tool_server(&decision.audience);
            if server.is_none_or(|server| server.spiffe_id != caller.id) {
                let asked = format!("{} for {}", caller.id, decision.audience);
                let denial = Denial::new(Reason::NotAToolServer).asked(asked);
                return Err(denial.by("registry", "the registry's owner").into());
            }
        }
        let wanted: BTreeSet<SessionId> = decisions.iter().filter_map(|(decision, _)| decision.session).collect();
        let sessions = self.store.sessions(wanted.into_iter().collect()).await.map_err(Denial::from)?;
        let (version, now) = (registry.version(), self.clock.now().wall);
        let join = |(decision, told): (Decision, Told)| {
            let session = sessions.iter().find(|session| Some(session.id) == decision.session);
            let digest = decision.digest;
            let event = session.and_then(|session| Event::of_call(&told, &decision.audience, session, &registry, now));
            Reported { record: decision.into_record(session, version), digest, event }
        };
        let reported = decisions.into_iter().map(join).collect();
        if self.store.append(reported, self.watch(), self.on_revoked()).await.map_err(Denial::from)? {
            return Ok(());
        }
        let conflict = Denial::new(Reason::RequestConflict).by("a record id names one decision", "the broker");
        Err(conflict.next("make a new record id").into())
    }
}

fn read(wire: wire::RecordDecisionsRequest) -> Result<Vec<(Decision, Told)>, Violations> {
    let mut v = Violations::default();
    if wire.decisions.is_empty() || wire.decisions.len() > Decision::BATCH_MAX {
        v.add("decisions", format!("has 1 to {}", Decision::BATCH_MAX));
        return Err(v);
    }
    let read = |(i, wire): (usize, wire::Decision)| {
        let told = Told::from(&wire);
        Some((Decision::read(&mut v, &format!("decisions[{i}]"), wire)?, told))
    };
    let decisions: Option<Vec<_>> = wire.decisions.into_iter().enumerate().map(read).collect();
    decisions.ok_or(v)
}
