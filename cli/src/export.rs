//! `crumb export`: every manifest in force as a file, to be kept where changes are reviewed.

use crate::{
    admin::AdminSocket,
    exit::{Exit, Failure},
    output::{self, Format},
};
use anyhow::Context as _;
use crumb_broker::registry::Key;
use crumb_proto::wire;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb export registry/\n  crumb export --overwrite registry/ && git -C registry diff"
)]
pub(crate) struct ExportArgs {
    /// Where to; made when it is not there.
    directory: PathBuf,
    /// Write over files that say something else.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

pub(crate) async fn run(args: ExportArgs, format: Format) -> Result<(), Failure> {
    let mut client = args.admin.registry().await?;
    let answer = client.get_manifests(wire::GetManifestsRequest::default()).await;
    let manifests = answer.map_err(|status| args.admin.failed(&status))?.into_inner().manifests;
    fs::create_dir_all(&args.directory).with_context(|| args.directory.display().to_string())?;
    let files = manifests.iter().map(|manifest| file_of(&args.directory, manifest)).collect::<Result<Vec<_>, _>>()?;
    // Looked at before the first is written, so that a refusal leaves the directory as it was.
    let taken = files.iter().zip(&manifests).find(|(file, manifest)| is_other(file, &manifest.text));
    if let Some((file, _)) = taken.filter(|_| !args.overwrite) {
        let what = format!("{} is there and says something else", file.display());
        return Err(Failure::new(Exit::Conflict, what, "add --overwrite, or name another directory"));
    }
    for (file, manifest) in files.iter().zip(&manifests) {
        fs::write(file, &manifest.text).with_context(|| file.display().to_string())?;
        match format {
            Format::Json => output::json(&json!({"file": file, "kind": manifest.kind, "name": manifest.name})),
            Format::Text => output::data(file.display()),
        }
    }
    output::next(format!("crumb check manifest {}", args.directory.display()));
    Ok(())
}

/// The name is made from a kind and a name that are read again, so that no answer leads out of the directory.
fn file_of(directory: &Path, manifest: &wire::Manifest) -> Result<PathBuf, Failure> {
    let kind = manifest.kind.parse().ok();
    let key = kind.and_then(|kind| Key::new(kind, &manifest.name).ok());
    let key = key.ok_or_else(|| {
        Failure::new(Exit::Unexpected, "the broker names a manifest of an unknown kind", "use a crumb of its version")
    })?;
    Ok(directory.join(key.file_name()))
}

fn is_other(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).map_or_else(|error| error.kind() != std::io::ErrorKind::NotFound, |found| found != text)
}
