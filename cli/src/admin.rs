//! The broker's admin socket, as an operator's commands reach it.

use crate::{
    audit::{connect, unreachable_broker},
    exit::Failure,
    places::Places,
};
use std::path::PathBuf;
use tonic::{Status, transport::Channel};

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

    /// Says why the broker refused, or that it does not answer.
    pub(crate) fn failed(&self, status: &Status) -> Failure {
        match crumb_proto::from_status(status) {
            Some(denial) => Failure::from(denial),
            None => unreachable_broker(&self.path(), status.message()),
        }
    }

    fn path(&self) -> PathBuf {
        self.admin_socket.clone().unwrap_or_else(|| Places::usual().admin_socket())
    }
}
