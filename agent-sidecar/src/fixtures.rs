//! What the unit tests share: callers, names, moments, and a broker that mints in memory.

use crate::{
    broker::Broker,
    narrow::CallToken,
    own::OwnIdentity,
    request::{Presenter, RequestKey},
    tools::Tools,
};
use bytes::Bytes;
use crumb_attestors::unix_process::LocalIdentity;
use crumb_sdk::{
    broker::{
        Delegate, Exchange, Handing, LocalProcess, OpenSession, Session, SessionAbove, SessionDescription, TaskToken,
        ToolServer,
    },
    call::ToolAnswer,
};
use crumb_token::{
    AgentName, ApprovalId, Audience, Claims, Clock, Denial, Grant, Grants, KeyId, Now, Origin, Reason, SessionId,
    SpiffeId, TaskId, Timestamp, TokenId, TokenText, ToolName,
    handover::{self, MayAct},
    mint::mint,
};
use futures::future::BoxFuture;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub(crate) const OWN_ID: &str = "spiffe://td/sidecar";
pub(crate) const AUDIENCE: &str = "spiffe://td/tool/files";

pub(crate) fn at(unix_s: u64) -> Timestamp {
    Timestamp::from_unix_s(unix_s)
}

pub(crate) fn caller(exe: &str) -> Arc<LocalIdentity> {
    Arc::new(LocalIdentity { uid: 1000, gid: 1000, exe: exe.into(), exe_sha256: [7; 32], cgroup: "0::/".into() })
}

pub(crate) fn process() -> LocalProcess {
    LocalProcess { pid: 1, uid: 1000, gid: 1000, exe: "/bin/one".into(), exe_sha256: [7; 32] }
}

pub(crate) fn session_id(n: u128) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn task_id(n: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn own_id() -> SpiffeId {
    OWN_ID.parse().expect("canonical")
}

pub(crate) fn grants(resource: &str) -> Grants {
    let grant = Grant {
        tool: "read_file".parse().expect("a tool"),
        operation: "read".parse().expect("an operation"),
        resource: resource.parse().expect("a pattern"),
    };
    Grants::try_new([grant]).expect("one")
}

pub(crate) fn key_of(caller: &Arc<LocalIdentity>, session: SessionId, resource: &str) -> RequestKey {
    RequestKey {
        caller: Arc::clone(caller),
        session,
        task: None,
        audience: AUDIENCE.parse().expect("an audience"),
        grants: grants(resource),
        ttl_s: 0,
        presenter: Presenter::Sidecar,
        may_act: vec![],
    }
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub(crate) struct StillClock(pub(crate) AtomicU64);

impl StillClock {
    pub(crate) fn at(unix_s: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(unix_s)))
    }

    pub(crate) fn set(&self, unix_s: u64) {
        self.0.store(unix_s, Ordering::Relaxed);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Now {
        let s = self.0.load(Ordering::Relaxed);
        Now { wall: at(s), ticks: Duration::from_secs(s) }
    }
}

/// Who we are, until renamed.
#[derive(Debug)]
pub(crate) struct FakeOwn(Mutex<SpiffeId>);

impl FakeOwn {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(own_id())))
    }

    pub(crate) fn rename(&self, id: &str) {
        *self.0.lock().expect("not poisoned") = id.parse().expect("canonical");
    }
}

impl OwnIdentity for FakeOwn {
    fn id(&self) -> SpiffeId {
        self.0.lock().expect("not poisoned").clone()
    }

    fn provider(&self) -> &'static str {
        "spire"
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(at(u64::MAX))
    }
}

