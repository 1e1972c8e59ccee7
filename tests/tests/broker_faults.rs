//! What the broker does when it is killed, when the disk is full, and when the disk lies: no token without its record.

use crumb_proto::wire::TailRequest;
use crumb_tests::{
    broker::{admin_channel, refusal, trail},
    broker_process::{Running, Site, exchange},
    skip::skipped,
};
use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command as Blocking, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// How soon a refusal has to come when the store does not answer.
const SOON: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
const NOT_BUILT: &str = "crumb-broker is not built: cargo build -p crumb-broker";

/// Asks for tokens until told to stop, and keeps the numbers of those that came.
fn hammer(broker: &Running, stop: &Arc<AtomicBool>, received: &Arc<Mutex<Vec<String>>>) -> JoinSet<()> {
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let (stop, received, channel) = (Arc::clone(stop), Arc::clone(received), broker.channel.clone());
        let opening = {
            let mut request = crumb_tests::broker::opening();
            request.envelope[0].audience = exchange("").scope.map(|scope| scope.audience).unwrap_or_default();
            request
        };
        asking.spawn(async move {
            let mut sessions = crumb_proto::wire::session_service_client::SessionServiceClient::new(channel.clone());
            let Ok(session) = sessions.open_session(opening).await else { return };
            let session = session.into_inner().session_id;
            let mut tokens = crumb_proto::wire::token_service_client::TokenServiceClient::new(channel);
            while !stop.load(Ordering::Relaxed) {
                match tokens.exchange(exchange(&session)).await {
                    Ok(issued) => received.lock().expect("no panic").push(issued.into_inner().token_id),
                    Err(_) => return,
                }
            }
        });
    }
    asking
}

