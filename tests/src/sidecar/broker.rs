//! A broker that mints real tokens and does what a test wants.

use super::stage::{AGENT_ID, AUDIENCE, id};
use biscuit_auth::KeyPair;
use crumb_identity::{Alpn, Listener, PeerSvid, Peers, SystemClock, Workload};
use crumb_proto::{
    Violations,
    convert::{scope, to_grants},
    to_status,
    wire::{
        self, registry_service_server as registry, session_service_server as session, token_service_server as token,
    },
};
use crumb_token::{
    Audience, Claims, Clock as _, Denial, KeyId, Origin, Reason, SessionId, SpiffeId, Timestamp, TokenId, TokenText,
    mint::mint,
};
use crumb_verifier::{Limits, Verifier, feed};
use ed25519_dalek::{Signer as _, SigningKey};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, async_trait, transport::Server};
use uuid::Uuid;

/// The one signing key.
const KEY_ID: KeyId = KeyId(1);

/// A broker for tests: counts, waits, vanishes.
#[derive(Debug)]
pub struct StandInBroker {
    inner: Arc<Inner>,
    address: SocketAddr,
    stop: CancellationToken,
    server: TaskTracker,
}

#[derive(Debug)]
struct Inner {
    workload: Workload,
    key: KeyPair,
    life_s: AtomicU64,
    tool_server: String,
    exchanges: AtomicUsize,
    gate: Semaphore,
    minted: Mutex<Vec<TokenText>>,
    opened: Mutex<Vec<wire::OpenSessionRequest>>,
}

impl StandInBroker {
    /// Starts it as `workload`; its registry has one tool server, at `tool_server`.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start(workload: &Workload, tool_server: &str) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let clock = Arc::new(SystemClock::new());
        let listener =
            Listener::bind(any, workload.clone(), Peers::TrustDomain, clock, Alpn::H2).await.expect("a port");
        let address = listener.local_addr();
        let inner = Arc::new(Inner {
            workload: workload.clone(),
            key: KeyPair::new(),
            life_s: AtomicU64::new(900),
            tool_server: tool_server.to_owned(),
            exchanges: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            minted: Mutex::default(),
            opened: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let serving = Server::builder()
            .add_service(session::SessionServiceServer::from_arc(Arc::clone(&inner)))
            .add_service(token::TokenServiceServer::from_arc(Arc::clone(&inner)))
            .add_service(registry::RegistryServiceServer::from_arc(Arc::clone(&inner)))
            .serve_with_incoming_shutdown(listener.incoming(stop.clone()), stop.clone().cancelled_owned());
        let server = TaskTracker::new();
        server.spawn(serving);
        server.close();
        Self { inner, address, stop, server }
    }

    /// Returns `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Makes tokens live this long, in seconds.
    pub fn tokens_live(&self, seconds: u64) {
        self.inner.life_s.store(seconds, Ordering::SeqCst);
    }

    /// Makes exchanges wait until [`Self::go_on`].
    pub fn hold(&self) {
        self.inner.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets every exchange through again.
    pub fn go_on(&self) {
        self.inner.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Returns how many exchanges have arrived.
    pub fn exchanges(&self) -> usize {
        self.inner.exchanges.load(Ordering::SeqCst)
    }

    /// Returns the sessions as they were asked for.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn opened(&self) -> Vec<wire::OpenSessionRequest> {
        self.inner.opened.lock().expect("not poisoned").clone()
    }

    /// Returns every token that was handed out.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn minted(&self) -> Vec<TokenText> {
        self.inner.minted.lock().expect("not poisoned").clone()
    }

    /// Ends it: nobody listens any more, and connections are closed.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.server.wait().await;
    }

    /// Makes a verifier that knows this broker's key.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn verifier(&self) -> Verifier {
        let verifier = Verifier::new(AUDIENCE.parse().expect("an audience"), Limits::default());
        let now = SystemClock::new().now();
        let secret: [u8; 32] = self.inner.key.private().to_bytes().as_slice().try_into().expect("32 bytes");
        let signing = SigningKey::from_bytes(&secret);
        let second = Duration::from_secs(1);
        let key = feed::Key {
            id: KEY_ID,
            public: signing.verifying_key().to_bytes(),
            not_before: Timestamp::from_unix_s(now.wall.as_unix_s() - 3600),
            not_after: now.wall.plus(second * 3600),
        };
        let message = feed::Message {
            epoch: 1,
            sequence: 0,
            time_unix_ms: now.wall.as_unix_s() * 1000,
            full: true,
            keys: vec![key],
            revocations: vec![],
        };
        let bytes = b"a full message";
        let signature = signing.sign(&[feed::CONTEXT, bytes].concat()).to_bytes();
        let signed = feed::Signed { bytes, key_id: KEY_ID, signature: &signature };
        verifier.apply(&signed, message, now).expect("signed by its own key");
        verifier
    }
}

impl Inner {
    fn peer<T>(&self, request: &Request<T>) -> Result<SpiffeId, Status> {
        let peer = request.extensions().get::<PeerSvid>().ok_or_else(|| Status::internal("no peer"))?;
        let now = SystemClock::new().now().wall;
        self.workload.revalidate(peer, now).map_err(|_| to_status(&Denial::new(Reason::SvidInvalid)))?;
        Ok(peer.id().clone())
    }

