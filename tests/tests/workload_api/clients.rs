//! Clients that know nothing of us: the `spiffe` crate as it is, and the Python one where there is one.

use std::process::Command;

use crumb_tests::skip::skipped;
use spiffe::{X509Source, x509_source::X509SourceBuilder};

use super::*;

async fn source(world: &World) -> X509Source {
    let build = X509SourceBuilder::new().endpoint(world.api.endpoint()).build();
    timeout(DEADLINE, build).await.expect("the first message comes in time").expect("entitled")
}

/// Waits until the source is as `right` says; it also notes withdrawals, which its update channel tells.
async fn until(source: &X509Source, right: impl Fn(&X509Source) -> bool) {
    let mut updates = source.updated();
    let wait = async {
        while !right(source) {
            updates.changed().await.expect("the source lives");
        }
    };
    timeout(DEADLINE, wait).await.expect("it comes in time");
}

fn leaf(source: &X509Source) -> Option<Vec<u8>> {
    source.svid().ok().map(|svid| svid.leaf().as_bytes().to_vec())
}

#[tokio::test]
async fn a_source_follows_rotation_withdrawal_and_return() {
    let world = World::new(Duration::from_secs(2)).await;
    world.entitle("/agent/scout", &[us()]);
    let source = source(&world).await;
    let first = leaf(&source).expect("entitled");
    let id = source.svid().expect("entitled").spiffe_id().to_string();
    assert_eq!(id, "spiffe://dev.crumb.invalid/agent/scout");
    until(&source, |source| leaf(source).is_some_and(|leaf| leaf != first)).await;
    world.api.entries().remove(&id.parse().expect("canonical"));
    until(&source, |source| source.svid().is_err()).await;
    world.entitle("/agent/scout", &[us()]);
    until(&source, |source| source.svid().is_ok()).await;
    source.shutdown().await;
}

#[tokio::test]
async fn a_source_survives_a_restart() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/a", &[us()]);
    let source = source(&world).await;
    let first = leaf(&source).expect("entitled");
    let World { stage, api } = world;
    let socket = api.socket().to_owned();
    api.shutdown().await;
    assert_eq!(leaf(&source), Some(first.clone()), "what it has is still good");
    let api =
        DevWorkloadApi::start(socket, Settings::new(Arc::new(SystemClock::new()))).await.expect("the place is free");
    api.entries().add(entry("/a", &[us()], None)).expect("a usable entry");
    until(&source, |source| leaf(source).is_some_and(|leaf| leaf != first)).await;
    source.shutdown().await;
    drop(stage);
}

#[tokio::test]
async fn a_source_waits_until_it_is_entitled() {
    let world = World::new(Duration::from_secs(60)).await;
    let (entries, endpoint) = (world.api.entries().clone(), world.api.endpoint());
    let waiting = tokio::spawn(async move { X509SourceBuilder::new().endpoint(endpoint).build().await });
    let mut refused = world.svids().await.expect("the refusal is in the stream");
    assert_no_identity(&next(&mut refused).await.expect_err("nobody is entitled yet"));
    entries.add(entry("/late", &[us()], None)).expect("a usable entry");
    let source = timeout(DEADLINE, waiting).await.expect("in time").expect("no panic").expect("entitled");
    source.shutdown().await;
}

/// Fetches once with the PyPI package `spiffe` and prints the identity.
const PYTHON: &str = "
import sys
from spiffe import WorkloadApiClient
with WorkloadApiClient(sys.argv[1]) as client:
    print(client.fetch_x509_svid().spiffe_id)
";

#[tokio::test]
async fn the_python_client_gets_its_identity() {
    let test = "the_python_client_gets_its_identity";
    let has_client = Command::new("python3").args(["-c", "import spiffe"]).output().is_ok_and(|o| o.status.success());
    if !has_client {
        return skipped(test, "python3 has no package spiffe");
    }
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/agent/python", &[format!("unix:uid:{}", nix::unistd::Uid::effective())]);
    let mut python = tokio::process::Command::new("python3");
    python.args(["-c", PYTHON, &world.api.endpoint()]).kill_on_drop(true);
    let output = timeout(DEADLINE, python.output()).await.expect("in time").expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.trim(), "spiffe://dev.crumb.invalid/agent/python", "{}", String::from_utf8_lossy(&output.stderr));
}
