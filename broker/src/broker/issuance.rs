//! The exchange, end to end: attest, look up, decide, commit, sign, answer.

use super::{Asked, Broker, Refused, Stop, same_request};
use crate::{
    audit::{Kind, Record},
    caller::Caller,
    drift::Event,
    exchange::{self, Exchange, Inputs},
    handover::{self, Handing},
    keys::NotSigned,
    process::LocalProcess,
    registry::Registry,
    ruling::{self, Facts, Ruled},
    session::{self, Session},
    store::{Answer, Issuance, Known, Request, Seen, Written},
};
use crumb_proto::{Violations, convert, wire};
use crumb_token::{
    Claims, Denial, Reason, RequestId, Timestamp, TokenId, TokenText,
    handover::{DelegationKey, MayAct},
    mint::MintError,
    revocation,
};
use prost::Message as _;
use std::{sync::Arc, time::Duration};
use tonic::Extensions;
use uuid::Uuid;

/// An issued token and what it says.
#[derive(Debug)]
pub struct Issued {
    /// The token. A secret.
    pub token: TokenText,
    /// What it says.
    pub claims: Claims,
}

impl Broker {
    /// Exchanges the caller's SVID for a task token.
    ///
    /// # Errors
    ///
    /// [`Refused`]; the refusal is on record, unless it says that the store is unavailable.
    pub async fn exchange(&self, wire: wire::ExchangeRequest, extensions: &Extensions) -> Result<Issued, Refused> {
        let _place = self.admit()?;
        let asked =
            Asked { kind: Kind::Exchange, extensions, request_id: &wire.request_id, message: wire.encode_to_vec() };
        let mut record = self.record(&asked);
        note(&mut record, &wire);
        let (mut request, mut event) = (None, None);
        let flow = async {
            match self.try_exchange(&asked, &wire, &mut record, &mut request, &mut event).await {
                Ok(issued) => Ok(issued),
                Err(stop) => {
                    let refused = self.stop(stop, record, request).await;
                    self.observe(event).await?;
                    Err(refused)
                }
            }
        };
        self.within_limit(flow).await
    }

    async fn try_exchange(
        &self,
        asked: &Asked<'_>,
        wire: &wire::ExchangeRequest,
        record: &mut Record,
        remembered: &mut Option<Request>,
        event: &mut Option<Event>,
    ) -> Result<Issued, Stop> {
        let now = self.clock.now().wall;
        let caller = self.attest(asked, now)?;
        let exchange = read(wire).map_err(Stop::Malformed)?;
        record.attest(exchange.process.as_ref());
        let request = asked.request(&caller, now).ok_or_else(|| Denial::new(Reason::RequestInvalid))?;
        if let Some(issued) = self.by_memory(&exchange, &caller, &request, record, now).await? {
            return Ok(issued);
        }
        let Known { seen, session } = self.store.look_up(request.key.clone(), Some(exchange.session)).await?;
        if let Some(seen) = seen {
            return self.repeat(&seen, &request, &caller, session.as_ref(), now).await;
        }
        *remembered = Some(request.clone());
        let session = session.as_ref();
        // Nobody else's request is held against a session.
        let own = session.filter(|s| s.belongs_to(&caller, exchange.process.as_ref()));
        if let Some(session) = own {
            record.describe(session);
        }
        // Before the decision: should the manifests change in between, what is written is refused.
        let revision = self.registry().revision();
        let decided = self.decide(&exchange, &caller, session, now);
        let (claims, ruled) = decided.inspect_err(|denial| {
            let registry = self.registry();
            self.count_denial(own, &exchange, &registry, now);
            *event = own.and_then(|own| Event::of_exchange(denial.reason, &exchange.audience, own, &registry, now));
        })?;
        record.policy_version.clone_from(&ruled.version);
        let (budget, per_minute) = (ruled.budget, ruled.per_minute);
        let (claims, redeems) = self.approved(&exchange, claims, session, ruled, record, now).await?;
        self.fits(&claims)?;
        if !self.paces.take(&claims.agent, &claims.audience, per_minute, now) {
            let rule = format!("{} tokens a minute", per_minute.unwrap_or_default());
            return Err(Denial::new(Reason::RateLimited)
                .asked(&claims.audience)
                .by(rule, "the issuance policy")
                .into());
        }
        self.check_endings(&claims).await?;
        let changes = session.map_or(0, |session| session.review.changes);
        let at = Standing { revision, changes };
        let issuance = Issuance { budget, redeems, ..issuance(&request, &claims, at, record.clone()) };
        match self.store.issue(issuance).await? {
            Written::Committed => self.sign(claims, &request, now),
            Written::Seen(seen) => self.repeat(&seen, &request, &caller, session, now).await,
            Written::Changed(denial) => Err(denial.into()),
            Written::SessionClosed | Written::TooManySessions => {
                Err(Denial::new(Reason::SessionClosed).asked(exchange.session).into())
            }
        }
    }

