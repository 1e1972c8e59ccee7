//! Holding rights against what limits them, and saying exactly which are outside.
//!
//! A request is granted in full or refused, never narrowed in silence; what is refused is named right by right, with the
//! narrowing that would pass.

use crate::{
    registry::{Agent, Registry, ToolServer},
    session::Session,
};
use crumb_token::{Audience, Denial, Grants, Reason, Timestamp};
use std::fmt::Display;

/// Refuses rights to tools that the server does not have.
///
/// # Errors
///
/// `tool_unknown`, naming each.
pub fn known_to(wanted: &Grants, server: &ToolServer) -> Result<(), Denial> {
    let unknown: Vec<_> =
        wanted.iter().filter(|g| !server.has(&g.tool, &g.operation)).map(ToString::to_string).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let rule = format!("manifest {}", server.name);
    Err(Denial::new(Reason::ToolUnknown).asked(unknown.join("; ")).by(rule, &server.owner))
}

/// Refuses rights that the session did not declare.
///
/// # Errors
///
/// `outside_envelope`, naming each.
pub fn inside_envelope(wanted: &Grants, session: &Session, audience: &Audience) -> Result<(), Denial> {
    let limit = Limit { given: session.declared(audience), rule: format!("envelope of {}", session.id) };
    limit.hold(wanted, audience, Reason::OutsideEnvelope, &session.agent)
}

/// Refuses rights that the agent's owner did not give.
///
/// # Errors
///
/// `outside_manifest`, naming each.
pub fn inside_manifest(wanted: &Grants, agent: &Agent, audience: &Audience) -> Result<(), Denial> {
    let limit = Limit { given: agent.scopes.get(audience), rule: agent.manifest() };
    limit.hold(wanted, audience, Reason::OutsideManifest, &agent.owner)
}

/// Refuses what an agent above has lost since it delegated: every one of them must be registered and in good standing, and its
/// manifest must still give the rights.
///
/// # Errors
///
/// `delegation_refused`, with why the agent above cannot pass it on any more.
pub fn inside_those_above(
    wanted: &Grants,
    session: &Session,
    audience: &Audience,
    registry: &Registry,
    now: Timestamp,
) -> Result<(), Denial> {
    for above in &session.lineage.ancestors {
        let refuse = |why: &dyn Display| {
            let denial = Denial::new(Reason::DelegationRefused).asked(format!("by way of agent {}", above.agent));
            denial.by(why, "the registry")
        };
        let agent = registry.agent(&above.agent).ok_or_else(|| refuse(&"it is not registered any more"))?;
        registry.standing(agent, now).map_err(|reason| refuse(&reason.sentence()))?;
        inside_manifest(wanted, agent, audience)?;
    }
    Ok(())
}

/// What is given at most, and which rule says so.
struct Limit<'a> {
    given: Option<&'a Grants>,
    rule: String,
}

impl Limit<'_> {
    fn hold(self, wanted: &Grants, audience: &Audience, reason: Reason, author: impl Display) -> Result<(), Denial> {
        let nothing = Grants::default();
        let given = self.given.unwrap_or(&nothing);
        if wanted.first_outside(given).is_none() {
            return Ok(());
        }
        let asked = format!("{} at {audience}", refused(wanted, given).join("; "));
        let denial = Denial::new(reason).asked(asked).by(self.rule, author);
        Err(match narrowing(wanted, given) {
            Some(narrowing) => denial.next(format!("this would pass: {narrowing}")),
            None => denial,
        })
    }
}

/// Returns each of `wanted` that `given` does not give in full, as text.
fn refused(wanted: &Grants, given: &Grants) -> Vec<String> {
    let is_outside = |alone: &Grants| alone.first_outside(given).is_some();
    let alone = wanted.iter().filter_map(|right| Grants::try_new([right.clone()]).ok());
    alone.filter(is_outside).flat_map(|alone| alone.iter().map(ToString::to_string).collect::<Vec<_>>()).collect()
}

/// Returns what of `wanted` would pass, as text, when something would.
fn narrowing(wanted: &Grants, given: &Grants) -> Option<String> {
    let meet = wanted.meet(given).ok().filter(|meet| !meet.is_empty())?;
    Some(meet.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}
