//! The kernel's word on who connected, against processes that exit, execute, hand on and are replaced.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use crumb_attestors::unix_process::{Change, Process, Unattested};
use crumb_tests::{
    puppet::{Puppet, Stage},
    skip::skipped,
};
use nix::unistd::Uid;
use sha2::{Digest, Sha256};
use tokio::{
    net::{UnixListener, UnixStream},
    process::Command,
};

const PUPPET: &str = env!("CARGO_BIN_EXE_puppet");
/// `nobody`: no process of the test runs as this uid.
const OTHER_UID: u32 = 65534;

/// A puppet, and our end of the socket that it connected.
struct Met {
    stage: Stage,
    puppet: Puppet,
    socket: UnixStream,
}

async fn met(change: impl FnOnce(&Stage, &mut Command)) -> Met {
    let stage = Stage::new(PUPPET);
    let path = stage.path("peer.sock");
    let listener = UnixListener::bind(&path).expect("a fresh place");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("it is ours");
    let mut command = stage.command("connect", &path);
    change(&stage, &mut command);
    let mut puppet = Puppet::start(command);
    assert_eq!(puppet.hear().await.as_deref(), Some("connected"));
    let (socket, _) = listener.accept().await.expect("it connected");
    Met { stage, puppet, socket }
}

fn is_root(test: &str) -> bool {
    let root = Uid::effective().is_root();
    if !root {
        skipped(test, "needs root");
    }
    root
}

#[tokio::test]
async fn names_the_process_that_connected() {
    let met = met(|_, _| {}).await;
    let process = Process::attest(&met.socket).expect("it lives");
    let facts = process.facts();
    assert_eq!(facts.pid, met.puppet.pid());
    assert_eq!((facts.uid, facts.gid), (Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw()));
    let exe = met.stage.path("puppet");
    assert_eq!(facts.exe, exe);
    assert!(facts.runs(&exe) && !facts.runs(Path::new("/bin/sh")));
    let bytes = fs::read(&exe).expect("readable");
    assert_eq!(facts.exe_sha256, <[u8; 32]>::from(Sha256::digest(bytes)));
    let file = fs::metadata(&exe).expect("readable");
    assert_eq!(facts.exe_dev_ino, (file.dev(), file.ino()));
    assert_eq!(facts.cgroup, fs::read_to_string("/proc/self/cgroup").expect("readable").trim_end());
    assert!(process.is_alive());
    process.recheck().expect("nothing changed");
    assert!(matches!(process.recheck_at_once(), Some(Ok(()))));
}

#[tokio::test]
async fn two_runs_of_one_program_are_one_local_identity() {
    let (one, two) = (met(|_, _| {}).await, met(|_, _| {}).await);
    let identity = |met: &Met| Process::attest(&met.socket).expect("it lives").facts().identity();
    assert_ne!(identity(&one), identity(&two), "two copies at two paths");
    let path = one.stage.path("again.sock");
    let listener = UnixListener::bind(&path).expect("a fresh place");
    let _again = Puppet::start(one.stage.command("connect", &path));
    let (socket, _) = listener.accept().await.expect("it connected");
    let again = Process::attest(&socket).expect("it lives");
    assert_ne!(again.facts().pid, one.puppet.pid());
    assert_eq!(again.facts().identity(), identity(&one));
}

#[tokio::test]
async fn notices_exec_of_another_program() {
    let mut met = met(|_, _| {}).await;
    let process = Process::attest(&met.socket).expect("it lives");
    let other = met.stage.copy(PUPPET, "other");
    met.puppet.tell(&format!("exec {}", other.display())).await;
    assert_eq!(met.puppet.hear().await.as_deref(), Some("holding"));
    assert!(process.is_alive());
    assert!(matches!(process.recheck(), Err(Unattested::Changed(Change::Exe))), "{:?}", process.recheck());
    assert!(process.recheck_at_once().is_none(), "the other file has to be looked at");
    let now = Process::attest(&met.socket).expect("it lives");
    assert_eq!(now.facts().exe, other);
    assert_eq!(now.facts().starttime, process.facts().starttime, "which is why the start time is not enough");
}