    /// Issues by what is remembered of the session, without a read before the write. `None` when anything stands in the way: then
    /// nothing was written, and the store is asked first.
    async fn by_memory(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        request: &Request,
        record: &Record,
        now: Timestamp,
    ) -> Result<Option<Issued>, Stop> {
        // A policy may look at how many tokens the session has had, which is not remembered.
        let registry = self.registry();
        if registry.policies().next().is_some() || self.feed.has_revoked_since(now) {
            return Ok(None);
        }
        let Some(session) = self.store.recall(exchange.session) else { return Ok(None) };
        let Ok((claims, ruled)) = self.decide(exchange, caller, Some(&session), now) else { return Ok(None) };
        if ruled != Ruled::default() {
            return Ok(None);
        }
        let mut record = record.clone();
        record.describe(&session);
        let at = Standing { revision: registry.revision(), changes: session.review.changes };
        match self.store.issue(issuance(request, &claims, at, record)).await? {
            Written::Committed => {
                // There is no limit to hold it to, so it is counted once it is certain.
                self.paces.take(&claims.agent, &claims.audience, None, now);
                self.sign(claims, request, now).map(Some)
            }
            Written::Seen(_) | Written::SessionClosed | Written::Changed(_) | Written::TooManySessions => Ok(None),
        }
    }

    /// Refuses what an ending of this very second reaches: it goes on afterwards, but a token of now would be dead at birth.
    async fn check_endings(&self, claims: &Claims) -> Result<(), Denial> {
        let targets = || revocation::targets(claims).collect();
        if self.feed.has_revoked_since(claims.issued_at) && self.store.is_revoked(targets(), claims.issued_at).await? {
            let denial = Denial::new(Reason::Overloaded).asked(&claims.audience);
            return Err(denial
                .by("something of it was revoked in this second", "the broker")
                .next("ask again in a second"));
        }
        Ok(())
    }

    /// Counts a refusal of what the session's own workload asked of a tool server that there is: nobody else's, and no invented
    /// one, moves the counters.
    fn count_denial(&self, own: Option<&Session>, exchange: &Exchange, registry: &Registry, now: Timestamp) {
        if let (Some(session), Some(server)) = (own, registry.tool_server(&exchange.audience)) {
            self.paces.denied(&session.agent, &server.audience, now);
        }
    }

    pub(crate) fn decide(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        session: Option<&Session>,
        now: Timestamp,
    ) -> Result<(Claims, Ruled), Denial> {
        let token = TokenId::from_uuid(Uuid::now_v7());
        let (registry, provider) = (&*self.registry(), &self.provider);
        let mut claims = exchange::decide(&Inputs { exchange, caller, registry, session, provider, token, now })?;
        let ruled = self.rule(registry, exchange, session, &claims)?;
        if let Some(ttl) = ruled.ttl_max {
            claims.expires_at = claims.expires_at.min(now.plus(ttl));
        }
        self.rule_delegates(registry, exchange, session, &mut claims, &ruled)?;
        // The manifests' limits were looked at before; these came since.
        exchange::check_life(now, claims.expires_at)?;
        self.fits(&claims)?;
        Ok((claims, ruled))
    }

    /// Refuses claims that do not fit into a token, before anything is written on their account.
    pub(super) fn fits(&self, claims: &Claims) -> Result<(), Denial> {
        self.keys.check_fit(claims).map_err(|error| match error {
            NotSigned::Mint(MintError::TooLarge(len)) => Denial::new(Reason::TooManyGrants)
                .asked(format!("{} rights", claims.grants.len()))
                .by(format!("a token has at most 4096 bytes, and this one {len}"), "the token profile"),
            _ => Denial::new(Reason::Unforeseen),
        })
    }

