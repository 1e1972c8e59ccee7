//! Starting and stopping: identity first, then the process is closed, then the socket opens.

use crate::{
    broker::Broker,
    cache::Cache,
    caller::AllowedUids,
    config::Config,
    delegator::Delegator,
    hygiene::{self, NotClosed},
    listener::{Connection, Listener, SocketFile, UnusableSocket},
    own::OwnIdentity,
    service::{MESSAGE_LEN_MAX, Service},
    sidecar::{Parts, Sidecar},
    tool_servers::ToolServers,
    tools::MtlsTools,
};
use crumb_identity::{Endpoint, InvalidEndpoint, NoIdentity, SystemClock, Workload};
use crumb_proto::wire::sidecar_service_server::SidecarServiceServer;
use crumb_sdk::{broker::BrokerClient, call::ANSWER_LEN_MAX};
use crumb_token::{Clock, SpiffeId};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::oneshot;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

/// Calls on one connection at a time: twice one caller's turns, so that the refusal is seen instead of a stalled stream.
const STREAMS_MAX: u32 = 128;
/// The longest list of headers, in bytes. Ours are a few hundred.
const HEADERS_LEN_MAX: u32 = 8 * 1024;
/// How often a silent connection is asked whether it lives, and how long it has to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How long calls may take to end after the shutdown; as long as a call that waits for the broker.
const DRAIN_MAX: Duration = Duration::from_secs(8);

/// What a started sidecar says.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where agents connect.
    pub socket: PathBuf,
    /// Who the sidecar is.
    pub spiffe_id: SpiffeId,
}

/// A sidecar that cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No Workload API is named.
    #[error("the workload api is not named: set workload_api, or {}", Endpoint::VARIABLE)]
    WorkloadApi(#[source] InvalidEndpoint),
    /// There is no identity.
    #[error("no identity from the workload api")]
    Identity(#[source] NoIdentity),
    /// The process cannot be closed to others.
    #[error("the process cannot be protected")]
    Unprotected(#[source] NotClosed),
    /// The socket cannot be made.
    #[error("the socket cannot be made")]
    Socket(#[source] UnusableSocket),
    /// The socket cannot be watched, or the server stopped.
    #[error("the socket cannot be served")]
    Serve(#[source] io::Error),
}

/// Runs a sidecar until `shutdown`. Says `ready` once agents can connect.
///
/// With `protect_process` the whole process becomes undumpable and, where the system allows it, locked in memory; its panics
/// then print no payload.
///
/// # Errors
///
/// [`RunError`]; whatever was made is gone again.
pub async fn run(config: Config, shutdown: CancellationToken, ready: oneshot::Sender<Ready>) -> Result<(), RunError> {
    let endpoint = config.workload_api.clone().map_or_else(Endpoint::from_env, Ok).map_err(RunError::WorkloadApi)?;
    let connecting = Workload::connect(&endpoint, config.identity_wait());
    let Some(workload) = shutdown.run_until_cancelled(connecting).await else { return Ok(()) };
    let workload = workload.map_err(RunError::Identity)?;
    let memory_locked = protect(&config, &workload)?;

    let (file, socket) = SocketFile::listen(&config.socket, config.socket_mode, config.socket_group.as_deref())
        .map_err(RunError::Socket)?;
    let listener = Listener::new(socket, AllowedUids::new(&config.allow_uids)).map_err(RunError::Serve)?;
    let (sidecar, cache) = assemble(&config, &workload, memory_locked, &shutdown);

    let spiffe_id = workload.spiffe_id();
    tracing::info!(socket = %config.socket.display(), %spiffe_id, provider = workload.provider(), "ready");
    // Whoever started us may not care to hear it.
    let _ = ready.send(Ready { socket: config.socket.clone(), spiffe_id });
    let served = serve(sidecar, listener.incoming(shutdown.clone()), shutdown.clone()).await;
    shutdown.cancel();
    cache.finished().await;
    drop(file);
    served
}

fn protect(config: &Config, workload: &Workload) -> Result<bool, RunError> {
    if !hygiene::is_wanted(config.protect_process, workload.provider()) {
        return Ok(false);
    }
    hygiene::quiet_panics();
    hygiene::close().map_err(RunError::Unprotected)?;
    Ok(hygiene::lock_memory())
}

fn assemble(
    config: &Config,
    workload: &Workload,
    memory_locked: bool,
    shutdown: &CancellationToken,
) -> (Arc<Sidecar>, Cache) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let own: Arc<dyn OwnIdentity> = Arc::new(workload.clone());
    let client = BrokerClient::new(workload, config.broker.address.as_str(), config.broker.spiffe_id.clone());
    let broker: Arc<dyn Broker> = Arc::new(client);
    let servers = Arc::new(ToolServers::new(Arc::clone(&broker), Arc::clone(&clock)));
    let tools = Arc::new(MtlsTools::new(workload.clone(), servers));
    let delegation = Arc::new(Delegator::new());
    let key = delegation.key();
    let cache = Cache::new(Arc::clone(&broker), Arc::clone(&clock), Arc::clone(&own), key, shutdown.clone());
    let parts = Parts { broker, tools, own, clock, cache: cache.clone(), delegation, memory_locked };
    (Arc::new(Sidecar::new(parts)), cache)
}

async fn serve(
    sidecar: Arc<Sidecar>,
    connections: impl Stream<Item = io::Result<Connection>>,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let service = SidecarServiceServer::new(Service::new(sidecar, shutdown.clone()))
        .max_decoding_message_size(MESSAGE_LEN_MAX)
        .max_encoding_message_size(ANSWER_LEN_MAX + MESSAGE_LEN_MAX);
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_LEN_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .add_service(service)
        .serve_with_incoming_shutdown(connections, shutdown.clone().cancelled_owned());
    let ended = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_MAX).await;
    };
    tokio::select! {
        served = server => served.map_err(|e| RunError::Serve(io::Error::other(e))),
        () = ended => Ok(()),
    }
}
