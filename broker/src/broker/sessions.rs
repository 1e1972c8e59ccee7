//! Opening and closing sessions, end to end.

use super::{Asked, Broker, Refused, Stop, same_request};
use crate::{
    audit::{Kind, Record},
    caller::Caller,
    feed,
    process::LocalProcess,
    registry::Registry,
    session::{self, Opening, Proof, Session},
    store::{Answer, Closed, Request, Seen, Written},
};
use crumb_proto::{Violations, convert, wire};
use crumb_token::{AgentName, Audience, Denial, Origin, Reason, RequestId, SessionId, Timestamp, origin::Assurance};
use prost::Message as _;
use std::{sync::Arc, time::Duration};
use tonic::Extensions;
use uuid::Uuid;

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub session: String,
    /// Its end, Unix seconds.
    pub expires_at: u64,
}

impl Broker {
    /// Opens a session.
    ///
    /// # Errors
    ///
    /// [`Refused`]; the refusal is on record, unless it says that the store is unavailable.
    pub async fn open(&self, wire: wire::OpenSessionRequest, extensions: &Extensions) -> Result<Opened, Refused> {
        let _place = self.admit()?;
        let asked =
            Asked { kind: Kind::SessionOpen, extensions, request_id: &wire.request_id, message: wire.encode_to_vec() };
        let mut record = self.record(&asked);
        record.agent = crate::audit::cut(&wire.agent);
        record.intent = crate::audit::cut(&wire.intent);
        record.ask(&wire.envelope.iter().flat_map(|scope| scope.grants.clone()).collect::<Vec<_>>());
        // A record has room for one audience; an envelope over several is told through the rights alone.
        if let [scope] = &wire.envelope[..] {
            record.audience = crate::audit::cut(&scope.audience);
        }
        let mut request = None;
        let flow = async {
            match self.try_open(&asked, &wire, &mut record, &mut request).await {
                Ok(opened) => Ok(opened),
                Err(stop) => Err(self.stop(stop, record, request).await),
            }
        };
        self.within_limit(flow).await
    }

    async fn try_open(
        &self,
        asked: &Asked<'_>,
        wire: &wire::OpenSessionRequest,
        record: &mut Record,
        remembered: &mut Option<Request>,
    ) -> Result<Opened, Stop> {
        let now = self.clock.now().wall;
        let caller = self.attest(asked, now)?;
        let mut opening = read(wire).map_err(Stop::Malformed)?;
        self.prove(&mut opening, &wire.subject_token, &caller, now).await?;
        record.attest(opening.process.as_ref());
        record.origin = opening.origin.to_string();
        let request = asked.request(&caller, now).ok_or_else(|| Denial::new(Reason::RequestInvalid))?;
        let parent = match &opening.origin {
            Origin::Agent { session } => Some(*session),
            Origin::User { .. } | Origin::Schedule { .. } => None,
        };
        let known = self.store.look_up(request.key.clone(), parent).await?;
        if let Some(seen) = known.seen {
            return repeat(&seen, &request);
        }
        *remembered = Some(request.clone());
        let (id, registry) = (SessionId::from_uuid(Uuid::now_v7()), self.registry());
        let session = session::open(id, opening, &caller, &registry, known.session.as_ref(), now)?;
        self.check_stops(&registry, &session, None, now)?;
        let mut allowed = record.clone();
        allowed.describe(&session);
        allowed.expires_at = session.expires_at.as_unix_s();
        allowed.allow();
        let opened = Opened { session: session.id.to_string(), expires_at: session.expires_at.as_unix_s() };
        let agent = session.agent.clone();
        let written = self.store.open(request.clone(), session, self.sessions_max, allowed).await?;
        self.opened(written, opened, &request, &agent)
    }

    /// Lets a subject token prove the user of the origin. The token has to name that very user, and let the caller act.
    ///
    /// Looked at only for those who may speak for the agent: it may have to wait for keys, which nobody else makes it do.
    async fn prove(&self, opening: &mut Opening, token: &str, caller: &Caller, now: Timestamp) -> Result<(), Denial> {
        if token.is_empty() {
            return Ok(());
        }
        session::speaking_for(&opening.agent, opening.process.as_ref(), caller, &self.registry(), now)?;
        let refuse = |rule: &str| Denial::new(Reason::SubjectInvalid).by(rule, "the broker");
        let Origin::User { name, assurance } = &mut opening.origin else {
            return Err(refuse("a subject token proves the user of an origin, and this one has none"));
        };
        let facts = self.subjects.verify(token, self.clock.as_ref()).await?;
        if facts.principal.clone().in_one_spelling() != *name {
            return Err(refuse("the token is another person's").asked(format!("user {name}")));
        }
        if !facts.admits(&caller.id) {
            return Err(refuse("the token lets another workload act").asked(&caller.id));
        }
        *assurance = Assurance::Verified;
        opening.proof = Some(Proof { issuer: facts.issuer.as_str().into(), expires_at: facts.expires_at });
        Ok(())
    }

