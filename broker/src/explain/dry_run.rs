//! An ask that was never made, through the code that would decide on it now.

use super::{
    About, Decision, Explanation, Hypothetical, Outcome, Step,
    hypothetical::{MADE_UP, presenter, process, server, who},
    steps,
};
use crate::{
    approval::{Approval, Electorate, State, Wanted, gist},
    audit::{Kind, Record},
    broker::Broker,
    caller::Caller,
    exchange::Exchange,
    registry::{Agent, Registry, ToolServer},
    ruling::Ruled,
    session::{self, Opening, Session},
    store::Listing,
};
use crumb_proto::{Layer, convert};
use crumb_token::{Claims, Denial, Grants, Intent, Origin, Reason, SessionId, Timestamp};
use std::time::Duration;
use uuid::Uuid;

/// How long the SVID holds that is taken for granted.
const SVID_LIFE: Duration = Duration::from_secs(3600);

/// An ask as far as it has come.
struct Asked {
    record: Record,
    assumed: Vec<String>,
    approval: Option<Approval>,
}

/// Everything that an ask is held against, once it is known who asks and where.
struct Scene<'a> {
    ask: &'a Hypothetical,
    registry: &'a Registry,
    agent: &'a Agent,
    server: &'a ToolServer,
    caller: &'a Caller,
    now: Timestamp,
}

/// What would be decided.
struct Decided {
    claims: Claims,
    ruled: Ruled,
}

impl Broker {
    /// Explains an ask that was never made.
    ///
    /// # Errors
    ///
    /// `request_invalid` when it leaves open who asks or where, `store_unavailable` when the session cannot be read. What the
    /// decision says is no error.
    pub async fn explain_ask(&self, ask: Hypothetical) -> Result<Explanation, Denial> {
        let _place = self.admit()?;
        let now = self.clock.now().wall;
        let mut record = self.operation(Kind::Exchange, "");
        record.record_id = String::new();
        record.ask(&[convert::to_grant(&ask.grant)]);
        let mut asked = Asked { record, assumed: Vec::new(), approval: None };
        let decided = self.try_ask(&ask, &mut asked, now).await;
        let (denial, ruled) = match decided {
            Ok(Decided { claims, ruled }) => {
                asked.record.issue(&claims);
                asked.record.token_id = String::new();
                asked.record.allow();
                (None, Some(ruled))
            }
            Err(denial) if matches!(denial.reason, Reason::StoreUnavailable | Reason::RequestInvalid) => {
                return Err(denial);
            }
            Err(denial) => {
                asked.record.refuse(&denial);
                (Some(denial), None)
            }
        };
        Ok(told(asked, denial, ruled.as_ref()))
    }

    async fn try_ask(&self, ask: &Hypothetical, asked: &mut Asked, now: Timestamp) -> Result<Decided, Denial> {
        let registry = self.registry();
        let kept = match ask.session {
            Some(id) => Some(self.session_of(id).await?),
            None => None,
        };
        let name = who(ask, kept.as_ref())?;
        asked.record.agent = name.to_string();
        let Some(agent) = registry.agent(&name) else {
            return Err(Denial::new(Reason::AgentUnknown).asked(&name).by("registry", "the registry's owner"));
        };
        asked.record.owner = agent.owner.to_string();
        asked.record.agent_version = agent.version.to_string();
        let server = server(ask, agent, &registry)?;
        asked.record.audience = server.audience.to_string();
        let caller = Caller { id: presenter(agent, kept.as_ref())?, svid_expires_at: now.plus(SVID_LIFE) };
        asked.record.peer = caller.id.to_string();
        asked.assumed.push(format!("{} asks, with an SVID that holds for an hour", caller.id));
        let grants = Grants::try_new([ask.grant.clone()]).map_err(|_| Denial::new(Reason::TooManyGrants))?;
        let process = kept.as_ref().and_then(|session| process(session, agent, &mut asked.assumed));
        let scene = Scene { ask, registry: &registry, agent, server, caller: &caller, now };
        let session = match &kept {
            Some(session) => session.clone(),
            None => self.made_up(&scene, &grants, &mut asked.assumed)?,
        };
        asked.record.describe(&session);
        if kept.is_none() {
            asked.record.session_id = String::new();
        }
        let audience = server.audience.clone();
        let exchange = Exchange {
            session: session.id,
            audience,
            grants,
            ttl: ask.ttl,
            holder: None,
            handing: None,
            task: None,
            process,
        };
        let (claims, ruled) = self.decide(&exchange, &caller, Some(&session), now)?;
        asked.record.policy_version.clone_from(&ruled.version);
        self.agreed(&exchange, Decided { claims, ruled }, &session, asked, now).await
    }

    async fn session_of(&self, id: SessionId) -> Result<Session, Denial> {
        let found = self.store.sessions(vec![id]).await?;
        found
            .into_iter()
            .next()
            .ok_or_else(|| Denial::new(Reason::SessionUnknown).asked(id).by("session", "the broker"))
    }

