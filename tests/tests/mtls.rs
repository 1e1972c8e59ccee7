//! mTLS while identities change: resumption, expiry, removed authorities, rotation, withdrawal.

use std::{io, sync::Arc, time::Duration};

use crumb_dev_identity::{DevWorkloadApi, Entry, Selector, Settings};
use crumb_identity::{
    Alpn, ConnectError, Connector, Endpoint, InvalidSvid, Listener, Peers, RefusedByServer, RefusedPeer, SystemClock,
    Workload,
};
use crumb_tests::{
    certificates::{Authority, Chain, issue::leaf_params},
    handshake::{self, PATIENCE, Watched},
    member::{ForwardClock, Member, id, pair, root, svid},
};
use crumb_token::{Clock, Timestamp};
use rustls::{ClientConfig, HandshakeKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time,
};

fn now() -> Timestamp {
    SystemClock::new().now().wall
}

/// A leaf that lives as long as its root.
fn long_svid(root: &Authority, path: &str) -> Chain {
    let mut params = leaf_params(id(path).as_str());
    params.not_after += ::time::Duration::hours(20);
    root.leaf(&params)
}

/// A leaf that lives for a few seconds from now.
fn brief_svid(root: &Authority, path: &str, seconds: i64) -> Chain {
    let mut params = leaf_params(id(path).as_str());
    params.not_after = ::time::OffsetDateTime::now_utc() + ::time::Duration::seconds(seconds);
    root.leaf(&params)
}

/// Dials, exchanges a byte with the server, and says how the handshake went.
async fn visit(listener: &mut Watched, client: &Arc<ClientConfig>) -> Result<HandshakeKind, &'static str> {
    let (from, stream) = handshake::dial(client, listener.addr).await;
    let mut accepted = listener.outcome(from).await.map_err(|refusal| refusal.why.code())?;
    let mut stream = stream.expect("the server accepted it");
    accepted.write_all(b"!").await.expect("written");
    accepted.flush().await.expect("flushed");
    // Reading also takes in any ticket that the server sent.
    assert_eq!(time::timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("read"), b'!');
    Ok(stream.get_ref().1.handshake_kind().expect("done"))
}

#[tokio::test]
async fn nothing_is_resumed_when_an_authority_is_gone() {
    let (old, new) = (root("old"), root("new"));
    let server = Member::start(&svid(&new, "/server"), &[&old, &new]).await;
    let mut listener = server.listen().await;
    let client = Arc::new(handshake::ordinary_client(&svid(&old, "/client")));
    assert_eq!(visit(&mut listener, &client).await, Ok(HandshakeKind::Full));
    assert_eq!(visit(&mut listener, &client).await, Ok(HandshakeKind::Full), "a ticket was taken");
    server.renew(&svid(&new, "/server"), &[&new]).await;
    assert_eq!(visit(&mut listener, &client).await, Err("unknown_authority"));
}

#[tokio::test]
async fn nothing_is_resumed_when_the_svid_has_expired() {
    let root = root("root");
    let server = Member::start(&long_svid(&root, "/server"), &[&root]).await;
    let clock = Arc::new(ForwardClock::default());
    let dyn_clock: Arc<dyn Clock> = clock.clone();
    let mut listener = Watched::start(server.listener(Peers::TrustDomain, dyn_clock, Alpn::H2).await);
    let client = Arc::new(handshake::ordinary_client(&svid(&root, "/client")));
    assert_eq!(visit(&mut listener, &client).await, Ok(HandshakeKind::Full));
    clock.forward(Duration::from_secs(2 * 3600));
    assert_eq!(visit(&mut listener, &client).await, Err("expired"));
}

#[tokio::test]
async fn a_peer_is_refused_on_a_living_connection_once_its_svid_expires() {
    let root = root("root");
    let server = Member::start(&long_svid(&root, "/server"), &[&root]).await;
    let mut listener = server.listen().await;
    let client = Arc::new(handshake::ordinary_client(&svid(&root, "/client")));
    let (from, _stream) = handshake::dial(&client, listener.addr).await;
    let accepted = listener.outcome(from).await.expect("accepted");
    let (peer, end) = (accepted.peer(), accepted.peer().expires_at());
    let just_before = Timestamp::from_unix_s(end.as_unix_s() - 1);
    assert_eq!(server.workload.revalidate(peer, just_before), Ok(()));
    assert_eq!(server.workload.revalidate(peer, end), Err(InvalidSvid::Expired));
    assert_eq!(server.workload.revalidate(peer, just_before), Ok(()), "the time of the call decides");
}

