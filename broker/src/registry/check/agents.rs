//! Agents: identities that are taken, who may speak for them, and what they may do once their bundles are counted in.

use super::{
    super::{
        Agent, AgentIdentity, ManifestName, Risk,
        catalogue::{Scopes, least, unite},
        document::Document,
        line::Step::Key,
        manifest::{AgentSpec, Instances, ProcessSpec},
    },
    Building,
};
use crumb_token::AgentName;
use std::collections::BTreeSet;

impl Building<'_> {
    pub(super) fn agent(&mut self, document: &Document, name: &AgentName, spec: &AgentSpec) {
        let identity = self.identity(document, spec);
        self.speakers(document, spec);
        let persona = self.persona_of(document, spec);
        let scopes = self.effective(document, spec, persona.as_ref());
        let Some(identity) = identity else { return };
        let base = persona.as_ref().and_then(|name| self.personas.get(name));
        let agent = Agent {
            name: name.clone(),
            identity,
            owner: spec.owner.0.0.clone(),
            purpose: spec.purpose.0.clone(),
            version: spec.version.0.clone(),
            model: spec.model.as_ref().map(|model| model.0.clone()),
            environment: spec.environment.0.clone(),
            lifecycle: spec.lifecycle,
            bundles: spec.bundles.iter().map(|bundle| bundle.0.clone()).collect(),
            scopes,
            sidecars: spec.sidecars.iter().map(|id| id.0.clone()).collect(),
            hands_to: spec.may_hand_to.iter().map(|name| name.0.clone()).collect(),
            process: spec.process.as_ref().map(ProcessSpec::to_rule),
            valid_until: spec.valid_until.as_ref().map(|day| day.0.0),
            review_by: spec.review_by.as_ref().map(|day| day.0.0),
            ttl_max: least(spec.max_ttl_seconds.as_ref().map(|ttl| ttl.0.0), base.and_then(|base| base.ttl_max)),
            ttl_default: base.and_then(|base| base.ttl_default),
            session_default: base.and_then(|base| base.session_default),
            lease: spec.deployment.as_ref().map(|deployment| deployment.lease.0.0),
            persona,
        };
        self.agents.insert(name.clone(), agent);
    }

    fn identity(&mut self, document: &Document, spec: &AgentSpec) -> Option<AgentIdentity> {
        let (identity, field) = match (&spec.spiffe_id, &spec.spiffe_id_pattern) {
            (Some(id), None) => (AgentIdentity::One(id.0.clone()), "spiffeId"),
            (None, Some(pattern)) => (AgentIdentity::PerInstance(pattern.0.clone()), "spiffeIdPattern"),
            (None, None) => {
                self.wrong(document, &[Key("spec")], "spec: missing field `spiffeId`, or `spiffeIdPattern`");
                return None;
            }
            (Some(_), Some(_)) => {
                let reason = "an agent has a spiffeId or a spiffeIdPattern, not both";
                self.wrong(document, &[Key("spec"), Key("spiffeIdPattern")], reason);
                return None;
            }
        };
        let at = [Key("spec"), Key(field)];
        let wanted = if identity.is_per_instance() { Instances::Many } else { Instances::Single };
        if spec.instances.is_some_and(|instances| instances != wanted) {
            let reason = "many instances have an identity each, by a spiffeIdPattern; a single one has a spiffeId";
            self.wrong(document, &[Key("spec"), Key("instances")], reason);
        }
        if let Some(other) = self.agents.values().find(|agent| agent.identity.overlaps(&identity)) {
            let reason = match (&other.identity, &identity) {
                (AgentIdentity::One(a), AgentIdentity::One(b)) if a == b => {
                    format!("{identity} is the identity of another agent")
                }
                _ => format!("{identity} overlaps with {}, of agent {}", other.identity, other.name),
            };
            self.wrong(document, &at, reason);
        }
        let server =
            self.tool_servers.values().find(|server| identity.is_per_instance() && identity.is(&server.spiffe_id));
        if let Some(server) = server {
            let reason = format!("{identity} overlaps with {}, of tool server {}", server.spiffe_id, server.name);
            self.wrong(document, &at, reason);
        }
        Some(identity)
    }

    /// A sidecar on a shared host vouches for a local process, so the manifest has to say which process that is.
    fn speakers(&mut self, document: &Document, spec: &AgentSpec) {
        if spec.sidecars.len() > Agent::SIDECARS_MAX {
            let reason = format!("at most {} sidecars may speak for one agent", Agent::SIDECARS_MAX);
            self.wrong(document, &[Key("spec"), Key("sidecars")], reason);
        }
        let vague = spec.process.as_ref().is_none_or(ProcessSpec::is_empty);
        if vague && !spec.sidecars.is_empty() {
            let reason = "an agent that sidecars speak for says which process it is: uid, exe or exeSha256";
            self.wrong(document, &[Key("spec"), Key("sidecars")], reason);
        } else if vague && spec.process.is_some() {
            let reason = "a process is named by at least one of uid, exe and exeSha256";
            self.wrong(document, &[Key("spec"), Key("process")], reason);
        }
    }

    fn persona_of(&mut self, document: &Document, spec: &AgentSpec) -> Option<ManifestName> {
        let name = spec.persona.as_ref()?.0.clone();
        if !self.personas.contains_key(&name) {
            let reason = format!("no persona is registered as {name}");
            self.wrong(document, &[Key("spec"), Key("persona")], reason);
        }
        Some(name)
    }

    /// Adds up what an agent may do, and holds it against the ceiling of its persona. What is above is a defect and never
    /// left out in silence: a manifest says what its agent can do.
    fn effective(&mut self, document: &Document, spec: &AgentSpec, persona: Option<&ManifestName>) -> Scopes {
        let mut scopes = self.scopes(document, &spec.scopes);
        let mut bundles: BTreeSet<_> = self.named_bundles(document, &spec.bundles).into_iter().collect();
        let persona = persona.and_then(|name| self.personas.get(name)).cloned();
        bundles.extend(persona.iter().flat_map(|persona| persona.bundles.iter().cloned()));
        if spec.scopes.is_empty() && bundles.is_empty() {
            self.wrong(document, &[Key("spec"), Key("scopes")], "an agent without scopes can do nothing");
        }
        for name in &bundles {
            let more = self.bundles.get(name).map(|bundle| bundle.scopes.clone()).unwrap_or_default();
            if let Err((audience, error)) = unite(&mut scopes, &more) {
                self.wrong(document, &[Key("spec")], format!("{error} at {audience}, with bundle {name}"));
            }
        }
        if let Some(persona) = persona {
            self.hold_under(document, &scopes, &persona.name, persona.risk_ceiling);
        }
        scopes
    }

    fn hold_under(&mut self, document: &Document, scopes: &Scopes, persona: &ManifestName, ceiling: Risk) {
        let mut above = BTreeSet::new();
        for (audience, grants) in scopes {
            let Some(server) = self.tool_servers.get(audience) else { continue };
            let risky = grants.iter().filter_map(|grant| {
                let risk = server.risk(&grant.tool, &grant.operation).filter(|risk| *risk > ceiling)?;
                Some(format!("{} of {} is {}", grant.tool, server.name, risk.as_str()))
            });
            above.extend(risky);
        }
        if !above.is_empty() {
            let above = above.into_iter().collect::<Vec<_>>().join(", ");
            let reason = format!("persona {persona} has tools of at most {} risk, and {above}", ceiling.as_str());
            self.wrong(document, &[Key("spec"), Key("persona")], reason);
        }
    }
}