#[tokio::test]
async fn notices_exec_of_the_same_program() {
    let mut met = met(|_, _| {}).await;
    let process = Process::attest(&met.socket).expect("it lives");
    let same = met.stage.path("puppet");
    met.puppet.tell(&format!("exec {}", same.display())).await;
    assert_eq!(met.puppet.hear().await.as_deref(), Some("holding"));
    assert!(matches!(process.recheck(), Err(Unattested::Changed(Change::Image))), "{:?}", process.recheck());
    assert!(matches!(process.recheck_at_once(), Some(Err(Unattested::Changed(Change::Image)))));
}

#[tokio::test]
async fn a_replaced_executable_is_still_the_one_that_runs() {
    let met = met(|_, _| {}).await;
    let process = Process::attest(&met.socket).expect("it lives");
    let exe = met.stage.path("puppet");
    fs::remove_file(&exe).expect("it is ours");
    met.stage.copy("/bin/sleep", "puppet");
    process.recheck().expect("an upgrade does not change who runs");
    assert!(!process.facts().runs(&exe), "but the path leads elsewhere now");
    let late = Process::attest(&met.socket).expect("it lives");
    assert_eq!(late.facts().exe_sha256, process.facts().exe_sha256);
}

#[tokio::test]
async fn notices_exit() {
    let mut met = met(|_, _| {}).await;
    let process = Process::attest(&met.socket).expect("it lives");
    met.puppet.tell("exit").await;
    met.puppet.exited().await;
    assert!(!process.is_alive());
    assert!(matches!(process.recheck(), Err(Unattested::Gone)));
    assert!(matches!(process.recheck_at_once(), Some(Err(Unattested::Gone))));
    assert!(matches!(Process::attest(&met.socket), Err(Unattested::Gone)));
}

#[tokio::test]
async fn an_inherited_socket_does_not_outlive_the_process_that_connected() {
    let mut met = met(|_, _| {}).await;
    let process = Process::attest(&met.socket).expect("it lives");
    met.puppet.tell("hand-over").await;
    assert_eq!(met.puppet.hear().await.as_deref(), Some("holding"), "the child has the socket");
    met.puppet.exited().await;
    assert!(matches!(process.recheck(), Err(Unattested::Gone)));
    assert!(matches!(Process::attest(&met.socket), Err(Unattested::Gone)));
    let mut byte = [0];
    let open = met.socket.try_read(&mut byte).expect_err("the child keeps it open");
    assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn notices_a_change_of_uid() {
    if !is_root("notices_a_change_of_uid") {
        return;
    }
    let mut met = met(|_, _| {}).await;
    let process = Process::attest(&met.socket).expect("it lives");
    met.puppet.tell(&format!("setuid {OTHER_UID}")).await;
    assert_eq!(met.puppet.hear().await.as_deref(), Some("done"));
    assert!(matches!(process.recheck(), Err(Unattested::Changed(Change::Credentials))), "{:?}", process.recheck());
    assert!(matches!(Process::attest(&met.socket), Err(Unattested::Changed(Change::Credentials))));
}

#[tokio::test]
async fn notices_a_move_to_another_cgroup() {
    let test = "notices_a_move_to_another_cgroup";
    let Some(cgroup) = fresh_cgroup() else { return skipped(test, "no cgroup can be made here") };
    let met = met(|_, _| {}).await;
    let process = Process::attest(&met.socket).expect("it lives");
    let moved = fs::write(cgroup.join("cgroup.procs"), met.puppet.pid().to_string());
    let seen = process.recheck();
    drop(met);
    let _ = fs::remove_dir(&cgroup);
    match moved {
        Ok(()) => assert!(matches!(seen, Err(Unattested::Changed(Change::Cgroup))), "{seen:?}"),
        Err(e) => skipped(test, &format!("no process can be moved here: {e}")),
    }
}

fn fresh_cgroup() -> Option<std::path::PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let hierarchies = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?, words.next()?);
        matches!(kind, "cgroup" | "cgroup2").then_some(at)
    });
    // A cpuset takes no process before it was given processors.
    let mut usable = hierarchies.filter(|at| !at.ends_with("cpuset"));
    usable.find_map(|at| {
        let folder = Path::new(at).join(format!("crumb-test-{}", std::process::id()));
        fs::create_dir(&folder).is_ok().then_some(folder)
    })
}

