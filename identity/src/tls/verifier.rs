//! The judgement of the certificate that we are shown.
//!
//! Thin on purpose: the chain goes to [`Workload::judge`], the ID is compared, the signature is rustls' own business.

use std::{fmt, sync::Arc};

use crumb_attestors::x509_svid::Usage;
use crumb_token::{Clock, SpiffeId};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{
    peer::{Peers, Presented, RefusedPeer},
    workload::Workload,
};

/// Finds our own refusal in an error of rustls.
pub(crate) fn refused_peer(error: &Error) -> Option<&RefusedPeer> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.downcast_ref(),
        _ => None,
    }
}

fn into_tls(refused: RefusedPeer) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
}

struct Judge {
    workload: Workload,
    clock: Arc<dyn Clock>,
    usage: Usage,
    peers: Peers,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Judge {
    fn judge(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), RefusedPeer> {
        let chain = std::iter::once(leaf).chain(others).map(|one| one.clone().into_owned()).collect();
        let presented = Presented::new(chain, self.usage);
        self.workload.admit(&presented, &self.peers, self.clock.now().wall).map(|_| ())
    }

    fn signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Judge({:?}, {:?}, {:?})", self.workload, self.usage, self.peers)
    }
}

/// Judges those who dial us.
#[derive(Debug)]
pub(super) struct ClientVerifier(Judge);

impl ClientVerifier {
    pub(super) fn new(workload: &Workload, peers: &Peers, clock: &Arc<dyn Clock>, provider: &CryptoProvider) -> Self {
        Self(Judge {
            workload: workload.clone(),
            clock: Arc::clone(clock),
            usage: Usage::Client,
            peers: peers.clone(),
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.judge(leaf, others).map(|()| ClientCertVerified::assertion()).map_err(into_tls)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}

/// Judges the one that we dial.
#[derive(Debug)]
pub(super) struct ServerVerifier(Judge);

impl ServerVerifier {
    pub(super) fn new(
        workload: &Workload,
        server: &SpiffeId,
        clock: &Arc<dyn Clock>,
        provider: &CryptoProvider,
    ) -> Self {
        Self(Judge {
            workload: workload.clone(),
            clock: Arc::clone(clock),
            usage: Usage::Server,
            peers: Peers::Exactly(vec![server.clone()]),
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.judge(leaf, others).map(|()| ServerCertVerified::assertion()).map_err(into_tls)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}
