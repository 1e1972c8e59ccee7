//! What a listener turns away before it carries anything: other protocols, slow handshakes, too many of anything.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use crumb_identity::{Alpn, Limits, Listener, Peers, RefusedHandshake, SystemClock};
use crumb_tests::{
    handshake::{self, PATIENCE, Watched},
    member::{Member, id, root, svid},
};
use rustls::{ClientConfig, version::TLS13};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{self, Instant},
};

/// A server, and an ordinary client for it.
async fn server_and_client() -> (Member, Arc<ClientConfig>) {
    let root = root("root");
    let server = Member::start(&svid(&root, "/server"), &[&root]).await;
    let client = Arc::new(handshake::ordinary_client(&svid(&root, "/client")));
    (server, client)
}

/// Connects and sends nothing.
async fn silent(addr: SocketAddr) -> (SocketAddr, TcpStream) {
    let tcp = TcpStream::connect(addr).await.expect("the listener accepts TCP");
    (tcp.local_addr().expect("connected"), tcp)
}

/// A ClientHello as TLS 1.2 has it: no supported versions, so nothing newer is meant.
fn tls12_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    // ECDHE-ECDSA and ECDHE-RSA with AES-128-GCM.
    body.extend_from_slice(&[0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    // P-256; ECDSA with SHA-256; ALPN h2.
    let extensions: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3, 0, 16, 0, 5, 0, 3, 2, b'h', b'2'];
    body.extend_from_slice(&[0, u8::try_from(extensions.len()).expect("short")]);
    body.extend_from_slice(extensions);
    let length = u8::try_from(body.len()).expect("short");
    let mut hello = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.append(&mut body);
    hello
}

#[tokio::test]
async fn refuses_tls_1_2() {
    const ALERT: u8 = 21;
    const PROTOCOL_VERSION: u8 = 70;
    let (server, _) = server_and_client().await;
    let mut listener = server.listen().await;
    let (from, mut tcp) = silent(listener.addr).await;
    tcp.write_all(&tls12_hello()).await.expect("written");
    let mut answer = Vec::new();
    time::timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.expect("in time").expect("read");
    assert_eq!((answer[0], answer[6]), (ALERT, PROTOCOL_VERSION), "{answer:?}");
    assert_eq!(listener.outcome(from).await.expect_err("refused").why.code(), "tls_failed");
}

#[tokio::test]
async fn refuses_plain_text() {
    let (server, _) = server_and_client().await;
    let mut listener = server.listen().await;
    let (from, mut tcp) = silent(listener.addr).await;
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
    assert_eq!(listener.outcome(from).await.expect_err("refused").why.code(), "tls_failed");
}

#[tokio::test]
async fn refuses_a_client_without_an_agreed_protocol() {
    let root = root("root");
    let server = Member::start(&svid(&root, "/server"), &[&root]).await;
    let mut listener = server.listen().await;
    let svid = svid(&root, "/client");
    for (offer, code) in [(&[][..], "no_alpn"), (&[b"http/1.1".as_slice()][..], "tls_failed")] {
        let client = Arc::new(handshake::client(Some(&svid), offer, &[&TLS13]));
        let (from, _stream) = handshake::dial(&client, listener.addr).await;
        assert_eq!(listener.outcome(from).await.expect_err("refused").why.code(), code);
    }
}

#[tokio::test]
async fn a_tool_server_speaks_both_protocols() {
    let root = root("root");
    let server = Member::start(&svid(&root, "/server"), &[&root]).await;
    let clock = Arc::new(SystemClock::new());
    let mut listener = Watched::start(server.listener(Peers::TrustDomain, clock, Alpn::H2AndHttp11).await);
    let svid = svid(&root, "/client");
    for (offer, h2) in [(b"h2".as_slice(), true), (b"http/1.1".as_slice(), false)] {
        let client = Arc::new(handshake::client(Some(&svid), &[offer], &[&TLS13]));
        let (from, _stream) = handshake::dial(&client, listener.addr).await;
        assert_eq!(listener.outcome(from).await.expect("accepted").alpn_is_h2(), h2);
    }
}

