//! Delegating, and telling a session's own workload what it is, end to end.

use super::{Asked, Broker, Opened, Refused, Stop, sessions::repeat};
use crate::{
    audit::{Kind, Record},
    delegation::{self, Delegation},
    process::LocalProcess,
    session::Session,
    store::Request,
};
use crumb_proto::{Violations, convert, wire};
use crumb_token::{Denial, Reason, RequestId, SessionId};
use prost::Message as _;
use std::time::Duration;
use tonic::Extensions;
use uuid::Uuid;

impl Broker {
    /// Opens a session for another agent inside the caller's own.
    ///
    /// # Errors
    ///
    /// [`Refused`]; the refusal is on record, unless it says that the store is unavailable.
    pub async fn delegate(&self, wire: wire::DelegateRequest, extensions: &Extensions) -> Result<Opened, Refused> {
        let _place = self.admit()?;
        let message = wire.encode_to_vec();
        let asked = Asked { kind: Kind::SessionDelegate, extensions, request_id: &wire.request_id, message };
        let mut record = self.record(&asked);
        record.agent = crate::audit::cut(&wire.agent);
        record.intent = crate::audit::cut(&wire.intent);
        record.holder = crate::audit::cut(&wire.peer);
        record.session_id = crate::audit::cut(&wire.session_id);
        record.ask(&wire.envelope.iter().flat_map(|scope| scope.grants.clone()).collect::<Vec<_>>());
        let mut request = None;
        let flow = async {
            match self.try_delegate(&asked, &wire, &mut record, &mut request).await {
                Ok(opened) => Ok(opened),
                Err(stop) => Err(self.stop(stop, record, request).await),
            }
        };
        self.within_limit(flow).await
    }

    async fn try_delegate(
        &self,
        asked: &Asked<'_>,
        wire: &wire::DelegateRequest,
        record: &mut Record,
        remembered: &mut Option<Request>,
    ) -> Result<Opened, Stop> {
        let now = self.clock.now().wall;
        let caller = self.attest(asked, now)?;
        let delegation = read(wire).map_err(Stop::Malformed)?;
        record.attest(delegation.process.as_ref());
        let request = asked.request(&caller, now).ok_or_else(|| Denial::new(Reason::RequestInvalid))?;
        let known = self.store.look_up(request.key.clone(), Some(delegation.session)).await?;
        if let Some(seen) = known.seen {
            return repeat(&seen, &request);
        }
        *remembered = Some(request.clone());
        let (id, registry) = (SessionId::from_uuid(Uuid::now_v7()), self.registry());
        let session = delegation::decide(id, delegation, &caller, &registry, known.session.as_ref(), now)?;
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

    /// Tells what a session is to the workload that it belongs to.
    ///
    /// # Errors
    ///
    /// [`Refused`], `session_unknown` for everybody else's.
    pub async fn describe(
        &self,
        wire: wire::DescribeSessionRequest,
        extensions: &Extensions,
    ) -> Result<Session, Refused> {
        let _place = self.admit()?;
        let caller = crate::caller::attest(&self.workload, extensions, self.clock.now().wall)?;
        let mut v = Violations::default();
        let id: Option<SessionId> = v.parse("session_id", &wire.session_id);
        let id = id.ok_or(Refused::Malformed(v))?;
        self.within_limit(async {
            let found = self.store.sessions(vec![id]).await.map_err(Denial::from)?;
            let own = found.into_iter().find(|session| session.peer == caller.id);
            own.ok_or_else(|| Denial::new(Reason::SessionUnknown).asked(id).by("session", "the broker").into())
        })
        .await
    }
}

/// Writes what a session is.
pub(crate) fn to_description(session: &Session) -> wire::DescribeSessionResponse {
    let lineage = &session.lineage;
    let above = lineage.ancestors.iter().map(|above| wire::SessionAbove {
        session_id: above.session.to_string(),
        agent: above.agent.to_string(),
        version: above.version.to_string(),
        intent_digest: above.intent_digest.to_vec(),
    });
    wire::DescribeSessionResponse {
        agent: session.agent.to_string(),
        intent: session.intent.to_string(),
        origin: Some(convert::to_origin(&lineage.root)),
        origin_verified: lineage.subject().is_some_and(|s| s.assurance == crumb_token::origin::Assurance::Verified),
        above: above.collect(),
        actors: lineage.actors.iter().map(ToString::to_string).collect(),
        envelope: session.envelope.iter().map(|(audience, grants)| convert::to_scope(audience, grants)).collect(),
        expires_at: session.expires_at.as_unix_s(),
        depth: u32::try_from(lineage.depth_left).unwrap_or(u32::MAX),
    }
}

fn read(wire: &wire::DelegateRequest) -> Result<Delegation, Violations> {
    let mut v = Violations::default();
    let _: Option<RequestId> = v.parse("request_id", &wire.request_id);
    let session = v.parse("session_id", &wire.session_id);
    let agent = v.parse("agent", &wire.agent);
    let peer = v.parse("peer", &wire.peer);
    let intent = v.parse("intent", &wire.intent);
    let envelope = convert::envelope(&mut v, "envelope", &wire.envelope);
    let process = match &wire.process {
        None => Some(None),
        Some(process) => LocalProcess::read(&mut v, "process", process).map(Some),
    };
    let read = || {
        Some(Delegation {
            session: session?,
            agent: agent?,
            peer: peer?,
            intent: intent?,
            envelope: envelope?,
            lifetime: Duration::from_secs(wire.lifetime_s.into()),
            depth: usize::try_from(wire.depth).unwrap_or(usize::MAX),
            process: process?,
        })
    };
    read().filter(|_| v.is_empty()).ok_or(v)
}
