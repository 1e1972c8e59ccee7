//! `crumb check manifest`: the gate of a pull request. Offline: files in, an exit code out.

use crate::{
    apply::{self, unreadable},
    exit::{Exit, Failure},
    output::{self, Format, dim},
};
use crumb_broker::registry::{
    Author, Registry, Shelf, UnusableRegistry,
    plan::{Action, Change, NotApplied, Plan, Wanted, plan},
};
use crumb_identity::SystemClock;
use crumb_proto::wire;
use crumb_token::Clock as _;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(subcommand)]
    command: CheckCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CheckCommand {
    /// Check a directory of manifests, alone or against what it is to replace.
    #[command(
        after_help = "Examples:\n  crumb check manifest registry/\n  crumb check manifest registry/ --against main/registry/ --no-widening\n\nEnds with 7 when a manifest has a defect, or with --no-widening when something could be done that could not be done before."
    )]
    Manifest(ManifestArgs),
}

#[derive(Debug, clap::Args)]
struct ManifestArgs {
    /// The directory, as a broker would load it.
    directory: PathBuf,
    /// The directory that it is to replace.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Fail when something could be done that could not be done before.
    #[arg(long, requires = "against")]
    no_widening: bool,
}

pub(crate) fn run(args: CheckArgs, format: Format) -> Result<(), Failure> {
    let CheckCommand::Manifest(args) = args.command;
    match &args.against {
        None => alone(&args.directory, format),
        Some(other) => compare(&args, other, format),
    }
}

fn alone(directory: &Path, format: Format) -> Result<(), Failure> {
    let registry = Registry::load(directory).map_err(|error| match error {
        UnusableRegistry::Defects(defects) => failed(&defects, format),
        other => unreadable(other),
    })?;
    let (agents, servers) = (registry.agents().count(), registry.tool_servers().count());
    match format {
        Format::Json => {
            output::json(
                &json!({"ok": true, "agents": agents, "tool_servers": servers, "registry": registry.version()}),
            );
        }
        Format::Text => output::data(format!("{agents} agents and {servers} tool servers are well-formed")),
    }
    output::next(format!("crumb apply -f {} --dry-run --diff", directory.display()));
    Ok(())
}

fn compare(args: &ManifestArgs, other: &Path, format: Format) -> Result<(), Failure> {
    let before = planned(&Shelf::default(), None, other, format)?;
    let shelf = Shelf::default().after(&before.edits);
    let after = planned(&shelf, Some(&before.registry), &args.directory, format)?;
    let changes: Vec<_> = after.changes.into_iter().filter(|change| change.action != Action::Unchanged).collect();
    let wider = changes.iter().filter(|change| !change.widens.is_empty()).count();
    for change in changes.iter().map(to_wire) {
        match format {
            Format::Json => output::json(&apply::change_to_json(&change)),
            Format::Text => output::data(apply::line(&change, false)),
        }
    }
    if args.no_widening && wider > 0 {
        let what = format!("{wider} changes give more than there was before");
        return Err(Failure::new(
            Exit::CheckFailed,
            what,
            "have their owners review them, and leave out --no-widening",
        ));
    }
    output::note(dim(&format!("{} changes, {wider} of them wider", changes.len())));
    output::next(format!("crumb apply -f {} --prune --diff", args.directory.display()));
    Ok(())
}

/// Works out what a broker with `shelf` would do with a directory.
fn planned(shelf: &Shelf, in_force: Option<&Registry>, path: &Path, format: Format) -> Result<Plan, Failure> {
    let wanted = Wanted::path(path, Author::Operator("nobody".into())).map_err(unreadable)?;
    let wanted = Wanted { prune: true, ..wanted };
    plan(shelf, in_force, &wanted, SystemClock::new().now().wall).map_err(|not_applied| match not_applied {
        NotApplied::Defects(defects) => failed(&defects, format),
        NotApplied::Conflict { key, .. } => {
            let what = format!("{key} carries a version, and files that are reviewed have none");
            Failure::new(Exit::CheckFailed, what, "take metadata.resourceVersion out of it")
        }
    })
}

fn failed(defects: &[crumb_broker::registry::Defect], format: Format) -> Failure {
    for defect in defects {
        match format {
            Format::Json => output::json(&json!({"file": defect.file, "line": defect.line, "reason": defect.reason})),
            Format::Text => output::data(defect),
        }
    }
    Failure::new(Exit::CheckFailed, format!("{} defects", defects.len()), "correct the lines named above")
}

fn to_wire(change: &Change) -> wire::Change {
    wire::Change {
        kind: change.key.kind.to_string(),
        name: change.key.name.to_string(),
        action: change.action.as_str().to_owned(),
        from_version: change.from_version,
        to_version: change.to_version,
        diff: change.diff.clone(),
        widens: !change.widens.is_empty(),
        widenings: change.widens.clone(),
    }
}
