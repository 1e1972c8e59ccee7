//! Rules about the tree that a reader relies on: the arrows between rooms, the sizes, the headers, the floor of versions.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

fn manifest(path: &Path) -> toml::Table {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every room: its folder, and the Crumb crates in its `[dependencies]`.
fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let workspace = manifest(&root().join("Cargo.toml"));
    let members = workspace["workspace"]["members"].as_array().expect("members");
    members.iter().map(|m| m.as_str().expect("a path")).map(|m| (m.to_owned(), arrows_of(m))).collect()
}

fn arrows_of(room: &str) -> BTreeSet<String> {
    let manifest = manifest(&root().join(room).join("Cargo.toml"));
    let dependencies = manifest["dependencies"].as_table().expect("dependencies");
    dependencies.keys().filter_map(|k| k.strip_prefix("crumb-")).map(str::to_owned).collect()
}

/// The arrows of ARCHITECTURE.md. `cli` runs the services as they are; `bench` and `tests` may use any room.
const ARROWS: &[(&str, &[&str])] = &[
    ("token", &[]),
    ("verifier", &["token"]),
    ("attestors", &["token"]),
    ("policy", &["token"]),
    ("audit", &[]),
    ("identity", &["token", "attestors"]),
    ("proto", &["token"]),
    ("sdk/rust", &["token", "proto", "verifier", "identity"]),
    ("broker", &["token", "proto", "verifier", "attestors", "identity", "policy", "audit"]),
    ("agent-sidecar", &["token", "proto", "verifier", "attestors", "identity", "sdk"]),
    ("dev-identity", &["token", "attestors"]),
    ("sample-tools", &["token", "proto", "sdk", "identity", "verifier"]),
    (
        "cli",
        &[
            "token",
            "policy",
            "proto",
            "sdk",
            "broker",
            "agent-sidecar",
            "dev-identity",
            "identity",
            "sample-tools",
            "attestors",
            "verifier",
            "audit",
        ],
    ),
];

#[test]
fn rooms_depend_only_along_the_arrows() {
    for (room, uses) in rooms() {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            assert!(
                matches!(room.as_str(), "bench" | "tests" | "tests/codegen"),
                "room {room} has no arrows in this test"
            );
            continue;
        };
        let extra: Vec<_> = uses.iter().filter(|u| !allowed.contains(&u.as_str())).collect();
        assert!(extra.is_empty(), "{room} depends on {extra:?}");
    }
}

#[test]
fn the_development_identity_is_used_by_the_cli_alone() {
    for (room, uses) in rooms() {
        let may = matches!(room.as_str(), "cli" | "tests" | "bench");
        assert!(may || !uses.contains("dev-identity"), "{room} depends on dev-identity");
    }
}

/// What a pure room never depends on, and never names in its source.
const IMPURE_CRATES: &[&str] = &["tokio", "tonic", "prost", "hyper", "rand", "rustix", "nix", "tracing"];
const IMPURE_PATHS: &[&str] =
    &["std::fs", "std::env", "std::net", "std::process", "std::thread", "SystemTime::now", "Instant::now", "OsRng"];

#[test]
fn pure_rooms_touch_no_clock_file_or_socket() {
    for room in ["token", "verifier", "policy", "audit"] {
        let manifest = manifest(&root().join(room).join("Cargo.toml"));
        let dependencies = manifest["dependencies"].as_table().expect("dependencies");
        for name in IMPURE_CRATES {
            assert!(!dependencies.contains_key(*name), "{room} depends on {name}");
        }
        for file in sources_in(&root().join(room).join("src")) {
            let text = fs::read_to_string(&file).expect("a source file");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for path in IMPURE_PATHS {
                assert!(!code.contains(path), "{} names {path}", file.display());
            }
        }
    }
}

/// What reads Datalog, or stands for what does.
const DATALOG_READERS: &[&str] = &[
    "biscuit_auth::macros",
    "biscuit_auth::parser",
    "biscuit_parser",
    "BiscuitBuilder",
    "BlockBuilder",
    "AuthorizerBuilder",
    "Authorizer::",
    "Fact::try_from",
    "Rule::try_from",
    "Check::try_from",
    "Policy::try_from",
];

#[test]
fn no_datalog_is_made_from_text_or_read_out_of_it() {
    for room in rooms().keys().filter(|room| !matches!(room.as_str(), "bench" | "tests" | "tests/codegen")) {
        let sources = sources_in(&root().join(room));
        for file in sources.iter().filter(|file| !file.components().any(|part| part.as_os_str() == "tests")) {
            let text = fs::read_to_string(file).expect("a source file");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let reads = DATALOG_READERS.iter().find(|reader| code.contains(**reader));
            assert!(reads.is_none() || file.ends_with("tests.rs"), "{} names {reads:?}", file.display());
        }
    }
}

fn sources_in(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let skipped = name == "target" || name == "wire" || name == ".git" || name == ".cache";
            if path.is_dir() && !skipped {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn all_sources() -> Vec<PathBuf> {
    rooms().keys().flat_map(|room| sources_in(&root().join(room))).collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn every_file_says_what_it_is() {
    for file in all_sources() {
        let text = fs::read_to_string(&file).expect("a source file");
        assert!(text.starts_with("//! "), "{} has no //! header", file.display());
    }
}

#[test]
fn no_file_is_past_600_lines() {
    for file in all_sources() {
        let lines = fs::read_to_string(&file).expect("a source file").lines().count();
        assert!(lines <= 600, "{} has {lines} lines", file.display());
    }
}

#[test]
fn no_drawer_for_odds_and_ends() {
    for file in all_sources() {
        let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let drawer = ["util", "utils", "common", "helper", "helpers", "manager", "types", "prelude", "misc", "mod"]
            .contains(&stem);
        assert!(!drawer, "{}", file.display());
    }
}

#[test]
fn no_test_is_switched_off() {
    let off = concat!("#[", "ignore");
    for file in all_sources() {
        let text = fs::read_to_string(&file).expect("a source file");
        assert!(!text.contains(off), "{} ignores a test", file.display());
    }
}

/// Versions below these have a published advisory that concerns us.
const FLOOR: &[(&str, &str)] = &[
    ("h2", "0.4.18"),
    ("rustls-webpki", "0.103.13"),
    ("rustls", "0.23.46"),
    ("tonic", "0.12.3"),
    ("tracing-subscriber", "0.3.20"),
    ("bytes", "1.11.1"),
    ("time", "0.3.47"),
    ("curve25519-dalek", "4.1.3"),
    ("biscuit-auth", "6.0.0"),
];

fn version(text: &str) -> Vec<u64> {
    text.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

#[test]
fn no_dependency_is_below_its_floor() {
    let lock = manifest(&root().join("Cargo.lock"));
    let packages = lock["package"].as_array().expect("packages");
    for (name, floor) in FLOOR {
        let locked: Vec<_> = packages.iter().filter(|p| p["name"].as_str() == Some(name)).collect();
        assert!(!locked.is_empty(), "{name} is not in Cargo.lock: take it off the floor list");
        for package in locked {
            let found = package["version"].as_str().expect("a version");
            assert!(version(found) >= version(floor), "{name} {found} is below {floor}");
        }
    }
}
