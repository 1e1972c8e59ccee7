//! The running Workload API: what owns the socket, the server and the authorities.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crumb_token::{Clock, TrustDomain};
use tokio::{
    net::UnixListener,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};
use tonic::transport::Server;

use crate::{
    authorities::Authorities,
    banner,
    ca::CannotIssue,
    caller::incoming,
    entries::Entries,
    quota::Quota,
    service::Service,
    settings::{InvalidSettings, Settings},
    socket_file::{SocketFile, UnusableSocket},
};

/// Each agent holds one connection; a uid that runs more than these agents on one machine is not developing.
const CONNECTIONS_PER_UID: usize = 64;
/// Two descriptors and a socket each: well under the usual limit of 1,024.
const CONNECTIONS_TOTAL: usize = 256;
/// A connection carries an SVID stream, a bundle stream, and a successor of each while it reconnects.
const STREAMS_PER_CONNECTION: u32 = 16;
const STREAMS_PER_UID: usize = 128;
const STREAMS_TOTAL: usize = 512;
/// A request's headers are a few hundred bytes.
const HEADERS_LEN_MAX: u32 = 16 * 1024;
/// Streams that a client opens and resets at once cost us work; clients that mean well do not.
const RESETS_MAX: usize = 20;
/// A caller that is gone without closing, such as a frozen container, is noticed within half a minute.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the authorities are asked whether it is time.
const TURN: Duration = Duration::from_millis(100);
/// Streams end at once when told to; this is for callers that do not read.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// The development Workload API could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings contradict each other.
    #[error("the settings are of no use")]
    Settings(#[from] InvalidSettings),
    /// The socket cannot be made.
    #[error("the socket is of no use")]
    Socket(#[from] UnusableSocket),
    /// The first authority could not be made.
    #[error("the authority could not be made")]
    Authority(#[from] CannotIssue),
    /// The runtime does not take the socket.
    #[error("the socket cannot be listened on")]
    Listen(#[source] io::Error),
}

/// A running development Workload API. Dropped, it closes every connection and removes its socket.
pub struct DevWorkloadApi {
    // Fields are dropped in this order: first the tasks are told, then they end, then the socket goes.
    stop: CancellationToken,
    _closed: DropGuard,
    server: AbortOnDropHandle<()>,
    _keeper: AbortOnDropHandle<()>,
    entries: Entries,
    authorities: Arc<Authorities>,
    clock: Arc<dyn Clock>,
    trust_domain: TrustDomain,
    svid_ttl: Duration,
    socket: SocketFile,
}

impl fmt::Debug for DevWorkloadApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevWorkloadApi")
            .field("trust_domain", &self.trust_domain)
            .field("socket", &self.socket.path())
            .finish_non_exhaustive()
    }
}

impl DevWorkloadApi {
    /// Makes an authority and the socket at `socket` (absolute, at most 107 bytes), and serves until dropped or
    /// [`DevWorkloadApi::shutdown`]. There are no entries yet, so nobody has an identity yet.
    ///
    /// # Errors
    ///
    /// [`StartError`] says which of the three is of no use: settings, place, or cryptography.
    pub async fn start(socket: PathBuf, settings: Settings) -> Result<Self, StartError> {
        settings.check()?;
        let Settings { trust_domain, svid_ttl, ca_ttl, socket_mode, clock } = settings;
        let authorities = Arc::new(Authorities::new(trust_domain.clone(), ca_ttl, clock.now())?);
        let (listener, socket) = SocketFile::bind(&socket, socket_mode)?;
        let listener = UnixListener::from_std(listener).map_err(StartError::Listen)?;
        let entries = Entries::new(trust_domain.clone());
        let (stop, closed) = (CancellationToken::new(), CancellationToken::new());
        let service = Service {
            trust_domain: trust_domain.clone(),
            svid_ttl,
            entries: entries.clone(),
            authorities: authorities.clone(),
            clock: clock.clone(),
            streams: Quota::new(STREAMS_PER_UID, STREAMS_TOTAL),
            stop: stop.clone(),
        };
        let server = tokio::spawn(serve(listener, service, stop.clone(), closed.clone()));
        let keeper = tokio::spawn(keep(authorities.clone(), clock.clone()));
        tracing::warn!(trust_domain = %trust_domain, socket = %socket.path().display(), "development identity is on");
        Ok(Self {
            stop,
            _closed: closed.drop_guard(),
            server: AbortOnDropHandle::new(server),
            _keeper: AbortOnDropHandle::new(keeper),
            entries,
            authorities,
            clock,
            trust_domain,
            svid_ttl,
            socket,
        })
    }

    /// Returns the entries, which may be changed at any time.
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Returns where the socket is.
    pub fn socket(&self) -> &Path {
        self.socket.path()
    }

    /// Returns what belongs into `SPIFFE_ENDPOINT_SOCKET`.
    pub fn endpoint(&self) -> String {
        // Workload Endpoint §4: "the authority component MUST NOT be set, and the path component MUST be set to the
        // absolute path".
        format!("unix://{}", self.socket.path().display())
    }

    /// Returns the text that a person has to see before anything else is said.
    pub fn banner(&self) -> String {
        banner::text(&self.trust_domain, self.svid_ttl, &self.endpoint())
    }

    /// Replaces the authority: the new one is in every bundle at once and issues half a second later; the old one is
    /// trusted until its own end. While a new one is announced, this does nothing.
    ///
    /// # Errors
    ///
    /// The key could not be made; then nothing changes.
    pub fn rotate_ca(&self) -> Result<(), CannotIssue> {
        self.authorities.rotate(self.clock.now())
    }

    /// Takes all authorities that no longer issue out of the bundle, before their end: what they signed is worth
    /// nothing from now on. For trying out what happens then.
    pub fn forget_retired_cas(&self) {
        self.authorities.forget_retired();
    }

    /// Ends all streams with `Unavailable`, closes the connections and removes the socket.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if timeout(SHUTDOWN_GRACE, &mut self.server).await.is_err() {
            tracing::warn!("callers did not let go of their connections, which are closed now");
        }
    }
}

async fn serve(listener: UnixListener, service: Service, stop: CancellationToken, closed: CancellationToken) {
    let connections = incoming(listener, Quota::new(CONNECTIONS_PER_UID, CONNECTIONS_TOTAL), closed);
    let served = Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(HEADERS_LEN_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(service.guarded())
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the development Workload API ended");
    }
}

async fn keep(authorities: Arc<Authorities>, clock: Arc<dyn Clock>) {
    let mut turn = interval(TURN);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        if let Err(error) = authorities.turn(clock.now()) {
            tracing::error!(%error, "the authority cannot be replaced");
        }
    }
}
