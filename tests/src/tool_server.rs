//! The sample tools behind the real layer, over real mTLS, with a broker that does what a test tells it to.
//!
//! Three workloads of one trust domain: the stand-in broker, the tool server, and the agent. Each hears a Workload API of
//! its own, so that one process can be all three.

pub mod broker;
pub mod caller;

use crate::{
    certificates::{Authority, Chain},
    handshake::PATIENCE,
    member::{ForwardClock, Member, id, root, svid},
};
use broker::StandInBroker;
use caller::Caller;
use crumb_identity::{Alpn, Listener, Peers, SystemClock};
use crumb_sample_tools::{Files, Parts, protected};
use crumb_sdk::{
    broker::BrokerClient,
    decisions::Recorder,
    feed,
    protect::{CheckedBody, Dialect, JsonMapping, Protect, ProtectSettings, Unmapped},
    tool_server::serve,
};
use crumb_token::{Audience, Claims, Clock, Grants, Origin, SpiffeId, Timestamp, TokenText};
use crumb_verifier::{Limits, Verifier, feed::Freshness};
use http::{Request, Response};
use http_body_util::Full;
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::{Layer as _, service_fn};

/// What the sample tools are called in tokens.
pub const AUDIENCE: &str = "spiffe://a.test/tool/files";

/// What a test may want otherwise.
#[derive(Clone, Debug)]
pub struct Setting {
    /// How much the verifier keeps, and how late it may be.
    pub limits: Limits,
    /// How many records may wait.
    pub queue_len: usize,
}

impl Default for Setting {
    fn default() -> Self {
        Self { limits: Limits::default(), queue_len: 64 }
    }
}

/// Everything at work. It ends when dropped.
#[derive(Debug)]
pub struct Stage {
    /// Issues everybody's SVID.
    pub root: Authority,
    /// The stand-in broker.
    pub broker: StandInBroker,
    /// The tool server's identity.
    pub server: Member,
    /// The agent's identity.
    pub agent: Member,
    /// The clock of the tool server's layer.
    pub clock: Arc<ForwardClock>,
    /// What the tools work on.
    pub files: Files,
    /// Where the tool server listens.
    pub addr: SocketAddr,
    /// The parts of the tool server.
    pub parts: Parts,
    /// The broker's identity.
    _host: Member,
    stop: CancellationToken,
    _end: DropGuard,
}

impl Stage {
    /// Starts everything, and waits until calls can be decided.
    pub async fn start() -> Self {
        Self::start_with(Setting::default()).await
    }

    /// Starts everything, within other limits.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start_with(setting: Setting) -> Self {
        let root = root("the root of the stage");
        let host = Member::start(&svid(&root, "/broker"), &[&root]).await;
        let broker =
            StandInBroker::start(host.listener(Peers::TrustDomain, Arc::new(SystemClock::new()), Alpn::H2).await);
        let server = Member::start(&svid(&root, "/tool/files"), &[&root]).await;
        let agent = Member::start(&svid(&root, "/agent"), &[&root]).await;
        let clock = Arc::new(ForwardClock::default());
        let stop = CancellationToken::new();

        let client = BrokerClient::new(&server.workload, &broker.addr.to_string(), id("/broker"));
        let verifier = Arc::new(Verifier::new(audience(), setting.limits));
        feed::follow(Arc::clone(&verifier), client.channel(), Arc::clone(&clock) as Arc<dyn Clock>, stop.clone());
        let files = Files::sample();
        let parts = Parts {
            verifier,
            workload: server.workload.clone(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            recorder: Recorder::with_queue(client, setting.queue_len),
            files: files.clone(),
        };
        let listener = listener(&server).await;
        let addr = listener.local_addr();
        tokio::spawn(serve(listener, protected(&parts), stop.clone()));
        let end = stop.clone().drop_guard();
        let stage = Self { root, broker, server, agent, clock, files, addr, parts, _host: host, stop, _end: end };
        stage.until(|freshness| matches!(freshness, Freshness::Fresh { .. })).await;
        stage
    }

