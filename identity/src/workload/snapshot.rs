//! Everything that is known at one moment: our SVID, ready to sign with, and the bundles, ready to verify with.
//!
//! Invariant: a snapshot without an SVID has no bundles either, so that nothing can be verified with what was withdrawn.

use std::{collections::BTreeSet, sync::Arc};

use crumb_attestors::x509_svid::{Bundle, Bundles, InvalidSvid, UnverifiedLeaf};
use crumb_token::{SpiffeId, Timestamp, TrustDomain};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use spiffe::{X509Svid, x509_source::X509SourceState};

use crate::tls;

pub(super) struct Snapshot {
    pub(super) revision: u64,
    /// The last ID that we had.
    pub(super) id: SpiffeId,
    pub(super) own: Option<OwnSvid>,
    pub(super) bundles: Bundles,
}

#[derive(Clone)]
pub(super) struct OwnSvid {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) not_after: Timestamp,
    pub(super) id: SpiffeId,
}

/// An SVID of our own that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum UnusableSvid {
    /// There is no leaf, or it names no workload.
    #[error("our own certificate does not name a workload")]
    Leaf(#[source] InvalidSvid),
    /// The key cannot be read, or is another certificate's.
    #[error("our own private key cannot be used")]
    Key(#[source] rustls::Error),
}

impl Snapshot {
    /// Reads the first state.
    pub(super) fn first(state: &X509SourceState, svid: &X509Svid) -> Result<Self, UnusableSvid> {
        let own = OwnSvid::read(svid)?;
        Ok(Self { revision: 0, id: own.id.clone(), bundles: bundles(state), own: Some(own) })
    }

    /// Reads the next state. Bundles count at once; an SVID of our own that cannot be used leaves the old one in place.
    pub(super) fn next(&self, state: &X509SourceState) -> Self {
        let revision = self.revision + 1;
        if state.withdrawal().is_some() || state.is_closed() {
            tracing::warn!(id = %self.id, "our identity was withdrawn: no handshakes and no requests until it is back");
            return self.withdrawn();
        }
        let own = match state.svid().map(|svid| OwnSvid::read(&svid)) {
            Ok(Ok(own)) => Some(own),
            Ok(Err(why)) => {
                tracing::error!(id = %self.id, error = &why as &dyn std::error::Error, "keeping the old SVID");
                self.own.clone()
            }
            Err(why) => {
                tracing::warn!(id = %self.id, error = &why as &dyn std::error::Error, "no new SVID: keeping the old one");
                self.own.clone()
            }
        };
        let id = own.as_ref().map_or_else(|| self.id.clone(), |own| own.id.clone());
        let bundles = if own.is_some() { bundles(state) } else { Bundles::default() };
        Self { revision, id, own, bundles }
    }

    /// Returns what is left when the identity is gone: its name.
    pub(super) fn withdrawn(&self) -> Self {
        Self { revision: self.revision + 1, id: self.id.clone(), own: None, bundles: Bundles::default() }
    }

    pub(super) fn own_at(&self, now: Timestamp) -> Option<&OwnSvid> {
        self.own.as_ref().filter(|own| now < own.not_after)
    }
}

impl OwnSvid {
    fn read(svid: &X509Svid) -> Result<Self, UnusableSvid> {
        let chain: Vec<_> = svid.cert_chain().iter().map(|one| CertificateDer::from(one.as_bytes().to_vec())).collect();
        let leaf = chain.first().ok_or(UnusableSvid::Leaf(InvalidSvid::EmptyChain))?;
        let UnverifiedLeaf { id, not_after, .. } = UnverifiedLeaf::parse(leaf).map_err(UnusableSvid::Leaf)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(svid.private_key().as_bytes().to_vec()));
        let key = CertifiedKey::from_der(chain, key, &tls::provider()).map_err(UnusableSvid::Key)?;
        Ok(Self { key: Arc::new(key), not_after, id })
    }
}

fn bundles(state: &X509SourceState) -> Bundles {
    let Ok(context) = state.context() else { return Bundles::default() };
    let mut seen = BTreeSet::new();
    let read = context.bundle_set().iter().filter_map(|(name, bundle)| {
        let domain: TrustDomain = name.to_string().parse().ok()?;
        if !seen.insert(domain.clone()) {
            tracing::error!(trust_domain = %domain, "two bundles of one trust domain: only one is used");
        }
        let authorities: Vec<_> = bundle.authorities().iter().map(|one| CertificateDer::from(one.as_bytes())).collect();
        let (bundle, rejected) = Bundle::new(domain, &authorities);
        for one in rejected {
            let (domain, rule) = (bundle.trust_domain(), one.why.code());
            tracing::warn!(trust_domain = %domain, index = one.index, rule, "an authority of the bundle is not used");
        }
        Some(bundle)
    });
    read.collect()
}
