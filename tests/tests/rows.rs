//! Every test that `docs/rows.md` names exists.

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

#[test]
fn every_test_that_a_row_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut found = BTreeSet::new();
    functions(root, &mut found);
    let text = fs::read_to_string(root.join("docs/rows.md")).expect("the rows");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let named = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2));
    // Everything that is written as code and is no path is a test.
    let missing: Vec<&str> = named.filter(|name| !name.contains(['/', '.']) && !found.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(rows.len() > 70, "{} rows", rows.len());
}
