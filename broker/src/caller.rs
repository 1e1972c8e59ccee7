//! Who asks: the mTLS peer, proven again for every request.
//!
//! A handshake says who the peer was. A connection outlives SVIDs and CAs, so each request asks the identity room whether
//! the chain still holds against the bundle of this moment.

use crumb_identity::{InvalidSvid, PeerSvid, Workload};
use crumb_token::{Denial, Reason, SpiffeId, Timestamp};
use tonic::Extensions;

/// A peer whose SVID verified just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its SPIFFE ID.
    pub id: SpiffeId,
    /// The end of its SVID; nothing that it gets lives longer.
    pub svid_expires_at: Timestamp,
}

/// Returns who sent a request, as far as the handshake said; for the trail.
pub fn claimed(extensions: &Extensions) -> Option<&SpiffeId> {
    extensions.get::<PeerSvid>().map(PeerSvid::id)
}

/// Proves who sent a request.
///
/// # Errors
///
/// `svid_expired` when the SVID has run out, `svid_invalid` for everything else that is wrong with it.
pub fn attest(workload: &Workload, extensions: &Extensions, now: Timestamp) -> Result<Caller, Denial> {
    let peer = extensions.get::<PeerSvid>().ok_or_else(|| Denial::new(Reason::SvidInvalid).by("mTLS", "the broker"))?;
    workload.revalidate(peer, now).map_err(|invalid| refusal(peer, invalid))?;
    Ok(Caller { id: peer.id().clone(), svid_expires_at: peer.expires_at() })
}

fn refusal(peer: &PeerSvid, invalid: InvalidSvid) -> Denial {
    let reason = if invalid == InvalidSvid::Expired { Reason::SvidExpired } else { Reason::SvidInvalid };
    Denial::new(reason).asked(peer.id()).by(invalid.code(), "X.509-SVID")
}
