//! Manifests: any file makes a registry, or defects that name a line of it.

use crumb_broker::registry::{Registry, UnusableRegistry};
use std::fs;
use tempfile::TempDir;

/// A tool server that an agent's manifest may name.
const TOOL_SERVER: &str = "apiVersion: crumb.dev/v1
kind: ToolServer
metadata: { name: files }
spec:
  audience: spiffe://td/tool/files
  spiffeId: spiffe://td/tool/files
  owner: ada@acme.example
  address: 127.0.0.1:9443
  tools:
    - { name: read_file, operation: read, risk: low }
";

thread_local! {
    static DIRECTORY: TempDir = {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("a.yaml"), TOOL_SERVER).expect("a file of our own");
        directory
    };
}

/// Holds for any bytes as a file beside a good one: the loader ends, and each of its defects has a file, a line and a reason.
///
/// # Panics
///
/// When it does not hold.
pub fn manifest_yaml(data: &[u8]) {
    DIRECTORY.with(|directory| {
        let file = directory.path().join("b.yaml");
        fs::write(&file, data).expect("a file of our own");
        match Registry::load(directory.path()) {
            Ok(registry) => {
                assert!(registry.tool_servers().count() + registry.agents().count() >= 1);
                assert_eq!(registry.version().len(), 64);
            }
            Err(UnusableRegistry::Defects(defects)) => {
                assert!(!defects.is_empty());
                let lines = [String::from_utf8_lossy(data).as_ref(), TOOL_SERVER].map(lines).into_iter().max();
                for defect in defects {
                    assert!(defect.file.starts_with(directory.path()) && !defect.reason.is_empty(), "{defect}");
                    let unreadable = defect.line == 0 && std::str::from_utf8(data).is_err();
                    assert!(unreadable || (1..=lines.unwrap_or(0)).contains(&defect.line), "{defect}");
                }
            }
            Err(other) => panic!("{other}"),
        }
    });
}

/// Counts lines as YAML does, and one more for an error at the end.
fn lines(text: &str) -> usize {
    2 + text.chars().filter(|c| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')).count()
}