    /// Asks the stops and the policies about what manifest and envelope allow.
    fn rule(
        &self,
        registry: &Registry,
        exchange: &Exchange,
        session: Option<&Session>,
        claims: &Claims,
    ) -> Result<Ruled, Denial> {
        let agent = registry.agent(&claims.agent);
        let server = registry.tool_server(&claims.audience);
        let (Some(session), Some(agent), Some(server)) = (session, agent, server) else {
            return Err(Denial::new(Reason::Unforeseen));
        };
        self.check_stops(registry, session, Some(&claims.audience), claims.issued_at)?;
        let lately = self.paces.lately(&claims.agent, &claims.audience, claims.issued_at);
        let environment = &self.environment;
        ruling::decide(registry, &Facts { exchange, session, agent, server, claims, environment, lately })
    }

    /// Asks the same about everybody to whom the token may be handed on, as if each had asked: nobody will be asked then.
    fn rule_delegates(
        &self,
        registry: &Registry,
        exchange: &Exchange,
        session: Option<&Session>,
        claims: &mut Claims,
        own: &Ruled,
    ) -> Result<(), Denial> {
        let Some(may_act) = claims.may_act.clone() else { return Ok(()) };
        handover::check_offline(&claims.agent, own)?;
        for delegate in &may_act.delegates {
            let Some(agent) = registry.agent(&delegate.agent) else { return Err(Denial::new(Reason::Unforeseen)) };
            let subject = claims.subject.as_ref().map(|subject| &subject.name);
            self.stops().check_agent(&agent.name, Some(&agent.owner), subject)?;
            self.leases.check(agent, claims.issued_at)?;
            let Some(session) = session else { return Err(Denial::new(Reason::Unforeseen)) };
            let asked = handover::as_asked_by(delegate, exchange, session, claims, &may_act)?;
            let ruled = self.rule(registry, &asked.exchange, Some(&asked.session), &asked.claims)?;
            handover::check_offline(&agent.name, &ruled)?;
            claims.expires_at = handover::end(agent, &ruled, claims);
        }
        Ok(())
    }

    /// Signs what has been committed.
    fn sign(&self, claims: Claims, request: &Request, now: Timestamp) -> Result<Issued, Stop> {
        let token = self.keys.sign_token(claims.clone(), now).map_err(|error| {
            tracing::error!(%error, token = %claims.token, "an issuance was recorded, and no token was handed out");
            let reason = if matches!(error, NotSigned::NoKey) { Reason::StoreUnavailable } else { Reason::Unforeseen };
            Stop::Answered(Denial::new(reason))
        })?;
        self.answers.insert(request.key.clone(), token.clone());
        Ok(Issued { token, claims })
    }

    /// Answers a request as it was answered before: the same token while it is kept, or one that says the same.
    ///
    /// What has ended in the meantime is not brought back: a token that is signed anew may have a later beginning than the one
    /// that was revoked.
    async fn repeat(
        &self,
        seen: &Seen,
        request: &Request,
        caller: &Caller,
        session: Option<&Session>,
        now: Timestamp,
    ) -> Result<Issued, Stop> {
        same_request(seen, request)?;
        let row = match &seen.answer {
            Answer::Issued(row) => row,
            Answer::Refused(row) => return Err(Stop::Answered(row.clone().into())),
            Answer::Opened { .. } => return Err(Denial::new(Reason::RequestConflict).into()),
        };
        let claims = row.to_claims().ok_or_else(|| Denial::new(Reason::StoreUnavailable))?;
        let Some(session) = session.filter(|s| s.is_open(now)) else {
            return Err(Denial::new(Reason::SessionClosed).asked(claims.session).into());
        };
        session.review.check_halt()?;
        let registry = self.registry();
        session::registered(&session.agent, caller, &registry, now)?;
        self.check_stops(&registry, session, Some(&claims.audience), now)?;
        if self.store.is_revoked(revocation::targets(&claims).collect(), claims.issued_at).await? {
            let ended = Denial::new(Reason::LifetimeTooShort).asked(claims.token);
            let ended = ended.by("the token of this request was revoked", "the broker");
            return Err(ended.next("make a new request id: the token of this one is over").into());
        }
        if claims.expires_at <= now {
            let ended = Denial::new(Reason::LifetimeTooShort).asked(claims.token);
            return Err(ended.next("make a new request id: the token of this one has expired").into());
        }
        match self.answers.get(&request.key) {
            Some(token) => Ok(Issued { token, claims }),
            // Whoever it may be handed to may have ended since, and a later beginning would bring that back.
            None if claims.may_act.is_some() => {
                let over = Denial::new(Reason::LifetimeTooShort).asked(claims.token);
                let over = over.by("a token that may be handed on is not signed anew", "the broker");
                Err(over.next("make a new request id").into())
            }
            None => self.sign(claims, request, now),
        }
    }
}

