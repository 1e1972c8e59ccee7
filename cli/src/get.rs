//! `crumb get`: the manifests in force, as a listing, or one of them to be read or changed.

use crate::{
    admin::AdminSocket,
    exit::{Exit, Failure},
    output::{self, Form, dim, verdict},
};
use crumb_broker::registry::Kind;
use crumb_proto::wire::{self, registry_service_client::RegistryServiceClient};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use tonic::transport::Channel;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb get agents\n  crumb get agents research-bot -o yaml > research-bot.yaml\n  crumb get tools -o json | jq -r .name\n\nA manifest that was got carries its version, so that applying it notices what others changed meanwhile."
)]
pub(crate) struct GetArgs {
    /// agents, tools, personas, bundles, policies, groups, directories, or all; unknown for workloads that asked for agents
    /// that nobody registered.
    #[arg(value_parser = kinds)]
    kind: Which,
    /// One of them.
    name: Option<String>,
    #[command(flatten)]
    admin: AdminSocket,
}

/// Which kinds are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    All,
    One(Kind),
    Unknown,
}

/// Reads a kind in the plural, the singular, or as manifests write it.
fn kinds(text: &str) -> Result<Which, String> {
    let kind = match text.to_ascii_lowercase().as_str() {
        "all" => return Ok(Which::All),
        "unknown" => return Ok(Which::Unknown),
        "agent" | "agents" => Kind::Agent,
        "tool" | "tools" | "toolserver" | "toolservers" | "tool-server" | "tool-servers" => Kind::ToolServer,
        "persona" | "personas" => Kind::Persona,
        "bundle" | "bundles" | "toolbundle" | "toolbundles" | "tool-bundle" | "tool-bundles" => Kind::ToolBundle,
        "policy" | "policies" => Kind::Policy,
        "group" | "groups" | "approvalrule" | "approvalrules" | "approval-rule" | "approval-rules" => {
            Kind::ApprovalRule
        }
        "directory" | "directories" => Kind::Directory,
        _ => {
            return Err(
                "is one of agents, tools, personas, bundles, policies, groups, directories, all and unknown".to_owned()
            );
        }
    };
    Ok(Which::One(kind))
}

pub(crate) async fn run(args: GetArgs, form: Form) -> Result<(), Failure> {
    let mut client = args.admin.registry().await?;
    let kind = match args.kind {
        Which::Unknown => return unknown(&mut client, &args, form).await,
        Which::All => String::new(),
        Which::One(kind) => kind.to_string(),
    };
    let request = wire::GetManifestsRequest { kind: kind.clone(), name: args.name.clone().unwrap_or_default() };
    let answer = client.get_manifests(request).await.map_err(|status| args.admin.failed(&status))?;
    let manifests = answer.into_inner().manifests;
    let agents = client.list_agents(wire::ListAgentsRequest {}).await.map_err(|status| args.admin.failed(&status))?;
    let agents: BTreeMap<String, wire::Agent> =
        agents.into_inner().agents.into_iter().map(|agent| (agent.name.clone(), agent)).collect();
    if let Some(name) = args.name.as_ref().filter(|_| manifests.is_empty()) {
        let what = format!("there is no {} by the name {name}", kind.to_ascii_lowercase());
        return Err(Failure::new(Exit::Conflict, what, "crumb get all"));
    }
    let agent = |m: &wire::Manifest| agents.get(&m.name).filter(|_| m.kind == Kind::Agent.as_str());
    match form {
        Form::Json => manifests.iter().for_each(|m| output::json(&to_json(m, agent(m)))),
        Form::Yaml => yaml(&manifests),
        Form::Text if args.name.is_some() => yaml(&manifests),
        Form::Text if args.kind == Which::One(Kind::Agent) => {
            let rows: Vec<_> = manifests.iter().filter_map(|m| Some(agent_row(agent(m)?))).collect();
            table(&["NAME", "OWNER", "ENVIRONMENT", "LIFECYCLE", "REVIEW BY", "FLAGS"], &rows);
        }
        Form::Text => {
            let rows: Vec<_> = manifests.iter().map(row).collect();
            table(&["KIND", "NAME", "VERSION", "OWNER", "WHAT", "FLAGS"], &rows);
        }
    }
    hint(&args, &manifests, &agents);
    Ok(())
}

/// Lists who came by without being registered.
async fn unknown(client: &mut RegistryServiceClient<Channel>, args: &GetArgs, form: Form) -> Result<(), Failure> {
    let answer = client.list_unknown(wire::ListUnknownRequest {}).await;
    let unknown = answer.map_err(|status| args.admin.failed(&status))?.into_inner().unknown;
    if form == Form::Text {
        let row = |u: &wire::UnknownAgent| vec![u.peer.clone(), u.agent.clone(), u.times.to_string()];
        table(&["WORKLOAD", "ASKED FOR", "TIMES"], &unknown.iter().map(row).collect::<Vec<_>>());
    } else {
        unknown.iter().for_each(|u| {
            output::json(&json!({
                "peer": u.peer, "agent": u.agent, "first_seen": u.first_seen, "last_seen": u.last_seen, "times": u.times,
            }));
        });
    }
    match unknown.first() {
        Some(first) => {
            output::next(format!("register `{}` with an owner, or find out who runs {}", first.agent, first.peer))
        }
        None => output::note(dim("nobody asked for an agent that is not registered")),
    }
    Ok(())
}

