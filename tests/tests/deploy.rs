//! The files under `deploy/` and in the README, read by the code that will read them.

use anyhow::Context;
use crumb_tests::skip::skipped;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

fn read(name: &str) -> anyhow::Result<String> {
    let path = root().join("deploy").join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

#[test]
fn each_binary_reads_its_sample_configuration() -> anyhow::Result<()> {
    crumb_broker::Config::from_toml(&read("config/broker.toml")?)?;
    crumb_agent_sidecar::Config::from_toml(&read("config/sidecar.toml")?)?;
    crumb_sample_tools::Config::from_toml(&read("config/tools.toml")?)?;
    Ok(())
}

#[test]
fn each_binary_refuses_a_field_that_it_does_not_know() -> anyhow::Result<()> {
    let odd = |name: &str| anyhow::Ok(format!("colour = \"blue\"\n{}", read(name)?));
    assert!(crumb_broker::Config::from_toml(&odd("config/broker.toml")?).is_err());
    assert!(crumb_agent_sidecar::Config::from_toml(&odd("config/sidecar.toml")?).is_err());
    assert!(crumb_sample_tools::Config::from_toml(&odd("config/tools.toml")?).is_err());
    Ok(())
}

#[test]
fn the_units_are_what_systemd_takes() -> anyhow::Result<()> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        skipped("deploy: systemd units", "systemd-analyze is not installed");
        return Ok(());
    }
    for unit in ["crumb-broker.service", "crumb-agent-sidecar.service"] {
        let path = root().join("deploy/systemd").join(unit);
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The binary is not installed where the tests run; anything else that is said is about the unit.
        let complaints: Vec<_> =
            said.lines().filter(|line| line.contains(unit) && !line.contains("is not executable")).collect();
        assert!(complaints.is_empty(), "{unit}: {complaints:?}");
    }
    Ok(())
}

#[test]
fn the_broker_reads_the_sample_registry() -> anyhow::Result<()> {
    let registry = crumb_broker::registry::Registry::load(&root().join("deploy/registry"))?;
    assert_eq!((registry.agents().count(), registry.tool_servers().count()), (1, 1));
    Ok(())
}
