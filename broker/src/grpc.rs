//! `crumb.v1` over gRPC: each service reads a message, calls the broker, and writes the answer.
//!
//! Protobuf stops here and in the conversions; every refusal leaves through the one table in `crumb_proto::status`.

mod approval;
mod audit;
mod explain;
mod feed;
mod operator;
mod registry;
mod review;
mod revocation;
mod session;
mod token;

use crate::{
    approval::Places,
    broker::{Broker, Refused},
};
use crumb_proto::{
    MESSAGE_LEN_MAX, status,
    wire::{
        approval_service_server::ApprovalServiceServer, audit_service_server::AuditServiceServer,
        explain_service_server::ExplainServiceServer, feed_service_server::FeedServiceServer,
        registry_service_server::RegistryServiceServer, review_service_server::ReviewServiceServer,
        revocation_service_server::RevocationServiceServer, session_service_server::SessionServiceServer,
        token_service_server::TokenServiceServer,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// The longest message with manifests that an operator may send, in bytes: a whole registry, twice over.
const MANIFESTS_LEN_MAX: usize = 2 * crate::registry::Registry::TEXT_LEN_MAX;

/// Through which door a service is reached; it decides what the caller may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The network: mTLS, any workload of the trust domain.
    Network,
    /// The admin socket: the broker's own user.
    Admin,
}

/// How much the services of one door take.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// How many streams may stay open.
    pub streams_max: usize,
    /// How long one stays.
    pub stream_age: Duration,
}

/// What the services of one door share.
#[derive(Debug, Clone)]
pub struct Services {
    broker: Arc<Broker>,
    door: Door,
    /// Places for streams that stay: listeners to the feed on the network, followers of the trail on the admin socket.
    streams: Arc<Semaphore>,
    /// Places for those who follow a request for approval.
    followers: Places,
    limits: StreamLimits,
    shutdown: CancellationToken,
}

impl Services {
    /// Makes the services of `door`.
    pub fn new(broker: Arc<Broker>, door: Door, limits: StreamLimits, shutdown: CancellationToken) -> Self {
        let streams = Arc::new(Semaphore::new(limits.streams_max));
        Self { broker, door, streams, followers: Places::default(), limits, shutdown }
    }

    /// Returns the session service.
    pub fn sessions(&self) -> SessionServiceServer<Self> {
        SessionServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    /// Returns the token service.
    pub fn tokens(&self) -> TokenServiceServer<Self> {
        TokenServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    /// Returns the feed service.
    pub fn feed(&self) -> FeedServiceServer<Self> {
        FeedServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    /// Returns the registry service.
    pub fn registry(&self) -> RegistryServiceServer<Self> {
        let len_max = match self.door {
            Door::Admin => MANIFESTS_LEN_MAX,
            Door::Network => MESSAGE_LEN_MAX,
        };
        RegistryServiceServer::new(self.clone()).max_decoding_message_size(len_max)
    }

    /// Returns the approval service.
    pub fn approvals(&self) -> ApprovalServiceServer<Self> {
        ApprovalServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    /// Returns the revocation service.
    pub fn revocations(&self) -> RevocationServiceServer<Self> {
        RevocationServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    /// Returns the review service.
    pub fn reviews(&self) -> ReviewServiceServer<Self> {
        ReviewServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    /// Returns the service that explains.
    pub fn explanations(&self) -> ExplainServiceServer<Self> {
        ExplainServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    /// Returns the audit service.
    pub fn audit(&self) -> AuditServiceServer<Self> {
        AuditServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(denial) => status::to_status(&denial),
            Refused::Malformed(violations) => status::invalid(&violations),
        }
    }
}
