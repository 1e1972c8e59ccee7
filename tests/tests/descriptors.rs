//! A listener that runs out of file descriptors goes on afterwards. Alone in its process, since the limit is the process's.

use std::{net::TcpStream, sync::Arc, time::Duration};

use crumb_tests::{
    handshake::{self, PATIENCE},
    member::{Member, root, svid},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::time::{self, Instant};

#[tokio::test]
async fn a_listener_without_descriptors_recovers_within_a_second() {
    let root = root("root");
    let server = Member::start(&svid(&root, "/server"), &[&root]).await;
    let mut listener = server.listen().await;
    let client = Arc::new(handshake::ordinary_client(&svid(&root, "/client")));
    let (from, _stream) = handshake::dial(&client, listener.addr).await;
    let _accepted = listener.outcome(from).await.expect("accepted before");

    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let open = std::fs::read_dir("/proc/self/fd").expect("procfs").count();
    setrlimit(Resource::RLIMIT_NOFILE, u64::try_from(open + 8).expect("small"), hard).expect("a lower limit");
    // Both ends are in this process, so the dials themselves use the descriptors up; the last ones wait to be accepted.
    let mut dialled = Vec::new();
    while let Ok(tcp) = TcpStream::connect(listener.addr) {
        dialled.push(tcp);
        tokio::task::yield_now().await;
    }
    // Give the listener the chance to fail, many times over.
    let exhausted = Instant::now();
    while exhausted.elapsed() < Duration::from_millis(300) {
        time::sleep(Duration::from_millis(10)).await;
        assert!(TcpStream::connect(listener.addr).is_err(), "there are descriptors left");
    }

    drop(dialled);
    let freed = Instant::now();
    let served = async {
        loop {
            let Ok(tcp) = tokio::net::TcpStream::connect(listener.addr).await else {
                tokio::task::yield_now().await;
                continue;
            };
            drop(tcp);
            let (from, _stream) = handshake::dial(&client, listener.addr).await;
            return listener.outcome(from).await;
        }
    };
    let outcome = time::timeout(PATIENCE, served).await.expect("the listener is alive");
    outcome.expect("and accepts");
    assert!(freed.elapsed() < Duration::from_secs(1), "it took {:?}", freed.elapsed());
}
