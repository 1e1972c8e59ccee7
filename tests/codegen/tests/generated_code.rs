//! The checked-in wire code is what the `.proto` files say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crumb_codegen::{WIRES, Wire, file_names, generate};

const REFRESH: &str = "refresh it: CRUMB_REGENERATE=1 cargo test -p crumb-codegen";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/codegen is in the repository").to_owned()
}

#[test]
fn generated_code_is_fresh() {
    let refresh = std::env::var_os("CRUMB_REGENERATE").is_some_and(|value| value == "1");
    for wire in WIRES {
        let made = tempfile::tempdir().expect("a folder for the generated code");
        let names = generate(wire, &root(), made.path()).expect("the .proto files compile");
        assert!(!names.is_empty(), "{} has no .proto file", wire.protos);
        if refresh {
            copy(&names, made.path(), &root().join(wire.out));
        }
        compare(wire, &names, made.path());
    }
}

fn copy(names: &[String], from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder of the generated code");
    for name in names {
        fs::copy(from.join(name), to.join(name)).expect("the generated file can be copied");
    }
}

fn compare(wire: &Wire, names: &[String], made: &Path) {
    let checked_in = root().join(wire.out);
    for name in names {
        let fresh = fs::read(made.join(name)).expect("it was just made");
        let stale = fs::read(checked_in.join(name)).ok() != Some(fresh);
        assert!(!stale, "{}/{name} is not what {} says; {REFRESH}", wire.out, wire.protos);
    }
    for name in file_names(&checked_in).expect("the folder can be listed") {
        assert!(names.contains(&name), "{}/{name} comes from no .proto file any more; remove it", wire.out);
    }
}