/// Waits until `count` tokens have come.
async fn until(received: &Mutex<Vec<String>>, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while received.lock().expect("no panic").len() < count {
        assert!(Instant::now() < deadline, "tokens come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_that_somebody_got_is_on_record_whenever_the_broker_is_killed() {
    let Some(site) = Site::start(None).await else { return skipped("the broker, killed", NOT_BUILT) };
    let received = Arc::new(Mutex::new(Vec::new()));
    for round in 0..20u64 {
        let broker = site.broker().await;
        let stop = Arc::new(AtomicBool::new(false));
        let before = received.lock().expect("no panic").len();
        let asking = hammer(&broker, &stop, &received);
        // Some way into the work, each time another.
        let some = usize::try_from(3 + rand::random_range(0..40u64) + round % 3).expect("few");
        until(&received, before + some).await;
        broker.kill().await;
        stop.store(true, Ordering::Relaxed);
        timeout(PATIENCE, asking.join_all()).await.expect("the askers end with it");
    }
    let broker = site.broker().await;
    let records = trail(admin_channel(&broker.admin), TailRequest::default()).await;
    let numbers: Vec<_> = records.iter().map(|record| record.number).collect();
    assert_eq!(numbers, (1..=u64::try_from(records.len()).expect("few")).collect::<Vec<_>>(), "no gaps");
    let on_record: BTreeSet<_> =
        records.into_iter().filter(|r| r.allowed && r.kind == "exchange").map(|r| r.token_id).collect();
    let received = received.lock().expect("no panic").clone();
    let missing: Vec<_> = received.iter().filter(|id| !on_record.contains(*id)).collect();
    assert!(missing.is_empty(), "{} of {} tokens are not on record: {missing:?}", missing.len(), received.len());
    assert!(received.len() >= 60);
}

/// A small file system in memory, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir(path).expect("a directory of our own");
        let mut command = Blocking::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "crumb-test"]).arg(path).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }

    /// Writes until nothing goes in any more; returns the file.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = fs::File::create(&path).expect("room for a name");
        for size in [64 * 1024, 1024, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Blocking::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Asks for tokens until one is refused, and says why and how long that took. A full disk takes some writes into pages
/// that it has.
async fn first_refusal(broker: &Running, session: &str) -> ((Code, crumb_token::Denial), Duration) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let begun = Instant::now();
        let outcome = broker.exchange(exchange(session)).await;
        if outcome.is_err() {
            return (refusal(outcome), begun.elapsed());
        }
        assert!(begun < deadline, "it is refused some time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_means_no_token_and_an_answer_within_a_second() {
    let place = tempfile::tempdir().expect("a directory");
    let Some(disk) = SmallDisk::mount(&place.path().join("small")) else {
        return skipped("the broker on a full disk", "mounting a tmpfs needs root");
    };
    let data = disk.0.join("data");
    let Some(site) = Site::start(Some(data)).await else { return skipped("the broker on a full disk", NOT_BUILT) };
    let broker = site.broker().await;
    let session = broker.session().await.expect("a session");
    broker.exchange(exchange(&session)).await.expect("a token, with room");
    let ballast = disk.fill();
    let ((code, denial), took) = first_refusal(&broker, &session).await;
    assert_eq!((code, denial.reason.code()), (Code::Unavailable, "store_unavailable"), "{}", site.log());
    assert!(took < SOON, "{took:?}");
    assert_eq!(refusal(broker.session().await).1.reason.code(), "store_unavailable");

    fs::remove_file(ballast).expect("ours");
    broker.exchange(exchange(&session)).await.expect("with room again, a token again");
    let records = trail(admin_channel(&broker.admin), TailRequest::default()).await;
    assert!(records.iter().zip(1..).all(|(record, n)| record.number == n), "no gaps");
    broker.kill().await;
}

/// Makes every fsync of a process fail, until dropped.
async fn break_fsync(pid: u32) -> Option<Child> {
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-p"]);
    command.arg(pid.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut strace = command.spawn().ok()?;
    let mut lines = BufReader::new(strace.stderr.take()?).lines();
    let attached = timeout(PATIENCE, lines.next_line()).await.ok()?.ok()??;
    // What it says next nobody reads, but it must be able to say it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    attached.contains("attached").then_some(strace)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_fsync_nothing_is_issued_until_the_broker_is_started_anew() {
    let Some(site) = Site::start(None).await else { return skipped("the broker and a failing fsync", NOT_BUILT) };
    let broker = site.broker().await;
    let session = broker.session().await.expect("a session");
    broker.exchange(exchange(&session)).await.expect("a token, on a disk that works");
    let Some(mut strace) = break_fsync(broker.child.id().expect("it runs")).await else {
        return skipped("the broker and a failing fsync", "strace is not there, or may not attach");
    };
    let begun = Instant::now();
    let (code, denial) = refusal(broker.exchange(exchange(&session)).await);
    let took = begun.elapsed();
    assert_eq!((code, denial.reason.code()), (Code::Unavailable, "store_unavailable"), "{}", site.log());
    assert!(took < SOON, "{took:?}");
    strace.start_kill().expect("it runs");
    strace.wait().await.expect("it ends");

    // The disk works again, but what the failed fsync threw away nobody can know.
    let refused = refusal(broker.exchange(exchange(&session)).await);
    assert_eq!(refused.1.reason.code(), "store_unavailable");
    let mut health = HealthClient::new(admin_channel(&broker.admin));
    let deadline = Instant::now() + PATIENCE;
    while health.check(HealthCheckRequest::default()).await.expect("an answer").into_inner().status()
        != ServingStatus::NotServing
    {
        assert!(Instant::now() < deadline, "health says so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    broker.kill().await;
    let broker = site.broker().await;
    broker.exchange(exchange(&session)).await.expect("a new start reads what is really there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_stop_is_followed_in_good_order() {
    let Some(site) = Site::start(None).await else { return skipped("the broker, stopped", NOT_BUILT) };
    let mut broker = site.broker().await;
    broker.session().await.expect("a session");
    let pid = i32::try_from(broker.child.id().expect("it runs")).expect("a process number");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).expect("sent");
    let status = timeout(PATIENCE, broker.child.wait()).await.expect("in time").expect("waited for");
    assert!(status.success(), "{status}\n{}", site.log());
    assert!(!broker.admin.exists(), "the socket goes with it");
    let log = fs::metadata(site.data().join("crumb.db-wal")).map(|m| m.len()).unwrap_or_default();
    assert_eq!(log, 0, "the log is folded into the database");
}

#[tokio::test]
async fn a_broker_with_wrong_manifests_does_not_start_and_says_where() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(program) = crumb_tests::processes::binary("crumb-broker") else {
        return skipped("the broker and wrong manifests", NOT_BUILT);
    };
    let registry = directory.path().join("registry");
    fs::create_dir(&registry).expect("ours");
    let wrong = crumb_tests::broker::MANIFESTS.replace("owner: eve@a.test", "owner: team@a.test");
    fs::write(registry.join("all.yaml"), wrong.replace("toolServer: files", "toolServer: nowhere")).expect("ours");
    let config = directory.path().join("broker.toml");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin_socket = \"{}\"\ndata_dir = \"{}\"\nregistry_dir = \"{}\"\nworkload_api = \"unix://{}\"\n",
        path("admin.sock"),
        path("data"),
        path("registry"),
        path("api.sock"),
    );
    fs::write(&config, text).expect("ours");
    let output = Blocking::new(program).arg("--config").arg(config).arg("--announce").output().expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(said.contains("all.yaml:21: spec.owner: `team@a.test` is a group or a function"), "{said}");
    assert!(said.contains("all.yaml:36: no tool server is registered as nowhere"), "{said}");
    assert!(!directory.path().join("data").exists(), "nothing was touched");
}