#[tokio::test]
async fn names_a_process_of_another_uid() {
    if !is_root("names_a_process_of_another_uid") {
        return;
    }
    let met = met(|_, command| {
        command.uid(OTHER_UID).gid(OTHER_UID);
    })
    .await;
    let process = Process::attest(&met.socket).expect("it lives");
    assert_eq!((process.facts().uid, process.facts().gid), (OTHER_UID, OTHER_UID));
}

#[tokio::test]
async fn a_path_in_a_mount_namespace_of_its_own_is_not_believed() {
    if !is_root("a_path_in_a_mount_namespace_of_its_own_is_not_believed") {
        return;
    }
    let met = met(|stage, command| {
        let trusted = stage.copy("/bin/sleep", "trusted");
        let script = r#"mount --bind "$1" "$2" && exec "$2" connect "$3""#;
        let mut forged = Command::new("unshare");
        forged.args(["--mount", "sh", "-c", script, "sh"]).arg(stage.path("puppet")).arg(trusted);
        *command = forged;
        command.arg(stage.path("peer.sock"));
    })
    .await;
    let process = Process::attest(&met.socket).expect("it lives");
    let trusted = met.stage.path("trusted");
    assert_eq!(process.facts().exe, trusted, "the kernel repeats the forged path");
    assert!(!process.facts().runs(&trusted), "and we do not believe it");
    let puppet = fs::metadata(met.stage.path("puppet")).expect("readable");
    assert_eq!(process.facts().exe_dev_ino, (puppet.dev(), puppet.ino()));
}

/// Runs a puppet as process 1 of a pid namespace with its own `/proc`.
fn in_pid_namespace(stage: &Stage, role: &str, argument: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(stage.path("puppet")).arg(role).arg(argument);
    command
}

#[tokio::test]
async fn a_peer_from_outside_the_pid_namespace_is_not_named() {
    if !is_root("a_peer_from_outside_the_pid_namespace_is_not_named") {
        return;
    }
    let stage = Stage::new(PUPPET);
    let path = stage.path("inside.sock");
    let mut inside = Puppet::start(in_pid_namespace(&stage, "attest-one", &path));
    assert_eq!(inside.hear().await.as_deref(), Some("listening"));
    let _us = UnixStream::connect(&path).await.expect("it listens");
    let expected = Unattested::OtherPidNamespace.to_string();
    assert_eq!(inside.hear().await, Some(expected));
}

#[tokio::test]
async fn a_peer_from_inside_a_pid_namespace_has_our_number_for_it() {
    if !is_root("a_peer_from_inside_a_pid_namespace_has_our_number_for_it") {
        return;
    }
    let met = met(|stage, command| *command = in_pid_namespace(stage, "connect", &stage.path("peer.sock"))).await;
    let process = Process::attest(&met.socket).expect("it lives");
    assert!(process.facts().pid > 1, "there it is 1");
    process.recheck().expect("nothing changed");
}

#[tokio::test]
async fn a_reused_pid_is_never_mistaken_for_the_dead() {
    let test = "a_reused_pid_is_never_mistaken_for_the_dead";
    if !is_root(test) {
        return;
    }
    if !Path::new("/proc/sys/kernel/ns_last_pid").exists() {
        return skipped(test, "the kernel cannot be told the next process id");
    }
    let stage = Stage::new(PUPPET);
    let folder = stage.path("");
    let mut arena = Puppet::start(in_pid_namespace(&stage, "reuse", &folder));
    let mut told = arena.hear().await;
    let line = told.take().expect("it counts");
    let (reused, fooled) = line.strip_prefix("reused ").and_then(|l| l.split_once(" fooled ")).expect("two counts");
    assert!(reused.parse::<usize>().expect("a count") >= 150, "hardly a number was reused: {line}");
    assert_eq!(fooled, "0", "{line}");
}

#[tokio::test]
async fn descriptors_are_given_back_after_ten_thousand_refusals() {
    let stage = Stage::new(PUPPET);
    let mut puppet = Puppet::start(stage.command("abort", &stage.path("abort.sock")));
    let line = puppet.hear().await.expect("it counts");
    let (before, after) = line.strip_prefix("before ").and_then(|l| l.split_once(" after ")).expect("two counts");
    assert_eq!(before, after);
}
