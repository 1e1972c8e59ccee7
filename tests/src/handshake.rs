//! The other end of a handshake, as a test wants it: TLS that shows any chain, believes any peer, and resumes if it can.
//!
//! Plain rustls, not `crumb-identity`, so that what is under test meets a stranger.

use std::{net::SocketAddr, sync::Arc};

use crumb_identity::{Incoming, Listener, MtlsStream, Refusal};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme, SupportedProtocolVersion,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio::{net::TcpStream, sync::broadcast, time};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::certificates::Chain;

/// How long a test waits for something that is bound to happen.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Shows one chain, whether or not it fits the key.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl Shows {
    fn new(chain: &Chain) -> Arc<Self> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(chain.key.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&key).expect("a key that can sign");
        Arc::new(Self(Arc::new(CertifiedKey::new(chain.certificates.clone(), key))))
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Believes every server.
#[derive(Debug)]
struct Believes;

impl ServerCertVerifier for Believes {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Makes a client that shows `chain` (nothing when there is none), offers `alpn`, and keeps what could be resumed.
///
/// # Panics
///
/// When the provider does not know the version.
pub fn client(chain: Option<&Chain>, alpn: &[&[u8]], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("a version that the provider has")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believes));
    let mut config = match chain {
        Some(chain) => builder.with_client_cert_resolver(Shows::new(chain)),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

/// Makes an ordinary client that shows `chain`.
pub fn ordinary_client(chain: &Chain) -> ClientConfig {
    client(Some(chain), &[b"h2"], &[&TLS13])
}

/// Makes a server that shows `chain` and asks for nothing.
///
/// # Panics
///
/// When the provider does not know TLS 1.3.
pub fn server(chain: &Chain) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Shows::new(chain));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Dials, and says which port it came from.
///
/// # Errors
///
/// When the handshake fails on this side. In TLS 1.3 the server may refuse afterwards.
///
/// # Panics
///
/// When nobody listens.
pub async fn dial(config: &Arc<ClientConfig>, addr: SocketAddr) -> (SocketAddr, std::io::Result<TlsStream<TcpStream>>) {
    let tcp = TcpStream::connect(addr).await.expect("the listener accepts TCP");
    let from = tcp.local_addr().expect("a connected socket");
    let name = ServerName::try_from("test.invalid").expect("a name");
    (from, TlsConnector::from(Arc::clone(config)).connect(name, tcp).await)
}

/// A listener at work, and what comes of each connection.
#[derive(Debug)]
pub struct Watched {
    /// Where it listens.
    pub addr: SocketAddr,
    incoming: Incoming,
    refusals: broadcast::Receiver<Refusal>,
    stop: CancellationToken,
}

impl Watched {
    /// Starts a listener.
    pub fn start(listener: Listener) -> Self {
        let (addr, refusals) = (listener.local_addr(), listener.refusals());
        let stop = CancellationToken::new();
        Self { addr, refusals, incoming: listener.incoming(stop.clone()), stop }
    }

    /// Waits for the connection that came from `from`.
    ///
    /// # Errors
    ///
    /// The refusal, when it was refused.
    ///
    /// # Panics
    ///
    /// When neither happens in time.
    pub async fn outcome(&mut self, from: SocketAddr) -> Result<MtlsStream, Refusal> {
        let next = async {
            loop {
                tokio::select! {
                    stream = self.incoming.next() => {
                        let stream = stream.expect("the listener goes on").expect("items are Ok");
                        if stream.peer().addr() == from { return Ok(stream); }
                    }
                    refusal = self.refusals.recv() => {
                        // In a flood of refusals some are missed, those of the flood.
                        let Ok(refusal) = refusal else { continue };
                        if refusal.addr == from { return Err(refusal); }
                    }
                }
            }
        };
        time::timeout(PATIENCE, next).await.expect("a connection is accepted or refused")
    }

    /// Waits for the next connection that is accepted; `None` when the listener has stopped.
    ///
    /// # Panics
    ///
    /// When an item is an error.
    pub async fn next(&mut self) -> Option<MtlsStream> {
        self.incoming.next().await.map(|stream| stream.expect("items are Ok"))
    }

    /// Waits for the next refusal.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn next_refusal(&mut self) -> Refusal {
        time::timeout(PATIENCE, self.refusals.recv()).await.expect("in time").expect("the listener goes on")
    }

    /// Tells the listener to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}