/// Mints a token as a broker would.
pub(crate) fn mint_for(exchange: &Exchange, issued_at: Timestamp, life_s: u64) -> TaskToken {
    let holder = exchange.holder.clone().unwrap_or_else(own_id);
    let claims = Claims {
        token: TokenId::from_uuid(exchange.request.to_string()[4..].parse().expect("hex")),
        session: exchange.session,
        agent: "bot".parse().expect("a name"),
        version: "1".parse().expect("a version"),
        environment: "test".parse().expect("an environment"),
        holder: holder.clone(),
        subject: None,
        actors: vec![],
        ancestors: vec![],
        origin: Origin::Schedule { name: "nightly".parse().expect("a name") },
        intent_digest: [0; 32],
        audience: exchange.audience.clone(),
        grants: exchange.grants.clone(),
        issued_at,
        expires_at: issued_at.plus(Duration::from_secs(life_s)),
        may_act: exchange.handing.as_ref().map(to_may_act),
        depth_limit: 2,
        identity_provider: "spire".parse().expect("a provider"),
    };
    let bytes = mint(&claims, KeyId(1), &biscuit_auth::KeyPair::new()).expect("well-formed claims");
    TaskToken {
        token: TokenText::from_bytes(&bytes),
        id: claims.token,
        grants: claims.grants,
        expires_at: claims.expires_at,
        holder,
    }
}

fn to_may_act(handing: &Handing) -> MayAct {
    let delegate = |(agent, holder): &(AgentName, SpiffeId)| handover::Delegate {
        holder: holder.clone(),
        agent: agent.clone(),
        version: "1".parse().expect("a version"),
    };
    MayAct { key: handing.key, delegates: handing.to.iter().map(delegate).collect() }
}

/// A call that reached a tool server: the token, the tool, the arguments.
pub(crate) type Arrived = (TokenText, ToolName, Bytes);

/// Tool servers that answer 200 and remember what arrived.
#[derive(Debug, Default)]
pub(crate) struct FakeTools(pub(crate) Mutex<Vec<Arrived>>);

impl Tools for FakeTools {
    fn call(
        &self,
        _: Audience,
        token: CallToken,
        tool: ToolName,
        arguments: Bytes,
    ) -> BoxFuture<'_, Result<ToolAnswer, Denial>> {
        self.0.lock().expect("not poisoned").push((token.token, tool, arguments));
        Box::pin(async { Ok(ToolAnswer { status: 200, body: Bytes::from_static(b"{}"), denial: None }) })
    }
}

/// A broker in memory: counts exchanges, can be held up, can be down, can mint for somebody else.
#[derive(Debug)]
pub(crate) struct FakeBroker {
    pub(crate) clock: Arc<StillClock>,
    pub(crate) life_s: u64,
    pub(crate) exchanges: AtomicUsize,
    pub(crate) lists: AtomicUsize,
    pub(crate) opened: AtomicUsize,
    pub(crate) closed: Mutex<Vec<SessionId>>,
    pub(crate) down: AtomicBool,
    /// Exchanges wait for a permit.
    pub(crate) gate: Semaphore,
    /// Replaces what was asked for, to hand out something else.
    pub(crate) instead: Mutex<Option<fn(&mut Exchange)>>,
    /// How many exchanges people have to approve still.
    pub(crate) approvals: AtomicUsize,
    /// What sessions are that were delegated to us.
    pub(crate) delegated: Mutex<Vec<(SessionId, SessionDescription)>>,
    /// What was delegated to others.
    pub(crate) delegations: Mutex<Vec<Delegate>>,
}

/// The request that people have to approve.
pub(crate) fn approval_id() -> ApprovalId {
    ApprovalId::from_uuid(Uuid::from_u128(1))
}

/// A session that a lead agent delegated.
pub(crate) fn description(expires_at: u64) -> SessionDescription {
    let above = SessionAbove {
        session: session_id(900),
        agent: "lead".parse().expect("a name"),
        version: "1".parse().expect("a version"),
        intent_digest: [1; 32],
    };
    SessionDescription {
        agent: "bot".parse().expect("a name"),
        intent: "read the notes".parse().expect("a sentence"),
        origin: Origin::Schedule { name: "nightly".parse().expect("a name") },
        above: vec![above],
        actors: vec!["spiffe://td/agent/lead".parse().expect("canonical")],
        envelope: vec![(AUDIENCE.parse().expect("an audience"), grants("docs/*"))],
        expires_at: at(expires_at),
        depth: 0,
    }
}

