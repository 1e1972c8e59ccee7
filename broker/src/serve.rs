//! The two gRPC servers, with the limits that keep one caller from taking the broker away from the others.

use crate::{admin::AdminSocket, grpc::Services, run::RunError, store::Store};
use crumb_identity::Listener;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::Router};
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

/// How many requests one connection may have open. A sidecar needs a few; the rest is room for a burst.
const STREAMS_PER_CONNECTION: u32 = 64;
/// How many streams a peer may open and reset before they are accepted; the rapid-reset attack needs many.
const PENDING_RESETS_MAX: usize = 20;
/// How many resets of our own making a peer may provoke.
const LOCAL_RESETS_MAX: usize = 20;
/// The longest list of request headers, in bytes.
const HEADERS_LEN_MAX: u32 = 16 * 1024;
/// How long a request may take to be answered; streams are answered when they begin.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often a silent peer is asked whether it is there, and how long it has to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// The services that the health service speaks for; the empty name is the whole broker.
const SERVICES: [&str; 6] = [
    "",
    "crumb.v1.SessionService",
    "crumb.v1.TokenService",
    "crumb.v1.FeedService",
    "crumb.v1.RegistryService",
    "crumb.v1.AuditService",
];

/// The health of the broker, which is that of its store.
#[derive(Debug)]
pub(crate) struct Health {
    reporter: HealthReporter,
    store: Arc<dyn Store>,
}

impl Health {
    /// Begins with the store as it is.
    pub(crate) async fn new(store: Arc<dyn Store>) -> Self {
        let health = Self { reporter: HealthReporter::new(), store };
        health.update().await;
        health
    }

    /// Tells the store's state.
    pub(crate) async fn update(&self) {
        let status = if self.store.is_usable() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Returns the service that tells it.
    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }
}

/// Serves the network until `stop`.
pub(crate) async fn network(
    services: Services,
    health: HealthServer<HealthService>,
    listener: Listener,
    connection_age: Duration,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let router = limited()
        .max_connection_age(connection_age)
        .add_service(health)
        .add_service(services.sessions())
        .add_service(services.tokens())
        .add_service(services.feed())
        .add_service(services.registry())
        .add_service(services.approvals())
        .add_service(services.audit());
    let incoming = listener.incoming(stop.clone());
    Ok(router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await?)
}

/// Serves operators until `stop`.
pub(crate) async fn admin(
    services: Services,
    health: HealthServer<HealthService>,
    socket: AdminSocket,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crumb_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|_| RunError::Reflection)?;
    let router: Router = limited()
        .add_service(health)
        .add_service(reflection)
        .add_service(services.registry())
        .add_service(services.revocations())
        .add_service(services.approvals())
        .add_service(services.reviews())
        .add_service(services.explanations())
        .add_service(services.audit());
    Ok(router.serve_with_incoming_shutdown(socket.incoming(), stop.cancelled_owned()).await?)
}

fn limited() -> Server {
    let (keepalive, patience) = KEEPALIVE;
    Server::builder()
        .accept_http1(false)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .concurrency_limit_per_connection(STREAMS_PER_CONNECTION as usize)
        .load_shed(true)
        .timeout(ANSWER_MAX)
        .http2_keepalive_interval(Some(keepalive))
        .http2_keepalive_timeout(Some(patience))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .http2_max_header_list_size(HEADERS_LEN_MAX)
}
