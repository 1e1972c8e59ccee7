//! Makes the checked-in wire code from the `.proto` files, without protoc.
//!
//! It is apart from the crates that carry the code so that building them needs no generator, and a library so that the
//! test that compares and the person who refreshes run the same lines. It only writes where it is told to.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use prost::Message as _;

/// One folder of `.proto` files and the code made from it. Paths are relative to the root of the repository.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    /// Where the `.proto` files are.
    pub protos: &'static str,
    /// What their `import` lines are relative to.
    pub include: &'static str,
    /// Where the generated code is checked in.
    pub out: &'static str,
    /// The file for messages without a package, without `.rs`.
    pub no_package: &'static str,
    /// The file for the descriptor set, which gRPC reflection serves.
    pub descriptors: Option<&'static str>,
    /// Messages that carry a secret: no `Debug` is derived for them, their crate writes one that prints lengths.
    pub secrets: &'static [&'static str],
}

/// Every wire of the repository.
pub const WIRES: &[Wire] = &[
    Wire {
        protos: "dev-identity/proto",
        include: "dev-identity/proto",
        out: "dev-identity/src/wire",
        no_package: "workload",
        descriptors: None,
        secrets: &["X509SVID", "JWTSVID", "ValidateJWTSVIDRequest", "WITSVID"],
    },
    Wire {
        protos: "proto/crumb/v1",
        include: "proto",
        out: "proto/src/wire",
        no_package: "no_package",
        descriptors: Some("crumb.v1.bin"),
        secrets: &[
            ".crumb.v1.ExchangeResponse",
            ".crumb.v1.CallTokenResponse",
            ".crumb.v1.HandOverResponse",
            ".crumb.v1.AcceptRequest",
            ".crumb.v1.OpenSessionRequest",
            ".crumb.v1.OpenRequest",
            ".crumb.v1.ListApprovalsRequest",
            ".crumb.v1.WatchApprovalRequest",
            ".crumb.v1.ApproveRequest",
            ".crumb.v1.RefuseRequest",
            ".crumb.v1.DecideReviewRequest",
        ],
    },
    Wire {
        protos: "sample-tools/proto",
        include: "sample-tools/proto",
        out: "sample-tools/src/wire",
        no_package: "no_package",
        descriptors: None,
        secrets: &[],
    },
];

/// Generates the code of `wire` into `out_dir` and returns the names of the files written, sorted; none when the
/// folder has no `.proto` file yet.
///
/// # Errors
///
/// A `.proto` file that does not compile, with its place, or a file that cannot be read or written.
pub fn generate(wire: &Wire, root: &Path, out_dir: &Path) -> anyhow::Result<Vec<String>> {
    let protos = protos_in(&root.join(wire.protos))?;
    if protos.is_empty() {
        return Ok(Vec::new());
    }
    let mut compiler = protox::Compiler::new([root.join(wire.include)])?;
    compiler.include_imports(true).include_source_info(true).open_files(&protos)?;
    let mut config = tonic_prost_build::Config::new();
    config.default_package_filename(wire.no_package);
    tonic_prost_build::configure()
        .out_dir(out_dir)
        .skip_debug(wire.secrets)
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    if let Some(name) = wire.descriptors {
        let descriptors = compiler.include_source_info(false).file_descriptor_set().encode_to_vec();
        fs::write(out_dir.join(name), descriptors)?;
    }
    file_names(out_dir)
}

fn protos_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let is_proto = |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "proto");
    Ok(file_names(folder)?.into_iter().filter(is_proto).map(|name| folder.join(name)).collect())
}

/// Returns the names of what lies in `folder`, sorted.
///
/// # Errors
///
/// The folder cannot be read, or has a name that is not text.
pub fn file_names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let name = entry?.file_name();
        names.push(name.to_str().with_context(|| format!("{} is not text", name.display()))?.to_owned());
    }
    names.sort();
    Ok(names)
}
