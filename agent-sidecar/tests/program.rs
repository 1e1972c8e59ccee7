//! The program's command line and what it says of a configuration that it cannot use.

use std::{
    path::Path,
    process::{Command, Output},
};

fn run(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_crumb-agent-sidecar"));
    program.args(arguments).env_remove("SPIFFE_ENDPOINT_SOCKET").output().expect("the program can be started")
}

fn run_with(config: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sidecar.toml");
    std::fs::write(&path, config).expect("a file");
    let output = run(&["--config", path.to_str().expect("ASCII")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).expect("text")
}

const BROKER: &str = "[broker]\naddress = \"127.0.0.1:8443\"\nspiffe_id = \"spiffe://acme.example/broker\"\n";

#[test]
fn help_has_an_example_that_is_a_configuration() {
    let output = run(&["--help"]);
    let help = String::from_utf8(output.stdout).expect("text");
    let example = help.split("$ cat sidecar.toml").nth(1).and_then(|rest| rest.split('$').next()).expect("an example");
    let toml: String = example.lines().map(|line| format!("{}\n", line.trim())).collect();
    assert!(crumb_agent_sidecar::Config::from_toml(&toml).is_ok(), "{toml}");
}

#[test]
fn says_which_file_is_missing() {
    let output = run(&["--config", "/nowhere/sidecar.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("/nowhere/sidecar.toml") && said.contains("No such file"), "{said}");
}

#[test]
fn names_the_field_that_it_does_not_know() {
    let said = run_with(&format!("socket = \"/tmp/x/s.sock\"\nsocket_mod = \"0600\"\n{BROKER}"));
    assert!(said.contains("socket_mod"), "{said}");
}

#[test]
fn says_how_to_name_the_workload_api() {
    let said = run_with(&format!("socket = \"/tmp/x/s.sock\"\n{BROKER}"));
    assert!(said.contains("SPIFFE_ENDPOINT_SOCKET"), "{said}");
}

#[test]
fn says_that_there_is_no_identity() {
    let none = Path::new("/tmp/no-such-directory/api.sock").display().to_string();
    let said = run_with(&format!(
        "socket = \"/tmp/x/s.sock\"\nworkload_api = \"unix://{none}\"\nidentity_wait_s = 1\n{BROKER}"
    ));
    assert!(said.contains("no identity from the workload api"), "{said}");
}