    fn claims(
        &self,
        session: SessionId,
        asked: (Audience, crumb_token::Grants),
        holder: SpiffeId,
        now: Timestamp,
    ) -> Claims {
        let life = Duration::from_secs(self.life_s.load(Ordering::SeqCst));
        Claims {
            token: TokenId::from_uuid(Uuid::now_v7()),
            session,
            agent: "research-bot".parse().expect("a name"),
            version: "1.4.0".parse().expect("a version"),
            environment: "development".parse().expect("an environment"),
            holder,
            subject: None,
            actors: vec![],
            ancestors: vec![],
            origin: Origin::Schedule { name: "nightly".parse().expect("a name") },
            intent_digest: [0; 32],
            audience: asked.0,
            grants: asked.1,
            issued_at: now,
            expires_at: now.plus(life),
            may_act: None,
            depth_limit: 4,
            identity_provider: "embedded-dev".parse().expect("a provider"),
        }
    }
}

#[async_trait]
impl session::SessionService for Inner {
    async fn delegate(&self, _: Request<wire::DelegateRequest>) -> Result<Response<wire::OpenSessionResponse>, Status> {
        Err(Status::unimplemented("this broker does not delegate"))
    }

    async fn describe_session(
        &self,
        _: Request<wire::DescribeSessionRequest>,
    ) -> Result<Response<wire::DescribeSessionResponse>, Status> {
        Err(Status::unimplemented("this broker does not describe sessions"))
    }

    async fn open_session(
        &self,
        request: Request<wire::OpenSessionRequest>,
    ) -> Result<Response<wire::OpenSessionResponse>, Status> {
        self.peer(&request)?;
        self.opened.lock().expect("not poisoned").push(request.into_inner());
        let session_id = SessionId::from_uuid(Uuid::now_v7()).to_string();
        let expires_at = SystemClock::new().now().wall.as_unix_s() + 3600;
        Ok(Response::new(wire::OpenSessionResponse { session_id, expires_at }))
    }

    async fn close_session(
        &self,
        request: Request<wire::CloseSessionRequest>,
    ) -> Result<Response<wire::CloseSessionResponse>, Status> {
        self.peer(&request)?;
        Ok(Response::new(wire::CloseSessionResponse { revocation: 1 }))
    }
}

#[async_trait]
impl token::TokenService for Inner {
    async fn exchange(
        &self,
        request: Request<wire::ExchangeRequest>,
    ) -> Result<Response<wire::ExchangeResponse>, Status> {
        let peer = self.peer(&request)?;
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        let _turn = self.gate.acquire().await.expect("never closed");
        let message = request.into_inner();
        let mut v = Violations::default();
        let session = v.parse("session_id", &message.session_id);
        let asked = scope(&mut v, "scope", message.scope.as_ref());
        let holder = if message.holder.is_empty() { Some(peer) } else { v.parse("holder", &message.holder) };
        let (Some(session), Some(asked), Some(holder)) = (session, asked, holder) else {
            return Err(crumb_proto::status::invalid(&v));
        };
        let claims = self.claims(session, asked, holder, SystemClock::new().now().wall);
        let bytes = mint(&claims, KEY_ID, &self.key).map_err(|e| Status::internal(e.to_string()))?;
        let token = TokenText::from_bytes(&bytes);
        self.minted.lock().expect("not poisoned").push(token.clone());
        Ok(Response::new(wire::ExchangeResponse {
            token: token.expose().to_owned(),
            token_id: claims.token.to_string(),
            grants: to_grants(&claims.grants),
            expires_at: claims.expires_at.as_unix_s(),
            holder: claims.holder.to_string(),
        }))
    }
}

#[async_trait]
impl registry::RegistryService for Inner {
    async fn renew_lease(
        &self,
        _: Request<wire::RenewLeaseRequest>,
    ) -> Result<Response<wire::RenewLeaseResponse>, Status> {
        Err(Status::unimplemented("this broker has no leases"))
    }

    async fn list_unknown(
        &self,
        _: Request<wire::ListUnknownRequest>,
    ) -> Result<Response<wire::ListUnknownResponse>, Status> {
        Err(Status::unimplemented("this broker knows everybody"))
    }

    async fn apply(&self, _: Request<wire::ApplyRequest>) -> Result<Response<wire::ApplyResponse>, Status> {
        Err(Status::unimplemented("this broker's registry is fixed"))
    }

    async fn get_manifests(
        &self,
        _: Request<wire::GetManifestsRequest>,
    ) -> Result<Response<wire::GetManifestsResponse>, Status> {
        Err(Status::unimplemented("this broker's registry is fixed"))
    }

    async fn list_agents(
        &self,
        request: Request<wire::ListAgentsRequest>,
    ) -> Result<Response<wire::ListAgentsResponse>, Status> {
        self.peer(&request)?;
        let agent = wire::Agent {
            name: "research-bot".into(),
            spiffe_id: id(AGENT_ID).to_string(),
            owner: "ada@acme.example".into(),
            ..Default::default()
        };
        Ok(Response::new(wire::ListAgentsResponse { agents: vec![agent] }))
    }

    async fn list_tool_servers(
        &self,
        request: Request<wire::ListToolServersRequest>,
    ) -> Result<Response<wire::ListToolServersResponse>, Status> {
        self.peer(&request)?;
        let server = wire::ToolServer {
            name: "files".into(),
            audience: AUDIENCE.into(),
            // The test process serves it, so it has the broker's identity.
            spiffe_id: super::stage::BROKER_ID.into(),
            owner: "ada@acme.example".into(),
            address: self.tool_server.clone(),
            tools: vec![wire::Tool {
                name: "read_file".into(),
                operation: "read".into(),
                risk: "low".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        Ok(Response::new(wire::ListToolServersResponse { tool_servers: vec![server] }))
    }
}
