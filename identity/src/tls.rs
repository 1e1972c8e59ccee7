//! TLS as this house speaks it: 1.3 only, both ends with an SVID, nothing resumed.
//!
//! rustls asks two things of us, a certificate to show and a judgement of the one it was shown; both go to the
//! [`Workload`] at the moment of the handshake, so a configuration never goes stale.

mod resolver;
mod verifier;

use std::sync::Arc;

use crumb_token::{Clock, SpiffeId};
use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    server::NoServerSessionStorage,
    version::TLS13,
};

use crate::{peer::Peers, workload::Workload};

use resolver::CurrentSvid;
use verifier::{ClientVerifier, ServerVerifier};

pub(crate) use verifier::refused_peer;

/// Which application protocols a listener or connector speaks. ALPN has to agree, or there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2 only: gRPC.
    H2,
    /// HTTP/2 or HTTP/1.1: tool servers.
    H2AndHttp11,
}

pub(crate) const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::H2 => vec![H2.to_vec()],
            Self::H2AndHttp11 => vec![H2.to_vec(), HTTP11.to_vec()],
        }
    }
}

/// The cryptography, named here so that no other crate can choose it through the process default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

pub(crate) fn server_config(workload: &Workload, peers: &Peers, clock: &Arc<dyn Clock>, alpn: Alpn) -> ServerConfig {
    let provider = provider();
    let verifier = ClientVerifier::new(workload, peers, clock, &provider);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("the aws-lc provider has TLS 1.3 cipher suites")
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(CurrentSvid::new(workload, clock)));
    // A resumed session skips the verifier: a peer would stay good after its authority is gone.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = alpn.protocols();
    config
}

pub(crate) fn client_config(workload: &Workload, server: &SpiffeId, alpn: Alpn) -> ClientConfig {
    let provider = provider();
    let clock = Arc::clone(workload.clock());
    let verifier = ServerVerifier::new(workload, server, &clock, &provider);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("the aws-lc provider has TLS 1.3 cipher suites")
        .dangerous() // SPIFFE names workloads, not hosts, so the usual verifier cannot be used.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(CurrentSvid::new(workload, &clock)));
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // The name says nothing: the server is known by its SPIFFE ID.
    config.enable_sni = false;
    config.alpn_protocols = alpn.protocols();
    config
}
