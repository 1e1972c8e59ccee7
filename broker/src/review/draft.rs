//! The text of a narrower manifest. Pure: what is in force and what was used in, a text out.
//!
//! A bundle that was used in full stays, named as it was; of one that was not, the used rights become the agent's own, since
//! a bundle is others' as well. A persona stays as long as anything beside it can be narrowed. Where it gives more than was
//! used and nothing else is left, it goes: its longest life of tokens is written down, and what else held the agent in goes
//! with it and is told in a note, since no manifest of the agent alone can keep it.

use super::usage::Usage;
use crate::registry::{
    Agent, Lifecycle, ManifestName, Persona, Registry, Scopes,
    amend::{Amendment, amend},
};
use crumb_token::{Audience, Grant, Grants};
use std::{collections::BTreeMap, fmt::Write as _};

/// What a review comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Draft {
    /// All that was given was used.
    Keep,
    /// Less would do.
    Narrow {
        /// The manifest that gives less.
        text: String,
        /// What to look at.
        notes: Vec<String>,
    },
    /// Nothing was used.
    SetAside {
        /// The manifest in quarantine, from which there is a way back.
        text: String,
    },
}

/// Drafts the manifest that gives what was used; `None` when the text in force cannot be amended.
pub fn draft(agent: &Agent, registry: &Registry, text: &str, usage: &Usage) -> Option<Draft> {
    let used = usage.narrowed();
    if used.is_empty() {
        let lifecycle = if agent.lifecycle.next().contains(&Lifecycle::Quarantined) {
            Lifecycle::Quarantined
        } else {
            agent.lifecycle
        };
        let aside = Amendment::Set("lifecycle", format!("lifecycle: {lifecycle}\n"));
        return Some(Draft::SetAside { text: amend(text, &[aside])? });
    }
    if is_within(&agent.scopes, &used) {
        return Some(Draft::Keep);
    }
    let Narrowed { amendments, mut notes } = narrow(agent, registry, &used);
    for tally in usage.tallies.iter().filter(|tally| tally.is_asked_wider()) {
        let asked: Vec<&str> = tally.asked.named().collect();
        let (tool, operation) = (&tally.grant.tool, &tally.grant.operation);
        notes.push(format!(
            "tokens were asked for {tool} {operation} {}, more than was called: the agent has to ask for less then",
            asked.join(", ")
        ));
    }
    Some(Draft::Narrow { text: amend(text, &amendments)?, notes })
}

/// What becomes of a manifest, and what to look at.
struct Narrowed {
    amendments: Vec<Amendment>,
    notes: Vec<String>,
}

fn narrow(agent: &Agent, registry: &Registry, used: &Scopes) -> Narrowed {
    let mut narrowed = Narrowed { amendments: Vec::new(), notes: Vec::new() };
    let is_used = |name: &&ManifestName| registry.bundle(name).is_some_and(|bundle| is_within(&bundle.scopes, used));
    let (mut kept, gone): (Vec<&ManifestName>, Vec<_>) = agent.bundles.iter().partition(is_used);
    let names: Vec<&str> = kept.iter().map(|name| name.as_str()).collect();
    if !gone.is_empty() {
        narrowed.amendments.push(match names.is_empty() {
            true => Amendment::Without("bundles"),
            false => Amendment::Set("bundles", format!("bundles: [{}]\n", names.join(", "))),
        });
        narrowed.notes.extend(
            gone.iter().map(|name| format!("bundle {name} gives more than was used, so the agent has its own")),
        );
    }
    if let Some(persona) = agent.persona.as_ref().and_then(|name| registry.persona(name)) {
        let with: Vec<&ManifestName> = kept.iter().copied().chain(&persona.bundles).collect();
        if persona.bundles.iter().all(|name| is_used(&name)) {
            kept = with;
        } else if is_narrower(agent, used, &given(registry, &with)) {
            narrowed
                .notes
                .push(format!("persona {} gives more than was used, and stays for what it holds in", persona.name));
            kept = with;
        } else {
            narrowed.without(persona, agent);
        }
    }
    let own = own(registry, used, &given(registry, &kept));
    narrowed.amendments.push(match own.is_empty() {
        true => Amendment::Without("scopes"),
        false => Amendment::Set("scopes", own),
    });
    narrowed
}

