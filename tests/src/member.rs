//! A workload of one trust domain, with a Workload API of its own, and a clock that a test can set.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crumb_identity::{Alpn, Limits, Listener, Peers, SystemClock, Workload};
use crumb_token::{Clock, Now, SpiffeId};
use rustls_pki_types::CertificateDer;
use tokio::time;

use crate::{
    certificates::{Authority, Chain, issue::authority_params, world::LOCAL},
    handshake::{PATIENCE, Watched},
    workload_api::{ScriptedWorkloadApi, answer},
};

/// A root of the local trust domain that outlives every test.
pub fn root(name: &str) -> Authority {
    let mut params = authority_params(name, Some(LOCAL));
    params.not_after += ::time::Duration::days(1);
    Authority::root(params)
}

/// Reads an ID of the local trust domain.
///
/// # Panics
///
/// When the path is not canonical.
pub fn id(path: &str) -> SpiffeId {
    format!("spiffe://{LOCAL}{path}").parse().expect("canonical")
}

/// Makes a good SVID of the local trust domain.
pub fn svid(root: &Authority, path: &str) -> Chain {
    root.svid(id(path).as_str())
}

/// Starts two workloads of one root: one at `server`, the other at `/client`.
pub async fn pair(root: &Authority, server: &str) -> (Member, Member) {
    (Member::start(&svid(root, server), &[root]).await, Member::start(&svid(root, "/client"), &[root]).await)
}

/// A workload, and the Workload API that it hears.
#[derive(Debug)]
pub struct Member {
    /// Says who it is.
    pub api: ScriptedWorkloadApi,
    /// Is it.
    pub workload: Workload,
}

impl Member {
    /// Starts a workload with this SVID and bundle.
    ///
    /// # Panics
    ///
    /// When the identity does not arrive.
    pub async fn start(svid: &Chain, bundle: &[&Authority]) -> Self {
        let api = ScriptedWorkloadApi::start(answer(svid, &certificates(bundle), &[]));
        let workload = Workload::connect(&api.endpoint(), PATIENCE).await.expect("an identity");
        Self { api, workload }
    }

    /// Gives it another SVID and bundle, and waits until it has them.
    pub async fn renew(&self, svid: &Chain, bundle: &[&Authority]) {
        self.told(answer(svid, &certificates(bundle), &[])).await;
    }

    /// Takes its identity away, and waits until it knows.
    pub async fn withdraw(&self) {
        self.told(None).await;
    }

    async fn told(&self, what: crate::workload_api::Answer) {
        let seen = self.workload.revision();
        self.api.say(what);
        let heard = self.workload.changed_since(seen);
        time::timeout(PATIENCE, heard).await.expect("the workload hears of it");
    }

    /// Listens for everybody of the trust domain.
    pub async fn listen(&self) -> Watched {
        Watched::start(self.listener(Peers::TrustDomain, Arc::new(SystemClock::new()), Alpn::H2).await)
    }

    /// Listens within other limits.
    pub async fn listen_within(&self, change: impl FnOnce(&mut Limits)) -> Watched {
        let mut limits = Limits::default();
        change(&mut limits);
        let listener = self.listener(Peers::TrustDomain, Arc::new(SystemClock::new()), Alpn::H2).await;
        Watched::start(listener.with_limits(limits))
    }

    /// Binds a listener.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn listener(&self, peers: Peers, clock: Arc<dyn Clock>, alpn: Alpn) -> Listener {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Listener::bind(any, self.workload.clone(), peers, clock, alpn).await.expect("a port")
    }
}

fn certificates(authorities: &[&Authority]) -> Vec<CertificateDer<'static>> {
    authorities.iter().map(|authority| authority.der.clone()).collect()
}

/// The system's clock, put forward by hand.
#[derive(Debug, Default)]
pub struct ForwardClock(AtomicU64);

impl ForwardClock {
    /// Puts it forward.
    pub fn forward(&self, span: Duration) {
        self.0.fetch_add(span.as_secs(), Ordering::Relaxed);
    }
}

impl Clock for ForwardClock {
    fn now(&self) -> Now {
        let now = SystemClock::new().now();
        let ahead = Duration::from_secs(self.0.load(Ordering::Relaxed));
        Now { wall: now.wall.plus(ahead), ticks: now.ticks + ahead }
    }
}
