//! The accept loop and the handshakes it starts.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use crumb_attestors::x509_svid::Usage;
use crumb_token::{Clock, Timestamp};
use rustls_pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc},
    task::{AbortHandle, JoinSet},
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{Limits, MtlsStream, Refusal, RefusedHandshake, slots::PeerSlots};
use crate::{
    peer::{PeerSvid, Peers, Presented},
    stream::Mortal,
    workload::Workload,
};

/// The pauses after a failed accept. Out of descriptors is the likely cause, and only time mends it.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// What a handshake needs to know.
pub(super) struct Gate {
    pub(super) tls: TlsAcceptor,
    pub(super) workload: Workload,
    pub(super) peers: Peers,
    pub(super) clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({:?})", self.workload)
    }
}

pub(super) struct Acceptor {
    pub(super) gate: Arc<Gate>,
    pub(super) limits: Limits,
    pub(super) peers: PeerSlots,
    pub(super) refusals: broadcast::Sender<Refusal>,
    pub(super) ready: mpsc::Sender<MtlsStream>,
}

impl Acceptor {
    /// Accepts until shutdown. Handshakes that are under way then are dropped with the task.
    pub(super) async fn run(self, socket: TcpListener, shutdown: CancellationToken) {
        let connections = Arc::new(Semaphore::new(self.limits.connections));
        let mut handshakes = Handshakes::default();
        let mut pause = PAUSE.0;
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = self.ready.closed() => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((tcp, addr)) => {
                    pause = PAUSE.0;
                    self.admit(tcp, addr, &connections, &mut handshakes);
                }
                Err(why) if is_of_one_connection(&why) => {}
                Err(why) => {
                    tracing::warn!(
                        error = &why as &dyn std::error::Error,
                        ?pause,
                        "accept failed; going on after a pause"
                    );
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    fn admit(&self, tcp: TcpStream, addr: SocketAddr, connections: &Arc<Semaphore>, handshakes: &mut Handshakes) {
        let Ok(taken) = Arc::clone(connections).try_acquire_owned() else {
            report(&self.refusals, addr, RefusedHandshake::TooManyConnections);
            return;
        };
        handshakes.make_room(self.limits.handshakes);
        let handshake = Handshake {
            gate: Arc::clone(&self.gate),
            peers: self.peers.clone(),
            unfinished: Unfinished { refusals: self.refusals.clone(), addr, done: false },
            addr,
            taken,
        };
        handshakes.start(handshake.run(tcp, self.ready.clone(), self.limits.handshake_time));
    }
}

/// The handshakes that are under way, oldest first.
#[derive(Default)]
struct Handshakes {
    tasks: JoinSet<()>,
    ages: VecDeque<AbortHandle>,
}

impl Handshakes {
    /// Leaves room for one more of at most `most`: a flood of slow handshakes pushes out its own.
    fn make_room(&mut self, most: usize) {
        while self.tasks.try_join_next().is_some() {}
        while self.ages.front().is_some_and(AbortHandle::is_finished) {
            self.ages.pop_front();
        }
        if self.tasks.len() >= most
            && let Some(oldest) = self.ages.pop_front()
        {
            oldest.abort();
        }
        // Behind a slow one that is still within its time, finished ones pile up.
        if self.ages.len() > most.saturating_mul(2) {
            self.ages.retain(|handle| !handle.is_finished());
        }
    }

    fn start(&mut self, handshake: impl Future<Output = ()> + Send + 'static) {
        self.ages.push_back(self.tasks.spawn(handshake));
    }
}

struct Handshake {
    gate: Arc<Gate>,
    peers: PeerSlots,
    unfinished: Unfinished,
    addr: SocketAddr,
    taken: OwnedSemaphorePermit,
}

impl Handshake {
    async fn run(self, tcp: TcpStream, ready: mpsc::Sender<MtlsStream>, most: Duration) {
        let Self { gate, peers, mut unfinished, addr, taken } = self;
        let hand_over = async {
            let (io, peer, end) = shake(&gate, tcp, addr).await?;
            let protocol = io.get_ref().1.alpn_protocol().ok_or(RefusedHandshake::NoAlpn)?.to_vec();
            let slot = peers.take(peer.id()).ok_or_else(|| RefusedHandshake::TooManyOfPeer(peer.id().clone()))?;
            let io = Mortal::new(io, gate.clock.now().wall, end);
            // When nobody takes streams any more, this one is dropped with the rest.
            let _ = ready.send(MtlsStream { io, peer, protocol, _taken: (taken, slot) }).await;
            Ok(())
        };
        let outcome = time::timeout(most, hand_over).await.unwrap_or(Err(RefusedHandshake::TooSlow));
        unfinished.done = true;
        if let Err(why) = outcome {
            report(&unfinished.refusals, addr, why);
        }
    }
}

async fn shake(
    gate: &Gate,
    tcp: TcpStream,
    addr: SocketAddr,
) -> Result<(TlsStream<TcpStream>, PeerSvid, Timestamp), RefusedHandshake> {
    if gate.workload.usable_until(gate.clock.now().wall).is_none() {
        return Err(RefusedHandshake::NoIdentity);
    }
    // A socket that refuses the option works all the same, only slower.
    let _ = tcp.set_nodelay(true);
    let io = gate.tls.accept(tcp).await.map_err(RefusedHandshake::of_tls)?;
    let chain = io.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = chain.iter().map(|one: &CertificateDer<'_>| one.clone().into_owned()).collect();
    let presented = Presented::new(chain, Usage::Client);
    // The verifier has just judged the chain, so this finds its verdict; were it gone, the chain is judged again.
    let now = gate.clock.now().wall;
    let facts = gate.workload.admit(&presented, &gate.peers, now).map_err(RefusedHandshake::Peer)?;
    let end = gate.workload.usable_until(now).ok_or(RefusedHandshake::NoIdentity)?;
    let end = end.min(facts.not_after);
    Ok((io, PeerSvid::new(presented, facts, addr), end))
}

/// Reports a handshake that is cut off before it could report itself.
struct Unfinished {
    refusals: broadcast::Sender<Refusal>,
    addr: SocketAddr,
    done: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            report(&self.refusals, self.addr, RefusedHandshake::CutOff);
        }
    }
}

fn report(refusals: &broadcast::Sender<Refusal>, addr: SocketAddr, why: RefusedHandshake) {
    tracing::info!(%addr, code = why.code(), error = &why as &dyn std::error::Error, "connection refused");
    // Nobody has to watch.
    let _ = refusals.send(Refusal { addr, why });
}

/// Errors of the connection that was about to be accepted, not of the listener.
fn is_of_one_connection(why: &io::Error) -> bool {
    matches!(
        why.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
