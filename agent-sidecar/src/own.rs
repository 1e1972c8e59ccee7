//! Who the sidecar itself is, as its Workload API says at this moment.

use crumb_identity::Workload;
use crumb_token::{SpiffeId, Timestamp};

/// Our own identity. It can be renamed, and withdrawn, while we run.
pub(crate) trait OwnIdentity: Send + Sync + 'static {
    /// Returns our SPIFFE ID, as of the last SVID that was good.
    fn id(&self) -> SpiffeId;
    /// Returns who issues it: `spire` or `embedded-dev`.
    fn provider(&self) -> &'static str;
    /// Returns when our SVID ends; `None` when it was withdrawn.
    fn expires_at(&self) -> Option<Timestamp>;
}

impl OwnIdentity for Workload {
    fn id(&self) -> SpiffeId {
        self.spiffe_id()
    }

    fn provider(&self) -> &'static str {
        Self::provider(self)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.svid_expires_at()
    }
}
