//! Who calls is what the kernel says, and it is asked again before each message.

use crumb_tests::{
    puppet::{Puppet, Stage},
    skip::skipped,
};
use tokio::process::Command;

use super::*;

const OTHER_UID: u32 = 65534;

fn fetching(world: &World) -> Command {
    world.stage.command("fetch", world.api.socket())
}

/// A selector that every puppet of this stage matches, for they are copies of one program.
fn puppets(stage: &Stage) -> String {
    use sha2::Digest as _;
    let bytes = fs::read(stage.path("puppet")).expect("readable");
    let digest: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("unix:sha256:{digest}")
}

/// A world in which puppets have an identity, and a puppet that has just been told so.
async fn served_puppet() -> (World, Puppet) {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/puppet", &[puppets(&world.stage)]);
    let mut puppet = Puppet::start(fetching(&world));
    assert_eq!(puppet.hear().await.as_deref(), Some("material"));
    (world, puppet)
}

#[tokio::test]
async fn a_caller_that_stays_what_it_was_gets_more() {
    let (world, mut puppet) = served_puppet().await;
    puppet.tell("keep").await;
    assert_eq!(puppet.hear().await.as_deref(), Some("draining"));
    world.entitle("/more", &[puppets(&world.stage)]);
    assert_eq!(puppet.hear().await.as_deref(), Some("material"));
}

#[tokio::test]
async fn a_caller_that_executes_another_program_gets_no_more() {
    let (world, mut puppet) = served_puppet().await;
    // The same bytes, so that its entry would still match: it is the exec() that is noticed.
    let other = world.stage.copy(PUPPET, "other");
    puppet.tell(&format!("exec {}", other.display())).await;
    assert_eq!(puppet.hear().await.as_deref(), Some("draining"));
    world.entitle("/more", &[puppets(&world.stage)]);
    assert_eq!(puppet.hear().await.as_deref(), Some("ended"));
}

#[tokio::test]
async fn a_caller_that_executes_itself_anew_gets_no_more() {
    let (world, mut puppet) = served_puppet().await;
    puppet.tell(&format!("exec {}", world.stage.path("puppet").display())).await;
    assert_eq!(puppet.hear().await.as_deref(), Some("draining"));
    world.entitle("/more", &[puppets(&world.stage)]);
    assert_eq!(puppet.hear().await.as_deref(), Some("ended"));
}

#[tokio::test]
async fn whoever_inherits_the_socket_of_a_caller_that_is_gone_gets_no_more() {
    let (world, mut puppet) = served_puppet().await;
    puppet.tell("hand-over").await;
    assert_eq!(puppet.hear().await.as_deref(), Some("draining"), "the child has the socket");
    puppet.exited().await;
    world.entitle("/more", &[puppets(&world.stage)]);
    assert_eq!(puppet.hear().await.as_deref(), Some("ended"));
}

#[tokio::test]
async fn a_program_is_known_by_its_path_too() {
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/puppet", &[format!("unix:path:{}", world.stage.path("puppet").display())]);
    let mut puppet = Puppet::start(fetching(&world));
    assert_eq!(puppet.hear().await.as_deref(), Some("material"));
    let mut other = Command::new(world.stage.copy(PUPPET, "other"));
    other.arg("fetch").arg(world.api.socket());
    assert_eq!(Puppet::start(other).hear().await.as_deref(), Some("ended"));
}

#[tokio::test]
async fn another_uid_has_another_identity_or_none() {
    if !nix::unistd::Uid::effective().is_root() {
        return skipped("another_uid_has_another_identity_or_none", "needs root");
    }
    let world = World::new(Duration::from_secs(60)).await;
    world.entitle("/root", &["unix:uid:0".into()]);
    let as_other = || {
        let mut command = fetching(&world);
        command.uid(OTHER_UID).gid(OTHER_UID);
        command
    };
    assert_eq!(Puppet::start(as_other()).hear().await.as_deref(), Some("ended"));
    assert_eq!(Puppet::start(fetching(&world)).hear().await.as_deref(), Some("material"));
    world.entitle("/other", &[format!("unix:uid:{OTHER_UID}"), format!("unix:gid:{OTHER_UID}")]);
    assert_eq!(Puppet::start(as_other()).hear().await.as_deref(), Some("material"));
}

#[tokio::test]
async fn another_uid_cannot_even_connect_by_default() {
    if !nix::unistd::Uid::effective().is_root() {
        return skipped("another_uid_cannot_even_connect_by_default", "needs root");
    }
    let world = World::with(|settings| settings.socket_mode = SocketMode::OwnerOnly).await;
    world.entitle("/other", &[format!("unix:uid:{OTHER_UID}")]);
    let mut command = fetching(&world);
    command.uid(OTHER_UID).gid(OTHER_UID).stderr(std::process::Stdio::null());
    assert_eq!(Puppet::start(command).hear().await, None, "it has nothing to say");
}
