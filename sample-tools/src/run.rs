//! Starting and stopping: identity first, then the feed, then the listener; and the records last.

use crate::{calls, config::Config, files::Files, grpc::FilesService, http, wire::files_server::FilesServer};
use crumb_identity::{Alpn, Endpoint, InvalidEndpoint, Listener, NoIdentity, Peers, SystemClock, Workload};
use crumb_sdk::{
    broker::BrokerClient,
    decisions::Recorder,
    feed,
    protect::{AnswerBody, CheckedBody, Dialect, Mapping, Protect, ProtectSettings},
    tool_server::{Guarded, Split, serve},
};
use crumb_token::{Audience, Clock, SpiffeId};
use crumb_verifier::{Limits, Verifier, feed::Freshness};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tower::{Layer as _, Service, service_fn};

/// How long to wait for the feed before saying that we are ready all the same; until it comes every call is refused.
const FEED_WAIT: Duration = Duration::from_secs(10);

/// How often to look whether the feed has come.
const FEED_LOOK: Duration = Duration::from_millis(20);

/// How long the last records may take to reach the broker.
const RECORDS_WAIT: Duration = Duration::from_secs(5);

/// What a started tool server says.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What tokens have to be made out to.
    pub audience: Audience,
    /// Who it is.
    pub spiffe_id: SpiffeId,
}

/// A tool server that cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No Workload API is named.
    #[error("the workload api is not named: set workload_api, or {}", Endpoint::VARIABLE)]
    WorkloadApi(#[source] InvalidEndpoint),
    /// There is no identity.
    #[error("no identity from the workload api")]
    Identity(#[source] NoIdentity),
    /// The address cannot be bound.
    #[error("cannot listen at {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// What the protected tools are made of.
#[derive(Clone)]
pub struct Parts {
    /// Decides.
    pub verifier: Arc<Verifier>,
    /// Our own identity.
    pub workload: Workload,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where decisions go.
    pub recorder: Recorder,
    /// What the tools work on.
    pub files: Files,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parts({})", self.verifier.audience())
    }
}

/// Makes the tools, behind the layer, for [`crumb_sdk::tool_server::serve`].
pub fn protected<B>(
    parts: &Parts,
) -> impl Guarded
+ Service<::http::Request<B>, Response = ::http::Response<AnswerBody>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static
where
    B: ::http_body::Body<Data: Send, Error: Into<crumb_sdk::protect::BoxError>> + Send + 'static,
{
    let layer = |mapping: Arc<dyn Mapping>, dialect| {
        Protect::new(ProtectSettings {
            verifier: Arc::clone(&parts.verifier),
            workload: parts.workload.clone(),
            clock: Arc::clone(&parts.clock),
            recorder: parts.recorder.clone(),
            mapping,
            dialect,
        })
    };
    let files = parts.files.clone();
    let over_http = service_fn(move |request: ::http::Request<CheckedBody>| http::answer(files.clone(), request));
    let over_grpc = FilesServer::new(FilesService(parts.files.clone()));
    Split::new(
        layer(Arc::new(calls::http()), Dialect::Http).layer(over_http),
        layer(Arc::new(calls::grpc()), Dialect::Grpc).layer(over_grpc),
    )
}

/// Runs the tool server until `shutdown`. Says `ready` once calls can be decided.
///
/// # Errors
///
/// [`RunError`]; nothing is served.
pub async fn run(config: Config, shutdown: CancellationToken, ready: oneshot::Sender<Ready>) -> Result<(), RunError> {
    let endpoint = config.workload_api.clone().map_or_else(Endpoint::from_env, Ok).map_err(RunError::WorkloadApi)?;
    let connecting = Workload::connect(&endpoint, config.identity_wait());
    let Some(workload) = shutdown.run_until_cancelled(connecting).await else { return Ok(()) };
    let workload = workload.map_err(RunError::Identity)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());

    let listening =
        Listener::bind(config.listen, workload.clone(), Peers::TrustDomain, Arc::clone(&clock), Alpn::H2AndHttp11);
    let listener = listening.await.map_err(|source| RunError::Listen { addr: config.listen, source })?;
    let broker = BrokerClient::new(&workload, &config.broker.address, config.broker.spiffe_id.clone());
    let verifier = Verifier::new(config.audience.clone(), Limits::default());
    let verifier = Arc::new(match &config.environment {
        Some(environment) => verifier.in_environment(environment.clone()),
        None => verifier,
    });
    let following = feed::follow(Arc::clone(&verifier), broker.channel(), Arc::clone(&clock), shutdown.clone());
    let parts = Parts {
        verifier: Arc::clone(&verifier),
        workload: workload.clone(),
        clock: Arc::clone(&clock),
        recorder: Recorder::start(broker),
        files: Files::sample(),
    };

    let (addr, spiffe_id) = (listener.local_addr(), workload.spiffe_id());
    let announcing = async {
        until_fresh(&verifier, &*clock).await;
        tracing::info!(%addr, %spiffe_id, provider = workload.provider(), "ready");
        // Whoever started us may not care to hear it.
        let _ = ready.send(Ready { addr, audience: config.audience.clone(), spiffe_id: spiffe_id.clone() });
    };
    tokio::join!(serve(listener, protected(&parts), shutdown.clone()), shutdown.run_until_cancelled(announcing));
    if let Err(lost) = parts.recorder.close(RECORDS_WAIT).await {
        tracing::error!("{lost}");
    }
    // It ends with the shutdown, and its end says nothing more.
    let _ = following.await;
    Ok(())
}

async fn until_fresh(verifier: &Verifier, clock: &dyn Clock) {
    let fresh = async {
        while !matches!(verifier.freshness(clock.now()), Freshness::Fresh { .. }) {
            tokio::time::sleep(FEED_LOOK).await;
        }
    };
    if tokio::time::timeout(FEED_WAIT, fresh).await.is_err() {
        tracing::warn!("nothing heard from the broker yet: every call is refused until the feed comes");
    }
}