impl FakeBroker {
    pub(crate) fn new(clock: &Arc<StillClock>, life_s: u64) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::clone(clock),
            life_s,
            exchanges: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            closed: Mutex::default(),
            down: AtomicBool::new(false),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            instead: Mutex::new(None),
            approvals: AtomicUsize::new(0),
            delegated: Mutex::default(),
            delegations: Mutex::default(),
        })
    }

    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::SeqCst)
    }
}

impl Broker for FakeBroker {
    fn open(&self, _: OpenSession) -> BoxFuture<'_, Result<Session, Denial>> {
        Box::pin(async {
            let n = self.opened.fetch_add(1, Ordering::SeqCst) as u128;
            Ok(Session { id: session_id(n + 1), expires_at: at(u64::MAX) })
        })
    }

    fn close(&self, session: SessionId) -> BoxFuture<'_, Result<(), Denial>> {
        Box::pin(async move {
            if self.down.load(Ordering::SeqCst) {
                return Err(Denial::new(Reason::BrokerUnreachable));
            }
            self.closed.lock().expect("not poisoned").push(session);
            Ok(())
        })
    }

    fn exchange(&self, mut exchange: Exchange) -> BoxFuture<'_, Result<TaskToken, Denial>> {
        Box::pin(async move {
            self.exchanges.fetch_add(1, Ordering::SeqCst);
            let _turn = self.gate.acquire().await.expect("never closed");
            if self.down.load(Ordering::SeqCst) {
                return Err(Denial::new(Reason::BrokerUnreachable));
            }
            if self.approvals.load(Ordering::SeqCst) > 0 {
                return Err(Denial::new(Reason::ApprovalNeeded).asked(approval_id()));
            }
            if let Some(instead) = *self.instead.lock().expect("not poisoned") {
                instead(&mut exchange);
            }
            Ok(mint_for(&exchange, self.clock.now().wall, self.life_s))
        })
    }

    fn delegate(&self, delegate: Delegate) -> BoxFuture<'_, Result<Session, Denial>> {
        Box::pin(async {
            self.delegations.lock().expect("not poisoned").push(delegate);
            Ok(Session { id: session_id(500), expires_at: at(u64::MAX) })
        })
    }

    fn describe(&self, session: SessionId) -> BoxFuture<'_, Result<SessionDescription, Denial>> {
        Box::pin(async move {
            let delegated = self.delegated.lock().expect("not poisoned");
            let found = delegated.iter().find(|(id, _)| *id == session).map(|(_, description)| description.clone());
            found.ok_or_else(|| Denial::new(Reason::SessionUnknown).asked(session).by("session", "the broker"))
        })
    }

    fn await_approval(&self, _: ApprovalId, wait: Duration) -> BoxFuture<'_, Result<bool, Denial>> {
        Box::pin(async move {
            // People are quick here, when there is any time at all.
            let left = self.approvals.load(Ordering::SeqCst).saturating_sub(usize::from(!wait.is_zero()));
            self.approvals.store(left, Ordering::SeqCst);
            Ok(left == 0)
        })
    }

    fn tool_servers(&self) -> BoxFuture<'_, Result<Vec<ToolServer>, Denial>> {
        Box::pin(async {
            self.lists.fetch_add(1, Ordering::SeqCst);
            if self.down.load(Ordering::SeqCst) {
                return Err(Denial::new(Reason::BrokerUnreachable));
            }
            Ok(vec![ToolServer {
                name: "files".into(),
                audience: AUDIENCE.parse().expect("an audience"),
                spiffe_id: AUDIENCE.parse().expect("an id"),
                owner: "ada@acme.example".parse().expect("an owner"),
                address: "127.0.0.1:1".into(),
                tools: vec![],
            }])
        })
    }

    fn agent_id(&self, _: AgentName) -> BoxFuture<'_, Result<SpiffeId, Denial>> {
        Box::pin(async { Ok("spiffe://td/agent/bot".parse().expect("canonical")) })
    }
}
