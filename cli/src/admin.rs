//! The broker's admin socket, as an operator's commands reach it: the one way there.

use crate::{
    exit::{Exit, Failure},
    places::Places,
};
use crumb_proto::wire::registry_service_client::RegistryServiceClient;
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint, Uri},
};

/// The longest answer with manifests or their differences, in bytes: a whole registry, several times over.
const ANSWER_LEN_MAX: usize = 32 * 1024 * 1024;

/// Where operators reach the broker.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminSocket {
    /// The broker's admin socket; `crumb dev`'s by default.
    #[arg(long, env = "CRUMB_ADMIN_SOCKET")]
    admin_socket: Option<PathBuf>,
}

impl AdminSocket {
    /// Connects.
    pub(crate) async fn channel(&self) -> Result<Channel, Failure> {
        connect(&self.path()).await
    }

    /// Connects to the registry, whose answers are long.
    pub(crate) async fn registry(&self) -> Result<RegistryServiceClient<Channel>, Failure> {
        let client = RegistryServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(ANSWER_LEN_MAX).max_encoding_message_size(ANSWER_LEN_MAX))
    }

    /// Says why the broker refused, or that it does not answer.
    pub(crate) fn failed(&self, status: &Status) -> Failure {
        failed(&self.path(), status)
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.admin_socket.clone().unwrap_or_else(|| Places::usual().admin_socket())
    }
}

/// Connects to the broker's admin socket.
pub(crate) async fn connect(socket: &Path) -> Result<Channel, Failure> {
    let path = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let connected = Endpoint::from_static("http://admin").connect_with_connector(connector).await;
    connected.map_err(|e| unreachable(socket, &e.to_string()))
}

/// Says why the broker refused, or that it does not answer.
pub(crate) fn failed(socket: &Path, status: &Status) -> Failure {
    match crumb_proto::from_status(status) {
        Some(denial) => Failure::from(denial),
        None => unreachable(socket, status.message()),
    }
}

/// Says that nobody answers there.
fn unreachable(socket: &Path, why: &str) -> Failure {
    let what = format!("the broker does not answer on {}: {why}", socket.display());
    Failure::new(Exit::Unreachable, what, "start `crumb dev`, or name the broker's admin socket with --admin-socket")
}
