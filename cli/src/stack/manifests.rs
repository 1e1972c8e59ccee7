//! What the development stack is told: a registry with one agent and two tool servers, and a configuration for each service.

use super::{ARCHIVE, FILES, Setting, dev_id};
use crate::places::Places;
use anyhow::Context;
use crumb_token::Environment;
use std::net::SocketAddr;

/// The agent of the demo.
pub const AGENT: &str = "research-bot";

/// Writes the registry.
pub(super) fn write(places: &Places, files: SocketAddr, archive: SocketAddr, setting: &Setting) -> anyhow::Result<()> {
    let usual = [
        ("research-bot.yaml".to_owned(), agent()),
        ("files.yaml".to_owned(), tool_server(FILES, files)),
        ("archive.yaml".to_owned(), tool_server(ARCHIVE, archive)),
    ];
    for (name, text) in usual.iter().chain(&setting.manifests) {
        let path = places.registry().join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn agent() -> String {
    format!(
        r#"apiVersion: crumb.dev/v1
kind: Agent
metadata:
  name: {AGENT}
spec:
  spiffeId: {id}
  owner: alice@acme.example
  purpose: Answers questions from the public documents.
  version: 1.0.0
  environment: development
  sidecars:
    - {sidecar}
  process:
    uid: {uid}
  scopes:
    - toolServer: {FILES}
      tools:
        - {{ tool: read_file, operation: read, resources: ["file:///docs/*"] }}
        - {{ tool: search_docs, operation: read, resources: ["docs:index"] }}
"#,
        id = dev_id(&format!("agent/{AGENT}")),
        sidecar = dev_id("sidecar"),
        uid = nix::unistd::getuid().as_raw(),
    )
}

fn tool_server(name: &str, address: SocketAddr) -> String {
    format!(
        r#"apiVersion: crumb.dev/v1
kind: ToolServer
metadata:
  name: {name}
spec:
  audience: {id}
  spiffeId: {id}
  owner: bob@acme.example
  address: {address}
  tools:
    - {{ name: search_docs, operation: read, risk: low }}
    - {{ name: read_file, operation: read, risk: low }}
    - {{ name: delete_file, operation: delete, risk: high }}
"#,
        id = dev_id(&format!("tool/{name}")),
    )
}

fn workload_api(places: &Places) -> String {
    format!("unix://{}", places.workload_api().display())
}

/// The broker's configuration.
pub(super) fn broker_config(places: &Places, setting: &Setting) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\nadmin_socket = {:?}\ndata_dir = {:?}\nregistry_dir = {:?}\nworkload_api = {:?}\n{}",
        places.admin_socket(),
        places.broker_data(),
        places.registry(),
        workload_api(places),
        setting.broker,
    )
}

/// The sidecar's configuration.
pub(super) fn sidecar_config(places: &Places, broker: SocketAddr) -> String {
    format!(
        "socket = {:?}\nworkload_api = {:?}\n\n[broker]\naddress = \"{broker}\"\nspiffe_id = \"{}\"\n",
        places.sidecar_socket(),
        workload_api(places),
        dev_id("broker"),
    )
}

/// A sample tool server's configuration.
pub(super) fn tool_server_config(
    places: &Places,
    name: &str,
    listen: SocketAddr,
    broker: SocketAddr,
    environment: Option<&Environment>,
) -> String {
    let environment = environment.map(|e| format!("environment = \"{e}\"\n")).unwrap_or_default();
    format!(
        "listen = \"{listen}\"\naudience = \"{}\"\n{environment}workload_api = {:?}\n\n[broker]\naddress = \"{broker}\"\nspiffe_id = \"{}\"\n",
        dev_id(&format!("tool/{name}")),
        workload_api(places),
        dev_id("broker"),
    )
}
