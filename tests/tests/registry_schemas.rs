//! The published schema and the parser know the same fields, of every kind.

use crumb_broker::registry::{Kind, Registry, UnusableRegistry};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/schemas/crumb.dev-v1.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the schema")).expect("JSON")
}

/// Asks the parser which fields there are, by giving it one that there is not.
fn known_fields(kind: Kind) -> BTreeSet<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let text =
        format!("apiVersion: crumb.dev/v1\nkind: {kind}\nmetadata: {{ name: x }}\nspec: {{ no-such-field: 1 }}\n");
    fs::write(directory.path().join("a.yaml"), text).expect("a file of our own");
    let Err(UnusableRegistry::Defects(defects)) = Registry::load(directory.path()) else { panic!("{kind} took it") };
    let (_, expected) = defects[0].reason.split_once(", expected").expect("the fields are told");
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_published_schema_has_the_fields_that_the_broker_reads() {
    let schema = schema();
    for kind in Kind::ALL {
        let spec = &schema["$defs"][kind.as_str()]["properties"]["spec"];
        let published: BTreeSet<String> =
            spec["properties"].as_object().unwrap_or_else(|| panic!("{kind} is published")).keys().cloned().collect();
        assert_eq!(published, known_fields(*kind), "{kind}");
        for field in spec["required"].as_array().expect("required fields") {
            assert!(published.contains(field.as_str().expect("a name")), "{kind} requires {field}");
        }
    }
    assert_eq!(schema["oneOf"].as_array().map(Vec::len), Some(Kind::ALL.len()));
}