/// What a decision was made from, and has to be the same still when it is written.
#[derive(Clone, Copy)]
struct Standing {
    /// Which manifests were in force.
    revision: u64,
    /// How many times what is held against the session had changed.
    changes: u64,
}

/// Puts together what is written of a token that nobody had to approve and no policy limits.
fn issuance(request: &Request, claims: &Claims, at: Standing, mut record: Record) -> Issuance {
    record.issue(claims);
    record.allow();
    Issuance {
        request: request.clone(),
        claims: Arc::new(claims.into()),
        token: claims.token.to_string(),
        session: claims.session,
        revision: at.revision,
        changes: at.changes,
        budget: None,
        redeems: None,
        record,
    }
}

/// Notes what a request says, well-formed or not.
fn note(record: &mut Record, wire: &wire::ExchangeRequest) {
    record.session_id = crate::audit::cut(&wire.session_id);
    record.holder = crate::audit::cut(&wire.holder);
    record.task = crate::audit::cut(&wire.task);
    if let Some(scope) = &wire.scope {
        record.audience = crate::audit::cut(&scope.audience);
        record.ask(&scope.grants);
    }
}

fn read(wire: &wire::ExchangeRequest) -> Result<Exchange, Violations> {
    let mut v = Violations::default();
    let _: Option<RequestId> = v.parse("request_id", &wire.request_id);
    let session = v.parse("session_id", &wire.session_id);
    let task = match wire.task.as_str() {
        "" => Some(None),
        text => v.parse("task", text).map(Some),
    };
    let scope = convert::scope(&mut v, "scope", wire.scope.as_ref());
    let holder = match wire.holder.as_str() {
        "" => Some(None),
        text => v.parse("holder", text).map(Some),
    };
    let process = match &wire.process {
        None => Some(None),
        Some(process) => LocalProcess::read(&mut v, "process", process).map(Some),
    };
    let handing = read_handing(&mut v, wire);
    let read = || {
        let (audience, grants) = scope?;
        let ttl = Duration::from_secs(wire.ttl_s.into());
        let (session, holder, handing, task, process) = (session?, holder?, handing?, task?, process?);
        Some(Exchange { session, audience, grants, ttl, holder, handing, task, process })
    };
    let exchange = read();
    exchange.filter(|_| v.is_empty()).ok_or(v)
}

/// Reads to whom the token may be handed on: names and key together, or neither.
fn read_handing(v: &mut Violations, wire: &wire::ExchangeRequest) -> Option<Option<Handing>> {
    if wire.may_act.is_empty() && wire.delegation_key.is_empty() {
        return Some(None);
    }
    if wire.may_act.is_empty() || wire.may_act.len() > MayAct::DELEGATES_MAX {
        v.add("may_act", format!("has 1 to {} entries when there is a delegation key", MayAct::DELEGATES_MAX));
        return None;
    }
    let key = v.keep("delegation_key", DelegationKey::try_from(&wire.delegation_key[..]));
    let read = |(i, wire): (usize, &wire::MayAct)| {
        let (agent, peer) =
            (v.parse(format!("may_act[{i}].agent"), &wire.agent), v.parse(format!("may_act[{i}].peer"), &wire.peer));
        Some((agent?, peer?))
    };
    let to: Vec<_> = wire.may_act.iter().enumerate().filter_map(read).collect();
    (to.len() == wire.may_act.len()).then_some(Some(Handing { key: key?, to }))
}
