//! gRPC over mTLS: who the handler sees, when a channel dials again, and what a failed call says.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use crumb_dev_identity::wire::{X509svid, X509svidRequest, X509svidResponse};
use crumb_identity::{
    Alpn, Channel, Endpoint, Listener, NoIdentity, PeerSvid, Peers, SystemClock, Workload, cause_of, channel,
};
use crumb_tests::{
    certificates::issue::leaf_params,
    handshake::PATIENCE,
    member::{Member, id, pair, root, svid},
    workload_api::ScriptedWorkloadApi,
};
use crumb_token::SpiffeId;
use tokio::{task::JoinHandle, time};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{NamedService, UnaryService},
    transport::Server,
};

/// Says who called; borrows the messages of the Workload API.
#[derive(Clone)]
struct WhoAmI;

impl UnaryService<X509svidRequest> for WhoAmI {
    type Response = X509svidResponse;
    type Future = std::future::Ready<Result<Response<X509svidResponse>, Status>>;

    fn call(&mut self, request: Request<X509svidRequest>) -> Self::Future {
        let peer = request.extensions().get::<PeerSvid>().ok_or_else(|| Status::internal("no peer"));
        std::future::ready(peer.map(|peer| {
            let caller =
                X509svid { spiffe_id: peer.id().to_string(), hint: peer.serial().into(), ..Default::default() };
            Response::new(X509svidResponse { svids: vec![caller], ..Default::default() })
        }))
    }
}

impl NamedService for WhoAmI {
    const NAME: &'static str = "test.WhoAmI";
}

impl Service<http::Request<Body>> for WhoAmI {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(tonic_prost::ProstCodec::default());
            Ok(grpc.unary(service, request).await)
        })
    }
}

/// A gRPC server.
struct Running {
    target: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(listener: Listener) -> Self {
        let (target, stop) = (listener.local_addr().to_string(), CancellationToken::new());
        let incoming = listener.incoming(stop.clone());
        let stopped = stop.clone().cancelled_owned();
        let server = Server::builder().add_service(WhoAmI).serve_with_incoming_shutdown(incoming, stopped);
        Self { target, stop, task: tokio::spawn(async move { server.await.expect("served to the end") }) }
    }

    /// Ends its connections too.
    async fn stop(self) {
        self.stop.cancel();
        time::timeout(PATIENCE, self.task).await.expect("in time").expect("no panic");
    }
}

async fn serve(member: &Member, peers: Peers) -> Running {
    Running::start(member.listener(peers, Arc::new(SystemClock::new()), Alpn::H2).await)
}

/// Calls, and returns who the server saw.
async fn call(channel: &Channel) -> Result<X509svid, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path = http::uri::PathAndQuery::from_static("/test.WhoAmI/Ask");
    let codec = tonic_prost::ProstCodec::<X509svidRequest, X509svidResponse>::default();
    let mut answer = grpc.unary(Request::new(X509svidRequest {}), path, codec).await?.into_inner();
    answer.svids.pop().ok_or_else(|| Status::internal("nobody"))
}

async fn refusal(workload: &Workload, target: &str, server: SpiffeId) -> String {
    let status = call(&channel(workload, target, server)).await.expect_err("refused");
    cause_of(&status).unwrap_or_else(|| panic!("no cause in {status:?}"))
}

#[tokio::test]
async fn a_handler_sees_who_calls() {
    let root = root("root");
    let (server, client) = pair(&root, "/server").await;
    let running = serve(&server, Peers::TrustDomain).await;
    let seen = call(&channel(&client.workload, running.target.as_str(), id("/server"))).await.expect("an answer");
    assert_eq!(seen.spiffe_id, id("/client").as_str());
}