#[tokio::test]
async fn cuts_a_slow_handshake_at_its_time_and_serves_others_meanwhile() {
    const TIME: Duration = Duration::from_secs(3);
    let (server, client) = server_and_client().await;
    let mut listener = server.listen_within(|limits| limits.handshake_time = TIME).await;
    let begun = Instant::now();
    let (slow, _tcp) = silent(listener.addr).await;
    for _ in 0..10 {
        let (from, _stream) = handshake::dial(&client, listener.addr).await;
        listener.outcome(from).await.expect("others are served");
    }
    assert!(begun.elapsed() < TIME, "the others waited");
    let refusal = listener.outcome(slow).await.expect_err("cut");
    assert_eq!(refusal.why.code(), "handshake_too_slow");
    assert!(begun.elapsed() >= TIME, "too early");
}

#[tokio::test]
async fn a_flood_of_slow_handshakes_keeps_nobody_out() {
    const MOST: usize = 16;
    let (server, client) = server_and_client().await;
    let limits = |limits: &mut Limits| {
        limits.handshakes = MOST;
        // Nothing here waits for this; what goes, goes because newer ones came.
        limits.handshake_time = PATIENCE * 10;
    };
    let mut listener = server.listen_within(limits).await;
    let mut flood = Vec::new();
    for _ in 0..10 {
        for _ in 0..50 {
            flood.push(silent(listener.addr).await.1);
        }
        let (from, _stream) = handshake::dial(&client, listener.addr).await;
        listener.outcome(from).await.expect("served");
    }
    let newest = flood.split_off(flood.len() - MOST / 2);
    for mut old in flood.into_iter().take(100) {
        let closed = time::timeout(PATIENCE, old.read_u8()).await.expect("the oldest make room");
        assert!(closed.is_err());
    }
    assert!(newest.iter().all(|tcp| tcp.try_read(&mut [0]).is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)));
}

#[tokio::test]
async fn bounds_all_connections_and_those_of_one_peer() {
    let root = root("root");
    let server = Member::start(&svid(&root, "/server"), &[&root]).await;
    let mut listener = server
        .listen_within(|limits| {
            limits.connections = 3;
            limits.connections_per_peer = 2;
        })
        .await;
    let greedy = Arc::new(handshake::ordinary_client(&svid(&root, "/greedy")));
    let modest = Arc::new(handshake::ordinary_client(&svid(&root, "/modest")));
    let mut kept = Vec::new();
    for _ in 0..2 {
        let (from, stream) = handshake::dial(&greedy, listener.addr).await;
        kept.push((listener.outcome(from).await.expect("accepted"), stream));
    }
    let (from, _stream) = handshake::dial(&greedy, listener.addr).await;
    let refusal = listener.outcome(from).await.expect_err("a third of one peer");
    assert!(matches!(&refusal.why, RefusedHandshake::TooManyOfPeer(peer) if *peer == id("/greedy")), "{refusal:?}");

    let (from, stream) = handshake::dial(&modest, listener.addr).await;
    kept.push((listener.outcome(from).await.expect("another peer"), stream));
    let (from, _tcp) = silent(listener.addr).await;
    assert_eq!(listener.outcome(from).await.expect_err("a fourth").why.code(), "too_many_connections");

    drop(kept.swap_remove(0));
    let (from, _stream) = handshake::dial(&greedy, listener.addr).await;
    listener.outcome(from).await.expect("there is room again");
}

#[tokio::test]
async fn stops_when_told_and_frees_its_port() {
    let (server, client) = server_and_client().await;
    let mut listener = server.listen().await;
    let (from, _stream) = handshake::dial(&client, listener.addr).await;
    let _accepted = listener.outcome(from).await.expect("accepted");
    listener.stop();
    assert!(time::timeout(PATIENCE, listener.next()).await.expect("in time").is_none());
    let clock = Arc::new(SystemClock::new());
    let workload = server.workload.clone();
    Listener::bind(listener.addr, workload, Peers::TrustDomain, clock, Alpn::H2).await.expect("the port is free");
}
