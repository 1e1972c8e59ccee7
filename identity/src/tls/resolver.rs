//! The certificate that we show: whatever the workload has at that moment.

use std::{fmt, sync::Arc};

use crumb_token::Clock;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::workload::Workload;

pub(super) struct CurrentSvid {
    workload: Workload,
    clock: Arc<dyn Clock>,
}

impl CurrentSvid {
    pub(super) fn new(workload: &Workload, clock: &Arc<dyn Clock>) -> Self {
        Self { workload: workload.clone(), clock: Arc::clone(clock) }
    }

    /// None when our SVID is withdrawn or expired; then there is no handshake.
    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.workload.certified_key(self.clock.now().wall)
    }
}

impl ResolvesServerCert for CurrentSvid {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

impl ResolvesClientCert for CurrentSvid {
    fn resolve(&self, _root_hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current().filter(|key| key.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for CurrentSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CurrentSvid({:?})", self.workload)
    }
}