    /// Serves one more tool, `odd`, behind the layer, and returns where.
    pub async fn serve_odd<F, A>(&self, tool: F) -> SocketAddr
    where
        F: Fn(Request<CheckedBody>) -> A + Clone + Send + 'static,
        A: Future<Output = Result<Response<Full<bytes::Bytes>>, Infallible>> + Send + 'static,
    {
        let mapping = JsonMapping::new().tool("odd".parse().expect("a name"), |_| {
            let read = "read".parse().map_err(|_| Unmapped::new("an operation"))?;
            Ok((read, "odd:thing".parse().map_err(|_| Unmapped::new("a resource"))?))
        });
        let protect = Protect::new(ProtectSettings {
            verifier: Arc::clone(&self.parts.verifier),
            workload: self.parts.workload.clone(),
            clock: Arc::clone(&self.parts.clock),
            recorder: self.parts.recorder.clone(),
            mapping: Arc::new(mapping),
            dialect: Dialect::Http,
        });
        let listener = listener(&self.server).await;
        let addr = listener.local_addr();
        tokio::spawn(serve(listener, protect.layer(service_fn(tool)), self.stop.clone()));
        addr
    }

    /// Connects as the agent.
    pub async fn caller(&self) -> Caller {
        Caller::connect(&self.agent.workload, self.addr).await
    }

    /// Connects with another SVID of the same root.
    pub async fn caller_with(&self, svid: &Chain) -> Caller {
        let member = Member::start(svid, &[&self.root]).await;
        Caller::connect(&member.workload, self.addr).await
    }

    /// Waits until the verifier has heard from the broker, or has not.
    ///
    /// # Panics
    ///
    /// When it does not happen in time.
    pub async fn until(&self, wanted: impl Fn(Freshness) -> bool) {
        let look = async {
            while !wanted(self.parts.verifier.freshness(self.clock.now())) {
                time::sleep(Duration::from_millis(5)).await;
            }
        };
        time::timeout(PATIENCE, look).await.expect("the freshness that the test waits for");
    }

    /// Tells every server of the stage to end.
    pub fn shut_down(&self) {
        self.stop.cancel();
    }

    /// Mints a token that the agent may present for everything below docs/, changed as a test wants it.
    pub fn token(&self, change: impl FnOnce(&mut Claims)) -> TokenText {
        let mut claims = claims(agent(), audience(), self.clock.now().wall);
        change(&mut claims);
        TokenText::from_bytes(&self.broker.mint(&claims))
    }
}

/// The audience of the sample tools.
///
/// # Panics
///
/// Never; it is a literal.
pub fn audience() -> Audience {
    AUDIENCE.parse().expect("a literal audience")
}

/// Who the agent is.
pub fn agent() -> SpiffeId {
    id("/agent")
}

/// Reads rights: tool, operation, pattern.
///
/// # Panics
///
/// When one is not well-formed.
pub fn grants(rights: &[(&str, &str, &str)]) -> Grants {
    let grants = rights.iter().map(|(tool, operation, resource)| crumb_token::Grant {
        tool: tool.parse().expect("a tool"),
        operation: operation.parse().expect("an operation"),
        resource: resource.parse().expect("a pattern"),
    });
    Grants::try_new(grants).expect("few")
}

/// Claims that allow to read below docs/, to search, and to call `odd`, for ten minutes.
///
/// # Panics
///
/// Never; they are literals.
pub fn claims(holder: SpiffeId, audience: Audience, now: Timestamp) -> Claims {
    Claims {
        token: crumb_token::TokenId::from_uuid(uuid::Uuid::now_v7()),
        session: format!("ses_{:032x}", 2).parse().expect("a session id"),
        agent: "research-bot".parse().expect("a name"),
        version: "1.4.0".parse().expect("a version"),
        environment: "development".parse().expect("an environment"),
        holder,
        subject: None,
        actors: vec![],
        ancestors: vec![],
        origin: Origin::from_words("schedule", "nightly", "asserted").expect("an origin"),
        intent_digest: [3; 32],
        audience,
        grants: grants(&[
            ("search_docs", "read", "docs:index"),
            ("read_file", "read", "file:///docs/*"),
            ("odd", "read", "*"),
        ]),
        issued_at: now,
        expires_at: now.plus(Duration::from_secs(600)),
        may_act: None,
        depth_limit: 8,
        identity_provider: "spire".parse().expect("a provider"),
    }
}

async fn listener(member: &Member) -> Listener {
    member.listener(Peers::TrustDomain, Arc::new(SystemClock::new()), Alpn::H2AndHttp11).await
}
