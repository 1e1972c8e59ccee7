//! `crumb apply`: manifests into force, all of them or none, with every change told.

use crate::{
    admin::AdminSocket,
    exit::{Exit, Failure},
    output::{self, Format, dim, verdict},
};
use crumb_broker::registry::{Author, UnusableRegistry, plan::Wanted};
use crumb_proto::wire;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb apply -f registry/ --dry-run --diff\n  crumb apply -f registry/ --prune\n  crumb apply -f research-bot.yaml --no-widening -o json"
)]
pub(crate) struct ApplyArgs {
    /// A file of manifests, or a directory of such files; repeat for more.
    #[arg(short, long, required = true)]
    file: Vec<PathBuf>,
    /// Say what would happen, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Show the lines that change.
    #[arg(long)]
    diff: bool,
    /// Take away every manifest that is not among these.
    #[arg(long)]
    prune: bool,
    /// Apply nothing when something could be done with it that could not be done before.
    #[arg(long)]
    no_widening: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

pub(crate) async fn run(args: ApplyArgs, format: Format) -> Result<(), Failure> {
    let documents = documents(&args.file)?;
    let mut client = args.admin.registry().await?;
    let request = wire::ApplyRequest { documents, dry_run: true, prune: args.prune, expected_versions: Vec::new() };
    if args.no_widening && !args.dry_run {
        // Looked at first, and applied only as it was looked at: against the versions of the look.
        let look = client.apply(request.clone()).await.map_err(|status| args.admin.failed(&status))?.into_inner();
        if !look.defects.is_empty() || look.changes.iter().any(|change| change.widens) {
            return told(&args, &look, format);
        }
        let expected_versions = look.changes.iter().map(to_expected).collect();
        let request = wire::ApplyRequest { dry_run: false, expected_versions, ..request };
        let answer = client.apply(request).await.map_err(|status| args.admin.failed(&status))?;
        return told(&args, &answer.into_inner(), format);
    }
    let request = wire::ApplyRequest { dry_run: args.dry_run, ..request };
    let answer = client.apply(request).await.map_err(|status| args.admin.failed(&status))?;
    told(&args, &answer.into_inner(), format)
}

fn documents(paths: &[PathBuf]) -> Result<Vec<wire::ManifestFile>, Failure> {
    let mut documents = Vec::new();
    for path in paths {
        // Read as the broker reads its own directory; what is in them is checked there.
        let wanted = Wanted::path(path, Author::Directory).map_err(unreadable)?;
        let file = |file: crumb_broker::registry::ManifestFile| wire::ManifestFile {
            file: file.file.to_string_lossy().into_owned(),
            text: file.text,
        };
        documents.extend(wanted.files.into_iter().map(file));
    }
    if documents.is_empty() {
        return Err(Failure::usage("there is no *.yaml file in what --file names"));
    }
    Ok(documents)
}

/// Says that files cannot be read.
pub(crate) fn unreadable(error: UnusableRegistry) -> Failure {
    match error {
        UnusableRegistry::Directory { path, source } => Failure::usage(format!("{}: {source}", path.display())),
        UnusableRegistry::Defects(defects) => {
            let said: Vec<_> = defects.iter().map(ToString::to_string).collect();
            Failure::usage(said.join("; "))
        }
        other => Failure::usage(other),
    }
}

fn to_expected(change: &wire::Change) -> wire::ExpectedVersion {
    wire::ExpectedVersion { kind: change.kind.clone(), name: change.name.clone(), version: change.from_version }
}

fn told(args: &ApplyArgs, answer: &wire::ApplyResponse, format: Format) -> Result<(), Failure> {
    let widens = answer.changes.iter().any(|change| change.widens);
    let stopped = args.no_widening && widens;
    let applied = !args.dry_run && !stopped && answer.defects.is_empty();
    match format {
        Format::Json => output::json(&to_json(answer, applied)),
        Format::Text => {
            for defect in &answer.defects {
                output::data(format!("{}:{}: {}", defect.file, defect.line, defect.reason));
            }
            for change in &answer.changes {
                output::data(line(change, args.diff));
            }
        }
    }
    if !answer.defects.is_empty() {
        let what = format!("{} defects, so nothing was applied", answer.defects.len());
        return Err(Failure::new(Exit::CheckFailed, what, "correct the lines named above, and apply again"));
    }
    if stopped {
        let what = "something could be done that could not be done before, so nothing was applied";
        return Err(Failure::new(Exit::CheckFailed, what, "have it reviewed, and apply without --no-widening"));
    }
    match (applied, answer.registry_before == answer.registry_after) {
        (true, true) => output::note(dim("everything was as it should be")),
        (true, false) => output::next("crumb get agents"),
        (false, _) => output::next("leave out --dry-run to apply it"),
    }
    Ok(())
}

/// One change for people: what becomes of which, what it widens, and the difference when asked.
pub(crate) fn line(change: &wire::Change, with_diff: bool) -> String {
    let key = format!("{}/{}", change.kind, change.name);
    let versions = match (change.action.as_str(), change.from_version, change.to_version) {
        ("create", _, to) => format!("v{to}"),
        ("delete" | "unchanged", from, _) => format!("v{from}"),
        (_, from, to) => format!("v{from} → v{to}"),
    };
    let mut text = format!("{:<9} {key} {}", change.action, dim(&versions));
    for more in &change.widenings {
        text.push_str(&format!("\n          {} {more}", verdict(false, "wider:")));
    }
    if with_diff && !change.diff.is_empty() {
        text.push('\n');
        text.push_str(change.diff.trim_end());
    }
    text
}

fn to_json(answer: &wire::ApplyResponse, applied: bool) -> Value {
    let defect = |d: &wire::Defect| json!({"file": d.file, "line": d.line, "reason": d.reason});
    json!({
        "applied": applied,
        "registry_before": answer.registry_before, "registry_after": answer.registry_after,
        "changes": answer.changes.iter().map(change_to_json).collect::<Vec<_>>(),
        "defects": answer.defects.iter().map(defect).collect::<Vec<_>>(),
    })
}

/// One change for programs.
pub(crate) fn change_to_json(c: &wire::Change) -> Value {
    json!({
        "kind": c.kind, "name": c.name, "action": c.action, "from_version": c.from_version, "to_version": c.to_version,
        "widens": c.widens, "widenings": c.widenings, "diff": c.diff,
    })
}