    /// Answers for a session that was to be written.
    pub(super) fn opened(
        &self,
        written: Written,
        opened: Opened,
        request: &Request,
        agent: &AgentName,
    ) -> Result<Opened, Stop> {
        match written {
            Written::Committed => Ok(opened),
            Written::Seen(seen) => repeat(&seen, request),
            Written::Changed(denial) => Err(denial.into()),
            Written::SessionClosed => Err(Denial::new(Reason::SessionClosed).asked("the parent session").into()),
            Written::TooManySessions => Err(Denial::new(Reason::TooManySessions)
                .asked(format!("agent {agent}"))
                .by(format!("an agent has at most {} open sessions", self.sessions_max), "the broker")
                .into()),
        }
    }

    /// Refuses what an operator has stopped (the agents of a session, their owners, who is behind it, the tool server), and
    /// agents whose deployment is gone.
    pub(crate) fn check_stops(
        &self,
        registry: &Registry,
        session: &Session,
        audience: Option<&Audience>,
        now: Timestamp,
    ) -> Result<(), Denial> {
        let stops = self.stops();
        let subject = session.lineage.subject().map(|subject| subject.name);
        let agents = session.lineage.ancestors.iter().map(|above| &above.agent).chain([&session.agent]);
        for name in agents {
            stops.check_agent(name, registry.agent(name).map(|agent| &agent.owner), subject.as_ref())?;
            if let Some(agent) = registry.agent(name) {
                self.leases.check(agent, now)?;
            }
        }
        audience.map_or(Ok(()), |audience| stops.check_tool_server(audience))
    }

    /// Closes a session and revokes its tokens; returns the number of the revocation.
    ///
    /// # Errors
    ///
    /// [`Refused`]; the refusal is on record, unless it says that the store is unavailable.
    pub async fn close(&self, wire: wire::CloseSessionRequest, extensions: &Extensions) -> Result<u64, Refused> {
        let _place = self.admit()?;
        let asked = Asked { kind: Kind::SessionClose, extensions, request_id: "", message: Vec::new() };
        let mut record = self.record(&asked);
        record.session_id = crate::audit::cut(&wire.session_id);
        let flow = async {
            match self.try_close(&asked, &wire, &mut record).await {
                Ok(sequence) => Ok(sequence),
                Err(stop) => Err(self.stop(stop, record, None).await),
            }
        };
        self.within_limit(flow).await
    }

    async fn try_close(
        &self,
        asked: &Asked<'_>,
        wire: &wire::CloseSessionRequest,
        record: &mut Record,
    ) -> Result<u64, Stop> {
        let now = self.clock.now().wall;
        let caller = self.attest(asked, now)?;
        let mut v = Violations::default();
        let id: Option<SessionId> = v.parse("session_id", &wire.session_id);
        let id = id.ok_or(Stop::Malformed(v))?;
        let unknown = || Denial::new(Reason::SessionUnknown).asked(id).by("session", "the broker");
        let found = self.store.sessions(vec![id]).await?;
        // Whoever opened it may close it, for whatever process: closing only takes away.
        let session = found.first().filter(|session| session.peer == caller.id).ok_or_else(unknown)?;
        record.describe(session);
        let mut allowed = record.clone();
        allowed.allow();
        let feed = Arc::clone(&self.feed);
        let committed = Box::new(move |revocations: &[_]| feed.revoke(revocations));
        match self.store.close(id, now, feed::REVOCATIONS_MAX, allowed, committed).await? {
            Closed::Revoked(sequence) => Ok(sequence),
            Closed::Unknown => Err(unknown().into()),
            Closed::TooManyRevocations => Err(Denial::new(Reason::Overloaded)
                .by(format!("at most {} revocations are in force", feed::REVOCATIONS_MAX), "the broker")
                .next("close it again when the tokens of others have expired")
                .into()),
        }
    }
}

pub(super) fn repeat(seen: &Seen, request: &Request) -> Result<Opened, Stop> {
    same_request(seen, request)?;
    match &seen.answer {
        Answer::Opened { session, expires_at } => Ok(Opened { session: session.clone(), expires_at: *expires_at }),
        Answer::Refused(row) => Err(Stop::Answered(row.clone().into())),
        Answer::Issued(_) => Err(Denial::new(Reason::RequestConflict).into()),
    }
}

fn read(wire: &wire::OpenSessionRequest) -> Result<Opening, Violations> {
    let mut v = Violations::default();
    let _: Option<RequestId> = v.parse("request_id", &wire.request_id);
    let agent = v.parse("agent", &wire.agent);
    let intent = v.parse("intent", &wire.intent);
    let origin = convert::origin(&mut v, "origin", wire.origin.as_ref());
    let envelope = convert::envelope(&mut v, "envelope", &wire.envelope);
    let process = match &wire.process {
        None => Some(None),
        Some(process) => LocalProcess::read(&mut v, "process", process).map(Some),
    };
    let read = || {
        let lifetime = Duration::from_secs(wire.lifetime_s.into());
        Some(Opening {
            agent: agent?,
            intent: intent?,
            origin: origin?,
            envelope: envelope?,
            lifetime,
            process: process?,
            proof: None,
        })
    };
    let opening = read();
    opening.filter(|_| v.is_empty()).ok_or(v)
}
