//! A Workload API that says whatever a test wants: arbitrary bundles, rotation, withdrawal.
//!
//! A real gRPC server on a real Unix socket, so the code under test cannot tell. It serves one workload and asks nobody
//! who they are; the one that attests its callers is `crumb-dev-identity`.

use std::{
    convert::Infallible,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

use crumb_dev_identity::wire::{X509svid, X509svidRequest, X509svidResponse};
use crumb_identity::Endpoint;
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::{net::UnixListener, sync::watch};
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{UnixListenerStream, WatchStream},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, ServerStreamingService},
    transport::Server,
};

use crate::certificates::Chain;

/// What a workload is told; `None` when it has no identity.
pub type Answer = Option<X509svidResponse>;

/// A Workload API for one workload. Ends when dropped.
#[derive(Debug)]
pub struct ScriptedWorkloadApi {
    answers: watch::Sender<Answer>,
    directory: TempDir,
    _server: AbortOnDropHandle<()>,
}

impl ScriptedWorkloadApi {
    /// Starts on a socket of its own.
    ///
    /// # Panics
    ///
    /// When there is no directory or socket to be had.
    pub fn start(first: Answer) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(socket_in(&directory)).expect("a socket");
        let answers = watch::Sender::new(first);
        let service = Route(Api(answers.clone()));
        let server = Server::builder().add_service(service).serve_with_incoming(UnixListenerStream::new(listener));
        let task = tokio::spawn(async move { server.await.expect("the server runs until it is dropped") });
        Self { answers, directory, _server: AbortOnDropHandle::new(task) }
    }

    /// Says something else from now on; open streams hear it at once.
    pub fn say(&self, answer: Answer) {
        self.answers.send_replace(answer);
    }

    /// Returns where it is.
    ///
    /// # Panics
    ///
    /// When the temporary directory has an impossible name.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::at(&socket_in(&self.directory)).expect("a short absolute path")
    }
}

fn socket_in(directory: &TempDir) -> PathBuf {
    directory.path().join("api.sock")
}

/// Makes an answer: this SVID, with the bundle of its own trust domain, and those of others.
pub fn answer(svid: &Chain, bundle: &[CertificateDer<'_>], federated: &[(&str, &CertificateDer<'_>)]) -> Answer {
    let one = X509svid {
        // The code under test reads the name in the certificate; this field only has to be there.
        spiffe_id: "spiffe://a.test/answer".into(),
        x509_svid: svid.der(),
        x509_svid_key: svid.key.serialize_der(),
        bundle: bundle.iter().flat_map(|authority| authority.to_vec()).collect(),
        hint: String::new(),
    };
    let federated_bundles =
        federated.iter().map(|(domain, authority)| (format!("spiffe://{domain}"), authority.to_vec()));
    Some(X509svidResponse { svids: vec![one], federated_bundles: federated_bundles.collect(), ..Default::default() })
}

#[derive(Clone)]
struct Api(watch::Sender<Answer>);

type Answers = Pin<Box<dyn Stream<Item = Result<X509svidResponse, Status>> + Send>>;

impl ServerStreamingService<X509svidRequest> for Api {
    type Response = X509svidResponse;
    type ResponseStream = Answers;
    type Future = std::future::Ready<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<X509svidRequest>) -> Self::Future {
        let header = request.metadata().get("workload.spiffe.io").is_some_and(|value| value == "true");
        if !header {
            return std::future::ready(Err(Status::invalid_argument("security header missing from request")));
        }
        let answers = WatchStream::new(self.0.subscribe());
        let answers = answers.map(|answer| answer.ok_or_else(|| Status::permission_denied("no identity issued")));
        std::future::ready(Ok(Response::new(Box::pin(answers))))
    }
}

/// The one RPC that X.509 clients need; generated code would ask for all of them.
#[derive(Clone)]
struct Route(Api);

impl NamedService for Route {
    const NAME: &'static str = "SpiffeWorkloadAPI";
}

impl Service<http::Request<Body>> for Route {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let api = self.0.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(tonic_prost::ProstCodec::default());
            Ok(match request.uri().path() {
                "/SpiffeWorkloadAPI/FetchX509SVID" => grpc.server_streaming(api, request).await,
                _ => Status::unimplemented("only X.509-SVIDs").into_http(),
            })
        })
    }
}
