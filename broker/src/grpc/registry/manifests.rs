//! Manifests, changes and defects for the wire.

use crate::registry::{Defect, Flag, Kept, Key, Kind, Registry, plan::Change};
use crumb_proto::wire;
use crumb_token::{AgentName, Owner, Timestamp};

pub(in crate::grpc) fn to_change(change: Change) -> wire::Change {
    wire::Change {
        kind: change.key.kind.to_string(),
        name: change.key.name.to_string(),
        action: change.action.as_str().to_owned(),
        from_version: change.from_version,
        to_version: change.to_version,
        diff: change.diff,
        widens: !change.widens.is_empty(),
        widenings: change.widens,
    }
}

pub(super) fn to_defect(defect: Defect) -> wire::Defect {
    wire::Defect { file: defect.file.to_string_lossy().into_owned(), line: defect.line as u64, reason: defect.reason }
}

pub(super) fn to_manifest(registry: &Registry, kept: Kept, now: Timestamp) -> wire::Manifest {
    let About { owner, summary, mut flags } = about(registry, &kept.key, now).unwrap_or_default();
    if kept.key.kind != Kind::Agent && owner.as_ref().is_some_and(|owner| registry.has_departed(owner)) {
        flags.push(Flag::Orphaned);
    }
    wire::Manifest {
        kind: kept.key.kind.to_string(),
        name: kept.key.name.to_string(),
        version: kept.version,
        text_with_version: kept.text_with_version(),
        text: kept.text,
        applied_at: kept.applied_at.as_unix_s(),
        applied_by: kept.applied_by,
        owner: owner.map(|owner| owner.to_string()).unwrap_or_default(),
        summary,
        flags: flags.iter().map(ToString::to_string).collect(),
    }
}

/// What a listing says about a manifest.
#[derive(Default)]
struct About {
    owner: Option<Owner>,
    summary: String,
    flags: Vec<Flag>,
}

/// `None` when the snapshot in force has no such manifest, as right after it was applied.
fn about(registry: &Registry, key: &Key, now: Timestamp) -> Option<About> {
    let name = &key.name;
    let (owner, summary) = match key.kind {
        Kind::Agent => {
            let agent = registry.agent(&name.as_str().parse::<AgentName>().ok()?)?;
            let summary = format!("{} in {}, {}", agent.version, agent.environment, agent.lifecycle);
            return Some(About { owner: Some(agent.owner.clone()), summary, flags: registry.flags(agent, now) });
        }
        Kind::ToolServer => {
            let server = registry.tool_servers().find(|server| server.name.as_str() == name.as_str())?;
            (&server.owner, format!("{} tools at {}", server.tools.len(), server.audience))
        }
        Kind::Persona => {
            let persona = registry.persona(name)?;
            (
                &persona.owner,
                format!("at most {} risk, {} bundles", persona.risk_ceiling.as_str(), persona.bundles.len()),
            )
        }
        Kind::ToolBundle => {
            let bundle = registry.bundle(name)?;
            let rights: usize = bundle.scopes.values().map(crumb_token::Grants::len).sum();
            (&bundle.owner, format!("{rights} rights at {} tool servers", bundle.scopes.len()))
        }
        Kind::Policy => {
            let policy = registry.policy(name)?;
            (&policy.owner, format!("version {}", policy.compiled.version()))
        }
        Kind::ApprovalRule => {
            let rule = registry.approval_rule(name)?;
            (&rule.owner, format!("{} of {}", rule.count, registry.approvers(rule).count()))
        }
        Kind::Directory => {
            let directory = registry.directory(name)?;
            (&directory.owner, format!("{} have left", directory.departed.len()))
        }
    };
    Some(About { owner: Some(owner.clone()), summary, flags: Vec::new() })
}