impl Narrowed {
    /// Takes the persona away, and tells what goes with it.
    fn without(&mut self, persona: &Persona, agent: &Agent) {
        let (name, ceiling) = (&persona.name, persona.risk_ceiling.as_str());
        self.notes.push(format!(
            "persona {name} gives more than was used, so it goes, and what held the agent in goes with it: \
             its ceiling of {ceiling} risk, its default lifetimes, every policy that asks for the persona, \
             and the sessions that drift is measured by"
        ));
        self.notes.push("a reviewer cannot decide that: it is for the owner to apply".to_owned());
        self.amendments.push(Amendment::Without("persona"));
        let ttl = agent.ttl_max.map(|ttl| format!("maxTtlSeconds: {}\n", ttl.as_secs()));
        self.amendments.extend(ttl.map(|ttl| Amendment::Set("maxTtlSeconds", ttl)));
    }
}

fn given<'r>(registry: &'r Registry, bundles: &[&ManifestName]) -> Vec<&'r Scopes> {
    bundles.iter().filter_map(|name| registry.bundle(name)).map(|bundle| &bundle.scopes).collect()
}

/// Says whether what was used, with what bundles give, is less than the agent has.
fn is_narrower(agent: &Agent, used: &Scopes, bundled: &[&Scopes]) -> bool {
    let is_left = |audience: &Audience, grant: &Grant| {
        let mut stays = bundled.iter().copied().chain([used]);
        stays.any(|scopes| is_given(scopes, audience, grant))
    };
    agent.scopes.iter().any(|(audience, grants)| grants.iter().any(|grant| !is_left(audience, grant)))
}

fn is_given(scopes: &Scopes, audience: &Audience, grant: &Grant) -> bool {
    let alone = Grants::try_new([grant.clone()]).unwrap_or_default();
    scopes.get(audience).is_some_and(|given| alone.first_outside(given).is_none())
}

/// Says whether everything of `narrow` is given by `wide`.
fn is_within(narrow: &Scopes, wide: &Scopes) -> bool {
    let nothing = Grants::default();
    let given = |audience: &Audience| wide.get(audience).unwrap_or(&nothing);
    narrow.iter().all(|(audience, grants)| grants.first_outside(given(audience)).is_none())
}

/// Writes `scopes` with what the bundles do not give; nothing when they give all.
fn own(registry: &Registry, used: &Scopes, bundled: &[&Scopes]) -> String {
    let mut yaml = String::new();
    for (audience, grants) in used {
        let Some(server) = registry.tool_server(audience) else { continue };
        let is_bundled = |grant: &Grant| bundled.iter().any(|scopes| is_given(scopes, audience, grant));
        let mut rights: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for grant in grants.iter().filter(|grant| !is_bundled(grant)) {
            let resources = rights.entry((grant.tool.as_str(), grant.operation.as_str())).or_default();
            // No resource has a character that means something inside quotes.
            resources.push(format!("\"{}\"", grant.resource));
        }
        if rights.is_empty() {
            continue;
        }
        // Writing into a text does not fail.
        let _ = writeln!(yaml, "  - toolServer: {}\n    tools:", server.name);
        for ((tool, operation), resources) in rights {
            let (tool, operation, resources) = (word(tool), word(operation), resources.join(", "));
            let _ = writeln!(yaml, "      - {{ tool: {tool}, operation: {operation}, resources: [{resources}] }}");
        }
    }
    if yaml.is_empty() { yaml } else { format!("scopes:\n{yaml}") }
}

/// Writes a name so that it is read as a text, whatever it looks like.
fn word(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { format!("\"{name}\"") }
}

#[cfg(test)]
mod tests;