    /// Opens a session in thought, by the rules of opening one.
    fn made_up(&self, scene: &Scene<'_>, grants: &Grants, assumed: &mut Vec<String>) -> Result<Session, Denial> {
        let Scene { ask, registry, agent, server, caller, now } = *scene;
        let unforeseen = || Denial::new(Reason::Unforeseen);
        let origin = match &ask.origin {
            Some(origin) => origin.clone(),
            None => Origin::Schedule { name: MADE_UP.parse().map_err(|_| unforeseen())? },
        };
        assumed.push(format!("in a session that declares just this, set off by {origin}"));
        let intent: Intent = MADE_UP.parse().map_err(|_| unforeseen())?;
        let envelope = vec![(server.audience.clone(), grants.clone())];
        let (name, lifetime) = (agent.name.clone(), Duration::ZERO);
        let opening = Opening { agent: name, intent, origin, envelope, lifetime, process: None, proof: None };
        let id = SessionId::from_uuid(Uuid::now_v7());
        let session = session::open(id, opening, caller, registry, None, now)?;
        self.check_stops(registry, &session, None, now)?;
        Ok(session)
    }

    /// Returns the request for approval that stands for this ask, however long and for whichever step: an ask that was never
    /// made says neither. A refusal comes before all others, as for a real one.
    async fn standing_approval(&self, wanted: Wanted, now: Timestamp) -> Result<Option<Approval>, Denial> {
        if let Some(refused) = self.store.approval_of(wanted.clone()).await?.filter(|a| a.state == State::Refused) {
            return Ok(Some(refused));
        }
        let is_over =
            move |approval: &Approval| matches!(approval.state.word(approval.expires_at, now), "redeemed" | "expired");
        let listing = Listing { session: Some(wanted.session), state: None, now, limit: 1 };
        let keep = move |approval: &Approval| gist(&approval.wanted) == gist(&wanted) && !is_over(approval);
        let found = self.store.approvals(listing, Box::new(keep)).await?;
        Ok(found.into_iter().next().filter(|approval| approval.state != State::Refused))
    }

    /// Looks whether those have agreed who have to. Nothing is asked of them.
    async fn agreed(
        &self,
        exchange: &Exchange,
        decided: Decided,
        session: &Session,
        asked: &mut Asked,
        now: Timestamp,
    ) -> Result<Decided, Denial> {
        let Decided { claims, ruled } = decided;
        if ruled.needs.is_empty() {
            return Ok(Decided { claims, ruled });
        }
        let needed = || {
            let groups: Vec<_> = ruled.needs.iter().map(|need| format!("{} of {}", need.count, need.group)).collect();
            let because = ruled.because.first().map_or("the issuance policy", String::as_str);
            let next = format!("ask for it: then {} approve it with `crumb approve`", groups.join(" and "));
            Denial::new(Reason::ApprovalNeeded).asked(&exchange.audience).by(because, "the issuance policy").next(next)
        };
        let Some(approval) = self.standing_approval(Wanted::of(exchange, &session.peer), now).await? else {
            return Err(needed());
        };
        asked.assumed.push(format!("for as long as {} asks, and the same step", approval.id));
        asked.approval = Some(approval.clone());
        if let Some(denial) = approval.answer(now) {
            return Err(denial);
        }
        let electorate = Electorate { needs: &ruled.needs, session, registry: &self.registry() };
        if !electorate.is_satisfied_by(&approval.votes) {
            return Err(needed());
        }
        let (grants, _) = approval.granted()?;
        Ok(Decided { claims: Claims { grants, ..claims }, ruled })
    }
}

fn told(asked: Asked, denial: Option<Denial>, ruled: Option<&Ruled>) -> Explanation {
    let Asked { record, assumed, approval } = asked;
    let mut steps = steps::of(&record, denial.as_ref());
    if let Some(ruled) = ruled {
        let limits = [
            ruled.ttl_max.map(|ttl| format!("a token lives for {} s at most", ttl.as_secs())),
            ruled.per_minute.map(|most| format!("{most} tokens a minute at most")),
            ruled.budget.map(|most| format!("{most} tokens a session at most")),
        ];
        let noted = limits.into_iter().flatten().chain(ruled.because.iter().cloned());
        steps.extend(noted.map(|rule| Step::new(Layer::Policy, Outcome::Noted, rule, &ruled.version)));
    }
    steps.extend(approval.iter().flat_map(super::by_number::votes));
    let decision = Decision::of(denial.as_ref());
    let next = match &denial {
        Some(denial) => denial.next.clone(),
        None => "nothing stands in the way: ask for it".to_owned(),
    };
    Explanation {
        id: String::new(),
        about: About::Ask,
        decision,
        state: "",
        record: Some((0, record)),
        denial,
        steps,
        assumed,
        next,
    }
}