#[tokio::test]
async fn a_channel_calls_with_the_newest_svid_and_no_call_fails() {
    let root = root("root");
    let (server, client) = pair(&root, "/server").await;
    let running = serve(&server, Peers::TrustDomain).await;
    let channel = channel(&client.workload, running.target.as_str(), id("/server"));
    let mut before = call(&channel).await.expect("an answer").hint;
    assert_eq!(call(&channel).await.expect("an answer").hint, before, "one connection while the SVID stays");
    for life_s in [300, 200, 100] {
        let mut params = leaf_params(id("/client").as_str());
        params.not_after = ::time::OffsetDateTime::now_utc() + ::time::Duration::seconds(life_s);
        client.renew(&root.leaf(&params), &[&root]).await;
        let calls = (0..16).map(|_| call(&channel));
        for seen in futures::future::join_all(calls).await {
            assert_ne!(seen.expect("an answer").hint, before, "judged by an SVID that was let go");
        }
        before = call(&channel).await.expect("an answer").hint;
    }
    client.withdraw().await;
    let status = call(&channel).await.expect_err("refused");
    assert!(cause_of(&status).expect("a cause").contains("has no SVID"), "{status:?}");
}

#[tokio::test]
async fn a_channel_outlives_its_server() {
    let root = root("root");
    let (server, client) = pair(&root, "/server").await;
    let running = serve(&server, Peers::TrustDomain).await;
    let target = running.target.clone();
    let channel = channel(&client.workload, target.as_str(), id("/server"));
    call(&channel).await.expect("an answer");
    running.stop().await;
    let failed = call(&channel).await.expect_err("nobody is there");
    assert!(cause_of(&failed).is_some(), "{failed:?}");

    let (addr, clock) = (target.parse().expect("an address"), Arc::new(SystemClock::new()));
    let listener = Listener::bind(addr, server.workload.clone(), Peers::TrustDomain, clock, Alpn::H2).await;
    let running = Running::start(listener.expect("the port is free"));
    call(&channel).await.expect("found again");
    running.stop().await;
}

#[tokio::test]
async fn a_failed_call_says_what_the_connection_said() {
    let root = root("root");
    let (server, client) = pair(&root, "/server").await;
    let open = serve(&server, Peers::TrustDomain).await;
    let closed = serve(&server, Peers::Exactly(vec![id("/somebody-else")])).await;

    let wrong = refusal(&client.workload, &open.target, id("/broker")).await;
    assert!(wrong.contains("is not spiffe://a.test/broker: the peer is spiffe://a.test/server"), "{wrong}");
    let refused = refusal(&client.workload, &closed.target, id("/server")).await;
    assert!(refused.contains("refused our SVID spiffe://a.test/client"), "{refused}");
    let nobody = refusal(&client.workload, "127.0.0.1:1", id("/server")).await;
    assert!(nobody.contains("cannot reach 127.0.0.1:1"), "{nobody}");
    let nowhere = refusal(&client.workload, "not a target", id("/server")).await;
    assert!(nowhere.contains("cannot reach not a target"), "{nowhere}");
    client.withdraw().await;
    let without = refusal(&client.workload, &open.target, id("/server")).await;
    assert!(without.contains("has no SVID"), "{without}");
}

#[tokio::test]
async fn a_missing_agent_and_a_missing_entry_are_told_apart() {
    let wait = std::time::Duration::from_secs(1);
    let nowhere: Endpoint = "unix:///nonexistent/crumb/api.sock".parse().expect("an endpoint");
    let absent = Workload::connect(&nowhere, wait).await.expect_err("nobody there");
    assert!(matches!(absent, NoIdentity::Unreachable { .. }), "{absent:?}");
    let api = ScriptedWorkloadApi::start(None);
    let unknown = Workload::connect(&api.endpoint(), wait).await.expect_err("no entry");
    assert!(matches!(unknown, NoIdentity::NotIssued { .. }), "{unknown:?}");
}

#[tokio::test]
async fn an_entry_that_comes_late_is_waited_for() {
    let root = root("root");
    let api = ScriptedWorkloadApi::start(None);
    let (endpoint, answer) = (api.endpoint(), svid(&root, "/late"));
    let (workload, ()) = tokio::join!(Workload::connect(&endpoint, PATIENCE), async {
        tokio::task::yield_now().await;
        api.say(crumb_tests::workload_api::answer(&answer, std::slice::from_ref(&root.der), &[]));
    });
    assert_eq!(workload.expect("an identity").spiffe_id(), id("/late"));
}
