//! Every test that `docs/rows.md` and `docs/threats.md` name exists.

use std::{collections::BTreeSet, fs, path::Path};

fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != ".git" && name != ".cache" {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
}

/// Returns the rows of a page, once every test that they name is known to exist.
fn rows(page: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut found = BTreeSet::new();
    functions(root, &mut found);
    let text = fs::read_to_string(root.join("docs").join(page)).expect("the page");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).map(str::to_owned).collect();
    let named = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2));
    // Everything that is written as code and is no path is a test.
    let missing: Vec<&str> = named.filter(|name| !name.contains(['/', '.']) && !found.contains(*name)).collect();
    assert!(missing.is_empty(), "{page}: {missing:?}");
    rows
}

#[test]
fn every_test_that_a_row_names_exists() {
    let rows = rows("rows.md");
    assert!(rows.len() > 70, "{} rows", rows.len());
}

#[test]
fn every_threat_names_a_test_that_exists_or_is_open() {
    let rows = rows("threats.md");
    let threats: Vec<_> = rows.iter().filter(|row| row.starts_with("| T")).collect();
    let numbers: Vec<_> = threats.iter().filter_map(|row| row.split(' ').nth(1)).collect();
    let wanted: Vec<_> = (1..=numbers.len()).map(|n| format!("T{n}")).collect();
    assert_eq!(numbers, wanted, "each once, in order");
    assert!(numbers.len() > 60, "{} threats", numbers.len());
    for threat in threats {
        assert_eq!(threat.matches(" | ").count(), 3, "number, threat, what stands against it, what shows it: {threat}");
        let shown = threat.rsplit(" | ").next().unwrap_or_default();
        assert!(shown.contains('`') || shown.contains("open:"), "{threat}");
    }
}
