//! Whether a change gives more than there was before. Pure: two snapshots in, sentences out.
//!
//! What counts is what an agent can do in the end, so a bundle or a persona that gives more is found through the agents
//! that it gives more to. What holds an agent in counts as well: a lease, a last day, a review, a persona.

use super::{
    Agent, AgentIdentity, ApprovalRule, ManifestName, Persona, Registry, Scopes, Tool, ToolBundle, ToolServer,
};
use crate::clamp::TTL_MAX;
use crumb_token::{AgentName, Grants, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

/// Returns what each agent of `new` can do that it could not do in `old`. An agent that is new could do nothing.
pub fn of_agents(old: Option<&Registry>, new: &Registry) -> BTreeMap<AgentName, Vec<String>> {
    let widened = |agent: &Agent| {
        let more = of_agent(old.and_then(|old| old.agent(&agent.name)), agent);
        (!more.is_empty()).then(|| (agent.name.clone(), more))
    };
    new.agents().filter_map(widened).collect()
}

/// Returns what `new` can do that `old` could not.
pub fn of_agent(old: Option<&Agent>, new: &Agent) -> Vec<String> {
    let nothing = Scopes::new();
    let mut more = rights(old.map_or(&nothing, |old| &old.scopes), &new.scopes);
    let Some(old) = old else { return more };
    if !is_within(&new.identity, &old.identity) {
        more.push(format!("{} may act as it", new.identity));
    }
    let sidecars = new.sidecars.iter().filter(|id| !old.sidecars.contains(id));
    more.extend(sidecars.map(|id| format!("{id} may speak for it")));
    more.extend(new.hands_to.difference(&old.hands_to).map(|name| format!("its tokens may be handed to {name}")));
    let narrower = match (&new.process, &old.process) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(new), Some(old)) => new.is_within(old),
    };
    if !narrower {
        more.push("another process may be it".to_owned());
    }
    if new.ttl_max.unwrap_or(TTL_MAX) > old.ttl_max.unwrap_or(TTL_MAX) {
        more.push(format!("its tokens may live for {} s", new.ttl_max.unwrap_or(TTL_MAX).as_secs()));
    }
    if new.environment != old.environment {
        more.push(format!("it may run in {}", new.environment));
    }
    more.extend(bounds(old, new));
    more
}

/// Returns what `new` is held in by less than `old`: how long it counts as there and as registered, and by what kind of agent
/// it is.
fn bounds(old: &Agent, new: &Agent) -> Vec<String> {
    let mut more = Vec::new();
    match (old.lease, new.lease) {
        (Some(_), None) => more.push("it goes on when its deployment is gone".to_owned()),
        (Some(old), Some(new)) if new > old => {
            more.push(format!("it goes on for {} s when its deployment is gone", new.as_secs()));
        }
        _ => {}
    }
    if is_later(old.valid_until, new.valid_until) {
        more.push(format!("it is registered {}", until(new.valid_until)));
    }
    if is_later(old.review_by, new.review_by) {
        more.push(of_review(new));
    }
    if let Some(persona) = old.persona.as_ref().filter(|_| new.persona != old.persona) {
        more.push(without(persona));
    }
    more
}

/// Returns how a change is told by which a persona holds an agent in no more.
pub fn without(persona: &ManifestName) -> String {
    format!("persona {persona} goes, with its risk ceiling, its policies and what counts as drift for it")
}

/// Returns how a change is told by which `new` may go longer without a review: a review itself does that.
pub fn of_review(new: &Agent) -> String {
    format!("it goes without a review {}", until(new.review_by))
}

fn is_later(old: Option<Timestamp>, new: Option<Timestamp>) -> bool {
    old.is_some_and(|old| new.is_none_or(|new| new > old))
}

/// Writes the last day before `end`.
fn until(end: Option<Timestamp>) -> String {
    let Some(end) = end else { return "for ever".to_owned() };
    let last = i64::try_from(end.as_unix_s().saturating_sub(1)).ok();
    let day = last.and_then(|last| OffsetDateTime::from_unix_timestamp(last).ok()).map(OffsetDateTime::date);
    day.map_or_else(|| "until a day that cannot be written".to_owned(), |day| format!("until {day}"))
}

fn rights(old: &Scopes, new: &Scopes) -> Vec<String> {
    let nothing = Grants::default();
    let mut more = Vec::new();
    for (audience, grants) in new {
        let old = old.get(audience).unwrap_or(&nothing);
        let alone = grants.iter().filter_map(|grant| Grants::try_new([grant.clone()]).ok());
        let outside = alone.filter(|alone| alone.first_outside(old).is_some());
        more.extend(outside.flat_map(|alone| alone.iter().map(|g| format!("{g} at {audience}")).collect::<Vec<_>>()));
    }
    more
}

fn is_within(new: &AgentIdentity, old: &AgentIdentity) -> bool {
    match (new, old) {
        (AgentIdentity::One(id), old) => old.is(id),
        (new, old) => new == old,
    }
}

/// Returns what a bundle gives that it did not give.
pub fn of_bundles(old: &ToolBundle, new: &ToolBundle) -> Vec<String> {
    rights(&old.scopes, &new.scopes)
}

/// Returns what agents of a persona get that they did not get.
pub fn of_personas(old: &Persona, new: &Persona) -> Vec<String> {
    let mut more: Vec<String> = new.bundles.difference(&old.bundles).map(|name| format!("bundle {name}")).collect();
    if new.risk_ceiling > old.risk_ceiling {
        more.push(format!("tools of {} risk", new.risk_ceiling.as_str()));
    }
    if new.ttl_max.unwrap_or(TTL_MAX) > old.ttl_max.unwrap_or(TTL_MAX) {
        more.push(format!("tokens that live for {} s", new.ttl_max.unwrap_or(TTL_MAX).as_secs()));
    }
    more
}

/// Returns what makes approvals of a group easier to get.
pub fn of_approvals(old: &ApprovalRule, new: &ApprovalRule) -> Vec<String> {
    let mut more: Vec<String> =
        new.members.difference(&old.members).map(|member| format!("{member} may approve")).collect();
    if new.count < old.count {
        more.push(format!("{} instead of {} have to approve", new.count, old.count));
    }
    more
}

/// Returns which tools count as less risky than before.
pub fn of_risks(old: &ToolServer, new: &ToolServer) -> Vec<String> {
    let less = |tool: &Tool| {
        let before = old.risk(&tool.name, &tool.operation).filter(|before| tool.risk < *before)?;
        let (name, operation, after) = (&tool.name, &tool.operation, tool.risk.as_str());
        Some(format!("{name} {operation} counts as {after} risk instead of {}", before.as_str()))
    };
    new.tools.iter().filter_map(less).collect()
}

/// Returns who has left no more.
pub fn of_people(old: &Registry, new: &Registry) -> Vec<String> {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.departed().collect(), new.departed().collect());
    old.difference(&new).map(|person| format!("{person} counts as here again")).collect()
}
