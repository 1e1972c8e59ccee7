//! The text of a narrower manifest. Pure: what is in force and what was used in, a text out.
//!
//! A bundle that was used in full stays, named as it was; of one that was not, the used rights become the agent's own, since
//! a bundle is others' as well. A persona goes when one of its bundles does, and takes nothing with it that held the agent in:
//! its longest life of tokens is written down.

use super::usage::Usage;
use crate::registry::{
    Agent, Lifecycle, ManifestName, Registry, Scopes,
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
    let (amendments, mut notes) = narrow(agent, registry, &used);
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

fn narrow(agent: &Agent, registry: &Registry, used: &Scopes) -> (Vec<Amendment>, Vec<String>) {
    let (mut amendments, mut notes) = (Vec::new(), Vec::new());
    let is_used = |name: &ManifestName| registry.bundle(name).is_some_and(|bundle| is_within(&bundle.scopes, used));
    let (mut kept, gone): (Vec<&ManifestName>, Vec<_>) = agent.bundles.iter().partition(|name| is_used(name));
    let names: Vec<&str> = kept.iter().map(|name| name.as_str()).collect();
    if !gone.is_empty() {
        amendments.push(match names.is_empty() {
            true => Amendment::Without("bundles"),
            false => Amendment::Set("bundles", format!("bundles: [{}]\n", names.join(", "))),
        });
        notes.extend(
            gone.iter().map(|name| format!("bundle {name} gives more than was used, so the agent has its own")),
        );
    }
    if let Some(persona) = agent.persona.as_ref().and_then(|name| registry.persona(name)) {
        if persona.bundles.iter().all(is_used) {
            kept.extend(&persona.bundles);
        } else {
            let name = &persona.name;
            notes.push(format!("persona {name} gives more than was used, so it goes, with its default lifetimes"));
            amendments.push(Amendment::Without("persona"));
            let ttl = agent.ttl_max.map(|ttl| format!("maxTtlSeconds: {}\n", ttl.as_secs()));
            amendments.extend(ttl.map(|ttl| Amendment::Set("maxTtlSeconds", ttl)));
        }
    }
    let bundled: Vec<&Scopes> = kept.iter().filter_map(|name| registry.bundle(name)).map(|b| &b.scopes).collect();
    let own = own(registry, used, &bundled);
    amendments.push(match own.is_empty() {
        true => Amendment::Without("scopes"),
        false => Amendment::Set("scopes", own),
    });
    (amendments, notes)
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
        let is_bundled = |grant: &Grant| {
            let alone = Grants::try_new([grant.clone()]).unwrap_or_default();
            bundled.iter().filter_map(|scopes| scopes.get(audience)).any(|given| alone.first_outside(given).is_none())
        };
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