fn hint(args: &GetArgs, manifests: &[wire::Manifest], agents: &BTreeMap<String, wire::Agent>) {
    let orphan = manifests.iter().find(|m| m.flags.iter().any(|flag| flag == "orphaned"));
    let refused = agents.values().find(|agent| !agent.refused.is_empty());
    match (orphan, refused) {
        _ if args.name.is_some() => output::next("change it, then `crumb apply -f FILE --diff`"),
        (Some(m), _) => {
            output::next(format!("name another owner for {}/{}, a person who can be asked", m.kind, m.name))
        }
        (None, Some(agent)) if args.kind == Which::One(Kind::Agent) => {
            output::next(format!("{} gets no tokens: {}", agent.name, agent.refused));
        }
        _ => output::note(dim(&format!("{} manifests", manifests.len()))),
    }
}

fn yaml(manifests: &[wire::Manifest]) {
    let texts: Vec<_> = manifests.iter().map(|manifest| manifest.text_with_version.trim_end()).collect();
    if !texts.is_empty() {
        output::data(texts.join("\n---\n"));
    }
}

fn agent_row(agent: &wire::Agent) -> Vec<String> {
    let flags = if agent.flags.is_empty() { agent.refused.clone() } else { agent.flags.join(",") };
    let flags = if flags.is_empty() { "-".to_owned() } else { verdict(false, &flags) };
    vec![
        agent.name.clone(),
        agent.owner.clone(),
        agent.environment.clone(),
        agent.lifecycle.clone(),
        last_day(agent.review_by).unwrap_or_else(|| "-".to_owned()),
        flags,
    ]
}

fn row(m: &wire::Manifest) -> Vec<String> {
    let flags = if m.flags.is_empty() { "-".to_owned() } else { verdict(false, &m.flags.join(",")) };
    vec![m.kind.clone(), m.name.clone(), m.version.to_string(), m.owner.clone(), m.summary.clone(), flags]
}

/// Returns the last day before a moment, as manifests write it.
pub(crate) fn last_day(end: u64) -> Option<String> {
    let last = i64::try_from(end).ok()?.checked_sub(1).filter(|last| *last >= 0)?;
    OffsetDateTime::from_unix_timestamp(last).ok().map(|at| at.date().to_string())
}

/// Writes rows in columns. The last one may be coloured, so it is never padded.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<usize> = (0..head.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).chain([head[column].len()]).max().unwrap_or(0))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).enumerate().map(|(at, (cell, width))| {
            if at + 1 == widths.len() { cell.to_owned() } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ")
    };
    output::data(dim(&line(&mut head.iter().copied())));
    for row in rows {
        output::data(line(&mut row.iter().map(String::as_str)));
    }
}

fn to_json(m: &wire::Manifest, agent: Option<&wire::Agent>) -> Value {
    // A manifest in force is YAML that says JSON; a number without a form in JSON would be told as null.
    let manifest = serde_yaml_ng::from_str::<Value>(&m.text).unwrap_or(Value::Null);
    let mut value = json!({
        "kind": m.kind, "name": m.name, "version": m.version, "owner": m.owner, "summary": m.summary, "flags": m.flags,
        "applied_at": m.applied_at, "applied_by": m.applied_by, "manifest": manifest,
    });
    if let (Some(agent), Some(fields)) = (agent, value.as_object_mut()) {
        let refused = if agent.refused.is_empty() { Value::Null } else { agent.refused.clone().into() };
        fields.insert("environment".into(), agent.environment.clone().into());
        fields.insert("lifecycle".into(), agent.lifecycle.clone().into());
        fields.insert("review_by".into(), last_day(agent.review_by).into());
        fields.insert("refused".into(), refused);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_written_as_people_do() {
        assert_eq!(kinds("tools"), Ok(Which::One(Kind::ToolServer)));
        assert_eq!(kinds("ToolServer"), Ok(Which::One(Kind::ToolServer)));
        assert_eq!(kinds("all"), Ok(Which::All));
        for kind in Kind::ALL {
            assert_eq!(kinds(kind.as_str()), Ok(Which::One(*kind)));
        }
        assert!(kinds("robots").is_err());
    }

    #[test]
    fn a_day_is_shown_as_it_was_written() {
        assert_eq!(last_day(86_400).as_deref(), Some("1970-01-01"));
        assert_eq!(last_day(1_801_440_000).as_deref(), Some("2027-01-31"));
        assert_eq!(last_day(0), None);
    }
}