#[tokio::test]
async fn a_peer_is_refused_on_a_living_connection_once_its_authority_is_gone() {
    let (old, new) = (root("old"), root("new"));
    let server = Member::start(&svid(&new, "/server"), &[&old, &new]).await;
    let mut listener = server.listen().await;
    let client = Arc::new(handshake::ordinary_client(&svid(&old, "/client")));
    let (from, _stream) = handshake::dial(&client, listener.addr).await;
    let accepted = listener.outcome(from).await.expect("accepted");
    let at = now();
    assert_eq!(server.workload.revalidate(accepted.peer(), at), Ok(()));
    server.renew(&svid(&new, "/server"), &[&new]).await;
    assert_eq!(server.workload.revalidate(accepted.peer(), at), Err(InvalidSvid::UnknownAuthority));
    server.renew(&svid(&new, "/server"), &[&new, &old]).await;
    assert_eq!(server.workload.revalidate(accepted.peer(), at), Ok(()), "the authority is back");
}

#[tokio::test]
async fn a_stream_ends_with_the_svid_of_its_peer() {
    let root = root("root");
    let server = Member::start(&long_svid(&root, "/server"), &[&root]).await;
    let mut listener = server.listen().await;
    let client = Arc::new(handshake::ordinary_client(&brief_svid(&root, "/client", 5)));
    let (from, stream) = handshake::dial(&client, listener.addr).await;
    let mut accepted = listener.outcome(from).await.expect("accepted");
    let end = accepted.peer().expires_at();
    let ended = time::timeout(PATIENCE, accepted.read_u8()).await.expect("it ends").expect_err("by an error");
    assert_eq!(ended.kind(), io::ErrorKind::ConnectionAborted);
    assert!(ended.to_string().contains("reached its end"), "{ended}");
    let early = end.since(now());
    assert!(early <= Duration::from_secs(1), "{early:?} before its time");
    drop((accepted, stream));
    while now() < end {
        time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(visit(&mut listener, &client).await, Err("expired"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_fails_no_dial() {
    const DIALS: usize = 200;
    let root = root("root");
    let (server, client) = pair(&root, "/server").await;
    let listener = server.listen().await;
    let target = listener.addr.to_string();
    let echo = tokio::spawn(echo(listener));
    let connector = Connector::with_alpn(client.workload.clone(), id("/server"), Alpn::H2);
    let rotating = async {
        loop {
            server.renew(&svid(&root, "/server"), &[&root]).await;
            client.renew(&svid(&root, "/client"), &[&root]).await;
        }
    };
    let dialling = async {
        let mut serials = std::collections::BTreeSet::new();
        for _ in 0..DIALS {
            // The promise is none with one retry; without any is better, and holds.
            let mut stream = connector.connect(&target).await.expect("a dial during rotation");
            stream.write_all(b"?").await.expect("written");
            assert_eq!(time::timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("echoed"), b'?');
            serials.insert(stream.peer().serial().to_owned());
        }
        serials.len()
    };
    let distinct = tokio::select! {
        distinct = dialling => distinct,
        () = rotating => unreachable!("rotates for ever"),
    };
    let rotations = server.workload.revision();
    assert!(rotations > 20 && distinct > 10, "only {rotations} rotations and {distinct} server certificates");
    echo.abort();
}

/// Sends every byte back, on one connection after the other.
async fn echo(mut listener: Watched) {
    while let Some(mut stream) = listener.next().await {
        if let Ok(byte) = stream.read_u8().await {
            // The client may have gone.
            let _ = stream.write_u8(byte).await;
            let _ = stream.flush().await;
        }
    }
}

#[tokio::test]
async fn a_withdrawn_identity_accepts_nobody_and_dials_nobody() {
    let root = root("root");
    let (server, client) = pair(&root, "/server").await;
    let mut listener = server.listen().await;
    let stranger = Arc::new(handshake::ordinary_client(&svid(&root, "/other")));
    let (from, _stream) = handshake::dial(&stranger, listener.addr).await;
    let accepted = listener.outcome(from).await.expect("accepted");

    server.withdraw().await;
    assert_eq!(server.workload.svid_expires_at(), None);
    assert_eq!(server.workload.spiffe_id(), id("/server"), "the name stays");
    assert_eq!(visit(&mut listener, &stranger).await, Err("no_identity"));
    let at = now();
    assert_eq!(server.workload.revalidate(accepted.peer(), at), Err(InvalidSvid::NoBundle));

    client.withdraw().await;
    let connector = Connector::new(client.workload.clone(), id("/server"));
    let refused = connector.connect(&listener.addr.to_string()).await.expect_err("no identity");
    assert!(matches!(refused, ConnectError::NoIdentity), "{refused:?}");

    server.renew(&svid(&root, "/server"), &[&root]).await;
    assert_eq!(visit(&mut listener, &stranger).await, Ok(HandshakeKind::Full), "the identity is back");
}

#[tokio::test]
async fn an_expired_identity_accepts_nobody() {
    let root = root("root");
    let server = Member::start(&svid(&root, "/server"), &[&root]).await;
    let clock = Arc::new(ForwardClock::default());
    let dyn_clock: Arc<dyn Clock> = clock.clone();
    let mut listener = Watched::start(server.listener(Peers::TrustDomain, dyn_clock, Alpn::H2).await);
    let client = Arc::new(handshake::ordinary_client(&long_svid(&root, "/client")));
    let (from, _stream) = handshake::dial(&client, listener.addr).await;
    let accepted = listener.outcome(from).await.expect("accepted");
    clock.forward(Duration::from_secs(2 * 3600));
    assert_eq!(visit(&mut listener, &client).await, Err("no_identity"));
    let later = clock.now().wall;
    assert_eq!(server.workload.revalidate(accepted.peer(), later), Err(InvalidSvid::NoBundle));
}

#[tokio::test]
async fn an_identity_serves_on_without_its_workload_api_and_never_past_its_end() {
    let place = tempfile::tempdir().expect("a directory");
    let socket = place.path().join("run").join("api.sock");
    let api = DevWorkloadApi::start(socket, Settings::new(Arc::new(SystemClock::new()))).await.expect("it starts");
    let own = "spiffe://dev.crumb.invalid/both".parse::<crumb_token::SpiffeId>().expect("canonical");
    let pid = i32::try_from(std::process::id()).expect("a process number");
    let entry = Entry { spiffe_id: own.clone(), selectors: vec![Selector::Pid(pid)], hint: None };
    api.entries().add(entry).expect("a usable entry");
    let endpoint: Endpoint = api.endpoint().parse().expect("an endpoint");
    let workload = Workload::connect(&endpoint, PATIENCE).await.expect("an identity");
    let clock = Arc::new(ForwardClock::default());
    let (any, dyn_clock): (_, Arc<dyn Clock>) = ("127.0.0.1:0".parse().expect("an address"), clock.clone());
    let listener = Listener::bind(any, workload.clone(), Peers::TrustDomain, dyn_clock, Alpn::H2).await;
    let mut listener = Watched::start(listener.expect("a port"));
    let target = listener.addr.to_string();
    let connector = Connector::with_alpn(workload.clone(), own, Alpn::H2);

    api.shutdown().await;
    let (dialled, accepted) = tokio::join!(connector.connect(&target), listener.next());
    assert!(dialled.is_ok() && accepted.is_some(), "what it has is still good: {dialled:?}");
    let left = workload.svid_expires_at().expect("an SVID").since(clock.now().wall);
    clock.forward(left);
    let (_, refusal) = tokio::join!(connector.connect(&target), listener.next_refusal());
    assert_eq!(refusal.why.code(), "no_identity");
}

#[tokio::test]
async fn a_client_refuses_a_server_with_another_id() {
    let root = root("root");
    let (server, client) = pair(&root, "/tool").await;
    let listener = server.listen().await;
    let connector = Connector::new(client.workload.clone(), id("/broker"));
    let refused = connector.connect(&listener.addr.to_string()).await.expect_err("another server");
    let ConnectError::WrongServer { source, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(*source, RefusedPeer::NotAdmitted(id("/tool")));
    assert!(refused.to_string().contains("is not spiffe://a.test/broker"), "{refused}");
}

#[tokio::test]
async fn a_server_that_refuses_us_is_named_at_the_first_read() {
    let root = root("root");
    let (server, client) = pair(&root, "/server").await;
    let only = Peers::Exactly(vec![id("/somebody-else")]);
    let clock = Arc::new(SystemClock::new());
    let mut listener = Watched::start(server.listener(only, clock, Alpn::H2).await);
    let connector = Connector::with_alpn(client.workload.clone(), id("/server"), Alpn::H2);
    let mut stream = connector.connect(&listener.addr.to_string()).await.expect("TLS 1.3 clients are done first");
    let failed = time::timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect_err("refused");
    let cause = failed.get_ref().and_then(|inner| inner.downcast_ref::<RefusedByServer>()).expect("named");
    assert_eq!((&cause.server, &cause.own), (&id("/server"), &id("/client")));
    let refusal = listener.next_refusal().await;
    assert_eq!(refusal.why.code(), "peer_not_admitted");
}
