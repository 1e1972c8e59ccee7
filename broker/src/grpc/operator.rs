//! Which operator asks: the user at the other end of the admin socket, by the kernel's word.

use super::Door;
use crumb_proto::status;
use crumb_token::{Denial, Reason};
use tonic::{Extensions, Status, transport::server::UdsConnectInfo};

/// Returns the operator as the trail names one, such as `uid:0`.
///
/// # Errors
///
/// `not_an_operator` through any other door than the admin socket.
pub(super) fn of(door: Door, extensions: &Extensions) -> Result<String, Status> {
    let refused = || {
        let denial = Denial::new(Reason::NotAnOperator).by("operators come by the admin socket", "the broker");
        status::to_status(&denial)
    };
    if door != Door::Admin {
        return Err(refused());
    }
    let peer = extensions.get::<UdsConnectInfo>().and_then(|info| info.peer_cred).ok_or_else(refused)?;
    Ok(format!("uid:{}", peer.uid()))
}
