//! Who looks at requests for approval, and by which way: a person with a token, this workload with its SVID, or an operator
//! who only looks.

use crate::{
    admin::AdminSocket,
    exit::{Exit, Failure},
    secret_file,
};
use crumb_identity::{Endpoint, Workload};
use crumb_proto::wire::approval_service_client::ApprovalServiceClient;
use crumb_sdk::broker::SubjectToken;
use crumb_token::{Denial, Reason, SpiffeId};
use std::{path::PathBuf, time::Duration};
use tonic::{Status, body::Body};
use tower::{BoxError, ServiceExt as _, util::BoxCloneSyncService};

/// How long to wait for an SVID.
const IDENTITY_WITHIN: Duration = Duration::from_secs(5);

/// The longest answer, in bytes: as many requests as the broker lists, each with all it can hold.
const ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;

/// Either way to the broker.
type Way = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;

/// Who looks, and where the broker is.
#[derive(Debug, clap::Args)]
pub(crate) struct ApproverArg {
    /// A file with a token that says who you are, made out for approving; - for stdin.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminSocket,
    #[command(flatten)]
    network: NetworkArg,
}

/// The broker on the network, for a workload with an SVID of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct NetworkArg {
    /// The broker's host:port, to come as this workload, with its own SVID.
    #[arg(long, value_name = "HOST:PORT", requires = "broker_id")]
    broker: Option<String>,
    /// The broker's SPIFFE ID.
    #[arg(long, value_name = "SPIFFE_ID", requires = "broker")]
    broker_id: Option<SpiffeId>,
}

/// A way to the approval service, and who goes it.
pub(crate) struct Approver<'a> {
    pub(crate) client: ApprovalServiceClient<Way>,
    token: Option<SubjectToken>,
    admin: Option<&'a AdminSocket>,
}

impl ApproverArg {
    /// Connects as somebody who only looks: an operator may.
    pub(crate) async fn look(&self) -> Result<Approver<'_>, Failure> {
        let token = self.token_file.as_deref().map(secret_file::read).transpose()?;
        match self.network.connect().await? {
            Some(way) => Ok(Approver { client: client(way), token, admin: None }),
            None => {
                let channel = self.admin.channel().await?;
                let way = BoxCloneSyncService::new(channel.map_err(BoxError::from));
                Ok(Approver { client: client(way), token, admin: Some(&self.admin) })
            }
        }
    }

    /// Connects as somebody who decides: an operator alone may not.
    pub(crate) async fn decide(&self) -> Result<Approver<'_>, Failure> {
        if self.token_file.is_none() && self.network.broker.is_none() {
            let next = "--token-file FILE for a person, or --broker HOST:PORT --broker-id SPIFFE_ID for this workload";
            return Err(Failure::new(Exit::Usage, "an operator is no approver: say who decides", next));
        }
        self.look().await
    }
}

impl NetworkArg {
    /// Connects as this workload; `None` when no broker is named.
    async fn connect(&self) -> Result<Option<Way>, Failure> {
        let (Some(address), Some(id)) = (&self.broker, &self.broker_id) else { return Ok(None) };
        let endpoint = Endpoint::from_env().map_err(|e| {
            Failure::new(Exit::NoIdentity, e, format!("set {} to this host's Workload API", Endpoint::VARIABLE))
        })?;
        let workload = Workload::connect(&endpoint, IDENTITY_WITHIN).await.map_err(|e| {
            Failure::new(Exit::NoIdentity, e, "create a registration entry for this workload at the SPIRE server")
        })?;
        let channel = crumb_identity::channel(&workload, address.as_str(), id.clone());
        Ok(Some(BoxCloneSyncService::new(channel.map_err(BoxError::from))))
    }

    /// Connects as this workload, which has to be named.
    pub(crate) async fn approver(&self) -> Result<Approver<'_>, Failure> {
        let way = self.connect().await?.ok_or_else(|| {
            let next = "--broker HOST:PORT --broker-id SPIFFE_ID";
            Failure::new(Exit::Usage, "only the workload that asked can do this, with its own SVID", next)
        })?;
        Ok(Approver { client: client(way), token: None, admin: None })
    }
}

impl Approver<'_> {
    /// Returns the token as a request carries it.
    pub(crate) fn token(&self) -> String {
        self.token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default()
    }

    /// Says why the broker refused, or that it does not answer.
    pub(crate) fn failed(&self, status: &Status) -> Failure {
        if let Some(admin) = self.admin {
            return admin.failed(status);
        }
        crumb_proto::from_status(status).map(Failure::from).unwrap_or_else(|| {
            let why = crumb_identity::cause_of(status).unwrap_or_else(|| status.message().to_owned());
            let reason = Reason::BrokerUnreachable;
            Denial::new(reason).next(format!("{}; {why}", reason.next_step())).into()
        })
    }
}

fn client(way: Way) -> ApprovalServiceClient<Way> {
    ApprovalServiceClient::new(way).max_decoding_message_size(ANSWER_LEN_MAX)
}
